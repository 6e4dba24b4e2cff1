"""Degraded calibrations with an empty archive: a light is reduced and flagged rather than lost.

Kind: a step that needs more than it could do with. The oracle is the same light with complete masters: the two may differ by
their noise, and by what the doubt says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tasks import naming
from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.options import CalibrateOptions
from tasks.records import Camera, Frame, FrameType, Inventory, QaBit
from tasks.reduction import calibration
from tasks.reduction import masters as mastering
from tasks.science.masters import selection

NIGHT = date(2026, 1, 15)
OPTIONS = CalibrateOptions()


@pytest.fixture(scope="module")
def whole(one_light, tmp_path_factory):
    return reduced(one_light, tmp_path_factory.mktemp("whole"))


def reduced(one_light: Inventory, root: Path):
    """Return a night's masters, and image, variance, mask and header of its light."""
    masters = mastering.make_masters.fn(one_light, root, OPTIONS)
    [made] = calibration.calibrate_lights.fn(one_light.of(FrameType.LIGHT), masters, NIGHT, root, OPTIONS).calibrated
    planes = [fits_images.read_image(path)[0] for path in (made.image, made.variance, made.mask)]
    return masters, planes, fits_images.read_header(made.image)


def only(one_light: Inventory, **numbers: int) -> Inventory:
    """Keep so many frames of each kind; all of a kind that is not named."""
    kept = [frame for kind in FrameType for frame in one_light.of(kind)[: numbers.get(kind.value)]]
    return replace(one_light, frames=tuple(kept))


def changed(one_light: Inventory, change: Callable[[Frame], Frame]) -> Inventory:
    return replace(one_light, frames=tuple(change(frame) for frame in one_light.frames))


def compare(one, other) -> tuple[float, float]:
    """Return the median of the relative difference of two lights, and its scatter in units of the claimed noise."""
    (image, _, mask), (image0, variance0, mask0) = one, other
    good = (mask == 0) & (mask0 == 0)
    difference = (image - image0)[good]
    return float(np.median(difference) / np.median(image0[good])), float(
        np.std(difference) / np.sqrt(np.median(variance0[good]))
    )


@pytest.mark.parametrize(
    ("numbers", "bit", "words", "scatter"),
    [
        ({"bias": 4}, QaBit.BIAS_DOUBTFUL, "of 4 frames", 0.2),
        ({"bias": 1}, QaBit.BIAS_DOUBTFUL, "of 1 frame ", 0.5),
        ({"bias": 0}, QaBit.BIAS_DOUBTFUL, "no bias frames: taken as 512 ADU", 0.4),
        ({"dark": 2}, QaBit.DARK_DOUBTFUL, "of 2 frames", 0.3),
        ({"dark": 0}, QaBit.DARK_DOUBTFUL, "no darks", 0.4),
        ({"flat": 2}, QaBit.FLAT_DOUBTFUL, "of 2 frames", 0.3),
        ({"flat": 1}, QaBit.FLAT_DOUBTFUL, "of 1 frame ", 0.3),
        ({"bias": 0, "dark": 0}, QaBit.BIAS_DOUBTFUL | QaBit.DARK_DOUBTFUL, "no bias frames", 0.5),
    ],
)
def test_fewer_frames_make_a_light_with_a_doubt(one_light, whole, tmp_path, numbers, bit, words, scatter) -> None:
    _, planes, header = reduced(only(one_light, **numbers), tmp_path)
    level, spread = compare(planes, whole[1])
    assert header["QAFLAG"] & bit == bit
    assert words in " ".join(str(value) for key, value in header.items() if key.startswith("QATEXT"))
    assert abs(level) < 0.02
    assert spread < scatter


def test_without_a_flat_the_response_is_one(one_light, whole, tmp_path) -> None:
    masters, planes, header = reduced(only(one_light, flat=0), tmp_path)
    assert header["QAFLAG"] & QaBit.FLAT_DOUBTFUL
    assert set(masters.flats) == {"r"}
    flat = fits_images.read_image(whole[0].flats["r"])[0]
    good = (planes[2] == 0) & (whole[1][2] == 0)
    # the counts are those of the flattened light times its flat
    ratio = planes[0][good] / (whole[1][0][good] * flat[good])
    assert float(np.median(ratio)) == pytest.approx(1, abs=0.002)
    assert float(np.std(ratio)) < 0.05


@pytest.mark.parametrize(("kind", "number"), [("bias", 2), ("bias", 4), ("dark", 2), ("flat", 2)])
def test_the_variance_of_few_frames_is_right(one_light, whole, tmp_path, kind, number) -> None:
    """A master of few frames differs from the one of all by the noise that both claim (they share frames)."""
    masters, _, _ = reduced(only(one_light, **{kind: number}), tmp_path)

    def path(made):
        return {"bias": made.bias, "dark": made.darks.get(100.0), "flat": made.flats["r"]}[kind]

    few, many = path(masters), path(whole[0])
    (image, variance), (image0, variance0) = (
        [fits_images.read_image(place)[0] for place in (each, naming.variance_of(each))] for each in (few, many)
    )
    scatter = 1.4826**2 * np.median((image - image0 - np.median(image - image0)) ** 2)
    expected = np.median(variance) - np.median(variance0)
    assert scatter == pytest.approx(expected, rel=0.25)


