"""Photometry of lights with a WCS: seeing, zero points, depth, catalogue and header cards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.errors import UnusableData
from tasks.io.catalogues import photometric_cells
from tasks.options import ReduceOptions
from tasks.records import Reduced, ReducedBatch, Rejected, Solved, SolvedBatch
from tasks.reduction.engines import light_photometry


@task(name="measure", cache_policy=NO_CACHE, persist_result=False)
def measure(
    solved: SolvedBatch | tuple[Solved, ...], catalogue: Path, root: Path, options: ReduceOptions
) -> ReducedBatch:
    """Measure lights and write all their planes into the science tree; reject those that cannot be measured."""
    lights = solved.solved if isinstance(solved, SolvedBatch) else solved
    if not lights:
        return ReducedBatch(reduced=())
    places = [(light.astrometry.ra_deg, light.astrometry.dec_deg) for light in lights]
    try:
        files = photometric_cells.files(catalogue, places)
        reference = photometric_cells.read(files)
    except UnusableData as error:
        return ReducedBatch(reduced=(), rejected=tuple(light_photometry.rejected(light, error) for light in lights))
    with ThreadPoolExecutor(max_workers=options.slots) as pool:
        futures = [pool.submit(light_photometry.reduce, light, files, reference, root, options) for light in lights]
    outcomes = [future.result() for future in futures]
    return ReducedBatch(
        reduced=tuple(outcome for outcome in outcomes if isinstance(outcome, Reduced)),
        rejected=tuple(outcome for outcome in outcomes if isinstance(outcome, Rejected)),
    )
