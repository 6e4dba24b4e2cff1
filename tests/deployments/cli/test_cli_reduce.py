"""Options of ``siren reduce`` from ``NAME=VALUE``."""

from __future__ import annotations

import pytest

from deployments import cli
from deployments.local import night
from tasks.errors import UnusableData
from tasks.options import ReduceOptions


def test_words_become_options():
    words = ("spatial_zero_point=cubic", "colour_term=true", "faint_mag=17.5", "extra_apertures=10arcsec,24px")
    found = night.options_of(words)

    assert found.spatial_zero_point == "cubic"
    assert (found.colour_term, found.faint_mag) == (True, 17.5)
    assert found.extra_apertures == ("10arcsec", "24px")
    assert night.options_of(()) == ReduceOptions()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("spatial=cubic", "spatial: Unexpected keyword argument"),
        ("spatial_zero_point=quintic", "'none', 'cubic' or 'grid'"),
        ("extra_apertures=10", "should match pattern"),
        ("colour_term", "valid boolean"),
    ],
)
def test_a_wrong_word_is_named(word, said):
    with pytest.raises(UnusableData, match=said):
        night.options_of((word,))


def test_bad_words_at_the_terminal_are_bad_input(capsys, tmp_path):
    folder = tmp_path / "obsdata" / "7DT01" / "2026-01-15_gain2750"
    folder.mkdir(parents=True)
    for name in ("astrometric.ldac.fits", "photometric.fits"):
        path = tmp_path / "catalogues" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    words = ["reduce", str(tmp_path), "--out", str(tmp_path / "out"), "--photometry", "engine=sex", "--json"]

    assert cli.run(words) == 2
    assert "engine: Unexpected keyword argument" in capsys.readouterr().out
