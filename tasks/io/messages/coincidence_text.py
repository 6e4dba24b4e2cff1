"""Text on a superevent's coincidence with another observatory's trigger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.io.messages import blockkit, number_words
from tasks.io.messages.blockkit import Block
from tasks.records import Alert, Notice
from tasks.records.events import Counterpart

# IceCube's two analyses: every kind of source alike, and weighted by the gravitational-wave sky map
P_VALUES = {"pval_generic": "(generic)", "pval_bayesian": "(Bayesian)"}
NEUTRINOS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Time from the merger to the other observatory's trigger, in s; the sign of one ``as_given`` is not certain."""

    seconds: float
    as_given: bool


def blocks(alert: Alert, counterparts: Sequence[Counterpart]) -> list[Block]:
    """Return blocks on a coincidence: observatory, delay, chance rates, both maps; none if there is no coincidence."""
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
    """Return the delay of a coincidence, from the times of both events or, if one is unknown, as the notice gives it.

    LVK has changed the sign of the difference in notices over the years, so the sign is ignored.

    Parameters
    ----------
    notice
        The superevent's notice.
    counterparts
        The events linked with the superevent. Those of the coincidence's observatory count; of several, the one whose
        delay is nearest to that in the notice.
    """
    coincidence = notice.coincidence
    if coincidence is None:
        return None
    given = coincidence.time_difference_s
    delays = [
        (counterpart.time - notice.time).total_seconds()
        for counterpart in counterparts
        if notice.time is not None and _plain(counterpart.mission) == _plain(coincidence.observatory or "")
    ]
    if delays:
        return Delay(seconds=min(delays, key=lambda seconds: abs(abs(seconds) - abs(given or 0))), as_given=False)
    return None if given is None else Delay(seconds=given, as_given=True)


def apart(difference: Delay | None) -> str:
    """Format a delay; one as given has no order."""
    if difference is None:
        return ""
    amount = f"{abs(difference.seconds):.2f} s"
    if difference.as_given:
        return f"{amount} apart as given"
    order = "after" if difference.seconds >= 0 else "before"
    return f"{amount} {order} the merger"


def who(notice: Notice) -> str:
    """Return the name of the other observatory and its search."""
    coincidence = notice.coincidence
    return " ".join(word for word in (coincidence.observatory, coincidence.search) if word) if coincidence else ""


def rates(notice: Notice) -> dict[str, str]:
    """Return the rates of chance coincidences: in time alone and, if given, in time and place."""
    coincidence = notice.coincidence
    if coincidence is None:
        return {}
    words = {"time alone": number_words.rate(coincidence.time_coincidence_far_hz)}
    if coincidence.time_sky_coincidence_far_hz is not None:
        words["time and place"] = number_words.rate(coincidence.time_sky_coincidence_far_hz)
    return words


def search(notice: Notice) -> str:
    """Say what a search for neutrinos from another event found; the empty string if the notice is of no search."""
    details = notice.details
    chances = [f"{details[key]} {label}" for key, label in P_VALUES.items() if details.get(key)]
    if not chances:
        return ""
    found = _neutrinos(details.get("coincident_events", ""))
    count = details.get("n_events_coincident", str(len(found)))
    places = "; ".join(found[:NEUTRINOS_SHOWN])
    return f": {count} neutrinos, p = {', '.join(chances)}{f': {places}' if places else ''}"


def _neutrinos(text: str) -> list[str]:
    """Return time and position of each neutrino of a search in words; none of a list that cannot be read."""
    try:
        events = json.loads(text)
        return [_neutrino(event) for event in events]
    except (ValueError, TypeError, KeyError):
        return []


def _neutrino(event: Mapping[str, Any]) -> str:
    place = event["localization"]
    ra_deg, dec_deg, error_deg = (float(place[key]) for key in ("ra", "dec", "ra_dec_error"))
    return f"{float(event['event_dt']):+.1f} s at {ra_deg:.2f}, {dec_deg:+.2f} ± {error_deg:g}°"


def _plain(name: str) -> str:
    """Return a mission's name without case and punctuation, so that spellings can be compared."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
