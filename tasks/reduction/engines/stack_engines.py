"""Engines that combine frames: ``siren`` in this process, and SWarp."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tasks import naming
from tasks.errors import ProgramError
from tasks.io.fits import fits_images
from tasks.options import StackOptions
from tasks.programs import swarp
from tasks.records import Reduced
from tasks.science import arrays
from tasks.science.astrometry import wcs_checks
from tasks.science.astrometry.field_grids import Grid
from tasks.science.stacking import coadding, frame_windows, stack_checks, stack_members
from tasks.science.stacking.coadding import Coadd
from tasks.science.stacking.frame_windows import FramePlanes, Sky
from tasks.science.stacking.stack_members import Combination, Member

GRID_TOLERANCE_PX = 0.01
SWARP_MODES: dict[str, swarp.Mode] = {"clipped": "CLIPPED", "mean": "WEIGHTED", "seed": "MEDIAN"}


@dataclass(frozen=True, kw_only=True)
class StackJob:
    """A stack to make: its frames with their headers, its cards, grid, output path and options."""

    chosen: Combination
    headers: tuple[fits_images.Header, ...]
    cards: fits_images.Header
    grid: Grid
    folder: Path
    options: StackOptions

    @property
    def clip_fraction(self) -> float:
        """Allowed deviation of a value from the median, as a fraction of it, in addition to its noise."""
        return stack_members.clip_fraction(self.chosen.members)

    @property
    def background(self) -> Sky:
        """Kind of background that is subtracted from each frame."""
        extended = naming.object_slugs(self.options.extended)
        large = naming.slug(self.chosen.reference.frame.object) in extended
        return "level" if large and self.options.background == "mesh" else self.options.background


def by_siren(job: StackJob) -> Coadd:
    """Combine in this process, on the device of the slot."""
    options = job.options

    def exposure(pair: tuple[Member, fits_images.Header]) -> coadding.CoaddInput:
        return _exposure(pair[0], pair[1], job)

    with ThreadPoolExecutor(options.slots) as pool:
        exposures = list(pool.map(exposure, zip(job.chosen.members, job.headers, strict=True)))
    recipe = coadding.CoaddRecipe(mode=options.combine, sigma=options.clip_sigma, fraction=job.clip_fraction)
    return coadding.coadd(
        exposures,
        job.grid.wcs,
        shape=job.grid.shape,
        recipe=recipe,
        memory_mb=options.memory_mb,
        threads=options.slots,
        xp=arrays.device(),
    )


def _exposure(member: Member, header: fits_images.Header, job: StackJob) -> coadding.CoaddInput:
    """Return a frame that is read in parts, its sky measured beforehand."""
    frame = member.frame
    image, variance, mask = (fits_images.open_image(path) for path in (frame.image, frame.variance, frame.mask))
    planes = FramePlanes(image=image.part, variance=variance.part, mask=mask.part, shape=image.shape)
    window = frame_windows.window(
        planes, sky=job.background, mesh_px=job.options.background_px, level_adu=frame.photometry.sky_adu
    )
    return coadding.CoaddInput(window=window, shape=image.shape, wcs=wcs_checks.wcs_of(header), scale=member.scale)


def by_swarp(job: StackJob) -> Coadd:
    """Combine with SWarp; ``siren`` counts the frames in each pixel, since SWarp does not."""
    chosen, options, grid = job.chosen, job.options, job.grid
    inputs = [
        swarp.Input(
            image=member.frame.image,
            weight=_weight(member.frame, job.folder / f"frame-{index:04d}.weight.fits"),
            flux_scale=member.scale,
            egain=float(header.get("EGAIN", 1.0)),
        )
        for index, (member, header) in enumerate(zip(chosen.members, job.headers, strict=True), start=1)
    ]
    levels = [member.frame.photometry.sky_adu for member in chosen.members]
    wanted = swarp.Options(
        combine=SWARP_MODES[options.combine],
        clip_sigma=options.clip_sigma,
        clip_fraction=job.clip_fraction,
        background_px=options.background_px,
        subtract_background=job.background != "none",
        levels=tuple(levels) if job.background == "level" else (),
        threads=options.slots,
        timeout_s=options.program_timeout_s,
    )
    ra, dec = (float(value) for value in grid.wcs.wcs.crval)
    place = swarp.OutputGrid(ra_deg=ra, dec_deg=dec, scale_arcsec=grid.scale_arcsec, shape=grid.shape)
    result = swarp.combine(inputs, place, job.folder, wanted)
    _check_grid(result.image, grid)
    image, weight = (fits_images.read_image(path)[0] for path in (result.image, result.weight))
    plain = replace(job, options=replace(options, combine="mean", background="none"))
    return Coadd(image=image, weight=weight, count=by_siren(plain).count)


def _weight(frame: Reduced, place: Path) -> Path:
    variance, mask = (fits_images.read_image(path)[0] for path in (frame.variance, frame.mask))
    fits_images.write_image(place, frame_windows.whole_weight(variance, mask), {})
    return place


def _check_grid(image: Path, grid: Grid) -> None:
    """Raise ``ProgramError`` if the image is off the grid: every later epoch would be shifted."""
    header = fits_images.read_header(image)
    wcs = wcs_checks.wcs_of({key: value for key, value in header.items() if key not in {"NAXIS1", "NAXIS2"}})
    if (worst_px := stack_checks.off_grid_px(wcs, grid)) > GRID_TOLERANCE_PX:
        raise ProgramError(f"swarp's pixels are {worst_px:.3f} px off the field's grid")
