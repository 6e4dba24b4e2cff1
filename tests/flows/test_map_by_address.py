"""A sky map that a notice gives by address: the circle is announced and decided on at once, the map as an update of it."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import astropy_healpix.healpy as healpix
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from blocks import Observatory
from flows.alerts.respond import respond
from flows.alerts.revisit import revisit
from tasks import resources
from tasks.alerts import revisits
from tasks.errors import UnusableData
from tasks.io.notices import embedded_maps, parsing
from tasks.io.skymaps import compact_maps, sky_map_files
from tasks.options import RevisitOptions
from tasks.records import Home, MapRole
from tasks.records.blocks import LOCAL
from tasks.registry import notices

EVENT = "Fermi_745150899"
NSIDE = 64
SIGMA_DEG = 3.0
# 90 % of a two-dimensional Gaussian lie within 2.146 sigma
AREA90_DEG2 = np.pi * 2.1460**2 * SIGMA_DEG**2


def gbm_map() -> bytes:
    """Return a map in GBM's form (flat, RING, PROBABILITY and SIGNIFICANCE) of a Gaussian around RA 150, Dec 20."""
    ra, dec = healpix.pix2ang(NSIDE, np.arange(12 * NSIDE**2), lonlat=True)
    offset = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(150, 20, unit="deg")).deg
    density = np.exp(-0.5 * (offset / SIGMA_DEG) ** 2)
    table = fits.table_to_hdu(Table({"PROBABILITY": density / density.sum(), "SIGNIFICANCE": offset}))
    table.header["PIXTYPE"], table.header["ORDERING"], table.header["NSIDE"] = "HEALPIX", "RING", NSIDE
    table.header["COORDSYS"] = "C"
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(buffer)
    return buffer.getvalue()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def files(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "site"
    folder.mkdir()
    with files(folder) as server:
        yield server, folder


def heard(folder: Path, server: str, **changes: object) -> Path:
    """Write a notice of GBM's form with a circle and the address of its map."""
    document = {
        "$schema": "https://gcn.nasa.gov/schema/v4.0.0/gcn/notices/fermi/gbm/trigger.schema.json",
        "mission": "Fermi",
        "instrument": "GBM",
        "id": ["745150899"],
        "alert_type": "update",
        "alert_tense": "current",
        "alert_datetime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "trigger_time": f"{datetime.now(UTC) - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}",
        "classification": {"GRB": 1.0},
        "ra": 150.0,
        "dec": 20.0,
        "ra_dec_error": 9.0,
        "containment_probability": 0.68,
        "healpix_url": f"http://{server}/glg_healpix_all.fit",
        **changes,
    }
    path = folder / "notice.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def answer(path: Path):
    return respond(path, hashlib.sha256(path.read_bytes()).hexdigest(), blocks=LOCAL)


def waiting(root: Path) -> list[Path]:
    with resources.registry(Home(root=root)) as registry, registry.read() as session:
        return [stored.path for stored in notices.undispatched(session)]


@pytest.fixture
def root(prefect_api: None, tmp_path: Path, site: tuple[str, Path]) -> Path:
    Observatory(alert_root=str(tmp_path / "alerts"), map_servers=site[0]).save("observatory", overwrite=True)
    logging.getLogger("prefect").setLevel(logging.WARNING)
    revisit.to_deployment(revisits.REVISIT.split("/")[1]).apply()
    return tmp_path / "alerts"


def test_the_map_replaces_the_circle_when_it_is_there(root, site, tmp_path) -> None:
    """Kind: a localisation that a notice only names."""
    server, folder = site
    first = answer(heard(tmp_path, server))
    assert first.event_id == EVENT
    assert first.alert.sky_map is None
    circle, before_map = first.decision, first.page.read_text(encoding="utf-8")

    again = revisit(EVENT, blocks=LOCAL)
    assert again is not None
    assert again > datetime.now(UTC)

    (folder / "glg_healpix_all.fit").write_bytes(gbm_map())
    before = set(waiting(root))
    assert revisit(EVENT, blocks=LOCAL) is None
    [path] = set(waiting(root)) - before
    assert revisit(EVENT, blocks=LOCAL) is None
    assert set(waiting(root)) - before == {path}

    second = answer(path)
    assert second.event_id == EVENT
    assert second.registered.number == 2
    assert second.registered.counts
    assert second.alert.notice.urls == first.alert.notice.urls
    assert second.alert.sky_map.role is MapRole.HEALPIX
    assert second.alert.sky_map.area90_deg2 == pytest.approx(AREA90_DEG2, rel=0.02)
    assert second.decision.policy == circle.policy
    # known now: no third look
    assert revisit(EVENT, blocks=LOCAL) is None
    page = second.page.read_text(encoding="utf-8")
    assert "mission's map" in page or "mission&#39;s map" in page
    assert "mission's map" not in before_map
    assert "mission&#39;s map" not in before_map


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "not there yet"), (b"SIMPLE  = no map", "sky map"), (b"<html>moved</html>", "sky map")],
)
def test_a_map_that_never_comes_is_said_to_the_operators_once(root, site, tmp_path, content, reason) -> None:
    server, folder = site
    if content:
        (folder / "glg_healpix_all.fit").write_bytes(content)
    answer(heard(tmp_path, server))
    for _ in range(2):
        assert revisit(EVENT, options=RevisitOptions(map_minutes=(0,)), blocks=LOCAL) is None
    said = [path.read_text(encoding="utf-8") for path in (root / "outbox").rglob("*.md")]
    [words] = [text for text in said if "could not be fetched" in text]
    assert reason in words


