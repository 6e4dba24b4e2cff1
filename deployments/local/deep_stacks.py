"""Make deep stacks on this machine: run the flow ``deepen`` on a temporary server and cluster."""

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
        If a folder or catalogue is missing, or a list of frames or a centre is malformed.
    """
    photometric = catalogues / "photometric.fits"
    for path, exists in ((products, products.is_dir()), (photometric, photometric.is_file())):
        if not exists:
            raise UnusableData(f"{path} does not exist")
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


def facts(deepened: Deepened) -> dict[str, Any]:
    """Return the result as an object for ``--json``."""
    return {
        "stacks": [
            {
                "image": stack.image,
                "frames": len(stack.inputs),
                "exposure_s": stack.exposure_s,
                "seeing_arcsec": stack.photometry.seeing_arcsec,
                "depth5_mag": stack.photometry.depth5_mag["1"],
            }
            for stack in deepened.stacks
        ],
        "rejected": [{"name": frame.name, "reason": frame.reason} for frame in deepened.rejected],
        "files": list(deepened.files),
    }


def words(deepened: Deepened) -> str:
    """Return the result as text."""
    lines = [
        f"{stack.image}: {len(stack.inputs)} frames, {stack.exposure_s:g} s, {stack.photometry.depth5_mag['1']:.2f} mag"
        for stack in deepened.stacks
    ]
    return "\n".join([f"{len(deepened.stacks)} deep stacks, {len(deepened.rejected)} frames left out", *lines])


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
    """Read names of frames, one per line; lines that begin with ``#`` are comments."""
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
