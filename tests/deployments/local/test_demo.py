"""``siren demo`` on a tiny night: one event and one night through the flows rehearse and follow, held against the truth."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from ligo.skymap.io import fits as ligo_fits
from ligo.skymap.postprocess import crossmatch
from pydantic import TypeAdapter
from support import field_probability
from support.alerts import request
from support.night_truth import NightTruth

from deployments import cli
from deployments.server import temporary_server
from flows.follow import follow
from tasks import resources, runtime
from tasks.records import Home, NightReport, Plan, Ranking, Tile
from tasks.records.blocks import LOCAL
from tasks.registry import plans
from tasks.registry.store import now

pytestmark = pytest.mark.binaries

FAR_DEG = 1.0
# what the PSF's stamp misses of a star's light, and the zero point of a small field
SYSTEMATIC_MAG = 0.03


@dataclass(frozen=True)
class Demo:
    """What a demonstration printed, left on disk, and should have found."""

    out: Path
    told: dict[str, Any]

    @property
    def truth(self) -> dict[str, Any]:
        return json.loads((self.out / "night" / "truth.json").read_bytes())

    @property
    def event(self) -> dict[str, Any]:
        return json.loads((self.out / "alert" / "truth.json").read_bytes())

    @property
    def report(self) -> NightReport:
        [file] = (self.out / "products" / "nights" / self.truth["night"]).glob("report-*/report.json")
        return TypeAdapter(NightReport).validate_json(file.read_bytes())

    @property
    def transients(self) -> SkyCoord:
        return places(self.truth["transients"])

    def ranking(self) -> list[dict[str, str]]:
        [file] = (self.out / "alerts" / "events" / self.event["event_id"]).glob("candidates-*.csv")
        return list(csv.DictReader(file.read_text().splitlines()))

    def pages(self) -> tuple[str, str]:
        alert, night = (Path(page).read_text(encoding="utf-8") for page in self.told["pages"])
        return alert, night


def places(rows: Any) -> SkyCoord:
    return SkyCoord([float(row["ra_deg"]) for row in rows], [float(row["dec_deg"]) for row in rows], unit="deg")


@pytest.fixture(scope="module")
def demo(prefect_api: None, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run the verb in threads of this process and on the tests' server: both take longer to start than the night."""
    out, printed = tmp_path_factory.mktemp("demo") / "demo", io.StringIO()
    logging.getLogger("prefect").setLevel(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(runtime, "cluster", lambda spec: contextlib.nullcontext(None))
        patch.setattr(temporary_server, "prefect", lambda home: contextlib.nullcontext(""))
        code = cli.run(["demo", "--scale", "tiny", "--out", str(out), "--json"])
    assert code == 0
    return Demo(out, json.loads(printed.getvalue()))


def test_every_injected_transient_is_found_and_counted(demo: Demo) -> None:
    kept = [each for each in demo.report.candidates if not each.flags]
    found = SkyCoord([each.ra_deg for each in kept], [each.dec_deg for each in kept], unit="deg")
    seen = [bool((found.separation(place).arcsec < 1).any()) for place in demo.transients]

    assert sum(seen) == demo.told["found"] == demo.told["transients"] == len(demo.truth["transients"])
    assert demo.told["candidates"] == len(kept)


def test_every_light_is_reduced_or_left_out_with_a_reason(demo: Demo) -> None:
    truth, report = demo.truth, demo.report
    corrupt = {Path(row["file"]).name for row in truth["corrupt"]}
    lights = {Path(row["file"]).name for row in truth["lights"]}

    assert demo.told["frames"] == {"ok": report.frames_ok, "rejected": len(report.rejected)}
    assert {each.name for each in report.rejected} >= corrupt
    assert {each.frame.path.name for each in report.reduced} | {
        each.name for each in report.rejected
    } == lights | corrupt
    assert all(each.reason for each in report.rejected)
    assert demo.told["stacks"] == len(truth["units"]) * len(truth["filters"])


def test_candidates_are_as_bright_as_the_transients_that_they_are(demo: Demo) -> None:
    difference, error = np.transpose(NightTruth(demo.out / "night").magnitude_errors(demo.report)).astype(float)

    assert len(difference) >= 2 * len(demo.transients) - 2
    assert np.abs(difference / np.hypot(error, SYSTEMATIC_MAG)).max() < 4


def test_the_ranking_begins_with_transients_and_each_has_the_level_that_the_map_gives_it(demo: Demo) -> None:
    """Levels and densities are those that ligo.skymap reads off the map of the truth."""
    ranked = demo.ranking()
    sources = places(ranked)
    number, apart, _ = demo.transients.match_to_catalog_sky(sources)
    twice = [row for row in ranked if row["filters"] == "i r"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ligo.skymap's own, of astropy's units
        theirs = ligo_fits.read_sky_map(str(demo.out / "alert" / demo.event["maps"]["combined"]), moc=True)
        match = crossmatch(theirs, sources)

    assert apart.arcsec.max() < 0.6
    assert ranked[: len(twice)] == twice
    assert set(range(len(twice))) <= set(number.tolist())
    assert len(twice) >= len(demo.transients) - 1
    assert [float(row["credible_level"]) for row in ranked] == pytest.approx(match.searched_prob, abs=1e-3)
    density = match.probdensity * (np.pi / 180) ** 2
    assert [float(row["probability_per_deg2"]) for row in ranked] == pytest.approx(density, rel=2e-3)


def test_tiles_of_gwemopt_hold_the_probability_that_the_map_has_there(demo: Demo) -> None:
    [file] = (demo.out / "alerts" / "store").rglob("plan.json")
    sky = field_probability.Sky(demo.out / "alert" / demo.event["maps"]["combined"])
    plans_ = json.loads(file.read_bytes())["telescopes"]

    assert {name: len(plan["tiles"]) for name, plan in plans_.items()} == demo.told["plans"]
    for name, plan in plans_.items():
        first = plan["tiles"][:8]
        assert [tile["probability"] for tile in first] == pytest.approx(sky.of_tiles(first, name), rel=0.02)


def test_the_pages_say_what_was_made(demo: Demo) -> None:
    alert, night = demo.pages()

    assert demo.told["event"] == demo.event["event_id"]
    assert demo.event["event_id"] in alert
    assert all(f"{telescope}: {tiles} tiles" in alert for telescope, tiles in demo.told["plans"].items())
    assert all(Path(row["file"]).name in night for row in demo.truth["corrupt"])
    assert demo.told["plans"].keys() == {"7DT", "TCH", "TRE"}
    assert demo.truth["night"] in night
    assert demo.truth["object"] in night


def test_the_messages_are_those_that_slack_would_get(demo: Demo) -> None:
    alert = messages(demo.out / "alerts" / "outbox" / "gw")
    night = messages(demo.out / "alerts" / "outbox" / "operators")
    frames = demo.told["frames"]

    assert next(iter(alert)) == "top"
    assert {"top", "why", "sky-map", "plan-started", "plans", "coverage"} <= alert.keys()
    assert demo.event["event_id"] in alert["top"]
    assert all(f"*{telescope}* · {tiles} tiles" in alert["plans"] for telescope, tiles in demo.told["plans"].items())
    assert list(night) == ["night", "started", "finished"]
    assert f"{frames['ok']} frames reduced, {frames['rejected']} left out" in night["finished"]


def messages(folder: Path) -> dict[str, str]:
    """Return the blocks of a channel's messages by their kind, the first of each, in the order in which they were sent."""
    files = sorted(folder.glob("*.json"), reverse=True)
    found = {
        path.stem.split("-", 1)[1]: json.dumps(json.loads(path.read_bytes()), ensure_ascii=False) for path in files
    }
    return dict(reversed(found.items()))


def test_following_the_night_again_gives_the_same_and_marks_the_tile_that_it_observed(demo: Demo) -> None:
    """The lights of the truth name the tile's object and are later than the event."""
    event, night = demo.event["event_id"], demo.report.night
    before, home = demo.ranking(), Home(root=demo.out / "alerts")
    names = (demo.truth["object"], "T00002")
    tiles = tuple(Tile(id=name, ra_deg=110.0 + FAR_DEG * k, dec_deg=-30.0) for k, name in enumerate(names))
    with resources.registry(home) as book:
        newest = book.history(event).newest.alert
        with book.begin() as session:
            plan = Plan(event_id=event, telescope="7DT", engine="siren", tiles=tiles)
            plans.record(session, request(newest), (plan,), now=now())

    ranked = follow(event, night, blocks=LOCAL)

    assert isinstance(ranked, Ranking)
    assert demo.ranking() == before
    with resources.registry(home) as book, book.read() as session:
        states = plans.tiles_of(session, event, "7DT")
    assert [states[name] for name in names] == ["observed", "planned"]
