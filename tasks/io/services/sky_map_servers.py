"""Sky maps that a notice gives by address: fetched from servers that the operator allows, and from no other.

A notice is text from outside, and whoever can send one could make this machine ask any address. So only the named
servers are asked; each name must stand for public addresses, redirections included. A loopback or private address is
asked only where the operator wrote that very address into the list, as for a mirror in the same building.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from tasks.errors import Unavailable, UnusableData
from tasks.io.services import http

SIZE_LIMIT = 64 * 1024 * 1024
"""Largest map in bytes; the largest real ones, flat maps of nside 1024, are below when packed."""

TIME_LIMIT_S = 60.0
REDIRECTIONS = 3
WHAT = "the sky map"


def parse_list(text: str) -> tuple[str, ...]:
    """Return the names in a list of servers, ``name`` or ``name:port`` with commas or spaces between, in lower case."""
    return tuple(word.lower() for word in re.split(r"[,\s]+", text) if word)


def fetch(address: str, servers: Sequence[str], *, time_limit_s: float = TIME_LIMIT_S) -> bytes | None:
    """Fetch a sky map; None if there is none (yet).

    Parameters
    ----------
    address
        The address in the notice.
    servers
        Allowed servers: ``name``, or ``name:port`` for another port than the usual one.
    time_limit_s
        Longest time for the whole map, in s.

    Raises
    ------
    UnusableData
        If the address is none of http or https, its server or a redirection's is not allowed, or the map is too large.
    Unavailable
        If the server does not answer in time.
    """

    def check(request: httpx.Request) -> None:
        _check(request.url, servers)

    def check_peer(response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        peer = stream.get_extra_info("server_addr") if stream is not None else None
        if peer is not None:
            _check_address(str(peer[0]), response.url.host)

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [check], "response": [check_peer]}
    # no proxy: the address that is checked must be the one that is asked
    with httpx.Client(event_hooks=hooks, max_redirects=REDIRECTIONS, trust_env=False) as client:
        return http.fetch(address, what=WHAT, limit=SIZE_LIMIT, client=client, time_limit_s=time_limit_s)


def _check(url: httpx.URL, servers: Sequence[str]) -> None:
    """Refuse an address before anything is sent to it."""
    if url.scheme not in {"http", "https"} or url.userinfo:
        raise UnusableData(
            f"{WHAT} has an address of the form {url.scheme[:20]}:, expected http or https without a user"
        )
    host = f"[{url.host}]" if ":" in url.host else url.host.lower()
    server = host if url.port is None else f"{host}:{url.port}"
    if server not in servers:
        raise UnusableData(f"{WHAT} is on {server[:100]}, none of the allowed servers ({', '.join(servers) or 'none'})")
    for found in _addresses(url):
        _check_address(found, url.host)


def _addresses(url: httpx.URL) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(url.host, url.port or url.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(f"the server of {WHAT}, {url.host}, has no address: {error.strerror}") from error
    return tuple(str(place[4][0]) for place in found)


def _check_address(found: str, host: str) -> None:
    """Refuse an address that is not public, unless it is the host itself: then the operator wrote it out."""
    number = ipaddress.ip_address(found.partition("%")[0])
    if host != found and (not number.is_global or number.is_multicast):
        raise UnusableData(f"{WHAT} is on {host[:100]}, whose address {found} is not public")
