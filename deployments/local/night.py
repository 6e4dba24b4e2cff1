"""Reduce a night on this machine: find its folders, run the flow ``night`` on a temporary server and cluster."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deployments.server import temporary_server
from flows.nights.night import night as night_flow
from tasks import naming, telescopes
from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.io.nights import report_rows
from tasks.options import ReduceOptions, StackOptions
from tasks.records import LOCAL, NightReport, Places, Stage

STATE = ".siren"
DEFAULT_TELESCOPE = "7DT"


@dataclass(frozen=True, kw_only=True)
class NightPlace:
    """A night to reduce: its date, its units, its folders and catalogues."""

    night: date
    units: tuple[str, ...]
    places: Places


def locate(
    folder: Path,
    *,
    out: Path,
    night: str | None = None,
    units: str = "",
    catalogues: Path | None = None,
    references: Path | None = None,
    telescope: str = "",
    until: Stage = Stage.SEARCH,
) -> NightPlace:
    """Find the night, units and catalogues from ``folder``.

    Parameters
    ----------
    folder
        An observatory's folder (with ``obsdata``), the folder of its raw frames (with one folder per unit), a unit's
        folder, or one night's folder.
    out
        Folder for the products.
    night
        Date of the evening. If not given, ``folder`` must contain one night only.
    units
        Units, separated by commas; empty means all with frames of the night.
    catalogues, references
        Folders of the reference catalogues and images; by default those beside ``obsdata``.
    telescope
        Name of a telescope, or its file; empty: the one that a light's TELESCOP names, else 7DT.
    until
        Last stage: calibration alone needs no catalogue.

    Raises
    ------
    UnusableData
        If there is no such night, or catalogues that a stage needs are missing; the message lists the nights found.
    """
    raw_root, named_units, named_night = _raw_root(folder)
    wanted = tuple(naming.unit(name.strip()) for name in units.split(",") if name.strip()) or named_units
    chosen = _date(night) if night else named_night or _only_night(raw_root, wanted)
    base = raw_root.parent
    # programs run in folders of their own, so paths must be absolute
    out, catalogues = out.resolve(), (catalogues or base / "catalogues").resolve()
    places = Places(
        telescope=_telescope(telescope, raw_root, wanted, chosen),
        raw_root=raw_root,
        product_root=out,
        alert_root=out / "alerts",
        references=(references or base / "references").resolve(),
        astrometric_catalogue=_catalogue(catalogues / "astrometric", ".ldac.fits", needed=until is not Stage.CALIBRATE),
        photometric_catalogue=_catalogue(catalogues / "photometric", ".fits", needed=until is not Stage.CALIBRATE),
    )
    return NightPlace(night=chosen, units=wanted, places=places)


def reduce(
    place: NightPlace,
    *,
    out: Path,
    until: str = Stage.SEARCH,
    force: tuple[str, ...] = (),
    objects: tuple[str, ...] = (),
    photometry: tuple[str, ...] = (),
    slots: tuple[int, int],
) -> NightReport:
    """Run the flow ``night`` and return its report; its messages are written beside the products.

    Parameters
    ----------
    photometry
        ``NAME=VALUE`` of ``ReduceOptions``, for frames and stacks alike.
    """
    reduction = options_of(photometry)
    with temporary_server.prefect(out / STATE):
        temporary_server.place(place.places, cpu_slots=slots[0], gpu_slots=slots[1])
        stages = tuple(Stage(name) for name in force)
        return night_flow(
            place.night,
            place.units,
            objects=objects,
            until=Stage(until),
            force=stages,
            reduction=reduction,
            stacking=StackOptions(photometry=reduction),
            blocks=LOCAL,
        )


def options_of(words: tuple[str, ...]) -> ReduceOptions:
    """Read ``NAME=VALUE`` words as options; a list's items are separated by commas.

    Raises
    ------
    UnusableData
        If there is no such option, or it does not allow the value.
    """
    values: dict[str, str | tuple[str, ...]] = {}
    for word in words:
        name, _, value = word.partition("=")
        values[name] = tuple(filter(None, value.split(","))) if name == "extra_apertures" else value
    try:
        return ReduceOptions(**values)  # type: ignore[arg-type]  # pydantic reads numbers and switches from words
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        names = ", ".join(field.name for field in fields(ReduceOptions))
        raise UnusableData(f"--photometry {problems} (options: {names})") from error


def facts(report: NightReport) -> dict[str, Any]:
    """Return the report as an object for ``--json``."""
    return {
        "night": report.night,
        "units": report.units,
        "frames": {"ok": report.frames_ok, "rejected": len(report.rejected)},
        "rejected": [
            {"name": frame.name, "unit": frame.unit, "stage": frame.stage, "reason": frame.reason}
            for frame in report.rejected
        ],
        "stacks": report_rows.stack_rows(report),
        "candidates": report_rows.candidate_rows(report),
        "seconds": round(report.seconds, 2),
        "page": report.page,
    }


def nothing_reduced(report: NightReport) -> bool:
    """Return whether frames were there and none could be used: such a night is no success."""
    return not report.frames_ok and bool(report.rejected)


def words(report: NightReport) -> str:
    """Return the report as text."""
    lines = [
        (
            f"night {report.night}: {report.frames_ok} frames reduced, {len(report.rejected)} rejected, "
            f"{len(report.stacks)} stacks, {len(report_rows.survivors(report))} candidates in {report.seconds:.0f} s"
        ),
        *(f"  left out: {frame.name} ({frame.stage}): {frame.cause}" for frame in report.rejected),
        f"page: {report.page}",
    ]
    return "\n".join(lines)


def _raw_root(folder: Path) -> tuple[Path, tuple[str, ...], date | None]:
    """Return the folder of raw frames, and the units and night that ``folder`` itself names."""
    if not folder.is_dir():
        raise UnusableData(f"{folder} is not a folder; give one night's folder, or one with a folder per unit")
    folder = folder.resolve()
    if naming.NIGHT_FOLDER.fullmatch(folder.name) and naming.UNIT_NAME.fullmatch(folder.parent.name):
        return folder.parent.parent, (folder.parent.name,), naming.parse_night_folder(folder.name)[0]
    if naming.UNIT_NAME.fullmatch(folder.name) and _has_nights(folder):
        return folder.parent, (folder.name,), None
    return (folder / "obsdata" if (folder / "obsdata").is_dir() else folder), (), None


def _has_nights(folder: Path) -> bool:
    """Return whether a folder is a unit's: any folder may have a name like one, such as night01."""
    return any(naming.NIGHT_FOLDER.fullmatch(path.name) for path in folder.iterdir() if path.is_dir())


