"""A small simulated night or alert for tests: made once per session if the caller's fixture has that scope.

@pytest.fixture(scope="session")
def night(tmp_path_factory):
    return simulated.make_night(tmp_path_factory.mktemp("night"))
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from tasks import simulation
from tasks.science.simulation.alerts import AlertRequest
from tasks.science.simulation.plan import SCALES, Request


@dataclass(frozen=True, kw_only=True)
class Night:
    """A simulated night on disk and its truth; one unit of 600 x 400 px frames unless asked otherwise."""

    root: Path
    truth: dict[str, Any]

    def folder(self, unit: str = "7DT01") -> Path:
        return self.root / self.truth["folders"][unit]

    def raw(self, pattern: str, unit: str = "7DT01") -> list[Path]:
        return sorted(self.folder(unit).glob(pattern))

    def lights(self, *, unit: str = "7DT01", filter_: str = "r") -> list[dict[str, Any]]:
        return [row for row in self.truth["lights"] if row["unit"] == unit and row["filter"] == filter_]

    def wcs(self, light: dict[str, Any]) -> WCS:
        return WCS(fits.Header.fromtextfile(self.root / light["wcs"]))

    @property
    def astrometric(self) -> Path:
        return self.root / self.truth["catalogues"]["astrometric"]

    @property
    def photometric(self) -> Path:
        return self.root / self.truth["catalogues"]["photometric"]

    @property
    def references(self) -> Path:
        return self.root / self.truth["references"]

    def stars(self) -> Table:
        """All stars, at their positions in that night."""
        return Table.read(self.root / self.truth["stars"])

    def bad_pixels(self, unit: str = "7DT01") -> np.ndarray:
        return fits.getdata(self.root / self.truth["bad_pixels"][unit])

    def transmission(self, unit: str = "7DT01") -> np.ndarray:
        return fits.getdata(self.root / self.truth["transmission"][unit])


def make_night(path: Path, *, scale: str = "tiny", units: int | None = None, **request: Any) -> Night:
    """Make a night in ``path``; further arguments are those of ``plan.Request`` (filters, lights, seed, corrupt...)."""
    number = SCALES[scale].units if units is None else units
    names = tuple(f"7DT{i + 1:02d}" for i in range(number))
    truth = simulation.make_night(path, Request(scale=scale, units=names, **request))
    return Night(root=path, truth=json.loads(truth.read_bytes()))


def make_alert(path: Path, **request: Any) -> dict[str, Any]:
    """Make an alert in ``path`` (``notice.json``, ``skymap.multiorder.fits``); return its truth."""
    return json.loads(simulation.make_alert(path, AlertRequest(**request)).read_bytes())
