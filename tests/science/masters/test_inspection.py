"""Masters with a known fault are found out; good ones are let through."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.options import CalibrateOptions
from tasks.science.arrays import to_host
from tasks.science.calibration.correction import Master
from tasks.science.masters import quality as inspection

SHAPE = (256, 320)
OPTIONS = CalibrateOptions(bias_level_adu=(512.0, 514.0))


def master(xp, rng, level, noise, change=None):
    image = rng.normal(level, noise, SHAPE)
    if change is not None:
        image = image * change if level == 1 else image + change
    variance = np.full(SHAPE, noise**2, np.float32)
    return Master(image=xp.asarray(image.astype(np.float32)), variance=xp.asarray(variance))


def ramp(low, high):
    return np.linspace(low, high, SHAPE[1])[None, :] * np.ones((SHAPE[0], 1))


def test_a_good_bias_passes_and_its_figures_are_those_drawn(xp, rng):
    quality = inspection.bias(master(xp, rng, 513.0, 5.0), OPTIONS)
    assert quality.faults == ()
    assert quality.figures["QALEVEL"] == pytest.approx(513, abs=0.1)
    assert quality.figures["QASTRUCT"] < 1


@pytest.mark.parametrize("frames", [3, 7, 20])
def test_noise_of_few_frames_is_no_structure(xp, rng, frames):
    stack = rng.normal(513.0, 13.7, (frames, *SHAPE))
    variance = stack.var(axis=0, ddof=1) / frames
    bias = Master(image=xp.asarray(stack.mean(axis=0).astype("f4")), variance=xp.asarray(variance.astype("f4")))
    assert inspection.bias(bias, OPTIONS).figures["QASTRUCT"] < 1


def test_a_bias_at_another_level_or_with_structure_does_not_pass(xp, rng):
    [level] = inspection.bias(master(xp, rng, 530.0, 5.0), OPTIONS).faults
    [structure] = inspection.bias(master(xp, rng, 513.0, 1.0, ramp(-6, 6)), OPTIONS).faults
    assert level == "bias level 530.0 ADU (allowed: 512 to 514)"
    assert "bias structure" in structure


def test_the_level_of_a_bias_without_its_overscan_says_nothing(xp, rng):
    assert inspection.bias(master(xp, rng, 0.0, 5.0), CalibrateOptions(overscan=True)).faults == ()


@pytest.mark.parametrize(("part", "good"), [(0.001, True), (0.02, False)])
def test_a_dark_is_judged_by_the_part_of_its_pixels_that_stand_out(xp, rng, part, good):
    hot = 500.0 * (rng.random(SHAPE) < part)
    quality = inspection.dark(master(xp, rng, 4.0, 5.0, hot), OPTIONS)
    assert (quality.faults == ()) == good
    assert quality.figures["QAUNIF"] == pytest.approx(-np.log10(part), abs=0.15)


@pytest.mark.parametrize(
    ("shape", "noise", "words"),
    [
        (ramp(0.9, 1.1), 0.01, ""),
        (ramp(0.5, 1.0), 0.01, "flat between"),
        (ramp(0.75, 1.6), 0.01, "edges differ"),
        (ramp(0.9, 1.1), 0.08, "flat noise"),
    ],
)
def test_a_flat_is_judged_by_extremes_edges_and_noise(xp, rng, shape, noise, words):
    faults = inspection.flat(master(xp, rng, 1.0, noise, shape), OPTIONS).faults
    assert any(words in fault for fault in faults) if words else faults == ()


@pytest.mark.parametrize(
    ("kind", "level", "change", "words"),
    [
        ("bias", 512.0, 0.0, ""),
        ("bias", 512.0, 3.0, "bias +3.0 ADU off last.fits"),
        ("bias", 512.0, ramp(-60, 60), "scatters"),
        ("dark", 100.0, 15.0, ""),
        ("dark", 100.0, 25.0, "dark +25.0 ADU off"),
        ("flat", 1, ramp(1.0, 1.0), ""),
        ("flat", 1, ramp(0.93, 1.07), "flat differs by"),
    ],
)
def test_a_new_master_is_compared_with_the_last_good_one(xp, rng, kind, level, change, words):
    noise = 0.005 if kind == "flat" else 5.0
    last, new = master(xp, rng, level, noise), master(xp, rng, level, noise, change)
    faults = inspection.compare(new, last, kind=kind, name="last.fits").faults
    assert any(words in fault for fault in faults) if words else faults == ()


def test_an_empty_flat_is_a_fault_and_no_crash(xp):
    empty = Master(image=xp.zeros(SHAPE, xp.float32), variance=xp.ones(SHAPE, xp.float32))
    assert inspection.compare(empty, empty, kind="flat", name="x").faults
    assert not to_host(empty.image).any()
