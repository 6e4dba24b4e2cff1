"""Members of a stack: grouping and selection of frames, flux scales, and the stack's header."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from astropy.coordinates import angular_separation

from tasks import constants, naming
from tasks.errors import UnusableData
from tasks.records import MaskBit, Reduced, Rejected, Stage
from tasks.science.arrays import Array, array_namespace
from tasks.science.headers import card_values, provenance, raw_headers
from tasks.science.headers.card_values import Header

# such a frame lost more than a third of its light to clouds
ZERO_POINT_TOLERANCE_MAG = 0.5
# such a frame has less than half the weight for a point source
SEEING_TOLERANCE = 1.5
# stars this close to saturation are no longer linear after resampling
SATURATION_MARGIN = 0.08
SATURATED, NO_DATA = MaskBit.SATURATED.value, MaskBit.NO_DATA.value
# from so many frames on, pixels with less than this part of the usual weight lack most of them
FEW_FRAMES, FEW_WEIGHT = 3, 0.3
# allowed deviation from the median for values of equal seeing, as a fraction of it, in addition to the noise
CLIP_FRACTION = 0.3
# gain of a median of N frames in the first pipeline of these cameras, in units of N times that of one frame
SEED_GAIN = 2 / 3
# a header has room for about 2,300 cards, and each frame takes three of them
MOST_LISTED = 500
# a tile's number may be shared by another survey: its centre counts only where the frames are
LARGEST_OFFSET_DEG = 1.0
COPIED = (
    "IMAGETYP", "XBINNING", "YBINNING", "GAIN", "XPIXSZ", "YPIXSZ", "INSTRUME", "SET-TEMP", "CCD-TEMP", "TELESCOP",
    "FOCALLEN", "FOCRATIO", "RA", "DEC", "PIERSIDE", "SITEELEV", "SITELAT", "SITELONG", "FWHEEL", "FILTER", "OBJECT",
    "OBJCTRA", "OBJCTDEC", "OBJCTROT", "FOCNAME", "FOCPOS", "FOCUSPOS", "FOCUSSZ", "ROWORDER", "SWCREATE", "OBS", "RDNOISE",
    "BIASNAME", "DARKNAME", "FLATNAME", "BPMNAME",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Member:
    """One frame of a stack: its flux is multiplied by ``scale``, its pixels weigh ``weight`` (their sum is 1)."""

    frame: Reduced
    scale: float
    weight: float


@dataclass(frozen=True, kw_only=True)
class Combination:
    """The frames of a stack, the best of them whose flux scale it has, and those left out."""

    members: tuple[Member, ...]
    reference: Reduced
    rejected: tuple[Rejected, ...]

    @property
    def exposure_s(self) -> float:
        """Sum of the exposure times."""
        return sum(member.frame.frame.exposure_s for member in self.members)

    @property
    def units(self) -> tuple[str, ...]:
        """The units whose frames are in the stack."""
        return tuple(sorted({member.frame.frame.unit for member in self.members}))

    @property
    def date_obs(self) -> datetime:
        """Mean of the starts."""
        return mean_time([member.frame.frame.date_obs for member in self.members])


def group_by_gap(
    reduced: Sequence[Reduced], gap_s: float, *, together: bool = False
) -> tuple[tuple[Reduced, ...], ...]:
    """Group frames in time, by object, filter and unit, or with all units ``together``.

    A new group begins if two starts are more than ``gap_s`` apart.
    """

    def key(item: Reduced) -> tuple[str, str, str]:
        return item.frame.object, "" if together else item.frame.unit, item.frame.filter

    ordered = sorted(reduced, key=lambda item: (*key(item), item.frame.date_obs, item.frame.unit))
    groups: list[tuple[Reduced, ...]] = []
    for _, same in groupby(ordered, key=key):
        run: list[Reduced] = []
        for item in same:
            if run and (item.frame.date_obs - run[-1].frame.date_obs).total_seconds() > gap_s:
                groups.append(tuple(run))
                run = []
            run.append(item)
        groups.append(tuple(run))
    return tuple(groups)


def set_aside(reduced: Sequence[Reduced], objects: Sequence[str]) -> tuple[tuple[Reduced, ...], tuple[Rejected, ...]]:
    """Return the frames of all but some objects, and a rejection of those objects for each unit and filter."""
    slugs = naming.object_slugs(objects)
    others = tuple(item for item in reduced if naming.slug(item.frame.object) not in slugs)
    left = {
        (item.frame.unit, naming.slug(item.frame.object), item.frame.filter)
        for item in reduced
        if naming.slug(item.frame.object) in slugs
    }
    reason = "not stacked: the object is on the list of those to skip"
    return others, tuple(
        Rejected(name="-".join(names), stage=Stage.STACK, reason=reason, unit=names[0]) for names in sorted(left)
    )


def choose(group: Sequence[Reduced], *, equal: bool = False, judge: bool = True) -> Combination:
    """Leave out cloudy and blurred frames and put the others on the flux scale of the best.

    A frame is cloudy if its zero point is more than 0.5 mag off the median, blurred if its seeing is more than
    1.5 times the median; the best is the deepest. f_i = 10^(0.4 (ZP_ref - ZP_i)); weights are 1 / (f_i sigma_i)^2.

    Parameters
    ----------
    group
        Frames of one object and filter.
    equal
        All frames weigh the same, as in a median.
    judge
        Leave out bad frames; else they were selected beforehand.

    Raises
    ------
    UnusableData
        If the group is empty or has more than one object or filter.
    """
    if len({(item.frame.object, item.frame.filter) for item in group}) != 1:
        raise UnusableData(f"a stack has frames of one object and filter, got {len(group)} frames of others")
    reasons = {item.image: _objection(item, group) if judge else "" for item in group}
    frames = [item for item in group if not reasons[item.image]]
    reference = max(frames, key=lambda item: (item.photometry.depth5_mag["1"], item.image.name))
    scales = [10 ** (0.4 * (_zero_point(reference) - _zero_point(item))) for item in frames]
    noise = [1.0 if equal else s * item.photometry.sky_sigma_adu for s, item in zip(scales, frames, strict=True)]
    weights = np.array(noise) ** -2.0
    weights /= weights.sum()
    return Combination(
        members=tuple(
            Member(frame=item, scale=scale, weight=float(weight))
            for item, scale, weight in zip(frames, scales, weights, strict=True)
        ),
        reference=reference,
        rejected=tuple(
            Rejected(name=item.image.name, stage=Stage.STACK, reason=reasons[item.image], unit=item.frame.unit)
            for item in group
            if reasons[item.image]
        ),
    )


def clip_fraction(members: Sequence[Member]) -> float:
    """Return the allowed deviation of a value from the median, as a fraction of it, before it counts as an outlier.

    The core of a star rises with the inverse square of the seeing: in frames of 2.3" and 3" it differs by two thirds,
    and a limit of 0.3 would clip the sharpest frame's cores, 1.5 % of a star's light. So the limit is 0.3 plus the
    effect of these frames' seeing.
    """
    seeing = np.array([member.frame.photometry.seeing_arcsec for member in members])
    return CLIP_FRACTION + float(np.abs((np.median(seeing) / seeing) ** 2 - 1).max())


def effective_gain(gains: Sequence[float], members: Sequence[Member]) -> float:
    """Return the gain in e-/ADU that gives the photon noise of the weighted mean; N g / f for N alike frames.

    The variance of the stack's flux S from photons is S sum(w_i^2 f_i / g_i) for weights of sum 1.
    """
    noise = sum(m.weight**2 * m.scale / gain for m, gain in zip(members, gains, strict=True))
    return 1 / noise


def saturation_adu(levels: Sequence[float], members: Sequence[Member]) -> float:
    """Return the lowest level of the sky-subtracted stack at which a pixel may be saturated in one of the frames."""
    above = [m.scale * (level - m.frame.photometry.sky_adu) for m, level in zip(members, levels, strict=True)]
    return (1 - SATURATION_MARGIN) * min(above)


def header(combination: Combination, inputs: Sequence[Mapping[str, Any]], *, median: bool = False) -> Header:
    """Return the header of a stack, a ``median`` or a weighted mean, from those of its members, in their order."""
    members = combination.members
    first = inputs[[member.frame for member in members].index(combination.reference)]
    exposures = [member.frame.frame.exposure_s for member in members]
    cards: Header = {key: first[key] for key in COPIED if key in first}
    gains = [_number(each, "EGAIN", 1.0) for each in inputs]
    cards |= {
        "EXPTIME": combination.exposure_s,
        "EXPOSURE": combination.exposure_s,
        "EGAIN": effective_gain(gains, members) * (SEED_GAIN if median else 1.0),
        "SATURATE": saturation_adu([_number(each, "SATURATE", 60000.0) for each in inputs], members),
        "BUNIT": "adu",
        "NCOMBINE": len(members),
        "NREJECT": len(combination.rejected),
        "NUNITS": len(combination.units),
        "UNITS": naming.unit_list(combination.units),
        "ZPREF": _zero_point(combination.reference),
        **_times(combination),
        **_means(inputs, exposures),
        **provenance.joined_doubts(inputs),
    }
    for index, member in enumerate(members[:MOST_LISTED], start=1):
        cards |= {f"IMCMB{index:03d}": member.frame.image.name[: constants.CARD_TEXT]}
        cards |= {f"IMSCL{index:03d}": member.scale, f"IMWGT{index:03d}": member.weight}
    return cards


def holds(before: Mapping[str, Any], now: Mapping[str, Any], names: Collection[str]) -> bool:
    """Return whether a stack, by its header ``now``, contains all frames of an earlier one and treats the sky equally.

    Parameters
    ----------
    before, now
        Headers of the earlier stack and of the present one.
    names
        Names of the frames used in the present one or left out of it.
    """
    frames = {str(value) for key, value in before.items() if key.startswith("IMCMB")}
    with_sky = [header.get("BACKTYPE") == "none" for header in (before, now)]
    return bool(frames) and with_sky[0] == with_sky[1] and frames <= {name[: constants.CARD_TEXT] for name in names}


def centre(
    cards: Mapping[str, Any], frame: tuple[float, float], tile: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return the field's centre in degrees, the same for all epochs.

    That of the ``tile`` in the sky grid, if there is one and the ``frame`` lies in it; else the cards OBJCTRA and
    OBJCTDEC; else the frame's own centre.
    """
    if tile is not None and _apart_deg(tile, frame) < LARGEST_OFFSET_DEG:
        return tile
    hours, degrees = (card_values.sexagesimal(str(cards.get(key, ""))) for key in ("OBJCTRA", "OBJCTDEC"))
    return frame if hours is None or degrees is None else (15 * hours, degrees)


