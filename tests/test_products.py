"""A product is complete or absent, and a rerun of the same recipe is a lookup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import naming, products
from tasks.records import Rejected

RESULT = Rejected(name="a", stage="reduce", reason="clouds")


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "raw.fits"
    path.write_bytes(b"raw")
    return path


def make(tmp_path, raw, content=b"product", options=None):
    output = tmp_path / "out" / "product.fits"
    recipe = products.Recipe(stage="reduce", inputs=[raw], options=options or {"sigma": 3})
    products.write_bytes(output, content)
    products.remember(recipe, [output], RESULT)
    return recipe, output


def test_the_same_recipe_gives_the_record_back(tmp_path, raw):
    recipe, output = make(tmp_path, raw)

    assert products.recall(recipe, output, Rejected) == RESULT


def test_nothing_is_recalled_before_it_was_made(tmp_path, raw):
    recipe = products.Recipe(stage="reduce", inputs=[raw])

    assert products.recall(recipe, tmp_path / "absent.fits", Rejected) is None


def test_another_option_makes_it_stale(tmp_path, raw):
    _, output = make(tmp_path, raw)
    other = products.Recipe(stage="reduce", inputs=[raw], options={"sigma": 4})

    assert products.recall(other, output, Rejected) is None


def test_a_changed_input_makes_it_stale(tmp_path, raw):
    recipe, output = make(tmp_path, raw)
    raw.write_bytes(b"other bytes")

    assert products.recall(recipe, output, Rejected) is None


@pytest.mark.parametrize("damage", [b"", b"produc", b"PRODUCT"])
def test_a_damaged_output_is_made_again(tmp_path, raw, damage):
    recipe, output = make(tmp_path, raw)
    output.write_bytes(damage)

    assert products.recall(recipe, output, Rejected) is None


def test_a_touched_but_equal_output_stays_good(tmp_path, raw):
    recipe, output = make(tmp_path, raw)
    os.utime(output, (1, 1))

    assert products.recall(recipe, output, Rejected) == RESULT


def test_a_second_output_that_vanished_makes_it_stale(tmp_path, raw):
    recipe, output = make(tmp_path, raw)
    second = output.with_name("second.fits")
    products.write_bytes(second, b"2")
    products.remember(recipe, [output, second], RESULT)
    second.unlink()

    assert products.recall(recipe, output, Rejected) is None


def test_a_product_remade_with_the_same_bytes_keeps_what_depends_on_it_fresh(tmp_path, raw):
    _, first = make(tmp_path, raw)
    second = products.Recipe(stage="stack", inputs=[first])
    before = second.fingerprint()
    make(tmp_path, raw)

    assert second.fingerprint() == before


def test_a_failure_leaves_neither_product_nor_temporary_file(tmp_path):
    target = tmp_path / "product.fits"

    with pytest.raises(RuntimeError), products.staged(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError

    assert list(tmp_path.iterdir()) == []


def test_a_garbled_sidecar_is_no_recipe(tmp_path, raw):
    recipe, output = make(tmp_path, raw)
    naming.sidecar(output).write_text("{", encoding="utf-8")

    assert products.recall(recipe, output, Rejected) is None


def test_the_sidecar_tells_how_the_product_was_made(tmp_path, raw):
    _, output = make(tmp_path, raw)
    note = json.loads(naming.sidecar(output).read_text(encoding="utf-8"))

    assert note["sha256"] == products.sha256_of(output)
    assert note["options"] == {"sigma": 3}
    assert note["inputs"][0]["name"] == str(raw)
    assert {"code", "tools", "fingerprint", "size"} <= note.keys()


WRITER = """
import sys
from pathlib import Path
from tasks import products
number = 0
while True:
    number += 1
    products.write_bytes(Path(sys.argv[1]) / "product.bin", bytes([number % 251]) * 400_000)
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_file_or_none(tmp_path, rng):
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(int(rng.integers(1, 12))):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()

        content = (tmp_path / "product.bin").read_bytes()
        assert len(content) == 400_000
        assert len(set(content)) == 1


def test_a_path_in_options_is_recorded(tmp_path, raw):
    recipe = products.Recipe(stage="x", inputs=[raw], options={"path": Path("a"), "when": None})

    assert recipe.fingerprint() == recipe.fingerprint()


def test_products_of_others_are_watched_and_keep_their_recipes(tmp_path, raw):
    recipe, first = make(tmp_path, raw)
    report = products.Recipe(stage="night", inputs=[raw])
    summary = first.with_name("report.json")
    products.write_text(summary, "summary")
    products.remember(report, [summary], RESULT, others=[first])

    assert products.recall(recipe, first, Rejected) == products.recall(report, summary, Rejected) == RESULT
    first.write_bytes(b"PRODUCT")
    assert products.recall(report, summary, Rejected) is None
