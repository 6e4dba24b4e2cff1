"""Galaxy catalogues as CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.errors import UnusableData
from tasks.io.catalogues import galaxy_tables


def test_a_real_extract_is_read_with_names_distances_and_magnitudes(shared_data) -> None:
    read = galaxy_tables.read(shared_data / "planning" / "catalog_glade_S190814bv.csv")
    assert read.name[0] == "ESO474-026"
    assert read.ra_deg[0] == pytest.approx(11.781363)
    assert read.distance_mpc[0] == pytest.approx(244.250311897)
    assert read.magnitude[0] == pytest.approx(14.962)
    assert len(read.name) == 2000


def test_rows_without_distance_are_left_out_and_magnitudes_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("RA,Dec,distMpc\n10,20,40\n11,21,\n370,22,50\n")
    read = galaxy_tables.read(path)
    assert read.ra_deg.tolist() == [10.0, 10.0]
    assert read.name.tolist() == ["row-1", "row-3"]
    assert np.isnan(read.magnitude).all()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no galaxy"),
        (b"a,b\n1,2\n", "none of the columns"),
        (b"ra,dec,distmpc\nx,y,z\n", "no row"),
        (b"\xff\xfe\x00", "CSV"),
    ],
)
def test_files_that_are_no_catalogue_are_refused(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(UnusableData, match=word):
        galaxy_tables.read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="cannot be read"):
        galaxy_tables.read(tmp_path / "none.csv")
