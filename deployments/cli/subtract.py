"""``siren subtract``: subtract a reference from a science image and detect sources in the difference."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.terminal import output, parameters
from tasks.errors import UnusableData

if TYPE_CHECKING:
    from tasks.io.fits.image_planes import ImagePlanes
    from tasks.reduction.engines.subtraction_engines import SubtractionResult
    from tasks.science.candidates.findings import Findings

SHOWN = 20
# columns of the table of candidates that the answer has
TOLD = ("x", "y", "ra_deg", "dec_deg", "snr", "flux")


@click.command(name="subtract", help="Subtract REFERENCE from SCIENCE and detect sources in the difference.")
@click.argument("science", type=click.Path(path_type=Path))
@click.argument("reference", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the products.")
@click.option(
    "--engine",
    type=click.Choice(["siren", "hotpants", "sfft"]),
    default=None,
    help="Use only this engine.  [default: siren, then the others]",
)
@click.option(
    "--align",
    type=click.Choice(["auto", "wcs", "stars", "none"]),
    default="auto",
    show_default=True,
    help="How the reference is aligned with the science image.",
)
@click.option("--threshold", type=parameters.Number(min=3), default=5.0, show_default=True, help="S/N of a detection.")
@click.option(
    "--saturation",
    type=parameters.Number(min=1),
    default=None,
    help="Saturation level in ADU.  [default: the header's]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    science: Path,
    reference: Path,
    out: Path,
    engine: str | None,
    align: str,
    threshold: float,
    saturation: float | None,
    as_json: bool,
) -> None:
    """Subtract, detect, write the products, print the detections."""
    # slow start-up: astropy, scipy, matplotlib and Prefect
    from tasks.io.fits import image_planes
    from tasks.options import SearchOptions
    from tasks.reduction.engines import subtraction_engines
    from tasks.science.candidates import findings as candidates_findings

    started = time.monotonic()
    pair = [image_planes.read(path, saturation=saturation) for path in (science, reference)]
    options = SearchOptions(engine=_engine(engine), align=_align(align), detect_sigma=threshold)
    result = subtraction_engines.difference(pair[0], pair[1], options, only=engine is not None)
    findings = candidates_findings.find(subtraction_engines.searchable(result), pair[0].wcs, options)
    files = _write(out, pair[0], reference, result, findings)
    answer = _answer(result, findings, files, seconds=time.monotonic() - started)
    output.show(answer, _text(answer), as_json=as_json)


def _engine(name: str | None) -> Any:
    return name or "siren"


def _align(name: str) -> Any:
    return name


def _write(
    out: Path, science: ImagePlanes, reference: Path, result: SubtractionResult, findings: Findings
) -> dict[str, Path]:
    """Write the products under ``out``; return them by name."""
    from tasks import naming, products  # slow start-up
    from tasks.reduction.engines import candidate_files, difference_files
    from tasks.science.candidates import candidate_table, stamps
    from tasks.science.candidates import findings as candidates_findings

    if out.exists() and not out.is_dir():
        raise UnusableData(f"--out {out} is a file, not a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableData(f"--out {out} cannot be made: {error}") from error
    difference = naming.difference_of(out / science.path.name.removesuffix(".gz"))
    convolved = difference.with_name(difference.name.replace(".subt.fits", ".conv.fits"))
    difference_files.write(difference, convolved, result, science=science, reference=reference.name)
    table = naming.transients_of(difference)
    candidate_files.write_table(table, candidate_table.table_of(findings))
    products.write_text(table.with_suffix(".reg"), candidates_findings.region_text(findings))
    picture = difference.with_suffix(".png")
    products.write_bytes(picture, stamps.overview(findings.planes, findings.found, title=science.path.name))
    return {
        "difference": difference,
        "variance": naming.variance_of(difference),
        "mask": naming.mask_of(difference),
        "convolved_image": convolved,
        "psf": naming.psf_of(difference),
        "table": table,
        "picture": picture,
    }


def _answer(result: SubtractionResult, findings: Findings, files: dict[str, Path], *, seconds: float) -> dict[str, Any]:
    from tasks.science.candidates import candidate_table  # slow start-up

    subtraction, table = result.subtraction, candidate_table.table_of(findings)
    detections = [
        {name: float(row[name]) for name in TOLD} | {"flags": list(findings.reasons(index))}
        for index, row in enumerate(table)
    ]
    return {
        "convolved": subtraction.direction,
        "detections": detections,
        "flags_not_checked": list(findings.not_checked),
        "seconds": seconds,
        "engine": subtraction.engine,
        "failures": list(result.failures),
        "kernel_sum": subtraction.kernel_sum,
        "chi2": subtraction.chi2,
        "substamps": subtraction.substamps,
        "fwhm_px": {"science": subtraction.fwhm_science_px, "reference": subtraction.fwhm_reference_px},
        "files": {name: str(path) for name, path in files.items()},
    }


def _text(answer: dict[str, Any]) -> str:
    """Return the answer as text: the subtraction, then one line per detection, unflagged ones first."""
    detections = answer["detections"]
    unflagged = [detection for detection in detections if not detection["flags"]]
    kernel = f"{answer['convolved']} convolved by {answer['engine']}: kernel sum {answer['kernel_sum']:.3f}"
    quality = f"chi2 {answer['chi2']:.2f} on {answer['substamps']} stamps, {answer['seconds']:.1f} s"
    unchecked = ", ".join(answer["flags_not_checked"])
    counts = f"{len(detections)} detections, {len(unflagged)} without a flag"
    lines = [f"{kernel}, {quality}", counts + (f" (not checked: {unchecked})" if unchecked else "")]
    for row in detections[:SHOWN]:
        reasons = ", ".join(row["flags"]) or "-"
        lines.append(f"  ({row['x']:8.2f}, {row['y']:8.2f})  S/N {row['snr']:8.1f}  {row['flux']:12.1f} ADU  {reasons}")
    lines.append(f"written: {answer['files']['difference']}")
    return "\n".join(lines)
