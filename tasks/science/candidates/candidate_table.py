"""The table of candidates, with the columns of ``CANDIDATE_COLUMNS``, and its conversion to records.

The table is written as the catalogue; the night's page and the ranking show the records.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from tasks import constants
from tasks.records import CANDIDATE_COLUMNS, Candidate, Difference, Stack
from tasks.science.candidates import flags
from tasks.science.candidates.findings import Findings
from tasks.science.candidates.measurement import Detections


def table_of(findings: Findings, *, zero_point_mag: float | None = None) -> Table:
    """Return all detections with units and descriptions: ``CANDIDATE_COLUMNS``, ``flag_0`` to ``flag_14``, ``why_not``.

    The column of a flag that was not checked is masked.
    """
    values = _values(findings, zero_point_mag)
    table = Table()
    for column in CANDIDATE_COLUMNS:
        table[column.name] = values[column.name]
        table[column.name].description = column.description
        table[column.name].unit = column.unit or None
    for number, name in enumerate(flags.NAMES):
        table[f"flag_{number}"] = _flag_column(findings, name)
    table["flag"] = np.any([np.asarray(answers) for answers in findings.flags.values()], axis=0)
    table["flag"].description = "whether any of the flags speaks against it"
    table["why_not"] = [";".join(findings.reasons(index)) for index in range(len(table))] or np.zeros(0, dtype="U1")
    table["why_not"].description = "names of the flags that speak against it"
    return table


def candidates_of(findings: Findings, difference: Difference, stamps: Mapping[int, Path]) -> tuple[Candidate, ...]:
    """Return all detections as records; ``stamps`` are paths of pictures by the detection's index."""
    stack, stem = difference.stack, difference.image.name.removesuffix(".fits")
    values = _values(findings, total_zero_point(stack))
    shown = [column.name for column in CANDIDATE_COLUMNS if column.digits is not None and not column.attribute]
    return tuple(
        Candidate(
            id=f"{stem}.{index + 1}",
            object=stack.object,
            unit=stack.unit,
            filter=stack.filter,
            date_obs=stack.date_obs,
            flags=findings.reasons(index),
            not_checked=findings.not_checked,
            stamp=stamps.get(index),
            measures={name: values[name][index].item() for name in shown},
            **_attributes(values, index),
        )
        for index in range(len(findings.found))
    )


def flag_summary(findings: Findings) -> str:
    """Return a CSV of flags: number of detections flagged and their fraction, or "not checked"."""
    total = max(len(findings.found), 1)
    counts = {name: int(np.sum(answers)) for name, answers in findings.flags.items()}
    rows = [
        f"{name},not checked," if name in findings.not_checked else f"{name},{counts[name]},{counts[name] / total:.4f}"
        for name in flags.NAMES
    ]
    return "\n".join(["flag,n,ratio", *rows]) + "\n"


def total_zero_point(stack: Stack) -> float | None:
    """Return the zero point of total fluxes, for PSF fluxes; that of AUTO fluxes if it was not measured."""
    zero_points_mag = stack.photometry.zero_point_mag
    return zero_points_mag.get("TOT", zero_points_mag.get("AUTO"))


def magnitudes(detections: Detections, zero_point_mag: float | None) -> tuple[Any, Any]:
    """Return magnitudes of |flux| and their errors; NaN without a zero point."""
    flux = np.abs(detections.flux)
    error = constants.MAG_PER_RELATIVE_FLUX * detections.flux_error / np.where(flux > 0, flux, np.inf)
    if zero_point_mag is None:
        return np.full(len(flux), np.nan), error
    return zero_point_mag - 2.5 * np.log10(np.where(flux > 0, flux, np.nan)), error


def _flag_column(findings: Findings, name: str) -> Column:
    if name in findings.not_checked:
        nothing = np.zeros(len(findings.found), dtype=bool)
        return MaskedColumn(nothing, mask=~nothing, description=f"{name}: not checked")
    return Column(np.asarray(findings.flags[name], dtype=bool), description=name)


def _values(findings: Findings, zero_point_mag: float | None) -> dict[str, Any]:
    """Return every column's values, measured and derived."""
    detections = findings.found
    ra_deg, dec_deg = findings.sky()
    mag, mag_error = magnitudes(detections, zero_point_mag)
    derived = {
        "number": np.arange(1, len(detections) + 1),
        "ra_deg": ra_deg,
        "dec_deg": dec_deg,
        "mag": mag,
        "mag_error": mag_error,
    }
    names = [column.name for column in CANDIDATE_COLUMNS]
    return {name: derived[name] if name in derived else np.asarray(getattr(detections, name)) for name in names}


def _attributes(values: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return the values of the record's fields; without a magnitude its error is omitted."""
    fields = {column.attribute: values[column.name][index].item() for column in CANDIDATE_COLUMNS if column.attribute}
    unknown = {} if np.isfinite(fields["mag"]) else {"mag": None, "mag_error": None}
    return {**fields, **unknown}
