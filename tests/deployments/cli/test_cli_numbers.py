"""Kind: numbers that are not finite, and times out of the calendar, at every verb that takes one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
import pytest

from deployments import cli
from deployments.terminal import parameters
from tasks.errors import UnusableData
from tasks.options import PlanOptions
from tasks.planning import tile_plans


def options():
    """Yield every verb's options that take a number or a time."""
    for verb in cli.VERBS:
        yield from _options(cli.Verbs(name="siren").get_command(click.Context(click.Command("siren")), verb), (verb,))


def _options(command, path):
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _options(inner, (*path, name))
        return
    for each in command.params:
        if isinstance(each, click.Option) and isinstance(each.type, click.types.FloatParamType | parameters.Moment):
            yield pytest.param(each, id=" ".join((*path, each.opts[0])))


@pytest.mark.parametrize("option", list(options()))
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "9999-12-31T00:00:00", "0001-01-01"])
def test_no_option_takes_what_is_no_number_or_time(option, text):
    with pytest.raises(click.UsageError):
        option.type_cast_value(click.Context(click.Command("siren")), (text,) if option.multiple else text)


@pytest.mark.parametrize(
    "words",
    [
        ("--hours", "nan"),
        ("--start", "9999-12-31T00:00:00"),
        ("--start", "0001-01-01T00:00:00"),
        ("--start", "tomorrow"),
    ],
)
def test_a_plan_out_of_the_calendar_is_bad_input(words, tmp_path, capsys):
    code = cli.run(["plan", "map.fits", "--telescope", "7DT", "--out", str(tmp_path), "--json", *words])

    assert code == 2
    assert words[1] in json.loads(capsys.readouterr().out)["rejected"]


@pytest.mark.parametrize("year", [1, 1989, 2101, 9999])
def test_a_flow_refuses_a_window_out_of_the_calendar(year):
    with pytest.raises(UnusableData, match="1990 to 2100"):
        tile_plans.window_from(datetime(year, 6, 1, tzinfo=UTC), PlanOptions())


@pytest.mark.parametrize("hours", [float("nan"), float("inf")])
def test_no_option_of_a_flow_is_nan_or_infinite(hours):
    with pytest.raises(ValueError, match="finite number"):
        PlanOptions(hours=hours)