def _apart_deg(one: tuple[float, float], other: tuple[float, float]) -> float:
    return float(np.degrees(angular_separation(*np.radians([*one, *other]))))


def mean_time(times: Sequence[datetime], weights: Sequence[float] | None = None) -> datetime:
    """Return the (weighted) mean of aware times."""
    offsets = [(moment - times[0]).total_seconds() for moment in times]
    return times[0] + timedelta(seconds=float(np.average(offsets, weights=weights)))


def mean_angle_deg(angles_deg: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted mean of directions: that of 350 and 10 degrees is 0."""
    total = np.sum(np.exp(1j * np.radians(angles_deg)) * np.asarray(weights))
    return float(np.degrees(np.angle(total)) % 360)


def planes(image: Array, weight: Array, saturated: Array, *, frames: int, egain: float) -> tuple[Array, Array]:
    """Return variance and mask bits of a stack.

    Parameters
    ----------
    image
        The stack, its sky subtracted.
    weight
        Inverse variance of the sky, 0 without data.
    saturated
        True where a frame was saturated.
    frames
        Their number: a pixel of three or more frames with less than 0.3 of the usual weight counts as one without data,
        since an outlier cannot be identified there.
    egain
        Effective gain in e-/ADU, which gives the variance of the sources' own photons.

    Raises
    ------
    UnusableData
        If no pixel has data.

    Notes
    -----
    Pixels without weight get the median variance, which is harmless to convolution and division; the mask marks them.
    """
    xp = array_namespace(weight)
    empty = ~(xp.isfinite(weight) & (weight > 0))
    if bool(empty.all()):
        raise UnusableData("no pixel of the stack has data: the frames do not reach the grid")
    usual = xp.median(weight[~empty])
    few = empty | (weight < FEW_WEIGHT * usual) if frames >= FEW_FRAMES else empty
    variance = 1 / xp.where(empty, usual, weight) + xp.maximum(image, 0) / egain
    mask = xp.where(few, NO_DATA, 0) | xp.where(saturated, SATURATED, 0)
    return variance.astype(xp.float32), mask.astype(xp.uint8)


def mark(image: Array, x: Array, y: Array, *, reach: int = 1) -> None:
    """Set the pixels at 0-based positions x, y and those within ``reach`` of them; positions outside are ignored.

    The only function that changes its argument: a plane is marked once for each frame of a stack.
    """
    ny, nx = image.shape
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    for dx in range(-reach, reach + 1):
        for dy in range(-reach, reach + 1):
            inside = (column + dx >= 0) & (column + dx < nx) & (row + dy >= 0) & (row + dy < ny)
            image[row[inside] + dy, column[inside] + dx] = True


def _zero_point(item: Reduced) -> float:
    return item.photometry.zero_point_mag["AUTO"]


def _objection(item: Reduced, group: Sequence[Reduced]) -> str:
    """Return the reason why a frame is left out of its group's stack; empty if it is not."""
    zero_point = float(np.median([_zero_point(frame) for frame in group]))
    seeing = float(np.median([frame.photometry.seeing_arcsec for frame in group]))
    if abs(_zero_point(item) - zero_point) > ZERO_POINT_TOLERANCE_MAG:
        return f"zero point {_zero_point(item):.2f} mag, that of the group is {zero_point:.2f}: clouds"
    if item.photometry.seeing_arcsec > SEEING_TOLERANCE * seeing:
        return f'seeing {item.photometry.seeing_arcsec:.2f}", that of the group is {seeing:.2f}"'
    return ""


def _times(combination: Combination) -> Header:
    starts = [member.frame.frame.date_obs for member in combination.members]
    exposures = [member.frame.frame.exposure_s for member in combination.members]
    middles = [start + timedelta(seconds=each / 2) for start, each in zip(starts, exposures, strict=True)]
    ends = [start + timedelta(seconds=each) for start, each in zip(starts, exposures, strict=True)]
    average = mean_time(middles, exposures)
    julian = raw_headers.julian_date(combination.date_obs)
    return {
        "DATE-OBS": _iso(combination.date_obs),
        "DATE-BEG": _iso(min(starts)),
        "DATE-END": _iso(max(ends)),
        "DATE-AVG": _iso(average),
        "JD": julian,
        "MJD": julian - constants.MJD_ZERO_JD,
        "MJD-AVG": raw_headers.julian_date(average) - constants.MJD_ZERO_JD,
    }


def _means(inputs: Sequence[Mapping[str, Any]], exposures: Sequence[float]) -> Header:
    """Return airmass, altitude and azimuth weighted by exposure, if every input has them."""
    means: Header = {}
    for key in ("AIRMASS", "CENTALT", "CENTAZ"):
        values = [card_values.number(cards.get(key)) for cards in inputs]
        numbers = [value for value in values if value is not None]
        if len(numbers) == len(values):
            mean = (
                mean_angle_deg(numbers, exposures) if key == "CENTAZ" else float(np.average(numbers, weights=exposures))
            )
            means[key] = mean
    return means


def _number(cards: Mapping[str, Any], key: str, default: float) -> float:
    value = card_values.number(cards.get(key))
    return default if value is None else value


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
