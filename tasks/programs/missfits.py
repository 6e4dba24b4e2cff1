"""MissFITS: writes the cards of an external header into an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.programs import outputs
from tasks.programs.run import find, run, tail

NAMES = ("missfits",)
SUFFIX = ".wcs"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Deadline in s."""

    timeout_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """The new image."""

    image: Path
    seconds: float


def configuration() -> str:
    """Return the configuration file: a new file beside the image, nothing else."""
    return outputs.settings(
        {
            "HEADER_SUFFIX": ".head",
            "SAVE_TYPE": "NEW",
            "NEW_SUFFIX": SUFFIX,
            "OUTFILE_TYPE": "SAME",
            "SPLIT_SUFFIX": "_%02d.fits",
            "FIXED_KEYWORD": False,
            "CHECKSUM_TYPE": "NONE",
            "PROCESS_TYPE": "NONE",
            "WRITE_XML": False,
            "VERBOSE_TYPE": "NORMAL",
            "NTHREADS": 1,
        }
    )


def command(image: Path, folder: Path) -> list[str]:
    """Return the command line for an image whose ``.head`` lies beside it."""
    return [str(find(NAMES)), str(image), "-c", str(folder / "missfits.conf")]


def apply(image: Path, head: str, folder: Path, *, shape: tuple[int, int], options: Options) -> Result:
    """Write a copy of ``image`` with the cards of ``head`` (text, one card a line) into ``folder``.

    Raises
    ------
    ProgramError
        If it crashes or hangs, or the copy is missing or incomplete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "missfits.conf").write_text(configuration(), encoding="utf-8")
    source = outputs.link(image, folder / "image.fits")
    (folder / "image.head").write_text(head, encoding="ascii")
    finished = run(command(source, folder), folder=folder, timeout_s=options.timeout_s)
    written = folder / f"image{SUFFIX}.fits"
    outputs.require_image(written, program="missfits", shape=shape, log_tail=tail(finished.log_file))
    return Result(image=written, seconds=finished.seconds)


def write(image: Path, head: str, target: Path, *, shape: tuple[int, int], options: Options) -> None:
    """Write ``image`` with the cards of ``head`` to ``target``; errors as for ``apply``."""
    with outputs.scratch(target.parent, "missfits") as folder:
        apply(image, head, folder, shape=shape, options=options).image.replace(target)
