"""Pages and files of external servers, with a limit on their size and errors named by what to do next."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from tasks.errors import Unavailable, UnusableData

TIMEOUT_S = 30.0
# status codes that a retry may not get again
TEMPORARY = frozenset({408, 425, 429})


def fetch(
    url: str,
    *,
    what: str,
    limit: int,
    client: httpx.Client | None = None,
    timeout_s: float = TIMEOUT_S,
    time_limit_s: float | None = None,
) -> bytes | None:
    """Fetch the content of an address; None if it does not exist (yet).

    Parameters
    ----------
    url
        The address.
    what
        Description of the content, for errors.
    limit
        Maximum size in bytes.
    client
        A client that keeps connections open between fetches.
    timeout_s
        Longest wait for data from the server, in s.
    time_limit_s
        Longest time for the whole content, in s; None for any.

    Raises
    ------
    Unavailable
        If the server does not answer, has an error, limits the rate, or takes too long.
    UnusableData
        If it refuses, or sends more than ``limit``.
    """
    stream = client.stream if client else httpx.stream
    deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
    try:
        with stream("GET", url, timeout=timeout_s, follow_redirects=True) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or answer.status_code in TEMPORARY:
                raise Unavailable(f"the server of {what} answers {answer.status_code}")
            if answer.is_error:
                raise UnusableData(f"the server of {what} refuses: {answer.status_code}")
            return _limited(answer.iter_bytes(), what, limit, deadline)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise UnusableData(f"the address of {what} is invalid: {error}") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"the server of {what} does not answer: {type(error).__name__}") from error


def _limited(chunks: Iterator[bytes], what: str, limit: int, deadline: float | None) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > limit:
            raise UnusableData(f"{what} is longer than {limit} bytes")
        if deadline is not None and time.monotonic() > deadline:
            raise Unavailable(f"the server of {what} is too slow: {len(content)} bytes in the time allowed")
    return bytes(content)
