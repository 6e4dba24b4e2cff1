"""The command ``siren``.

Exit codes: 0 done, 1 failed, 2 bad input. With ``--json`` stdout contains exactly one JSON object, also for bad input:
``{"rejected": "<reason>"}``. Logs go to stderr.
"""

from __future__ import annotations

import sys

import click
from pydantic_core import ValidationError

from deployments.terminal import output
from tasks.errors import SirenError, UnusableData

# verb → module that defines `command`; imported only when the verb is called, so that help is instant
VERBS = {
    "demo": "simulate an alert and a night and run all flows on them",
    "doctor": "check programs, GPU, server, database, blocks and workers, each with a remedy",
    "notice": "parse a notice and apply a decision policy",
    "skymap": "areas and distance of a sky map, and its values at a position",
    "plan": "plan telescopes for a notice or sky map",
    "coverage": "area and probability of a sky map that a list of pointings covers",
    "simulate": "simulate a night folder or a notice with known truth",
    "catalogue": "make the photometric reference catalogue of nights from files of Gaia or another survey",
    "reduce": "reduce a night folder or part of it, without a deployment",
    "deepen": "stack the best frames of many nights and units",
    "gaia": "fetch the astrometric reference catalogue around positions from Gaia, so that nights need no network",
    "subtract": "subtract a reference from a science image and detect sources in the difference",
    "replay": "replay stored notices in order and compare the decisions with the registry",
    "listen": "run the listener: receive notices from Kafka, store them, start flow runs",
    "observed": "record that tiles of an event's plans were observed",
    "outbox": "list messages and uploads that wait or have failed; retry or drop them",
    "backfill": "fetch missed notices, which brokers no longer have, from GraceDB",
    "bootstrap": "create or update blocks, pools, automations and deployments; idempotent",
    "serve": "run everything on one machine, with the Prefect UI",
}


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of ``VERBS``."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module and return its command."""
        del ctx
        if cmd_name not in VERBS:
            return None
        return _load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of verbs without importing any."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _load(verb: str) -> click.Command:
    import importlib  # slow start-up: each verb imports its own heavy libraries

    command: click.Command = importlib.import_module(f"deployments.cli.{verb}").command
    return command


def main(arguments: list[str] | None = None) -> None:
    """Run ``siren`` and exit."""
    words = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run one verb; return the exit code."""
    as_json = "--json" in words
    output.send_logs_to_stderr()
    group = Verbs(name="siren", help="Find the light of gravitational waves.", no_args_is_help=True)
    try:
        code = group.main(args=words, prog_name="siren", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except (click.UsageError, UnusableData) as error:
        return output.rejected(_words(error), as_json=as_json)
    except ValidationError as error:
        return output.rejected(_refused_options(error), as_json=as_json)
    except SirenError as error:
        return output.failed(_words(error), as_json=as_json)
    except click.exceptions.Abort:
        return output.failed("stopped by the user", as_json=as_json)
    return int(code or 0)


def _refused_options(error: ValidationError) -> str:
    """Name each refused option with what it got and what is allowed."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))} = {each['input']!r}: {each['msg']}"
        for each in error.errors(include_url=False)
    )


def _words(error: Exception) -> str:
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    log_tail = getattr(error, "log_tail", "")
    return f"{text}\n{log_tail}".strip()
