"""Lists of pointings and footprints as files."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import UnusableData
from tasks.io.planning import pointing_lists

FIELDS = ",ID,RA,Dec,Ebv\n0,1.0,10.5,-20.5,0.1\n1,2.0,30,40,0.1\n"


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("header", ["ra,dec", "RA,Dec", " Ra , DEC ", "name,RA_deg,dec_deg"])
def test_centres_come_from_columns_in_any_case(tmp_path, header):
    prefix = "x," if "name" in header else ""
    found = pointing_lists.read(write(tmp_path, "e.csv", f"{header}\n{prefix}10.5,-20.5\n\n{prefix}370e-1, 40\n"))
    np.testing.assert_array_equal(found.ra_deg, [10.5, 37.0])
    np.testing.assert_array_equal(found.dec_deg, [-20.5, 40.0])


def test_centres_come_through_the_table_of_fields(tmp_path):
    exposures = write(tmp_path, "e.csv", "observation_id,field_id\n7,2\n8,1\n9,2\n")
    found = pointing_lists.read(exposures, fields=write(tmp_path, "f.csv", FIELDS))
    assert found.ra_deg.tolist() == [30, 10.5, 30]


BAD = {
    "empty": "",
    "only a header": "ra,dec\n",
    "no position": "name,filter\na,g\n",
    "a text": "ra,dec\n1,2\n3,north\n",
    "sexagesimal": "ra,dec\n10:00:00,+20:00:00\n",
    "short row": "ra,dec\n1\n",
    "not finite": "ra,dec\nnan,2\n",
    "off the sky": "ra,dec\n1,91\n",
    "binary": "ra,dec\n\0\0\n",
    "unknown field": "field_id\n3\n",
    "an open quote": 'ra,dec\n"1,2\n',
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_list_is_refused(tmp_path, name):
    with pytest.raises(UnusableData, match=r"(e|f)\.csv"):
        pointing_lists.read(write(tmp_path, "e.csv", BAD[name]), fields=write(tmp_path, "f.csv", FIELDS))


def test_fields_without_their_table_are_refused(tmp_path):
    with pytest.raises(UnusableData, match="--fields"):
        pointing_lists.read(write(tmp_path, "e.csv", "field_id\n1\n"))


def test_bytes_that_are_no_text_and_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "e.csv").write_bytes(b"\x89PNG\xff\xfe")
    for path in (tmp_path / "e.csv", tmp_path, tmp_path / "none"):
        with pytest.raises(UnusableData):
            pointing_lists.read(path)
        with pytest.raises(UnusableData):
            pointing_lists.read_footprint(path)


@pytest.mark.parametrize(
    "text",
    ["# chips\n-1 -1\n1, -1\n1 1\n\n2 2 # far\n3 2\n3 3\n", "[[[-1,-1],[1,-1],[1,1]],[[2,2],[3,2],[3,3]]]"],
)
def test_a_footprint_is_text_or_json(tmp_path, text):
    first, second = pointing_lists.read_footprint(write(tmp_path, "f.txt", text))
    assert first.tolist() == [[-1, -1], [1, -1], [1, 1]]
    assert second.tolist() == [[2, 2], [3, 2], [3, 3]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 2\n3 4\n",
        "1 2 3\n",
        "a b\n",
        "[[1]]",
        "[1",
        "[[[1,2],[3,4],[5,null]]]",
        "1 2\n3 4\n5 inf\n",
        "[" * 100_000,
    ],
)
def test_a_bad_footprint_is_refused(tmp_path, text):
    with pytest.raises(UnusableData, match=r"f\.txt"):
        pointing_lists.read_footprint(write(tmp_path, "f.txt", text))
