"""Archive of masters: those valid for a night, and the nearest one to borrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks import naming, products
from tasks.io.fits import master_files
from tasks.io.fits.master_files import Archived
from tasks.options import CalibrateOptions
from tasks.records import Inventory, MasterQuality
from tasks.science.masters import borrowing, selection
from tasks.science.masters.kinds import MasterKind

# folder in the archive of each kind of master
ARCHIVE_WORDS: Mapping[str, str] = {"bias": "zero", "dark": "dark", "flat": "flat"}


class MasterArchive:
    """Archive of one unit's good masters for one night: finds the best one and adds new ones."""

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

    def best(self, kind: MasterKind, group: Any, *, exact: bool = True) -> Archived | None:
        """Return the best master of another night; darks that need not be ``exact`` may have another exposure time."""
        exposure_s = kind.exposure_s(group)
        masters = master_files.archived(self.folders[kind.name], kind.name, kind.label(group))
        return self._best(
            kind, [master for master in masters if not exact or master.exposure_s == exposure_s], exposure_s
        )

    def age(self, archived: Archived) -> int:
        """Return a master's age in days."""
        return borrowing.age_days(archived.night, self.night)

    def fresh(self, kind: MasterKind, archived: Archived | None) -> bool:
        """Return whether there is a master within its age limit."""
        return archived is not None and self.age(archived) <= self.limits[kind.name]

    def improves(self, known: Sequence[MasterQuality]) -> bool:
        """Return whether a recent master of another night came since for a doubtful one."""
        return any(each.status == "doubtful" and self._has_recent(each) for each in known)

    def _has_recent(self, known: MasterQuality) -> bool:
        masters = master_files.archived(self.folders[known.kind], known.kind, known.label)
        nights = [master.night for master in masters if master.night != self.night and self.open]
        return any(borrowing.age_days(night, self.night) <= self.limits[known.kind] for night in nights)

    def keep(self, kind: MasterKind, group: Any, path: Path) -> None:
        """Copy a good master, its variance and its mask into the archive."""
        if not self.open:
            return
        target = self.folders[kind.name] / kind.archived_name(self.night, group)
        beside = ((path, target), *((of(path), of(target)) for of in (naming.variance_of, naming.mask_of)))
        for source, place in beside:
            if source.exists():
                with products.staged(place) as temporary:
                    master_files.place(source, temporary)

    def _best(self, kind: MasterKind, masters: Sequence[Archived], exposure_s: float) -> Archived | None:
        others = [master for master in masters if self.open and master.night != self.night]
        limit = self.limits[kind.name]
        for master in borrowing.ranked(others, night=self.night, limit_days=limit, exposure_s=exposure_s):
            setting = self.setting
            cards = master_files.header_of(master.path, shape=setting.shape, gain_setting=setting.gain_setting)
            if cards is not None and naming.variance_of(master.path).exists():
                return master
        return None
