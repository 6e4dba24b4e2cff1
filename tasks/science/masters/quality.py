"""Quality of a master frame: its own figures, and the comparison with the last good one.

The limits are those of the telescope's own pipeline (in ``CalibrateOptions``). Figures use at most a million pixels
spread over the frame. Units are ADU; flats are relative to their centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.options import CalibrateOptions
from tasks.science.arrays import Array, array_namespace, nmad
from tasks.science.calibration.correction import Master, local_level

# their scatter is known to about 0.1 %
FIGURE_PIXELS = 1 << 20
# of normal noise less than one pixel in a million lies beyond
DEVIANT_SIGMA = 5.0
# a level is known to half a digitisation step
HALF_STEP_ADU = 0.5
# allowed drift of a dark with temperature: a fifth, or a small amount
DARK_DRIFT, LEVEL_DRIFT_ADU = 0.2, 2.0
# scatter of the difference of two masters, over that expected from their variances
LARGEST_SPREAD = 2.0
# dust moves; a larger relative change per pixel means another flat
FLAT_CHANGE = 0.01
# score without a deviant pixel: above the 6 of one in a million
LARGEST_SCORE = 9.0
# a pixel is noisy if its variance exceeds the median by this factor
NOISY = 10.0


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures of a master by their header key, and its faults in words, empty if it is good."""

    figures: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def and_(self, other: Quality) -> Quality:
        """Return the figures and faults of both."""
        return Quality(figures={**self.figures, **other.figures}, faults=(*self.faults, *other.faults))


def bias(master: Master, options: CalibrateOptions) -> Quality:
    """Judge a master bias: its level, and its structure beyond the noise of the frames it is made of.

    With overscan subtracted the level is about 0 and is not judged; nor where no range is known.
    """
    image, variance = _thin(master.image), _thin(master.variance)
    xp = array_namespace(image)
    level = float(xp.nanmedian(image))
    structure = math.sqrt(max(float(nmad(image)) ** 2 - _mean_variance(variance), 0.0))
    low, high = options.bias_level_adu or (-math.inf, math.inf)
    faults = []
    if not options.overscan and not low - HALF_STEP_ADU <= level <= high + HALF_STEP_ADU:
        faults.append(f"bias level {level:.1f} ADU (allowed: {low:g} to {high:g})")
    if structure > options.bias_structure_adu:
        faults.append(f"bias structure {structure:.1f} ADU (allowed: {options.bias_structure_adu:g})")
    return Quality(figures={"QALEVEL": level, "QASTRUCT": structure}, faults=tuple(faults))


def dark(master: Master, options: CalibrateOptions) -> Quality:
    """Judge a master dark by its uniformity: minus log10 of the fraction of outlying pixels."""
    image, variance = _thin(master.image), _thin(master.variance)
    xp = array_namespace(image)
    level = float(xp.nanmedian(image))
    deviation = image - local_level(xp.where(xp.isfinite(image), image, xp.float32(level)))
    sigma = max(float(nmad(deviation)), math.sqrt(float(xp.nanmedian(variance))))
    deviant = float(xp.mean(~(xp.abs(deviation) <= DEVIANT_SIGMA * sigma)))
    score = -math.log10(deviant) if deviant > 0 else LARGEST_SCORE
    least = options.dark_uniformity
    faults = (f"dark uniformity {score:.2f} (allowed: {least:g} and above)",) if score < least else ()
    return Quality(figures={"QALEVEL": level, "QAUNIF": score}, faults=faults)


def flat(master: Master, options: CalibrateOptions) -> Quality:
    """Judge a master flat: extremes and edges of its smooth level, and its noise."""
    image, variance = _thin(master.image), _thin(master.variance)
    xp = array_namespace(image)
    smooth = local_level(xp.where(xp.isfinite(image), image, xp.float32(1)))
    low, high = float(smooth.min()), float(smooth.max())
    edges = [float(xp.median(edge)) for edge in (smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1])]
    variation = max(edges) - min(edges)
    noise = float(xp.nanmedian(xp.sqrt(variance) / xp.maximum(xp.abs(image), xp.float32(1e-6))))
    bottom, top = options.flat_levels
    faults = []
    if low <= bottom or high >= top:
        faults.append(f"flat between {low:.2f} and {high:.2f} (allowed: {bottom:g} to {top:g})")
    if variation >= options.flat_edge_variation:
        faults.append(f"flat edges differ by {variation:.2f} (allowed: {options.flat_edge_variation:g})")
    if noise >= options.flat_noise:
        faults.append(f"flat noise {noise:.3f} (allowed: {options.flat_noise:g})")
    figures = {"QAMIN": low, "QAMAX": high, "QAEDGE": variation, "QASIGMA": noise}
    return Quality(figures=figures, faults=tuple(faults))


def compare(new: Master, last: Master, *, kind: str, name: str) -> Quality:
    """Compare a new ``bias``, ``dark`` or ``flat`` with the last good one, called ``name``."""
    return _compare_flats(new, last, name) if kind == "flat" else _compare_levels(new, last, kind, name)


def _compare_levels(new: Master, last: Master, kind: str, name: str) -> Quality:
    image, before = _thin(new.image), _thin(last.image)
    xp = array_namespace(image)
    difference = image - before
    shift = float(xp.nanmedian(difference))
    expected = math.sqrt(max(float(xp.nanmedian(_thin(new.variance) + _thin(last.variance))), 1e-12))
    spread = float(nmad(difference)) / expected
    drift = DARK_DRIFT * abs(float(xp.nanmedian(before))) if kind == "dark" else 0.0
    limit = max(LEVEL_DRIFT_ADU, drift)
    faults = []
    if not abs(shift) <= limit:
        faults.append(f"{kind} {shift:+.1f} ADU off {name} (allowed: {limit:.1f})")
    if not spread <= LARGEST_SPREAD:
        faults.append(f"{kind} scatters {spread:.1f} times the noise about {name} (allowed: {LARGEST_SPREAD:g})")
    return Quality(figures={"QACSHIFT": shift, "QACSPREA": spread}, faults=tuple(faults))


def _compare_flats(new: Master, last: Master, name: str) -> Quality:
    image, before = _thin(new.image), _thin(last.image)
    xp = array_namespace(image)
    good = xp.isfinite(image) & xp.isfinite(before) & (before > 0) & (image > 0)
    ratio = image[good] / before[good]
    relative = _thin(new.variance)[good] / image[good] ** 2 + _thin(last.variance)[good] / before[good] ** 2
    noise = float(xp.median(relative)) if relative.size else 0.0
    change = math.sqrt(max(float(nmad(ratio / xp.median(ratio))) ** 2 - noise, 0.0)) if ratio.size else math.inf
    wrong = f"flat differs by {change:.1%} from {name} (allowed: {FLAT_CHANGE:.0%})"
    return Quality(figures={"QACHANGE": change}, faults=() if change <= FLAT_CHANGE else (wrong,))


def _mean_variance(variance: Array) -> float:
    """Return the mean of a variance map, noisy pixels excluded.

    The median is too small for few frames: the variance follows chi squared, whose median is below its mean.
    """
    xp = array_namespace(variance)
    return float(xp.mean(variance[variance <= NOISY * xp.nanmedian(variance)]))


def _thin(image: Array) -> Array:
    """Return every n-th pixel, at most about a million."""
    step = max(1, math.isqrt(image.size // FIGURE_PIXELS))
    return image[::step, ::step]
