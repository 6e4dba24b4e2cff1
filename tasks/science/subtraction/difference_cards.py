"""Header cards of a subtraction, and the positions of its substamps."""

from __future__ import annotations

from collections.abc import Mapping

from tasks import constants
from tasks.science.headers.card_values import Header, Value
from tasks.science.subtraction.alard_lupton import Subtraction


def cards(header: Mapping[str, Value], subtraction: Subtraction, *, science: str, reference: str) -> Header:
    """Return the science image's cards and those of the subtraction; ``science`` and ``reference`` are file names."""
    return {
        **header,
        "SUBENG": subtraction.engine,
        "SUBCONV": subtraction.direction,
        "KERSUM": subtraction.kernel_sum,
        "SUBCHI2": subtraction.chi2,
        "SUBNSTMP": subtraction.substamps,
        "FWHMSCI": subtraction.fwhm_science_px,
        "FWHMREF": subtraction.fwhm_reference_px,
        "REFNAME": reference[: constants.CARD_TEXT],
        "SCINAME": science[: constants.CARD_TEXT],
    }


def substamp_positions(subtraction: Subtraction) -> str:
    """Return the substamps' positions as HOTPANTS lists them: x and y in px, 1-based."""
    return "".join(f"{x + 1:.2f} {y + 1:.2f}\n" for x, y in zip(subtraction.x, subtraction.y, strict=True))
