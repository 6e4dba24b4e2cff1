"""Pages and files of other people's servers: read whole, never endless, with errors that say what to do next."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from tasks.errors import Unavailable, UnusableData

TIMEOUT_S = 30.0
# refusals that another try may not meet again
TEMPORARY = frozenset({408, 425, 429})


def fetch(
    url: str, *, what: str, limit: int, client: httpx.Client | None = None, timeout_s: float = TIMEOUT_S
) -> bytes | None:
    """Fetch what stands at an address; None where nothing is there yet.

    Parameters
    ----------
    url
        The address.
    what
        What is fetched, in words, for errors.
    limit
        Most bytes that are read.
    client
        Keeps connections open between fetches.
    timeout_s
        How long the server may be silent.

    Raises
    ------
    Unavailable
        Where the server does not answer, has trouble, or asks for patience.
    UnusableData
        Where it refuses, or sends more than ``limit``.
    """
    stream = client.stream if client else httpx.stream
    try:
        with stream("GET", url, timeout=timeout_s, follow_redirects=True) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or answer.status_code in TEMPORARY:
                raise Unavailable(f"the server of {what} answers {answer.status_code}")
            if answer.is_error:
                raise UnusableData(f"the server of {what} refuses: {answer.status_code}")
            return _limited(answer.iter_bytes(), what, limit)
    except httpx.HTTPError as error:
        raise Unavailable(f"the server of {what} does not answer: {type(error).__name__}") from error
    except httpx.InvalidURL as error:
        raise UnusableData(f"the address of {what} is none: {error}") from error


def _limited(chunks: Iterator[bytes], what: str, limit: int) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > limit:
            raise UnusableData(f"{what} is longer than {limit} bytes")
    return bytes(content)
