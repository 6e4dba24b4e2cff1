"""``python -m benchmarks [NAME ...] [--quick] [--full]``: run benchmarks, print tables, write results/<name>.json."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import tempfile
from pathlib import Path

from astropy import log

from benchmarks import harness

SUITE = {
    "b1": "masters",
    "b2": "lights",
    "b3": "rays",
    "b4": "coadds",
    "b6": "sources",
    "b7": "decisions",
    "b9": "listening",
    "b9b": "announcing",
    "b10": "nights",
}


def main() -> int:
    """Return 0 if all equality checks passed, else 1."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SUITE)}; all where none is named")
    parser.add_argument("--quick", action="store_true", help="two repeats and small sets: to see that it runs")
    parser.add_argument("--full", action="store_true", help="frames of 9576 x 6388 px instead of 2394 x 1597")
    parser.add_argument("--folder", type=Path, help="scratch space; the system's own where not named")
    given = parser.parse_args()
    if unknown := set(given.names) - SUITE.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(SUITE)}")
    log.setLevel("ERROR")
    logging.basicConfig(level=logging.ERROR)  # ccdproc warns about every negative pixel
    with tempfile.TemporaryDirectory(prefix="siren-bench-", dir=given.folder) as folder:
        lane = harness.lane(Path(folder))
        print(f"{lane}\n", flush=True)
        held = [run(name, Path(folder), lane, quick=given.quick, full=given.full) for name in given.names or SUITE]
    return 0 if all(held) else 1


def run(name: str, folder: Path, lane: harness.Lane, *, quick: bool, full: bool) -> bool:
    """Run one benchmark; return whether its checks passed."""
    scratch = folder / name
    scratch.mkdir()
    bench = importlib.import_module(f"benchmarks.{SUITE[name]}")
    report: harness.Report = bench.run(harness.Setting(folder=scratch, quick=quick, full=full))
    harness.save(report, lane)
    print(report.markdown() + "\n", flush=True)
    return report.holds


if __name__ == "__main__":
    sys.exit(main())
