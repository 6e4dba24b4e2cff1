"""Options of stacks: of a night, and of many nights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG
from tasks.options.reduction import ReduceOptions


@dataclass(config=CONFIG, kw_only=True)
class StackOptions:
    """Options of stacks."""

    gap_s: Annotated[float, Field(gt=0)] = 300.0
    """A longer time between the starts of two frames begins a new stack, in s."""

    units: Literal["each", "together"] = "each"
    """Stack each unit's frames separately, or the frames of all units of a field and filter together."""

    skip: tuple[str, ...] = ()
    """Objects or tiles not to stack, such as fields observed as time series."""

    extended: tuple[str, ...] = ()
    """Objects or tiles larger than a background mesh: only the sky level is subtracted from their frames."""

    engine: Literal["siren", "swarp"] = "siren"
    """Program that resamples and combines: brightsiren itself, or SWarp."""

    gpu: bool = False
    """Use a GPU slot, for the engine ``siren``; without a GPU it computes on the CPU."""

    combine: Literal["clipped", "mean", "seed"] = "clipped"
    """Combination: weighted mean, clipped if there are three or more frames; unclipped mean; or unweighted median."""

    background: Literal["mesh", "level", "none"] = "mesh"
    """Background subtracted from each frame: in meshes, the sky level, or none."""

    background_px: Annotated[int, Field(ge=32)] = 512
    """Mesh size of the background, in px."""

    clip_sigma: Annotated[float, Field(gt=1)] = 5.0
    """Clipping of outliers, in sigma."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Deadline of SWarp and of Source Extractor, in s."""

    slots: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads of a stack."""

    memory_mb: Annotated[float, Field(ge=64)] = 1024.0
    """Largest memory for the resampled pixels of all frames, besides the stack itself, in MiB."""

    scale_arcsec: Annotated[float, Field(gt=0)] | None = None
    """Pixel scale of a stack, in arcsec; None: that of the telescope's file, ``stack.scale_arcsec``."""

    photometry: ReduceOptions = Field(default_factory=ReduceOptions)
    """Photometry of the stack."""


@dataclass(config=CONFIG, kw_only=True)
class DeepOptions:
    """Options of deep stacks of many nights."""

    select: Literal["median", "nsigma", "all"] = "median"
    """Select frames sharper and deeper than the median, or than a limit ``sigmas`` beyond the median, or all frames."""

    sigmas: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Distance of the limits of ``nsigma`` from the median, in standard deviations."""

    names: tuple[str, ...] = ()
    """Names of the frames to stack, instead of a selection; if empty, frames are selected."""

    centre_deg: tuple[float, float] | None = None
    """RA and Dec of the stack's centre, in degrees; None for the field's."""

    stacking: StackOptions = Field(default_factory=lambda: StackOptions(background="level"))
    """Combination of the frames; with background ``none`` the sky stays in the stack."""