def _telescope(name: str, raw_root: Path, units: tuple[str, ...], night: date) -> str:
    """Return a telescope that exists, by name or as an absolute path: flows run in other folders."""
    if name:
        telescopes.load(name)
        return str(Path(name).expanduser().resolve()) if name.endswith(telescopes.ENDING) else name
    known = {each.lower(): each for each in telescopes.names()}
    return known.get(_written_telescope(raw_root, units, night).lower(), DEFAULT_TELESCOPE)


def _written_telescope(raw_root: Path, units: tuple[str, ...], night: date) -> str:
    """Return TELESCOP of the first frame of the night that can be read."""
    names = units or sorted(path.name for path in raw_root.iterdir() if naming.UNIT_NAME.fullmatch(path.name))
    folders = (folder for name in names for folder in sorted((raw_root / name).glob(f"{night}_*")))
    frames = (path for folder in folders for path in sorted(folder.iterdir()) if naming.is_raw(path.name))
    for path in frames:
        with contextlib.suppress(UnusableData):
            return str(fits_images.read_header(path).get("TELESCOP", "")).strip()
    return ""


def _only_night(raw_root: Path, units: tuple[str, ...]) -> date:
    unit_names = units or tuple(path.name for path in raw_root.iterdir() if naming.UNIT_NAME.fullmatch(path.name))
    folders = [path.name for name in unit_names if (raw_root / name).is_dir() for path in (raw_root / name).iterdir()]
    nights = sorted({naming.parse_night_folder(name)[0] for name in folders if naming.NIGHT_FOLDER.fullmatch(name)})
    if len(nights) != 1:
        names = ", ".join(map(str, nights)) or "none"
        raise UnusableData(
            f"{raw_root} contains nights: {names}; expected <UNIT>/YYYY-MM-DD_gainN folders, and --night if several"
        )
    return nights[0]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UnusableData(f"night {text!r} is not a date of the form 2026-01-15") from error


def _catalogue(folder: Path, ending: str, *, needed: bool) -> Path:
    """Return the folder of cells if it exists, else the single file, which must exist if a stage needs it."""
    file = folder.with_name(f"{folder.name}{ending}")
    if folder.is_dir():
        return folder
    if needed and not file.is_file():
        raise UnusableData(f"catalogue {file} does not exist; name its folder with --catalogues")
    return file
