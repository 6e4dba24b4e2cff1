"""Reduced frames of one object and filter to one deeper image on the field's own grid, measured like its frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import ProgramError, UnusableData
from tasks.io import frames, ldac, photcat, reference_cells
from tasks.options import StackOptions
from tasks.programs import outputs, source_extractor, swarp
from tasks.records import Astrometry, QaBit, Reduced, Stack, StageResult
from tasks.science import astrometry, depths, in_process, matching, photometry, projection, provenance, stacking
from tasks.science.headers import Header
from tasks.science.matching import Floats
from tasks.science.stacking import Combination

log = logging.getLogger(__name__)

GRID_TOLERANCE_PX = 0.01
MATCH_SNR = 20.0


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The pixels of a stack."""

    wcs: WCS
    shape: tuple[int, int]


def group(results: Iterable[StageResult], options: StackOptions) -> tuple[tuple[Reduced, ...], ...]:
    """Group the reduced frames of a night: one object, unit and filter, without a long pause."""
    return stacking.group_by_gap([each for result in results for each in result.reduced], options.gap_s)


@task(name="combine", cache_policy=NO_CACHE, persist_result=False)
def combine(group: tuple[Reduced, ...], catalogue: Path, root: Path, options: StackOptions) -> Stack:
    """Combine a group of frames into a stack with variance, mask, zero points and catalogue."""
    started = time.monotonic()
    chosen = stacking.choose(group)
    image = _place(chosen, root)
    files = reference_cells.files(catalogue, [(each.astrometry.ra_deg, each.astrometry.dec_deg) for each in group])
    recipe = products.Recipe(stage="combine", inputs=(*_inputs(group), *files), options=options)
    if (known := products.recall(recipe, image, Stack)) is not None:
        return known
    frame = chosen.reference.frame
    place = naming.NightTree(root=root).scratch(frame.unit, naming.night_of(frame.date_obs))
    with outputs.scratch(place, "stack") as folder:
        stack = _make(chosen, reference_cells.read(files), image, folder, options)
    stack = replace(stack, seconds=time.monotonic() - started)
    products.remember(recipe, [image, stack.variance, stack.mask, stack.photometry.catalogue], stack)
    _tell(stack, chosen)
    return stack


def _place(chosen: Combination, root: Path) -> Path:
    frame = chosen.reference.frame
    stem = naming.image_stem(frame.object, frame.unit, frame.filter, chosen.date_obs, chosen.exposure_s)
    return naming.NightTree(root=root).science(frame.object, frame.unit, frame.filter) / f"{stem}.com.fits"


def _inputs(group: Sequence[Reduced]) -> list[Path]:
    return [path for item in group for path in (item.image, item.variance, item.mask)]


def _make(chosen: Combination, reference: Table, image: Path, folder: Path, options: StackOptions) -> Stack:
    headers = [frames.read_header(member.frame.image) for member in chosen.members]
    cards = stacking.header(chosen, headers)
    grid = _grid(chosen, cards, options)
    combined = _swarp(chosen, headers, grid, folder, options)
    data, weight = frames.read_image(combined.image)[0], frames.read_image(combined.weight)[0]
    saturated = _saturated(chosen, headers, grid)
    egain = float(cards["EGAIN"])
    variance, mask = stacking.planes(data, weight, saturated, frames=len(chosen.members), egain=egain)
    cards |= astrometry.cards_of(grid.wcs)
    raw = folder / "measured.fits"
    frames.write_image(raw, data, cards)
    frames.write_image(folder / "measured.mask.fits", mask, cards)
    taken = in_process.Image(
        data=data, mask=mask, cards=cards, scale_arcsec=options.scale_arcsec, variance=np.asarray(variance)
    )
    found = _measure(raw, combined.weight, taken, reference, chosen, folder, image, options)
    fit = _astrometry(found, grid)
    cards |= {**found.cards, **astrometry.quality_cards(fit, grid.wcs, grid.shape), "SATLV": cards["SATURATE"]}
    cards |= provenance.with_doubt(cards, QaBit.FILTER_DOUBTFUL, found.doubt)
    _write(image, data, variance, mask, cards)
    text = naming.photometry_of(image)
    with products.staged(text) as temporary:
        photcat.write(
            temporary, found.table, {key.lower(): cards[key] for key in ("OBJECT", "FILTER", "DATE-OBS", "JD", "MJD")}
        )
    frame = chosen.reference.frame
    return Stack(
        object=frame.object,
        unit=frame.unit,
        filter=frame.filter,
        date_obs=chosen.date_obs,
        exposure_s=chosen.exposure_s,
        image=image,
        variance=naming.variance_of(image),
        mask=naming.mask_of(image),
        inputs=tuple(member.frame.image for member in chosen.members),
        photometry=found.photometry,
        astrometry=fit,
        rejected=chosen.rejected,
    )


def _grid(chosen: Combination, cards: Header, options: StackOptions) -> Grid:
    """Return the grid that all epochs of the field share."""
    best = chosen.reference
    ra, dec = stacking.centre(cards, (best.astrometry.ra_deg, best.astrometry.dec_deg))
    shape = projection.stack_shape(frames.open_image(best.image).shape)
    return Grid(wcs=projection.field_wcs(ra, dec, shape=shape, scale_arcsec=options.scale_arcsec), shape=shape)


