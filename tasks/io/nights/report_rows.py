"""Rows of the night's page: bands, frames, stacks, masters, losses and candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from astropy.coordinates import angular_separation

from tasks.records import Candidate, NightReport, Photometry, QaBit, Reduced, Rejected, Stack

MOST_ROWS = 400
# positions of one source in two stacks of a night agree to this
SAME_PLACE_ARCSEC = 2.0
Row = dict[str, str | float | int | None]


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """Unflagged candidates at one position, the strongest first."""

    candidates: tuple[Candidate, ...]

    @property
    def strongest(self) -> Candidate:
        """Return the candidate with the largest signal to noise."""
        return self.candidates[0]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Frames lost for one reason."""

    unit: str
    stage: str
    reason: str
    names: tuple[str, ...]


def sightings(candidates: Sequence[Candidate]) -> list[Sighting]:
    """Group candidates at the same position, of any unit, filter and time; the strongest come first."""
    groups: list[list[Candidate]] = []
    for each in sorted(candidates, key=lambda each: -abs(each.snr)):
        near = next((group for group in groups if _apart_arcsec(group[0], each) < SAME_PLACE_ARCSEC), None)
        groups.append([each]) if near is None else near.append(each)
    return [Sighting(candidates=tuple(group)) for group in groups]


def band_rows(report: NightReport) -> list[Row]:
    """Return a row per unit and filter: frames made and lost, medians of seeing, zero point, depth and WCS residual."""
    groups: dict[tuple[str, str], list[Reduced]] = {}
    for each in report.reduced:
        groups.setdefault((each.frame.unit, each.frame.filter), []).append(each)
    return [_band_row(unit, band, group, report) for (unit, band), group in sorted(groups.items())]


def survivors(report: NightReport) -> tuple[Candidate, ...]:
    """Return the candidates without flags, strongest first."""
    return tuple(sorted((each for each in report.candidates if not each.flags), key=lambda each: -abs(each.snr)))


