"""Write a night's text files beside its products: header dumps, indexes, logs of processes and frames."""

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


@task(cache_policy=NO_CACHE, task_run_name="file-{report.night}")
def file_night(report: NightReport, results: Sequence[StageResult]) -> int:
    """Write header dumps, indexes and logs of a night; return how many are new or have changed."""
    started = time.monotonic()
    images = [*(light.image for light in report.reduced), *(stack.image for stack in report.stacks)]
    texts = {night_logs.header_of(image): night_logs.header_dump(image) for image in images}
    texts |= night_logs.indexes(report)
    if report.page is not None:
        texts[report.page.with_name("data_processing.log")] = night_logs.frames_log(results)
    written = sum(_put(place, text) for place, text in texts.items())
    if report.page is not None:
        seconds = time.monotonic() - started
        log_file = report.page.with_name("obs.summary.log")
        products.write_text(log_file, night_logs.summary_log(report, filed_s=seconds, filed=len(texts)))
    log.info("%s: %d of %d text files written", report.night, written, len(texts))
    return written


def _put(place: Path, text: str) -> bool:
    """Write a file unless it holds this text already."""
    if place.exists() and place.read_text(encoding="utf-8", errors="replace") == text:
        return False
    products.write_text(place, text)
    return True
