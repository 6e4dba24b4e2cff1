"""Numbers that several rooms share: units, epochs, sizes of formats, and conventions that must be the same everywhere."""

from __future__ import annotations

import math

DAY_S = 86400.0
JULIAN_YEAR_S = 365.25 * DAY_S
UNIX_EPOCH_JD = 2440587.5
"""Julian date of 1970-01-01T00:00 UTC."""
MJD_ZERO_JD = 2400000.5
"""Julian date at which the modified one is 0 (IAU 1973)."""
GAIA_EPOCH_YEAR = 2016.0
"""Epoch of the positions of Gaia EDR3 and DR3 (Lindegren et al. 2021, A&A 649, A2)."""

MAS_PER_DEG = 3.6e6
SIGMA_TO_FWHM = 2.3548
"""Full width at half maximum of a Gaussian, in sigma: 2 sqrt(2 ln 2)."""
HALF_LIGHT_TO_SIGMA = 2 / SIGMA_TO_FWHM
"""Sigma of a Gaussian in units of the radius that holds half its light, which is half its FWHM."""
MAG_PER_RELATIVE_FLUX = 2.5 / math.log(10)
"""Magnitudes for a small relative change of the flux."""

FITS_BLOCK, FITS_CARD = 2880, 80
"""Bytes of a block and of a card (FITS 4.0, sections 3.1 and 3.2)."""
CARD_TEXT = 68
"""Characters of a text that fit one card: less the keyword, the equals sign, a space and two quotes (section 4.2.1)."""

USUAL_CONTAINMENT = 0.9
"""Probability within an error radius whose notice states none (default of GCN's unified schema)."""
EQUAL_SEEING = 1.05
"""A reference whose FWHM is at most this many times the science image's is the one convolved: within 5 % they are equal."""
SMALLEST_CLIPPED = 3
"""Fewest frames of a clipped mean: of two values none is the outlier."""

FIRST_YEAR, LAST_YEAR = 1990, 2100
"""Years in which observations are planned: the series of Sun, Moon and Earth rotation hold to arcminutes, and no date overflows."""
