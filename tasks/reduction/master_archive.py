"""The archive of masters: which are valid for a night, and borrowing the nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks import naming, products
from tasks.io.fits import master_files
from tasks.io.fits.master_files import Archived
from tasks.io.fits.raw_frames import RawSet
from tasks.options import CalibrateOptions
from tasks.records import Inventory
from tasks.science.calibration.correction import Master
from tasks.science.masters import borrowing, selection
from tasks.science.masters.quality import Quality

# kinds of masters, and the folders of the archive they lie in
ARCHIVE_WORDS: Mapping[str, str] = {"bias": "zero", "dark": "dark", "flat": "flat"}
UNKNOWN = Quality()


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """A master just combined: what it is, the names it will have, and what it was made of."""

    kind: str
    name: str
    archived: str
    master: Master
    opened: RawSet
    label: str = ""
    cards: Mapping[str, Any] = field(default_factory=dict)


class Shelf:
    """The archive of one unit's good masters, as seen from one night: what serves it best, and what it adds."""

    def __init__(self, tree: naming.NightTree, inventory: Inventory, options: CalibrateOptions) -> None:
        self.night = inventory.night
        self.setting = selection.setting(inventory.frames)
        self.open = options.archive
        binning, gain = self.setting.binning, self.setting.gain_setting
        self.folders = {
            kind: tree.archive(inventory.unit, word, binning=binning, gain_setting=gain)
            for kind, word in ARCHIVE_WORDS.items()
        }
        self.limits = dict(
            zip(ARCHIVE_WORDS, (options.bias_age_days, options.dark_age_days, options.flat_age_days), strict=True)
        )

    def bias(self) -> Archived | None:
        """Return the best master bias of another night."""
        return self._best("bias", master_files.archived_bias(self.folders["bias"]))

    def dark(self, exposure_s: float, *, exact: bool) -> Archived | None:
        """Return the best master dark of another night, perhaps only one of exactly this exposure time."""
        found = master_files.archived_darks(self.folders["dark"])
        return self._best("dark", [each for each in found if not exact or each.exposure_s == exposure_s], exposure_s)

    def flat(self, filter_: str) -> Archived | None:
        """Return the best master flat of another night, of exactly this filter."""
        return self._best("flat", master_files.archived_flats(self.folders["flat"], filter_))

    def age(self, archived: Archived) -> int:
        """Return a master's age in days."""
        return borrowing.age_days(archived.night, self.night)

    def fresh(self, kind: str, archived: Archived | None) -> bool:
        """Tell whether there is a master and it is within its age limit."""
        return archived is not None and self.age(archived) <= self.limits[kind]

    def keep(self, made: Made, path: Path) -> None:
        """Put a good master, its variance and its mask into the archive."""
        if not self.open:
            return
        target = self.folders[made.kind] / made.archived
        beside = ((path, target), *((of(path), of(target)) for of in (naming.variance_of, naming.mask_of)))
        for source, place in beside:
            if source.exists():
                with products.staged(place) as temporary:
                    master_files.place(source, temporary)

    def _best(self, kind: str, found: Sequence[Archived], exposure_s: float = 0.0) -> Archived | None:
        others = [each for each in found if self.open and each.night != self.night]
        limit = self.limits[kind]
        for each in borrowing.ranked(others, night=self.night, limit_days=limit, exposure_s=exposure_s):
            known = master_files.header_of(each.path, shape=self.setting.shape, gain_setting=self.setting.gain_setting)
            if known is not None and naming.variance_of(each.path).exists():
                return each
        return None
