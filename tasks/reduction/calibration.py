"""Calibration of one unit's lights: raw counts to images with variance and mask."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming
from tasks.options import CalibrateOptions
from tasks.records import Calibrated, CalibratedBatch, Frame, Masters, Rejected
from tasks.reduction.engines.light_calibrator import LightCalibrator

log = logging.getLogger(__name__)


@task(task_run_name="calibrate-{masters.unit}-{night}", tags={"gpu"}, cache_policy=NO_CACHE)
def calibrate_lights(
    frames: tuple[Frame, ...], masters: Masters, night: date, root: Path, options: CalibrateOptions
) -> CalibratedBatch:
    """Calibrate lights of one unit; reject those that cannot be calibrated, with the reason."""
    tree = naming.NightTree(root=root)
    outcomes = LightCalibrator(masters=masters, tree=tree, night=night, options=options).calibrate(frames)
    lights = tuple(outcome for outcome in outcomes if isinstance(outcome, Calibrated))
    rejected = tuple(outcome for outcome in outcomes if isinstance(outcome, Rejected))
    log.info("%s %s: %d lights calibrated, %d rejected", masters.unit, night, len(lights), len(rejected))
    return CalibratedBatch(calibrated=lights, rejected=rejected)
