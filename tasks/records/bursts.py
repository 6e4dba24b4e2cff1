"""Records of bursts: what many notices of one trigger say together."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.records.alerts import Notice
from tasks.records.outlooks import Outlook


@dataclass(frozen=True, kw_only=True)
class Burst:
    """What is known of a burst from all its notices.

    ``facts`` is the trigger with what later notices added: significance and duration from the first that has them, slew
    and magnitude from the last, flags from all. ``position`` is the notice with the best position, ``before`` the one
    whose position was the best until then; ``outlook`` says how it can be observed.
    """

    facts: Notice
    position: Notice | None = None
    before: Notice | None = None
    outlook: Outlook | None = None
