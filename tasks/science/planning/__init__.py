"""From a sky map to scheduled tiles: visibility, tiling, galaxies, schedulers."""
