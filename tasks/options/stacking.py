"""Options of stacks: of a night, and of many nights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG
from tasks.options.reduction import ReduceOptions


@dataclass(config=CONFIG, kw_only=True)
class StackOptions:
    """Which frames are stacked together, and how."""

    gap_s: Annotated[float, Field(gt=0)] = 300.0
    """A longer time between two starts begins a new stack, in s."""

    units: Literal["each", "together"] = "each"
    """Whether each unit's frames make stacks of their own, or those of all units of a field and filter one together."""

    skip: tuple[str, ...] = ()
    """Objects or tiles that are not stacked, such as fields observed as time series."""

    extended: tuple[str, ...] = ()
    """Objects or tiles larger than a mesh of the background: from their frames only the sky's level is subtracted."""

    engine: Literal["siren", "swarp"] = "siren"
    """What resamples and combines: ourselves, or SWarp."""

    gpu: bool = False
    """Take a GPU's slot, for the engine ``siren``; where there is no GPU it computes on the processor."""

    combine: Literal["clipped", "mean", "seed"] = "clipped"
    """How values become one: weighted mean, clipped from three frames on; not clipped; or median of equal weights."""

    background: Literal["mesh", "level", "none"] = "mesh"
    """What is subtracted from each frame: the background in meshes, the sky's level, or nothing."""

    background_px: Annotated[int, Field(ge=32)] = 512
    """Mesh size of the background, in px."""

    clip_sigma: Annotated[float, Field(gt=1)] = 5.0
    """Clipping of outliers, in sigma."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Deadline of SWarp and of Source Extractor, in s."""

    slots: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads of a stack."""

    memory_mb: Annotated[float, Field(ge=64)] = 1024.0
    """Most memory for the resampled pixels of all frames, beside the stack itself, in MiB."""

    scale_arcsec: Annotated[float, Field(gt=0)] | None = None
    """Pixel scale of a stack, in arcsec; None: that of the telescope's file, ``stack.scale_arcsec``."""

    photometry: ReduceOptions = Field(default_factory=ReduceOptions)
    """How the stack is measured."""


@dataclass(config=CONFIG, kw_only=True)
class DeepOptions:
    """Which frames of many nights make a deep stack, and how."""

    select: Literal["median", "nsigma", "all"] = "median"
    """Frames sharper and deeper than the median, or than a limit so many sigma on the other side of it, or all."""

    sigmas: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How many standard deviations the limits of ``nsigma`` lie from the median."""

    names: tuple[str, ...] = ()
    """Names of the frames to take, instead of choosing; none means that they are chosen."""

    centre_deg: tuple[float, float] | None = None
    """RA and Dec of the stack's centre, in degrees, where it is not the field's."""

    stacking: StackOptions = Field(default_factory=lambda: StackOptions(background="level"))
    """How the frames are combined; with background ``none`` the sky stays in the stack."""