def test_no_server_is_asked_that_the_block_does_not_name(root, site, tmp_path) -> None:
    server, folder = site
    (folder / "glg_healpix_all.fit").write_bytes(gbm_map())
    Observatory(alert_root=str(root), map_servers="-").save("observatory", overwrite=True)
    answer(heard(tmp_path, server))
    before = waiting(root)
    assert revisit(EVENT, options=RevisitOptions(map_minutes=(0,)), blocks=LOCAL) is None
    assert waiting(root) == before
    said = [path.read_text(encoding="utf-8") for path in (root / "outbox").rglob("*.md")]
    assert [text for text in said if "none of the allowed servers" in text]


VOEVENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="ivo://nasa.gsfc.gcn/AMON#ICECUBE_GOLD_1" role="observation"
 version="2.0"><What><Param name="run_id" value="138590"/><Param name="event_id" value="4243"/>
<Param name="skymap_fits" value="https://roc.icecube.wisc.edu/public/map.fits"/></What></voe:VOEvent>"""


def test_a_map_inside_a_notice_is_read_as_any_other() -> None:
    """JSON and VOEvent; the rest of the notice stays, and the same input gives the same bytes."""
    plain = parsing.parse(VOEVENT).notice
    assert plain.urls == {"healpix": "https://roc.icecube.wisc.edu/public/map.fits"}
    made = embedded_maps.embed(VOEVENT, gbm_map(), mission=plain.mission)
    assert made == embedded_maps.embed(VOEVENT, gbm_map(), mission=plain.mission)
    parsed = parsing.parse(made)
    assert parsed.notice == plain
    assert sky_map_files.read(parsed.maps[MapRole.HEALPIX]).flat_nside == NSIDE

    example = json.dumps({"id": "7", "alert_datetime": "2026-01-01T00:00:00Z", "ra": 1.0, "dec": 2.0}).encode()
    known = parsing.parse(example, topic="gcn.notices.einstein_probe.wxt.alert").notice
    inside = parsing.parse(embedded_maps.embed(example, gbm_map(), mission=known.mission))
    assert (inside.notice.mission, inside.notice.event_id) == ("Einstein Probe", "7")
    assert set(inside.maps) == {MapRole.HEALPIX}
    with pytest.raises(UnusableData, match="at most"):
        embedded_maps.embed(VOEVENT, np.random.default_rng(1).bytes(2_000_000), mission="IceCube")


def test_a_packed_map_has_the_same_probabilities(shared_data: Path) -> None:
    """Real maps: of GBM's kind, and with distances."""
    for source in (gbm_map(), shared_data / "skymaps" / "GW170817.fits.gz"):
        content = source if isinstance(source, bytes) else source.read_bytes()
        one, other = sky_map_files.read(content), sky_map_files.read(compact_maps.pack(content))
        assert np.array_equal(one.uniq, other.uniq)
        assert np.array_equal(one.density, other.density)
        assert (one.distmu is None) == (other.distmu is None)
        assert one.distmu is None or np.array_equal(one.distmu, other.distmu)
        assert len(compact_maps.pack(content)) <= len(content)


def test_the_real_examples_name_their_maps(shared_data: Path) -> None:
    example = shared_data / "notices" / "gcn-schema" / "fermi-gbm-trigger.final.json"
    notice = parsing.parse(example.read_bytes()).notice
    assert notice.urls["healpix"].startswith("http://heasarc.gsfc.nasa.gov/")
