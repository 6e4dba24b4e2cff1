"""A night's plain files beside its products: header dumps, indexes, the stages' and the frames' log."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import products
from tasks.io.nights import night_logs
from tasks.records import NightReport, StageResult

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="file-{made.night}")
def file_night(made: NightReport, results: Sequence[StageResult]) -> int:
    """Write header dumps, indexes and logs of a night; return how many of them are new or have changed."""
    started = time.monotonic()
    images = [*(each.image for each in made.reduced), *(each.image for each in made.stacks)]
    texts = {night_logs.header_of(image): night_logs.header_dump(image) for image in images}
    texts |= night_logs.indexes(made)
    if made.page is not None:
        texts[made.page.with_name("data_processing.log")] = night_logs.frames_log(results)
    written = sum(_put(place, text) for place, text in texts.items())
    if made.page is not None:
        seconds = time.monotonic() - started
        log_file = made.page.with_name("obs.summary.log")
        products.write_text(log_file, night_logs.summary_log(made, filed_s=seconds, filed=len(texts)))
    log.info("%s: %d of %d plain files written", made.night, written, len(texts))
    return written


def _put(place: Path, text: str) -> bool:
    """Write a file unless it holds this text already."""
    if place.exists() and place.read_text(encoding="utf-8", errors="replace") == text:
        return False
    products.write_text(place, text)
    return True
