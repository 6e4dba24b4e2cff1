"""LDAC catalogues and SCAMP's headers, with their peculiarities."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tasks.errors import UnusableData
from tasks.io.catalogues import ldac, photometric_catalogues


@pytest.fixture
def stars(rng):
    return Table(
        {
            "X_WORLD": rng.uniform(100, 101, 50),
            "Y_WORLD": rng.uniform(-31, -30, 50),
            "MAG": rng.uniform(12, 18, 50),
            "OBSDATE": np.full(50, 2026.04),
        }
    )


def test_a_reference_catalogue_is_read_as_it_was_written(stars, tmp_path):
    ldac.write_reference(tmp_path / "ref.cat", stars)
    table = ldac.read_reference(tmp_path / "ref.cat")

    np.testing.assert_array_equal(table["X_WORLD"], stars["X_WORLD"])
    np.testing.assert_allclose(table["MAG"], stars["MAG"], rtol=1e-6)
    assert (table["pmRA"] == 0).all()
    assert table["X_WORLD"].dtype.isnative


def test_the_first_table_holds_a_fits_header_in_one_cell(stars, tmp_path):
    ldac.write_reference(tmp_path / "ref.cat", stars)
    with fits.open(tmp_path / "ref.cat") as units:
        assert [unit.name for unit in units] == ["PRIMARY", "LDAC_IMHEAD", "LDAC_OBJECTS"]
        text = units[1].data[0][0]
    content = (tmp_path / "ref.cat").read_bytes()
    assert b"END" + b" " * 77 in content
    joined = text if isinstance(text, str) else "".join(line.ljust(80) for line in text)
    assert fits.Header.fromstring(joined)["NAXIS"] == 0


def test_scamps_accents_do_not_spoil_its_header(shared_data):
    header = ldac.read_header(shared_data / "sevendt" / "7dt01.ahead")

    assert header["CRVAL1"] == 332.6088836401
    assert header["PV1_10"] == -3.750734346378e-08
    assert header["CTYPE2"] == "DEC--TPV"


@pytest.mark.parametrize("content", [b"", b"END\n", b"CRVAL2  = 1.0\nEND\n", b"\xff\xfe" * 100])
def test_a_header_without_a_solution_is_refused(content, tmp_path):
    path = tmp_path / "x.head"
    path.write_bytes(content)
    with pytest.raises(UnusableData, match="CRVAL1 is missing"):
        ldac.read_header(path)


def test_a_missing_header_is_refused(tmp_path):
    with pytest.raises(UnusableData, match="cannot be read"):
        ldac.read_header(tmp_path / "none.head")


def test_what_is_no_ldac_catalogue_is_refused(stars, tmp_path):
    stars.write(tmp_path / "plain.fits")
    (tmp_path / "text.fits").write_text("hello")
    with pytest.raises(UnusableData, match="no table LDAC_OBJECTS"):
        ldac.read(tmp_path / "plain.fits")
    with pytest.raises(UnusableData, match=r"text\.fits cannot be read"):
        ldac.read(tmp_path / "text.fits")
    with pytest.raises(UnusableData, match=r"none\.fits cannot be read"):
        photometric_catalogues.read_reference(tmp_path / "none.fits")


def test_a_reference_without_positions_is_refused(tmp_path):
    Table({"MAG": [1.0]}).write(tmp_path / "x.fits")
    with pytest.raises(UnusableData, match="lacks the columns ra, dec"):
        photometric_catalogues.read_reference(tmp_path / "x.fits")


def test_a_photometric_catalogue_is_tab_separated_text_that_reads_back(tmp_path):
    table = Table(
        {"NUMBER": [1, 2], "MAG_AUTO_r": [15.123456789, np.nan], "source_id": [4_000_000_000_000_000_001, -1]}
    )
    photometric_catalogues.write(tmp_path / "x.cat", table, {"filter": "r", "date-obs": "2026-01-16T04:34:14.787"})
    back = photometric_catalogues.read(tmp_path / "x.cat")

    assert back.meta == {"filter": "r", "date-obs": "2026-01-16T04:34:14.787"}
    assert back["source_id"].tolist() == table["source_id"].tolist()
    np.testing.assert_allclose(back["MAG_AUTO_r"], table["MAG_AUTO_r"], rtol=1e-11)
    assert (tmp_path / "x.cat").read_text().splitlines()[2] == "NUMBER\tMAG_AUTO_r\tsource_id"


def test_a_truncated_photometric_catalogue_is_refused(tmp_path):
    (tmp_path / "x.cat").write_text("a\tb\n1\t2\n3")
    with pytest.raises(UnusableData, match="truncated"):
        photometric_catalogues.read(tmp_path / "x.cat")
