"""What a new plan changes of the one before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tasks.records import Kind, Plan, Tile
from tasks.records.events import EventHistory, EventState, PlanEntry, PlanState
from tasks.science.planning import plan_diff


def plan(*numbers: int, telescope: str = "7DT") -> Plan:
    tiles = tuple(Tile(id=f"T{k:05d}", ra_deg=10.0 * k % 360, dec_deg=-30.0) for k in numbers)
    return Plan(event_id="S1", telescope=telescope, engine="siren", tiles=tiles)


def ids(tiles: tuple[Tile, ...]) -> list[int]:
    return [int(tile.id[1:]) for tile in tiles]


def test_tiles_stay_go_come_or_were_observed() -> None:
    [change] = plan_diff.between(
        [plan(1, 2, 3, 4)], [plan(5, 3, 2, 6)], observed={"7DT": frozenset({"T00002", "T00004"})}
    )
    assert (ids(change.keep), ids(change.drop), ids(change.add), ids(change.observed)) == ([3], [1], [5, 6], [2, 4])


def test_a_telescope_that_was_not_planned_before_has_no_change() -> None:
    assert (
        plan_diff.between([plan(1), plan(telescope="TRE")], [plan(1, telescope="TCH"), plan(2, telescope="TRE")]) == ()
    )


def test_a_centred_field_that_moved_is_another_field() -> None:
    before, after = plan(7), plan(7)
    near = replace(after.tiles[0], ra_deg=after.tiles[0].ra_deg + 0.01)
    far = replace(after.tiles[0], ra_deg=after.tiles[0].ra_deg + 1.0)
    [stays] = plan_diff.between([before], [replace(after, tiles=(near,))])
    [moves] = plan_diff.between([before], [replace(after, tiles=(far,))])
    assert (len(stays.keep), len(moves.keep), len(moves.drop), len(moves.add)) == (1, 0, 1, 1)


numbers = st.lists(st.integers(1, 12), max_size=12)


@given(before=numbers.filter(bool), after=numbers, seen=st.sets(st.integers(1, 14)))
def test_the_four_lists_part_the_union_of_both_plans(before: list[int], after: list[int], seen: set[int]) -> None:
    observed = {"7DT": frozenset(f"T{k:05d}" for k in seen)}
    [change] = plan_diff.between([plan(*before)], [plan(*after)], observed=observed)
    lists = [ids(tiles) for tiles in (change.keep, change.drop, change.add, change.observed)]
    old, new = set(before), set(after)
    assert [set(each) for each in lists] == [(old & new) - seen, old - new - seen, new - old - seen, (old | new) & seen]
    assert all(len(each) == len(set(each)) for each in lists)


def entry(sha256: str, *plans: Plan, observed: dict[str, tuple[str, ...]] | None = None) -> PlanEntry:
    return PlanEntry(
        notice_sha256=sha256,
        telescopes=("7DT",),
        state=PlanState.DONE,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        plans=plans,
        observed=observed or {},
    )


def test_the_newest_run_is_compared_with_the_last_of_another_notice() -> None:
    first = entry("a", plan(1, 2), plan(8, telescope="TCH"), observed={"7DT": ("T00001",)})
    history = EventHistory(
        slug="S1",
        kind=Kind.GW,
        mission="LVK",
        name="S1",
        state=EventState.OPEN,
        test=False,
        time=None,
        notices=(),
        plans=(first, entry("b", plan(2, 3)), entry("b", plan(2, 4))),
    )
    [change] = plan_diff.of_history(history)
    assert (ids(change.keep), ids(change.drop), ids(change.add), ids(change.observed)) == ([2], [], [4], [1])
    assert plan_diff.of_history(replace(history, plans=())) == ()
    assert plan_diff.of_history(replace(history, plans=(first,))) == ()
