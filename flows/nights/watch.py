"""Night folders that have come to rest, announced once each; an automation starts ``night`` for them."""

from __future__ import annotations

from prefect import flow

from tasks import observatory as tasks_observatory
from tasks.nights import folders as observing
from tasks.nights import watching
from tasks.records import NightFolder


@flow(name="watch", flow_run_name="watch-{observatory}")
def watch(quiet_s: float = 120.0, *, observatory: str = "observatory") -> tuple[NightFolder, ...]:
    """Announce every night folder that has come to rest since the last look; late frames announce it again.

    Args:
        quiet_s: Time without any change after which a folder is at rest, in s.
        observatory: Name of the block with the observatory's places.
    """
    places = tasks_observatory.places(observatory)
    folders = observing.all_folders(places.raw_root)

    settled = watching.settled(places, folders, quiet_s)

    return tuple(watching.announce(places, folder) for folder in settled)
