"""``siren deepen`` refuses bad arguments before it starts anything."""

from __future__ import annotations

import json

import pytest

from deployments import cli


@pytest.fixture
def siren(capsys, tmp_path):
    (tmp_path / "products").mkdir()
    (tmp_path / "catalogues").mkdir()
    (tmp_path / "catalogues" / "photometric.fits").write_bytes(b"")

    def run(*words, products="products", catalogues="catalogues"):
        given = [tmp_path / products, "--catalogues", tmp_path / catalogues, *words, "--json"]
        code = cli.run(["deepen", *map(str, given)])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("part", ["products", "catalogues"])
def test_a_folder_that_is_not_there_is_named(siren, part):
    code, answer = siren(**{part: "nowhere"})
    assert code == 2
    assert "nowhere" in answer["rejected"]


@pytest.mark.parametrize("centre", ["110", "110,x", "110,-91", "360,0", "1,2,3", "nan,0"])
def test_a_centre_that_is_none_is_refused(siren, centre):
    code, answer = siren("--centre", centre)
    assert code == 2
    assert "--centre" in answer["rejected"]


@pytest.mark.parametrize("content", [b"# only a remark\n\n", b"\xff\xfe"])
def test_a_list_without_a_name_is_refused(siren, tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    code, answer = siren("--names", tmp_path / "list.txt")
    assert code == 2
    assert "list.txt" in answer["rejected"]