def test_a_warmer_dark_is_scaled_to_the_lights_temperature(one_light, whole, tmp_path) -> None:
    def warm(frame: Frame) -> Frame:
        return frame if frame.type is FrameType.LIGHT else replace(frame, temperature_c=frame.temperature_c + 2.5)

    masters, planes, header = reduced(changed(one_light, warm), tmp_path)
    for bit in (QaBit.BIAS_DOUBTFUL, QaBit.DARK_DOUBTFUL, QaBit.FLAT_DOUBTFUL):
        assert header["QAFLAG"] & bit
    dark, dark0 = (fits_images.read_image(made.darks[100.0])[0] for made in (masters, whole[0]))
    assert float(np.median(dark) / np.median(dark0)) == pytest.approx(2 ** (-2.5 / 6), rel=0.02)
    assert abs(compare(planes, whole[1])[0]) < 0.02
    assert masters.rejected == ()


def test_exposures_that_differ_by_the_shutter_s_scatter_are_one_set(one_light, whole, tmp_path) -> None:
    darks = one_light.of(FrameType.DARK)
    offsets = dict(zip(darks, (-0.002, -0.001, 0.001, 0.002, 0.0)[: len(darks)], strict=False))
    uneven = changed(one_light, lambda frame: replace(frame, exposure_s=frame.exposure_s + offsets.get(frame, 0.0)))
    masters, planes, header = reduced(uneven, tmp_path)
    assert set(masters.darks) == {100.0}
    assert header["QAFLAG"] == 0
    assert np.array_equal(planes[0], whole[1][0])


def test_without_any_level_of_the_bias_the_unit_is_refused_with_what_would_help(one_light, tmp_path) -> None:
    nothing = replace(only(one_light, bias=0, dark=0), camera=Camera(readout_s=1))
    with pytest.raises(UnusableData, match=r"camera\.bias_adu"):
        mastering.make_masters.fn(nothing, tmp_path, OPTIONS)


def test_better_masters_of_another_night_replace_the_doubtful_ones(one_light, whole, tmp_path) -> None:
    poor = only(one_light, bias=4)
    first = mastering.make_masters.fn(poor, tmp_path, OPTIONS)
    assert {each.status for each in first.quality if each.kind == "bias"} == {"doubtful"}
    assert mastering.make_masters.fn(poor, tmp_path, OPTIONS) == first

    mastering.make_masters.fn(replace(one_light, night=date(2026, 1, 16)), tmp_path, OPTIONS)
    second = mastering.make_masters.fn(poor, tmp_path, OPTIONS)
    assert {each.status for each in second.quality if each.kind == "bias"} == {"borrowed"}
    again = calibration.calibrate_lights.fn(poor.of(FrameType.LIGHT), second, NIGHT, tmp_path, OPTIONS).calibrated
    assert not again[0].qa & QaBit.BIAS_DOUBTFUL


@pytest.mark.parametrize(
    ("exposures", "nominal"),
    [
        ((99.998, 99.999, 100.001, 100.002), {100.0}),
        ((100.0, 100.002), {100.0}),
        ((10.0, 100.0), {10.0, 100.0}),
        ((0.5, 0.501), {0.5, 0.501}),
        ((123.456,), {123.456}),
        ((), set()),
    ],
)
def test_nominal_exposures(exposures, nominal) -> None:
    assert set(selection.nominal_exposures(exposures).values()) == nominal
    assert set(selection.nominal_exposures(exposures)) == set(exposures)


def test_a_dark_s_temperature_factor() -> None:
    assert selection.dark_factor(-9.0, -15.0) == pytest.approx(0.5)
    assert selection.dark_factor(None, -15.0) == selection.dark_factor(-15.0, None) == 1


def test_of_warmer_darks_the_nearest_exposure_is_taken_and_no_frame_is_listed_twice(one_light, tmp_path) -> None:
    """Once the shortest was taken, and a warm frame off its set's level stood in the report twice."""
    darks = one_light.of(FrameType.DARK)

    def warm(frame: Frame) -> Frame:
        if frame not in darks:
            return frame
        exposure_s = 1.0 if frame in darks[: len(darks) // 2] else 80.0
        return replace(frame, temperature_c=frame.temperature_c + 4.0, exposure_s=exposure_s)

    masters = mastering.make_masters.fn(changed(one_light, warm), tmp_path, OPTIONS)
    assert set(masters.darks) == {80.0}
    names = [each.name for each in masters.rejected]
    assert len(names) == len(set(names))
