"""The recipe of a light: the list is what is run."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.records import MaskBit
from tasks.science.calibration import lights, recipe
from tasks.science.calibration.correction import Master

SHAPE = (120, 140)
GAIN, READ_E, SCALE = 1.0, 3.0, 2.0
BIAS_ADU, DARK_ADU, FLAT, SKY_ADU = 512.0, 20.0, 0.8, 100.0


def even(value):
    return Master(image=np.full(SHAPE, value, np.float32), variance=np.zeros(SHAPE, np.float32))


def calibrated(monkeypatch, *left_out):
    steps = tuple(step for step in recipe.RECIPE if step.name not in left_out)
    monkeypatch.setattr(lights, "RECIPE", steps)
    bad = np.zeros(SHAPE, np.uint8)
    bad[60, 70] = 1
    counts = np.full(SHAPE, BIAS_ADU + SCALE * DARK_ADU + FLAT * SKY_ADU).astype(np.uint16)
    setup = lights.prepare(
        even(BIAS_ADU), even(DARK_ADU), even(FLAT), bad, scale=SCALE, gain=GAIN, read_noise_e=READ_E, full=60000
    )
    return lights.process([counts], setup, find_cosmic_rays=False)[0].planes


@pytest.mark.parametrize(
    ("left_out", "sky_adu"),
    [
        ((), SKY_ADU),
        (("bias",), SKY_ADU + BIAS_ADU / FLAT),
        (("dark, scaled to the exposure time",), SKY_ADU + SCALE * DARK_ADU / FLAT),
        (("flat",), FLAT * SKY_ADU),
    ],
)
def test_each_master_has_its_step(monkeypatch, left_out, sky_adu):
    if left_out:
        # arrays of the shape that the missing step would have brought
        monkeypatch.setattr(lights.correction, "no_terms", spread(lights.correction.no_terms))
    planes = calibrated(monkeypatch, *left_out)
    assert np.median(planes.image) == pytest.approx(sky_adu, rel=1e-5)


def spread(no_terms):
    def arrays(masters):
        terms = no_terms(masters)
        return type(terms)(
            **{name: np.broadcast_to(getattr(terms, name), SHAPE).copy() for name in terms.__dataclass_fields__}
        )

    return arrays


def test_the_map_of_bad_pixels_has_its_steps(monkeypatch):
    assert calibrated(monkeypatch).mask[60, 70] == MaskBit.BAD | MaskBit.INTERPOLATED
    assert calibrated(monkeypatch, "fill bad pixels").mask[60, 70] == MaskBit.BAD
    assert calibrated(monkeypatch, "map of bad pixels").mask[60, 70] == 0


def test_the_recipe_reads_from_raw_counts_to_the_sky():
    names = [step.name for step in recipe.RECIPE]
    assert names == [
        "bias",
        "dark, scaled to the exposure time",
        "flat",
        "map of bad pixels",
        "counts to image, variance and mask",
        "fill bad pixels",
        "cosmic rays",
        "fringes",
        "halos, reflections and trails",
        "unevenness of the sky's noise",
    ]
