"""A proxy before a service: shut, it refuses everybody and cuts those inside; open, the service is there again.

Frozen, it lets people in and passes nothing on, as a line does whose other end has gone without a word.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Proxy:
    """Listens on a port of its own and passes everything on to a service at ``host:port`` or a socket in a file."""

    def __init__(self, target: tuple[str, int] | str, *, port: int = 0) -> None:
        self.target = target
        self.lines: set[socket.socket] = set()
        self.listener: socket.socket | None = None
        self.stranded: set[socket.socket] = set()
        self.flowing = threading.Event()
        self.flowing.set()
        self.port = port
        self.open()

    def open(self) -> None:
        """Let people in."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = listener.getsockname()[1]
        self.listener = listener
        threading.Thread(target=self._welcome, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse everybody, and cut the lines of those who are inside."""
        listener, self.listener = self.listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for line in list(self.lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Pass nothing on any more; nobody is told."""
        self.flowing.clear()

    def thaw(self) -> None:
        """Pass on what waited, and go on."""
        self.flowing.set()

    def strand(self) -> None:
        """Pass nothing on over the lines of those who are inside, ever; who comes anew is served."""
        self.stranded |= self.lines

    def _welcome(self, listener: socket.socket) -> None:
        while self.listener is listener:
            try:
                guest, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(guest,), daemon=True).start()

    def _serve(self, guest: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET
        with guest, socket.socket(family) as host:
            pair = {guest, host}
            self.lines |= pair
            try:
                host.connect(self.target)
                self._pass_on(guest, host)
            except OSError:
                pass
            finally:
                self.lines -= pair

    def _pass_on(self, guest: socket.socket, host: socket.socket) -> None:
        other = {guest: host, host: guest}
        while True:
            ready, _, _ = select.select([guest, host], [], [])
            self.flowing.wait()
            while guest in self.stranded and self.listener is not None:
                time.sleep(0.1)
            for line in ready:
                content = line.recv(1 << 16)
                if not content:
                    return
                other[line].sendall(content)


@contextmanager
def proxy(target: tuple[str, int] | str, *, port: int = 0) -> Iterator[Proxy]:
    made = Proxy(target, port=port)
    try:
        yield made
    finally:
        made.thaw()
        made.shut()
