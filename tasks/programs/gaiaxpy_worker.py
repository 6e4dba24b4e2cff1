"""The process in which GaiaXPy runs: ``python -m tasks.programs.gaiaxpy_worker REQUEST.json``.

A separate process, because GaiaXPy is optional, prints, disables warnings globally and keeps a user's own filters in a
file shared by all runs of a process. It reads the request of ``tasks.programs.gaiaxpy`` and writes ``photometry.csv``
and ``bands.json`` beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gaiaxpy


def main(request_file: Path) -> None:
    """Compute the synthetic photometry of a request."""
    request = json.loads(request_file.read_bytes())
    known = gaiaxpy.PhotometricSystem
    if request["filters"]:
        known = gaiaxpy.load_additional_systems(request["filters"])
    systems = [_system(known, name) for name in request["systems"]]
    tables = [
        gaiaxpy.generate(spectra, photometric_system=systems, error_correction=False, save_file=False)
        for spectra in request["spectra"]
    ]
    columns = list(tables[0].columns)
    text = "\n".join(
        table[columns].to_csv(index=False, header=number == 0).strip() for number, table in enumerate(tables)
    )
    (request_file.parent / "photometry.csv").write_text(f"{text}\n", encoding="ascii")
    bands = {system.get_system_label(): list(system.get_bands()) for system in systems}
    (request_file.parent / "bands.json").write_text(json.dumps(bands))


def _system(known: Any, name: str) -> Any:
    for system in known:
        if system.name in {name, f"USER_{name}"}:
            return system
    sys.exit(f"no photometric system {name}; there are {', '.join(system.name for system in known)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
