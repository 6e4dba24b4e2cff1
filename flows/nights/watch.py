"""Watch: announce each night folder once when it has stopped changing; an automation then starts ``night``."""

from __future__ import annotations

from prefect import flow

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.nights import folders, watching
from tasks.records import Blocks, NightFolder


@flow(name="watch", flow_run_name="watch-{blocks.observatory}")
@block_keywords("observatory")
def watch(quiet_s: float = 120.0, *, blocks: Blocks = Blocks()) -> tuple[NightFolder, ...]:
    """Announce each night folder that has settled since the last run; late frames cause a second announcement.

    Args:
        quiet_s: Time without any change after which a folder has settled, in s.
        blocks: Names of the blocks; the observatory's is used.
    """
    places = observatory.places(blocks)
    settled = watching.settled(places, folders.all_folders(places.raw_root), quiet_s)

    return tuple(watching.announce(places, folder) for folder in settled)
