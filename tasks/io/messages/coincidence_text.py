"""A superevent's coincidence with another observatory's trigger, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.io.messages import blockkit, number_words
from tasks.io.messages.blockkit import Block
from tasks.records import Alert, Notice
from tasks.records.events import Counterpart


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Time from the merger to the other observatory's trigger, in s; of one ``as_given`` only the amount is certain."""

    seconds: float
    as_given: bool


def blocks(alert: Alert, counterparts: Sequence[Counterpart]) -> list[Block]:
    """Write a coincidence for a message: who, how far apart, by what chance, both maps; nothing where there is none."""
    notice = alert.notice
    if notice.coincidence is None:
        return []
    between = apart(delay(notice, counterparts))
    head = f"*🤝 Coincidence with {blockkit.escape(who(notice) or 'another observatory')}*{between and f', {between}'}"
    chances = ", ".join(f"{compared} {rate}" for compared, rate in rates(notice).items())
    maps = [
        f"{label}: {number_words.area(summary.area90_deg2)} (90 %), {number_words.distance(summary)}"
        for label, summary in (("gravitational waves alone", alert.sky_map), ("combined", alert.combined))
        if summary is not None
    ]
    return [blockkit.section("\n".join([head, chances, *maps]))]


def delay(notice: Notice, counterparts: Sequence[Counterpart]) -> Delay | None:
    """Take the time between a merger and its coincidence from the two times, or as given where one is not known.

    The difference in a notice has been counted in both directions over the years: its sign says nothing.

    Parameters
    ----------
    notice
        The superevent's notice.
    counterparts
        The events that the superevent is linked with; that of the coincidence's observatory counts, and of several the
        one whose delay is nearest to that given.
    """
    found = notice.coincidence
    if found is None:
        return None
    given = found.time_difference_s
    delays = [
        (each.time - notice.time).total_seconds()
        for each in counterparts
        if notice.time is not None and _plain(each.mission) == _plain(found.observatory or "")
    ]
    if delays:
        return Delay(seconds=min(delays, key=lambda seconds: abs(abs(seconds) - abs(given or 0))), as_given=False)
    return None if given is None else Delay(seconds=given, as_given=True)


def apart(found: Delay | None) -> str:
    """Write a delay for a person; of one as given no order is claimed."""
    if found is None:
        return ""
    amount = f"{abs(found.seconds):.2f} s"
    if found.as_given:
        return f"{amount} apart as given"
    order = "after" if found.seconds >= 0 else "before"
    return f"{amount} {order} the merger"


def who(notice: Notice) -> str:
    """Name the other observatory and its search."""
    found = notice.coincidence
    return " ".join(word for word in (found.observatory, found.search) if word) if found else ""


def rates(notice: Notice) -> dict[str, str]:
    """Write how often chance does the same, by what was compared; without a rate in time and place where none is given."""
    found = notice.coincidence
    if found is None:
        return {}
    told = {"time alone": number_words.rate(found.time_coincidence_far_hz)}
    if found.time_sky_coincidence_far_hz is not None:
        told["time and place"] = number_words.rate(found.time_sky_coincidence_far_hz)
    return told


def _plain(name: str) -> str:
    """Leave of a mission's name what all spellings of it share."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
