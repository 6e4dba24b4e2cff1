"""Convolution in tiles with kernels that vary over the field: bases, polynomials, convolution.

A kernel that varies over the field is ``K(u, v; x, y) = sum_p P_p(x, y) K_p(u, v)``, so a convolution
takes one forward Fourier transform of a tile and one inverse per polynomial term, for any number of basis functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import fft

from tasks.science import arrays
from tasks.science.arrays import Array

# the kernel is that of the tile's centre: larger tiles vary more within, smaller ones transform more margin
TILE_PX = 512


def gaussian_basis(sigmas: Sequence[float], degrees: Sequence[int], half_width: int) -> Array:
    """Return Gaussians times polynomials, (n, 2 half_width + 1, 2 half_width + 1), in Alard and Lupton's basis.

    The first has unit sum and all others zero sum, so that the first coefficient is the kernel's sum.

    References
    ----------
    Alard and Lupton 1998, ApJ 503, 325; Alard 2000, A&AS 144, 363 (constant flux ratio).
    """
    v, u = np.mgrid[-half_width : half_width + 1, -half_width : half_width + 1] / half_width
    functions = []
    for sigma, degree in zip(sigmas, degrees, strict=True):
        bell = np.exp(-((u**2 + v**2) * half_width**2) / (2 * sigma**2))
        functions += [bell * u**i * v**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    return _zero_sums(functions)


def delta_basis(half_width: int) -> Array:
    """Return one function per pixel of a disc, in the same convention: the first has unit sum, the others zero sum.

    References
    ----------
    Bramich 2008, MNRAS 386, L77; Becker et al. 2012, MNRAS 425, 1341.
    """
    size = 2 * half_width + 1
    v, u = np.mgrid[-half_width : half_width + 1, -half_width : half_width + 1]
    distance = np.hypot(u, v).ravel()
    inside = np.argsort(distance, kind="stable")[: int((distance <= half_width + 0.5).sum())]
    return _zero_sums(list(np.eye(size * size)[inside].reshape(-1, size, size)))


def _zero_sums(functions: Sequence[Array]) -> Array:
    """Scale the first to unit sum; subtract it from the others to give them zero sum, then scale those to unit norm."""
    first = functions[0] / functions[0].sum()
    rest = [function - function.sum() * first for function in functions[1:]]
    return np.stack([first, *(function / np.linalg.norm(function) for function in rest)])


@dataclass(frozen=True, kw_only=True)
class VaryingKernel:
    """Kernels (terms, k, k), one per term of the field's polynomial of ``degree``, on an image of ``shape``."""

    terms: Array
    degree: int
    shape: tuple[int, int]

    def at(self, x: float, y: float) -> Array:
        """Return the kernel at a position, (k, k)."""
        factors = polynomials(np.array([x]), np.array([y]), self.shape, self.degree)[:, 0]
        return np.tensordot(factors, self.terms, axes=1)

    @property
    def centre(self) -> Array:
        """The kernel at the field's centre."""
        return self.at((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)


def polynomials(x: Array, y: Array, shape: tuple[int, int], degree: int) -> Array:
    """Return the terms x^i y^j of total degree up to ``degree`` (constant first); coordinates run from -1 to 1."""
    xp = arrays.array_namespace(x)
    u, v = 2 * x / max(shape[1] - 1, 1) - 1, 2 * y / max(shape[0] - 1, 1) - 1
    return xp.stack([u ** (n - j) * v**j for n in range(degree + 1) for j in range(n + 1)])


def convolve_varying(image: Array, kernel: VaryingKernel, *, beyond: Literal["edge", "constant"] = "edge") -> Array:
    """Convolve an image without NaN, (ny, nx), with a kernel that varies over it; see ``convolve`` for the border."""
    xp = arrays.array_namespace(image)

    def one(padded: Array, rows: slice, columns: slice) -> Array:
        size = _fast(padded.shape)
        spectrum = xp.fft.rfft2(padded, size)
        x, y = xp.meshgrid(xp.arange(columns.start, columns.stop), xp.arange(rows.start, rows.stop))
        factors = polynomials(x, y, kernel.shape, kernel.degree).astype(xp.float32)
        parts = (_back(xp, spectrum, term, size, x.shape) for term in kernel.terms)
        return sum(factor * part for factor, part in zip(factors, parts, strict=True))

    return _in_tiles(image, kernel.terms.shape[-1] // 2, one, beyond=beyond)


def convolve_squared(image: Array, kernel: VaryingKernel) -> Array:
    """Convolve a variance with the square of the kernel at the centre of each tile."""
    return _convolve_local(image, kernel, np.square)


def convolve_absolute(image: Array, kernel: VaryingKernel) -> Array:
    """Convolve with the absolute value of the kernel at the centre of each tile."""
    return _convolve_local(image, kernel, np.abs)


def convolve(image: Array, kernel: Array, *, beyond: Literal["edge", "constant"] = "edge") -> Array:
    """Convolve an image without NaN, (ny, nx), with one kernel, (k, k), k odd.

    Beyond the border the image is extended (``edge``) or zero (``constant``).
    """
    return convolve_varying(image, VaryingKernel(terms=kernel[None], degree=0, shape=image.shape), beyond=beyond)


def _convolve_local(image: Array, kernel: VaryingKernel, change: Callable[[Array], Array]) -> Array:
    xp = arrays.array_namespace(image)

    def one(padded: Array, rows: slice, columns: slice) -> Array:
        local = change(kernel.at((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2))
        size = _fast(padded.shape)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        return _back(xp, xp.fft.rfft2(padded, size), local, size, shape)

    return _in_tiles(image, kernel.terms.shape[-1] // 2, one)


def _fast(shape: tuple[int, int]) -> tuple[int, int]:
    return fft.next_fast_len(shape[0], real=True), fft.next_fast_len(shape[1], real=True)


def _back(xp: Array, spectrum: Array, kernel: Array, size: tuple[int, int], shape: tuple[int, int]) -> Array:
    """Multiply two spectra, transform back, and keep the part free of wrap-around."""
    start = kernel.shape[-1] - 1
    other = xp.fft.rfft2(xp.asarray(kernel, dtype=xp.float32), size)
    return xp.fft.irfft2(spectrum * other, size)[start : start + shape[0], start : start + shape[1]]


def _in_tiles(
    image: Array,
    half: int,
    one: Callable[[Array, slice, slice], Array],
    *,
    beyond: Literal["edge", "constant"] = "edge",
) -> Array:
    """Apply ``one`` to each tile, widened by ``half`` on all sides; on the CPU with one thread per core."""
    xp = arrays.array_namespace(image)
    padded = xp.pad(image.astype(xp.float32), half, mode=beyond)
    out = xp.empty(image.shape, dtype=xp.float32)

    def work(tile: tuple[slice, slice]) -> None:
        rows, columns = tile
        wide = padded[rows.start : rows.stop + 2 * half, columns.start : columns.stop + 2 * half]
        out[rows, columns] = one(wide, rows, columns)

    with ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) if xp is np else 1) as pool:
        list(pool.map(work, tiles(image.shape)))
    return out


def tiles(shape: tuple[int, int], size: int = TILE_PX) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of tiles that cover an image."""
    for row in range(0, shape[0], size):
        for column in range(0, shape[1], size):
            yield slice(row, min(row + size, shape[0])), slice(column, min(column + size, shape[1]))
