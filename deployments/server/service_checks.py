"""The doctor's checks of the services: Prefect server, registry, Dask. Each ends within seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TypeVar, cast

import distributed
import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

import blocks as ours
from deployments.server import blocks_from_environment, bootstrap, default_paths, serve
from deployments.server.automations import LISTENER_HEARTBEAT, LISTENER_SILENCE
from tasks import registry, resources, runtime
from tasks.errors import MissingPart, Unavailable
from tasks.registry import health, unsent
from tasks.registry.store import now

B = TypeVar("B", bound=Block)

ANSWER_S = 4.0
REASONS_SHOWN = 3
HEARTBEATS = 50
"""Number of newest heartbeats to read; several listeners may have sent them."""


@contextmanager
def asking() -> Iterator[SyncPrefectClient]:
    """Yield a client of the configured server; never start a server, never retry.

    Raises
    ------
    MissingPart
        If no server is configured.
    Unavailable
        If the server does not answer.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise MissingPart("PREFECT_API_URL is not set")
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_S}):
        try:
            # if nothing listens, the client waits longer than its own limit
            httpx.get(f"{url}/health", timeout=ANSWER_S).raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable(f"{url} does not answer: {error}") from error
        with get_client(sync_client=True) as client:
            yield client


def server() -> str:
    """Return version and address of the server."""
    with asking() as client:
        version = httpx.get(f"{str(client.api_url).rstrip('/')}/admin/version", timeout=ANSWER_S).json()
        return f"Prefect {version} at {client.api_url}"


def database() -> str:
    """Return the address of the registry and its number of tables; a missing file is created later."""
    return health.of(default_paths.registry_url(), answer_s=ANSWER_S)


def outbox() -> str:
    """Return how many messages and uploads wait; none may be given up, or wait for an operator."""
    url = default_paths.registry_url()
    if not health.exists(url):
        return "nothing waits (no registry yet)"
    with closing(registry.open(url, upgrade=False)) as opened, opened.read() as session:
        waiting, lost = unsent.waiting(session), unsent.given_up(session)
    refused = [each for each in waiting if "refuses" in each.reason or "forbids" in each.reason]
    text = f"{len(waiting)} wait, {len(lost)} were given up"
    if troubles := [*lost, *refused]:
        reasons = list(dict.fromkeys(each.reason for each in troubles))
        raise Unavailable(f"{text}: {'; '.join(reasons[:REASONS_SHOWN])}")
    return text


def store() -> str:
    """Return where products are uploaded; the store must take our credentials."""
    with asking():
        block = _load(ours.ProductStore)
    with closing(resources.store_of(block)) as opened:
        return opened.check()


def blocks() -> str:
    """Return the names of our blocks; all must be saved."""
    wanted = {
        f"{kind.get_block_type_slug()}/{blocks_from_environment.document_name(kind)}"
        for kind in blocks_from_environment.block_types()
    }
    with asking() as client:
        saved = {name for name in wanted if _has_block(client, name)}
    return _all_of(wanted, saved)


def pools() -> str:
    """Return the names of the work pools; all must exist."""
    with asking() as client:
        return _all_of(set(bootstrap.POOLS), {pool.name for pool in client.read_work_pools()} & set(bootstrap.POOLS))


def deployments() -> str:
    """Return the names of the deployments."""
    with asking() as client:
        names = bootstrap.deployment_names(client)
    if not names:
        raise MissingPart("no flow is deployed")
    return ", ".join(names)


def workers() -> str:
    """Return the number of workers online, by pool; each pool needs one."""
    with asking() as client:
        online = {pool: _workers_of(client, pool) for pool in bootstrap.POOLS}
    text = ", ".join(f"{pool}: {len(names)}" for pool, names in online.items())
    if not all(online.values()):
        raise MissingPart(f"workers online: {text}; every pool needs one")
    return text


def listener() -> str:
    """Return the age of each listener's last heartbeat within a day, and its lag in messages."""
    wanted = EventFilter(
        event=EventNameFilter(name=[LISTENER_HEARTBEAT]),
        occurred=EventOccurredFilter.model_validate({"since": now() - timedelta(days=1)}),
    )
    with asking() as client:
        query = {"filter": wanted.model_dump(mode="json"), "limit": HEARTBEATS}
        answer = httpx.post(f"{str(client.api_url).rstrip('/')}/events/filter", json=query, timeout=ANSWER_S)
    newest: dict[str, Event] = {}
    for document in answer.raise_for_status().json()["events"]:
        beat = Event.model_validate(document)
        newest.setdefault(beat.resource.id.removeprefix("siren.listener."), beat)
    if not newest:
        raise MissingPart("no heartbeat of a listener within a day")
    ages = {name: (now() - beat.occurred).total_seconds() for name, beat in newest.items()}
    text = "; ".join(_last_heartbeat(name, ages[name], beat.payload.get("lag", {})) for name, beat in newest.items())
    if min(ages.values()) > LISTENER_SILENCE.total_seconds():
        raise Unavailable(text)
    return text


def slots() -> str:
    """Return the slots of the cluster; both kinds must exist."""
    with asking():
        block = _load(ours.Cluster)
    if not block.address:
        return "each night starts a cluster on the machine of its flow"
    try:
        client = distributed.Client(block.address, set_as_default=False, timeout=ANSWER_S)  # type: ignore[no-untyped-call]  # Dask's own
    except OSError as error:
        raise Unavailable(f"no Dask scheduler answers at {block.address}") from error
    with client:
        offered = runtime.slots(client)
    if not all(offered.get(slot.value) for slot in runtime.Slot):
        raise MissingPart(f"{block.address} has {offered or 'no slots'}; tasks need CPU and GPU slots")
    return ", ".join(f"{number:g} {name}" for name, number in offered.items()) + f" at {block.address}"


def catalogues() -> str:
    """Return the paths of catalogues and references in the observatory's block; all must exist."""
    with asking():
        block = _load(ours.Observatory)
    paths = block.paths()
    places = [paths[name] for name in ("astrometric_catalogue", "photometric_catalogue", "references")]
    if missing := [str(place) for place in places if not place.exists()]:
        raise MissingPart(f"missing: {', '.join(missing)}")
    return ", ".join(str(place) for place in places)


def _last_heartbeat(name: str, age_s: float, lag: dict[str, int]) -> str:
    behind = [f"{count} on {partition}" for partition, count in sorted(lag.items()) if count]
    return f"{name} {age_s:.0f} s ago, {'behind by ' + ', '.join(behind) if behind else 'not behind'}"


def _load(kind: type[B]) -> B:
    name = blocks_from_environment.document_name(kind)
    try:
        return cast("B", kind.load(name))
    except ValueError as error:
        raise MissingPart(f"there is no block {name}") from error


def _workers_of(client: SyncPrefectClient, pool: str) -> tuple[str, ...]:
    try:
        return serve.online_workers(client, pool)
    except ObjectNotFound:
        return ()


def _has_block(client: SyncPrefectClient, name: str) -> bool:
    slug, document = name.split("/")
    try:
        client.read_block_document_by_name(document, block_type_slug=slug, include_secrets=False)
    except ObjectNotFound:
        return False
    return True


def _all_of(wanted: set[str], found: set[str]) -> str:
    if missing := wanted - found:
        raise MissingPart(f"missing: {', '.join(sorted(missing))}; there: {', '.join(sorted(found)) or 'none'}")
    return ", ".join(sorted(found))
