"""A TAP service on the loopback interface with some stars, which behaves like real services."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import astropy.units as u
import numpy as np
from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import Table
from astropy_healpix import HEALPix


@dataclass
class Service:
    """A service and the queries it received. ``most`` is the limit of rows; ``failures`` are returned before answers."""

    stars: Table
    address: str = ""
    most: int = 10**6
    failures: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def answer(self, words: dict[str, list[str]]) -> tuple[int, bytes]:
        found = re.search(r"source_id >= (\d+) AND source_id < (\d+) AND phot_g_mean_mag < ([\d.]+)", words["QUERY"][0])
        assert found is not None
        assert (words["REQUEST"], words["LANG"]) == (["doQuery"], ["ADQL"])
        first, beyond = int(found[1]), int(found[2])
        self.asked.append((first, beyond))
        time.sleep(0.02)
        if self.failures:
            return self.failures.pop(0)
        ids = np.asarray(self.stars["source_id"])
        rows = self.stars[(ids >= first) & (ids < beyond) & (self.stars["phot_g_mean_mag"] < float(found[3]))]
        return 200, _votable(rows[: self.most], overflow=len(rows) > self.most)


def gaia(ra_deg: np.ndarray, dec_deg: np.ndarray, mag: np.ndarray, rng: np.random.Generator) -> Table:
    """Return stars with Gaia's ids and columns; some have no proper motion."""
    pixels = HEALPix(nside=2**12, order="nested").lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg)
    number = len(ra_deg)
    unknown = rng.random(number) < 0.1
    return Table(
        {
            "source_id": np.asarray(pixels, np.int64) * (1 << 35) + np.arange(number),
            "ra": ra_deg,
            "dec": dec_deg,
            "ra_error": np.full(number, 0.03),
            "dec_error": np.full(number, 0.02),
            "pmra": np.ma.masked_array(rng.normal(0, 5, number), unknown),
            "pmdec": np.ma.masked_array(rng.normal(0, 5, number), unknown),
            "phot_g_mean_mag": mag,
            "ref_epoch": np.full(number, 2016.0),
        }
    )


@contextmanager
def serving(stars: Table) -> Iterator[Service]:
    """Serve while the block runs."""
    service = Service(stars=stars)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = service.answer(parse_qs(urlsplit(self.path).query))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service.address = f"http://127.0.0.1:{server.server_port}/tap"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _votable(rows: Table, *, overflow: bool) -> bytes:
    document = from_table(rows)
    infos = document.resources[0].infos
    infos.append(Info(name="QUERY_STATUS", value="OK"))
    if overflow:
        infos.append(Info(name="QUERY_STATUS", value="OVERFLOW"))
    # As the archive of Gaia answers; astropy's writer of TABLEDATA writes beyond its buffer (astropy issue 20419).
    document.set_all_tables_format("binary2")
    buffer = io.BytesIO()
    document.to_xml(buffer)
    return buffer.getvalue()


def refusal(words: str) -> bytes:
    """Return the answer to a query that the service cannot parse."""
    return (
        '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">{words}</INFO></RESOURCE></VOTABLE>'
    ).encode()
