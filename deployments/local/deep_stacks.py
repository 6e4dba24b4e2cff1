"""Make deep stacks on this machine: run the flow ``deepen`` on a server and a cluster of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployments.server import temporary_server
from flows.nights.deepen import deepen as deepen_flow
from tasks.errors import UnusableData
from tasks.options import DeepOptions, StackOptions
from tasks.records import Deepened, Places

STATE = ".siren"


def deepen(products: Path, catalogues: Path, choices: Mapping[str, Any]) -> Deepened:
    """Run the flow on a product tree.

    Parameters
    ----------
    products
        Folder of the products of nights.
    catalogues
        Folder of the reference catalogues.
    choices
        Options of the command, by name.

    Raises
    ------
    UnusableData
        Where a folder, a catalogue, a list or a centre is not what it should be.
    """
    photometric = catalogues / "photometric.fits"
    for path, there in ((products, products.is_dir()), (photometric, photometric.is_file())):
        if not there:
            raise UnusableData(f"{path} is not there")
    options = _options(choices)
    places = Places(
        raw_root=products / "raw",
        product_root=products,
        alert_root=products / "alerts",
        references=products / "references",
        astrometric_catalogue=catalogues / "astrometric.ldac.fits",
        photometric_catalogue=photometric,
    )
    start, end = (choices[name].date() if choices[name] else None for name in ("start", "end"))
    with temporary_server.prefect(products / STATE):
        temporary_server.place(places)
        named = (_parts(choices[name]) for name in ("objects", "filters", "units"))
        return deepen_flow(*named, start=start, end=end, options=options)


def facts(made: Deepened) -> dict[str, Any]:
    """Return what was made for a program."""
    return {
        "stacks": [
            {
                "image": each.image,
                "frames": len(each.inputs),
                "exposure_s": each.exposure_s,
                "seeing_arcsec": each.photometry.seeing_arcsec,
                "depth5_mag": each.photometry.depth5_mag["1"],
            }
            for each in made.stacks
        ],
        "rejected": [{"name": each.name, "reason": each.reason} for each in made.rejected],
        "files": list(made.files),
    }


def words(made: Deepened) -> str:
    """Return what was made for a person."""
    lines = [
        f"{each.image}: {len(each.inputs)} frames, {each.exposure_s:g} s, {each.photometry.depth5_mag['1']:.2f} mag"
        for each in made.stacks
    ]
    return "\n".join([f"{len(made.stacks)} deep stacks, {len(made.rejected)} frames left out", *lines])


def _options(choices: Mapping[str, Any]) -> DeepOptions:
    background: Any = "none" if choices["with_sky"] else "level"
    return DeepOptions(
        select=choices["select"],
        sigmas=choices["sigmas"],
        names=_listed(choices["names"]) if choices["names"] else (),
        centre_deg=_centre(choices["centre"]) if choices["centre"] else None,
        stacking=StackOptions(background=background, engine=choices["engine"]),
    )


def _listed(path: Path) -> tuple[str, ...]:
    """Read names of frames, one a line; lines that begin with ``#`` are none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableData(f"{path} is not a list of frames: {error}") from error
    names = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not names:
        raise UnusableData(f"{path} names no frame")
    return names


def _centre(text: str) -> tuple[float, float]:
    try:
        ra, dec = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UnusableData(f"--centre {text!r} is not RA,DEC in degrees") from error
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        raise UnusableData(f"--centre {text!r}: allowed are RA 0 to 360 and Dec -90 to 90 degrees")
    return ra, dec


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
