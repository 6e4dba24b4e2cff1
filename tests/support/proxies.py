"""A proxy in front of a service. Shut, it refuses and cuts connections; open, it forwards them again.

Frozen, it accepts connections and forwards nothing, like a connection whose other end has vanished.
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
    """Listens on a port and forwards everything to a service at ``host:port`` or a Unix socket."""

    def __init__(self, target: tuple[str, int] | str, *, port: int = 0) -> None:
        self.target = target
        self.connections: set[socket.socket] = set()
        self.listener: socket.socket | None = None
        self.stranded: set[socket.socket] = set()
        self.flowing = threading.Event()
        self.flowing.set()
        self.port = port
        self.open()

    def open(self) -> None:
        """Accept connections."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = listener.getsockname()[1]
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections and cut existing ones."""
        listener, self.listener = self.listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Stop forwarding without closing connections."""
        self.flowing.clear()

    def thaw(self) -> None:
        """Forward the waiting data and continue."""
        self.flowing.set()

    def strand(self) -> None:
        """Never forward again on existing connections; serve new ones."""
        self.stranded |= self.connections

    def _accept(self, listener: socket.socket) -> None:
        while self.listener is listener:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET
        with client, socket.socket(family) as host:
            pair = {client, host}
            self.connections |= pair
            try:
                host.connect(self.target)
                self._forward(client, host)
            except OSError:
                pass
            finally:
                self.connections -= pair

    def _forward(self, client: socket.socket, host: socket.socket) -> None:
        other = {client: host, host: client}
        while True:
            ready, _, _ = select.select([client, host], [], [])
            self.flowing.wait()
            while client in self.stranded and self.listener is not None:
                time.sleep(0.1)
            for connection in ready:
                content = connection.recv(1 << 16)
                if not content:
                    return
                other[connection].sendall(content)


@contextmanager
def proxy(target: tuple[str, int] | str, *, port: int = 0) -> Iterator[Proxy]:
    opened = Proxy(target, port=port)
    try:
        yield opened
    finally:
        opened.thaw()
        opened.shut()
