"""A PostgreSQL server for one test run: Debian's binaries, a scratch folder, a socket and no port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")


def binaries() -> Path | None:
    """Return the folder of the newest server installed, or None."""
    found = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def account() -> str | None:
    """Return the user that runs the server, which refuses root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextmanager
def server() -> Iterator[str]:
    """Start a server; yield the folder of its socket; stop it and remove its files at the end."""
    folder, user = binaries(), account()
    assert folder is not None
    scratch = Path(tempfile.mkdtemp(prefix="brightsiren-postgres-"))
    scratch.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(scratch, user)
    data = scratch / "data"

    def call(*words: str) -> None:
        run_as = {"user": user} if os.geteuid() == 0 else {}
        subprocess.run(words, check=True, cwd=scratch, stdout=subprocess.DEVNULL, timeout=120, **run_as)

    call(
        str(folder / "initdb"), "-D", str(data), "-A", "trust", "-U", "siren", "--no-sync", "--no-locale", "-E", "UTF8"
    )
    options = f"-k {scratch} -c listen_addresses='' -c fsync=off -c timezone=Asia/Tokyo"
    try:
        call(str(folder / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(scratch / "log"), "-w", "start")
        yield str(scratch)
    finally:
        call(str(folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(scratch, ignore_errors=True)
