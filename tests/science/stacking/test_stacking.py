"""Groups, flux scales, headers and planes of stacks."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support import records

from tasks.errors import UnusableData
from tasks.records import Frame, FrameType, Photometry, QaBit, Reduced
from tasks.science import arrays
from tasks.science.headers import provenance
from tasks.science.stacking import stack_members, weight_maps

START = datetime(2026, 1, 16, 4, 0, tzinfo=UTC)


def reduced(
    name="a",
    *,
    start=START,
    unit="7DT01",
    object_="T00001",
    filter_="r",
    zp=28.0,
    seeing=2.0,
    sky=40.0,
    depth=19.5,
    exposure=100.0,
):
    frame = Frame(
        path=Path(f"{name}.fits"), type=FrameType.LIGHT, unit=unit, date_obs=start, exposure_s=exposure, filter=filter_,
        object=object_, ra_deg=110.0, dec_deg=-30.0, shape=(100, 100),
    )  # fmt: skip
    photometry = Photometry(
        catalogue=Path("c.cat"), stars=100, seeing_arcsec=seeing, ellipticity=0.1, elongation=1.1, sky_adu=300.0,
        sky_sigma_adu=sky, zero_point_mag={"AUTO": zp}, scatter_mag={}, error_mag={}, depth3_mag={}, depth5_mag={"1": depth},
    )  # fmt: skip
    return Reduced(
        frame=frame, image=Path(f"/p/calib_{name}.fits"), variance=Path("v"), mask=Path("m"),
        astrometry=records.astrometry(), photometry=photometry,
    )  # fmt: skip


def test_the_production_sample_gives_354_groups(shared_data):
    with (shared_data / "sevendt" / "production_headers_500.csv").open() as file:
        rows = [
            reduced(
                row["file"],
                start=datetime.fromisoformat(row["date-obs"]).replace(tzinfo=UTC),
                unit=row["file"].split("_")[1],
                object_=row["object"],
                filter_=row["filter"],
            )
            for row in csv.DictReader(file)
        ]
    groups = stack_members.group_by_gap(rows, 300.0)

    assert len(rows) == 500
    assert len(groups) == 354
    assert Counter(map(len, groups)) == {1: 248, 2: 80, 3: 18, 4: 3, 5: 4, 6: 1}


def test_groups_do_not_depend_on_the_order_of_the_frames(rng):
    rows = [reduced(str(i), start=START + timedelta(seconds=float(s))) for i, s in enumerate(rng.uniform(0, 9000, 40))]
    mixed = [rows[i] for i in rng.permutation(40)]

    assert stack_members.group_by_gap(mixed, 300.0) == stack_members.group_by_gap(rows, 300.0)


def test_a_gap_of_just_the_limit_does_not_part_a_group():
    rows = [reduced(str(s), start=START + timedelta(seconds=s)) for s in (0, 300, 601)]

    assert [len(group) for group in stack_members.group_by_gap(rows, 300.0)] == [2, 1]


def test_fluxes_are_put_on_the_scale_of_the_deepest_frame():
    group = [reduced("a", zp=28.0, depth=19.5), reduced("b", zp=27.8, depth=19.3), reduced("c", zp=28.1, depth=19.4)]
    chosen = stack_members.choose(group)

    assert chosen.reference is group[0]
    assert [member.scale for member in chosen.members] == pytest.approx([1.0, 10**0.08, 10**-0.04])
    assert sum(member.weight for member in chosen.members) == pytest.approx(1)


def test_clouds_and_bad_seeing_are_left_out_with_the_reason():
    group = [reduced("a"), reduced("b"), reduced("c", zp=27.4), reduced("d", seeing=3.2)]
    chosen = stack_members.choose(group)

    assert [member.frame.image.name for member in chosen.members] == ["calib_a.fits", "calib_b.fits"]
    assert ["clouds" in item.reason or "seeing 3.20" in item.reason for item in chosen.rejected] == [True, True]


def test_frames_of_two_filters_are_no_group():
    with pytest.raises(UnusableData, match="one object and filter"):
        stack_members.choose([reduced("a"), reduced("b", filter_="i")])


@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1.0, 1.3, 0.8)])
def test_the_effective_gain_gives_the_photon_noise_of_the_stack(scales, rng):
    gain, electrons = 0.25, 4000.0
    members = [
        stack_members.Member(frame=reduced(str(i)), scale=scale, weight=weight)
        for i, (scale, weight) in enumerate(zip(scales, (0.5, 0.3, 0.2), strict=True))
    ]
    # a star of the same true flux: a frame of scale f collected 1/f of the electrons
    frames = [m.scale * rng.poisson(electrons / m.scale, 200000) / gain for m in members]
    stack = sum(m.weight * frame for m, frame in zip(members, frames, strict=True))
    effective = stack_members.effective_gain([gain] * 3, members)

    assert stack.var() == pytest.approx(stack.mean() / effective, rel=0.02)


def test_alike_frames_have_n_times_the_gain():
    members = [stack_members.Member(frame=reduced(str(i)), scale=1.0, weight=0.25) for i in range(4)]

    assert stack_members.effective_gain([0.25] * 4, members) == pytest.approx(1.0)


def test_a_stack_has_the_doubts_of_all_its_frames_each_word_once():
    group = [reduced(str(i), start=START + timedelta(seconds=120 * i)) for i in range(4)]
    old, lie = "flat 2 d old", "filter r looks like i"
    told = ((32, old), (0, ""), (8192 + 32, f"{lie}; {old}"), (512, "dark scaled by 2"))
    inputs = [{"EGAIN": 0.25, "QAFLAG": flag, "QATEXT": text} for flag, text in told]
    cards = stack_members.header(stack_members.choose(group), inputs)

    assert cards["QAFLAG"] == 32 + 8192 + 512
    assert cards["QATEXT"] == f"{old}; {lie}; dark scaled by 2"
    again = provenance.with_doubt(cards, QaBit.FILTER_DOUBTFUL, lie)
    assert again == {"QAFLAG": cards["QAFLAG"], "QATEXT": f"{lie}; {old}; dark scaled by 2"}
    plain = stack_members.header(stack_members.choose(group), [{"EGAIN": 0.25}] * 4)
    assert (plain["QAFLAG"], plain["QATEXT"]) == (0, "")


@pytest.mark.parametrize(
    ("before", "names", "kept"),
    [
        (("a", "b"), ("a", "b", "c"), False),
        (("a", "d"), ("a", "b", "c"), True),  # it has a frame that the other lacks
        ((), ("a", "b"), True),  # nobody knows what it was made of
    ],
)
def test_a_stack_is_superseded_by_one_with_all_its_frames(before, names, kept):
    earlier = {"NCOMBINE": len(before), **{f"IMCMB{i:03d}": name for i, name in enumerate(before, start=1)}}

    assert stack_members.holds(earlier, {}, names) is not kept
    assert not stack_members.holds(earlier, {"BACKTYPE": "none"}, names)


def test_the_header_speaks_of_all_frames():
    group = [reduced(str(i), start=START + timedelta(seconds=120 * i), exposure=100.0 + 20 * i) for i in range(3)]
    inputs = [
        {
            "EGAIN": 0.25,
            "SATURATE": 60000.0,
            "AIRMASS": 1.0 + i / 10,
            "CENTAZ": (350.0, 10.0, 0.0)[i],
            "OBJECT": "T00001",
        }
        for i in range(3)
    ]
    cards = stack_members.header(stack_members.choose(group), inputs)

    assert cards["DATE-OBS"] == "2026-01-16T04:02:00.000"
    assert (cards["DATE-BEG"], cards["DATE-END"]) == ("2026-01-16T04:00:00.000", "2026-01-16T04:06:20.000")
    assert cards["EXPTIME"] == 360.0
    assert cards["AIRMASS"] == pytest.approx((100 * 1.0 + 120 * 1.1 + 140 * 1.2) / 360)
    assert min(cards["CENTAZ"], 360 - cards["CENTAZ"]) < 1.0
    assert cards["SATURATE"] == pytest.approx(0.92 * 59700)
    assert [cards[f"IMCMB00{i}"] for i in (1, 2, 3)] == [f"calib_{i}.fits" for i in range(3)]
    assert all(len(key) <= 8 for key in cards)


def test_the_exposure_weighted_middle_is_the_average_date():
    group = [reduced("0", exposure=100.0), reduced("1", start=START + timedelta(seconds=200), exposure=300.0)]
    cards = stack_members.header(stack_members.choose(group), [{}, {}])

    # middles at 50 s and 350 s, weights 1 and 3
    assert cards["DATE-AVG"] == "2026-01-16T04:04:35.000"


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"OBJCTRA": "07 20 00.00", "OBJCTDEC": "-00 30 00.0"}, (110.0, -0.5)),
        ({"OBJCTRA": "07:20:00", "OBJCTDEC": "+30:00:00"}, (110.0, 30.0)),
        ({"OBJCTRA": "", "OBJCTDEC": "x"}, (1.0, 2.0)),
        ({}, (1.0, 2.0)),
    ],
)
def test_the_centre_is_that_of_the_field(cards, expected):
    assert stack_members.centre(cards, (1.0, 2.0)) == pytest.approx(expected)


def test_the_centre_is_that_of_the_tile_where_the_frame_lies_there():
    cards = {"OBJCTRA": "07 20 00.00", "OBJCTDEC": "-00 30 00.0"}
    assert stack_members.centre(cards, (359.9, -30.2), (0.3, -30.0)) == (0.3, -30.0)
    assert stack_members.centre(cards, (110.0, -30.2), (0.3, -30.0)) == pytest.approx((110.0, -0.5))


def test_weights_forget_the_stars_and_keep_the_vignetting():
    y, x = np.mgrid[:256, :320]
    sky = 100.0 * (1 + ((x - 160) ** 2 + (y - 128) ** 2) / 2e5)
    variance = sky.copy()
    variance[100:112, 100:112] += 1e5
    mask = np.zeros(sky.shape, np.uint8)
    mask[5, 5], mask[6, 6], mask[7, 7] = 1, 2, 32
    weight = weight_of(variance, mask)

    assert (weight[5, 5], weight[7, 7]) == (0, 0)
    assert weight[6, 6] > 0
    ratio = weight[32:-32, 32:-32] * sky[32:-32, 32:-32]
    assert np.abs(ratio - 1).max() < 0.03


def test_a_part_has_the_weights_of_the_whole(rng):
    variance, mask = rng.uniform(50, 60, (200, 150)), np.zeros((200, 150), np.uint8)
    part = slice(31, 170), slice(40, 149)
    np.testing.assert_array_equal(weight_of(variance, mask, *part), weight_of(variance, mask)[part])


def weight_of(variance, mask, *part):
    rows, columns = part or (slice(0, variance.shape[0]), slice(0, variance.shape[1]))
    noise = weight_maps.SkyNoise.of(lambda r, c: (variance[r, c], mask[r, c]), variance.shape)
    return noise.weight(variance[rows, columns], mask[rows, columns], rows, columns)


def test_a_block_without_a_usable_pixel_takes_its_neighbours_noise():
    variance, mask = np.full((192, 192), 9.0), np.zeros((192, 192), np.uint8)
    mask[:64] = 16
    weight = weight_of(variance, mask)
    assert (weight[:64] == 0).all()
    assert weight[64:] == pytest.approx(1 / 9)


def test_a_frame_without_a_usable_pixel_has_no_weights():
    with pytest.raises(UnusableData, match="no pixel of the frame is usable"):
        weight_of(np.zeros((64, 64)), np.zeros((64, 64), np.uint8))


def test_frames_of_all_units_may_be_grouped_together():
    rows = [reduced(str(i), unit=f"7DT0{i}", start=START + timedelta(seconds=100 * i)) for i in range(1, 4)]
    assert [len(group) for group in stack_members.group_by_gap(rows, 300.0)] == [1, 1, 1]
    [group] = stack_members.group_by_gap(rows, 300.0, together=True)
    cards = stack_members.header(stack_members.choose(group), [{}, {}, {}])
    assert (cards["NUNITS"], cards["UNITS"]) == (3, "7DT01,02,03")


def test_a_median_has_equal_weights_and_two_thirds_of_the_gain():
    group = [reduced("a", sky=40.0), reduced("b", sky=80.0), reduced("c", sky=20.0)]
    chosen = stack_members.choose(group, equal=True)
    cards = stack_members.header(chosen, [{"EGAIN": 0.25}] * 3, median=True)
    assert [member.weight for member in chosen.members] == pytest.approx([1 / 3] * 3)
    assert cards["EGAIN"] == pytest.approx(2 / 3 * 3 * 0.25)


def test_frames_of_another_seeing_keep_the_cores_of_their_stars():
    members = stack_members.choose(
        [reduced("a", seeing=3.0), reduced("b", seeing=3.0), reduced("c", seeing=2.0)]
    ).members
    fraction = stack_members.clip_fraction(members)
    core = np.array([1 / member.frame.photometry.seeing_arcsec**2 for member in members])
    assert (np.abs(core - np.median(core)) < fraction * np.median(core)).all()
    assert stack_members.clip_fraction(members[:2]) == pytest.approx(0.3)


def test_frames_that_were_chosen_before_are_not_judged_again():
    group = [reduced("a"), reduced("b"), reduced("c", zp=27.4, seeing=4.0)]
    assert len(stack_members.choose(group, judge=False).members) == 3


def test_the_flux_scale_of_the_camera_software_does_not_count():
    [one, other] = stack_members.choose([reduced("a"), reduced("b", exposure=60.0)]).members
    assert one.scale == other.scale == 1.0


def test_a_stack_of_a_thousand_frames_lists_five_hundred_in_its_header():
    group = [reduced(f"{i:04d}", start=START + timedelta(seconds=i)) for i in range(600)]
    cards = stack_members.header(stack_members.choose(group), [{}] * 600)
    assert cards["NCOMBINE"] == 600
    assert "IMCMB500" in cards
    assert all(len(key) <= 8 for key in cards)


def test_planes_tell_empty_thin_and_saturated_pixels(xp):
    weight = xp.full((20, 20), 0.01)
    weight[0], weight[1] = 0, 0.002
    image = xp.zeros((20, 20))
    image[5, 5] = 1000.0
    saturated = xp.zeros((20, 20), dtype=bool)
    saturated[5, 5] = True
    variance, mask = map(arrays.to_host, stack_members.planes(image, weight, saturated, frames=3, egain=0.5))

    assert (mask[0] == 16).all()
    assert (mask[1] == 16).all()
    assert mask[5, 5] == 2
    assert np.isfinite(variance).all()
    assert variance[5, 5] == pytest.approx(100 + 2000)
    assert arrays.to_host(stack_members.planes(image, weight, saturated, frames=2, egain=0.5)[1])[1].max() == 0


def test_marks_beyond_the_border_are_left_out():
    image = np.zeros((5, 6), dtype=bool)
    stack_members.mark(image, np.array([0.2, 5.4, 99.0]), np.array([0.1, 3.6, -7.0]))

    assert sorted(zip(*np.nonzero(image), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (3, 4),
        (3, 5),
        (4, 4),
        (4, 5),
    ]
