"""Records of deep stacks: frames of many nights, the selected ones, and the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.records.nights import Reduced, Rejected, Stack


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The calibrated frames of a product tree that can be stacked, the rejected ones, and tables of all."""

    frames: tuple[Reduced, ...]
    rejected: tuple[Rejected, ...] = ()
    tables: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The selected frames of one field and filter, and the rejected ones with reasons.

    ``figures`` holds ``n_all``, ``n_bad`` (no WCS or zero point), ``n_image`` and median, std, min and max of seeing in
    arcsec and depth in mag.
    """

    object: str
    filter: str
    frames: tuple[Reduced, ...]
    rejected: tuple[Rejected, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    seeing_limit_arcsec: float | None = None
    depth_limit_mag: float | None = None


@dataclass(frozen=True, kw_only=True)
class Deepened:
    """The deep stacks of a run, rejections with reasons, and the lists, plots and tables beside them."""

    stacks: tuple[Stack, ...]
    rejected: tuple[Rejected, ...] = ()
    files: tuple[Path, ...] = ()