def _swarp(
    chosen: Combination, headers: Sequence[frames.Header], grid: Grid, folder: Path, options: StackOptions
) -> swarp.Result:
    inputs = [
        swarp.Input(
            image=member.frame.image,
            weight=_weight(member.frame, folder / f"frame-{index:04d}.weight.fits"),
            flux_scale=member.scale,
            egain=float(header.get("EGAIN", 1.0)),
        )
        for index, (member, header) in enumerate(zip(chosen.members, headers, strict=True), start=1)
    ]
    wanted = swarp.Options(
        clip_sigma=options.clip_sigma,
        background_px=options.background_px,
        threads=options.slots,
        timeout_s=options.program_timeout_s,
    )
    ra, dec = (float(value) for value in grid.wcs.wcs.crval)
    place = swarp.Grid(ra_deg=ra, dec_deg=dec, scale_arcsec=options.scale_arcsec, shape=grid.shape)
    result = swarp.combine(inputs, place, folder, wanted)
    _check_grid(result.image, grid)
    return result


def _weight(item: Reduced, place: Path) -> Path:
    variance, mask = frames.read_image(item.variance)[0], frames.read_image(item.mask)[0]
    frames.write_image(place, stacking.weights_of(variance, mask), {})
    return place


def _check_grid(image: Path, grid: Grid) -> None:
    """Raise ``ProgramError`` where the image does not lie on the grid: every later epoch would be shifted."""
    header = frames.read_header(image)
    wcs = astrometry.wcs_of({key: value for key, value in header.items() if key not in {"NAXIS1", "NAXIS2"}})
    ny, nx = grid.shape
    corners = np.array([(0.0, 0.0), (nx - 1.0, ny - 1.0)])
    there = grid.wcs.wcs_world2pix(wcs.wcs_pix2world(corners, 0), 0)
    if (worst := float(np.abs(there - corners).max())) > GRID_TOLERANCE_PX:
        raise ProgramError(f"swarp's pixels are {worst:.3f} px off the field's grid")


def _saturated(chosen: Combination, headers: Sequence[frames.Header], grid: Grid) -> Floats:
    """Tell which pixels of the grid lie on or beside a saturated pixel of a frame."""
    marked = np.zeros(grid.shape, dtype=bool)
    for member, header in zip(chosen.members, headers, strict=True):
        y, x = np.nonzero(frames.read_image(member.frame.mask)[0] & stacking.SATURATED)
        if len(x):
            ra, dec = astrometry.wcs_of(header).all_pix2world(x, y, 0)
            stacking.mark(marked, *grid.wcs.wcs_world2pix(ra, dec, 0))
    return marked


def _measure(
    image: Path,
    weight: Path,
    taken: in_process.Image,
    reference: Table,
    chosen: Combination,
    folder: Path,
    place: Path,
    options: StackOptions,
) -> photometry.Measured:
    def extract(*, seeing_arcsec: float, diameters_px: tuple[float, ...]) -> photometry.Extracted:
        wanted = source_extractor.Options(
            detect_threshold=options.photometry.detect_threshold,
            diameters_px=diameters_px,
            seeing_arcsec=seeing_arcsec,
            weight=weight,
            flags=naming.mask_of(image),
            timeout_s=options.program_timeout_s,
        )
        result = source_extractor.extract(image, folder / f"pass-{seeing_arcsec:.4f}", wanted)
        table = ldac.read(result.catalogue)
        return photometry.Extracted(table=table, sky_adu=result.sky_adu, sky_sigma_adu=result.sky_sigma_adu)

    field = photometry.Field(
        filter=chosen.reference.frame.filter,
        shape=taken.data.shape,
        epoch=matching.julian_year(chosen.date_obs),
        scale_arcsec=options.scale_arcsec,
        egain=float(taken.cards["EGAIN"]),
    )
    how = options.photometry
    return photometry.measure(
        in_process.extractor(taken, how) if how.photometry_engine == "sep" else extract,
        reference,
        field,
        catalogue=naming.photometry_of(place),
        options=how,
        pixels=depths.Pixels(image=taken.data, bad=taken.mask != 0),
    )


def _astrometry(found: photometry.Measured, grid: Grid) -> Astrometry:
    """Measure how well the stack's stars lie on the reference."""
    good = (np.asarray(found.table["FLAGS"]) == 0) & (np.asarray(found.table["IMAFLAGS_ISO"]) == 0)
    good &= np.asarray(found.table["FLUX_AUTO"]) > MATCH_SNR * np.asarray(found.table["FLUXERR_AUTO"])
    pixels = np.column_stack([np.asarray(found.table[name])[good] - 1 for name in ("XWIN_IMAGE", "YWIN_IMAGE")])
    residuals = astrometry.residuals(grid.wcs, pixels, found.positions, shape=grid.shape)
    if not len(residuals.x):
        raise UnusableData("no star of the stack lies on the reference")
    return astrometry.measure(residuals, grid.wcs, grid.shape)


def _write(image: Path, data: Floats, variance: Floats, mask: Floats, cards: Header) -> None:
    of_planes = {key: value for key, value in cards.items() if key not in {"BUNIT", "SATURATE"}}
    for place, plane, own in (
        (image, data, cards),
        (naming.variance_of(image), variance, {**of_planes, "BUNIT": "adu2"}),
        (naming.mask_of(image), mask, of_planes),
    ):
        with products.staged(place) as temporary:
            frames.write_image(temporary, plane, own)


def _tell(stack: Stack, chosen: Combination) -> None:
    found = stack.photometry
    log.info(
        '%s %s: %d frames, seeing %.2f", ZP %.3f mag, depth %.2f mag (5 sigma), %.1f s',
        stack.unit,
        stack.image.name,
        len(chosen.members),
        found.seeing_arcsec,
        found.zero_point_mag["AUTO"],
        found.depth5_mag["1"],
        stack.seconds,
    )
    for left in chosen.rejected:
        log.warning("%s is not in the stack: %s", left.name, left.reason)
