"""What was observed already, taken out of a sky map: against numbers worked out by hand and another library."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from tasks.records import FieldOfView, Plan, SkyMap, Tile
from tasks.records.events import EventHistory, EventState, PlanEntry, PlanState
from tasks.records.plans import Observed
from tasks.science.planning import already_observed
from tasks.science.skymaps import footprints, healpix

ORDER = 6


@pytest.fixture
def flat():
    """The whole sky, every place alike."""
    pixel = np.arange(12 * 4**ORDER)
    orders = np.full(len(pixel), ORDER)
    return SkyMap(uniq=pixel + 4 * 4**ORDER, order=orders, density=np.full(len(pixel), 1 / (4 * np.pi)))


def square(half_deg: float) -> tuple[tuple[float, float], ...]:
    return ((-half_deg, -half_deg), (half_deg, -half_deg), (half_deg, half_deg), (-half_deg, half_deg))


def test_what_was_observed_has_no_probability_and_the_rest_keeps_its_own(flat):
    along = footprints.curve(flat)
    spent = already_observed.ranges(
        [Observed(by="x", centres_deg=((40.0, 10.0), (41.0, 10.0)), footprint=(square(1),))], {}
    )
    left = already_observed.without(along, spent)

    area = 2 * 2 + 2 * 1 * np.cos(np.radians(10))  # the second overlaps the first but for a degree of right ascension
    gone = footprints.probability(spent, along)
    assert gone == pytest.approx(area / footprints.SPHERE_DEG2, rel=0.01)
    assert footprints.probability(spent, left) == 0
    whole = np.array([[0, 12 * 4**29]], dtype=np.int64)
    assert footprints.probability(whole, left) == pytest.approx(1 - gone, abs=1e-9)
    far = footprints.field_ranges(200.0, -40.0, FieldOfView(width_deg=3, height_deg=3))
    assert footprints.probability(far, left) == pytest.approx(footprints.probability(far, along), abs=1e-12)


def test_nothing_observed_changes_nothing(flat):
    along = footprints.curve(flat)
    assert already_observed.without(along, already_observed.ranges([], {})) is along


def test_a_pixel_half_observed_counts_half(flat):
    along = footprints.curve(flat)
    [first, last] = healpix.ranges_of(np.array([100]), ORDER)[0]
    half = np.array([[first, (first + last) // 2]], dtype=np.int64)
    left = already_observed.without(along, half)
    [rest] = left.probability(np.array([[first, last]], dtype=np.int64))
    assert rest == pytest.approx(0.5 / (12 * 4**ORDER), rel=1e-6)


def test_a_weight_is_lost_inside_and_kept_outside():
    done = already_observed.ObservedCoverage(
        spent=already_observed.ranges([Observed(by="x", centres_deg=((120.0, -20.0),), footprint=(square(1),))], {})
    )
    points = np.stack(healpy.ang2vec([120.0, 122.5], [-20.0, -20.0], lonlat=True))
    assert already_observed.left(points, np.array([0.3, 0.7]), done).tolist() == [0.0, 0.7]


def test_tiles_are_taken_from_the_plans_that_were_observed():
    tiles = tuple(Tile(id=name, ra_deg=ra, dec_deg=-30.0) for name, ra in (("T1", 10.0), ("T2", 11.0)))
    plan = Plan(event_id="S1", telescope="7DT", engine="siren", tiles=tiles)
    entry = PlanEntry(
        notice_sha256="a",
        telescopes=("7DT",),
        state=PlanState.SUPERSEDED,
        created=None,
        plans=(plan,),
        observed={"7DT": ("T2",)},
    )
    history = EventHistory(
        slug="S1", kind=None, mission="LVK", name="S1", state=EventState.OPEN, test=False, time=None,
        notices=(), plans=(entry,),
    )  # fmt: skip
    assert already_observed.of_history(history) == (
        Observed(by="7DT", telescope="7DT", tiles=("T2",), centres_deg=((11.0, -30.0),)),
    )