def losses(rejected: Sequence[Rejected]) -> tuple[Loss, ...]:
    """Group rejections by unit, stage and reason (without the frame's name)."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for each in rejected:
        groups.setdefault((each.unit, each.stage, each.cause), []).append(each.name)
    return tuple(
        Loss(unit=unit, stage=stage, reason=reason, names=tuple(names))
        for (unit, stage, reason), names in sorted(groups.items())
    )


def frame_rows(report: NightReport) -> list[Row]:
    """Return a row per frame: status, seeing, zero point and depth."""
    done = [_frame_row(each, report.qa.get(each.frame.path.name, 0)) for each in report.reduced]
    lost = [_lost_row(each) for each in report.rejected]
    return (lost + sorted(done, key=lambda row: (str(row["unit"]), str(row["frame"]))))[:MOST_ROWS]


def stack_rows(report: NightReport) -> list[Row]:
    """Return a row per stack."""
    return [_stack_row(each) for each in report.stacks]


def master_rows(report: NightReport) -> list[Row]:
    """Return a row per master: status (made, borrowed or doubtful), figures, faults."""
    return [
        {
            "unit": each.unit,
            "master": f"{each.kind} {each.label}".strip(),
            "status": each.status,
            "age_days": each.age_days,
            "file": each.file.name,
            "figures": ", ".join(f"{key.removeprefix('QA').lower()} {value:g}" for key, value in each.figures.items()),
            "faults": "; ".join(each.faults),
        }
        for each in report.masters
    ]


def not_checked(report: NightReport) -> tuple[str, ...]:
    """Return the flags that were not checked for some candidate."""
    return tuple(dict.fromkeys(flag for each in report.candidates for flag in each.not_checked))


def candidate_rows(report: NightReport) -> list[Row]:
    """Return a row per candidate without flags."""
    return [_candidate_row(each) for each in survivors(report)[:MOST_ROWS]]


def _band_row(unit: str, band: str, group: Sequence[Reduced], report: NightReport) -> Row:
    lost = {each.name for each in report.rejected if each.unit == unit}
    flagged = sum(each.frame.path.name in report.qa for each in group)
    return {
        "unit": unit,
        "filter": band,
        "frames": len(group),
        "flagged": flagged,
        "lost of unit": len(lost),
        "seeing_arcsec": round(median(each.photometry.seeing_arcsec for each in group), 2),
        "zero_point_mag": round(median(each.photometry.zero_point_mag["AUTO"] for each in group), 3),
        "zp_range_mag": round(_range([each.photometry.zero_point_mag["AUTO"] for each in group]), 3),
        "depth5_mag": round(median(each.photometry.depth5_mag["1"] for each in group), 2),
        "rms_arcsec": round(
            median(max(each.astrometry.rms_ra_arcsec, each.astrometry.rms_dec_arcsec) for each in group), 3
        ),
        **_response(band, group),
    }


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _apart_arcsec(one: Candidate, other: Candidate) -> float:
    places = np.radians([one.ra_deg, one.dec_deg, other.ra_deg, other.dec_deg])
    return 3600 * float(np.degrees(angular_separation(*places)))


def _frame_row(each: Reduced, qa: int) -> Row:
    photometry = each.photometry
    return {
        "frame": each.frame.path.name,
        "unit": each.frame.unit,
        "status": f"reduced; {words_of(qa)}" if qa else "reduced",
        "filter": each.frame.filter,
        "start": each.frame.date_obs.strftime("%H:%M:%S"),
        "seeing_arcsec": round(photometry.seeing_arcsec, 2),
        "zero_point_mag": round(photometry.zero_point_mag["AUTO"], 3),
        "depth5_mag": round(photometry.depth5_mag["1"], 2),
        **_checks(photometry),
        "rms_arcsec": round(max(each.astrometry.rms_ra_arcsec, each.astrometry.rms_dec_arcsec), 3),
        "seconds": round(each.seconds, 1),
    }


def words_of(qa: int) -> str:
    """Return the names of the set bits of ``QaBit``."""
    return ", ".join(bit.name.lower().replace("_", " ") for bit in QaBit(qa) if bit.name)


def _lost_row(each: Rejected) -> Row:
    return {"frame": each.name, "unit": each.unit, "status": f"rejected in {each.stage}: {each.cause}"}


def _stack_row(each: Stack) -> Row:
    photometry = each.photometry
    return {
        "object": each.object,
        "unit": each.unit,
        "filter": each.filter,
        "start": each.date_obs.strftime("%H:%M:%S"),
        "frames": len(each.inputs),
        "exposure_s": each.exposure_s,
        "seeing_arcsec": round(photometry.seeing_arcsec, 2),
        "zero_point_mag": round(photometry.zero_point_mag["AUTO"], 3),
        "depth5_mag": round(photometry.depth5_mag["1"], 2),
        **_checks(photometry),
        "stars": photometry.stars,
        "quality": words_of(each.qa) or "good",
    }


def _response(filter_: str, group: Sequence[Reduced]) -> Row:
    """Return a unit's colour term (mean weighted by the frames' errors), spatial rms, and frames of another filter."""
    terms = [each.photometry.terms for each in group if each.photometry.terms is not None]
    weights = [(t.colour_mag, t.colour_error_mag**-2) for t in terms if t.colour_mag is not None and t.colour_error_mag]
    total = sum(weight for _, weight in weights)
    spatial = [t.spatial_rms_mag for t in terms if t.spatial_rms_mag is not None]
    return {
        "colour_term": _rounded(sum(value * weight for value, weight in weights) / total if total else None, 4),
        "colour_error": _rounded(total**-0.5 if total else None, 4),
        "spatial_mag": _rounded(median(spatial) if spatial else None, 3),
        "other_filter": sum(each.photometry.seen_filter not in {"", filter_} for each in group),
    }


def _checks(photometry: Photometry) -> Row:
    """Return depth by empty apertures, spatial rms of the zero point, colour term, and the filter that fits the stars."""
    terms = photometry.terms
    return {
        "empty5_mag": _rounded(photometry.empty5_mag.get("1"), 2),
        "spatial_mag": _rounded(terms.spatial_rms_mag if terms else None, 3),
        "colour_mag": _rounded(terms.colour_mag if terms else None, 3),
        "seen_filter": photometry.seen_filter,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _candidate_row(candidate: Candidate) -> Row:
    place = {"object": candidate.object, "unit": candidate.unit, "filter": candidate.filter}
    return {"id": candidate.id, **place, **candidate.shown()}
