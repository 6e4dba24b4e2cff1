"""Cosmic rays by L.A.Cosmic (van Dokkum 2001, PASP 113, 1420): sharp where stars are smooth."""

from __future__ import annotations

import astroscrappy
import numpy as np

from tasks.science.arrays import Array, array_namespace, to_host


def detect(image: Array, variance: Array, *, ignore: Array) -> Array:
    """Return a mask of the pixels that cosmic rays hit."""
    xp = array_namespace(image)
    mask, _ = astroscrappy.detect_cosmics(
        to_host(image),
        inmask=to_host(ignore),
        invar=to_host(variance).astype(np.float32),
        sigclip=4.5,
        sigfrac=0.3,
        objlim=5.0,
        gain=1.0,
        satlevel=np.inf,
        niter=4,
        sepmed=True,
        cleantype="meanmask",
        fsmode="median",
    )
    return xp.asarray(mask)
