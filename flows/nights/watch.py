"""Watch: announce night folders that no longer change, once each; an automation starts ``night`` for them."""

from __future__ import annotations

from prefect import flow

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.nights import folders, watching
from tasks.records import Blocks, NightFolder


@flow(name="watch", flow_run_name="watch-{blocks.observatory}")
@block_keywords("observatory")
def watch(quiet_s: float = 120.0, *, blocks: Blocks = Blocks()) -> tuple[NightFolder, ...]:
    """Announce every night folder that has settled since the last look; late frames announce it again.

    Args:
        quiet_s: Time without any change after which a folder has settled, in s.
        blocks: Names of the blocks; the observatory's is used.
    """
    places = observatory.places(blocks)
    settled = watching.settled(places, folders.all_folders(places.raw_root), quiet_s)

    return tuple(watching.announce(places, folder) for folder in settled)
