"""Simulated night and alert with known truth: the oracle of the end-to-end tests.

The camera, the site, the sky brightness and the zero points are those of the 7-Dimensional Telescope's production
frames; stars, galaxies and transients are drawn. Every random number comes from a stream named by the seed and the
simulated object (`plan.stream`), so that each frame is the same for any order and number of other frames.

Left out on purpose: the pixel area's change over the field (0.5 % at most), charge bleeding, scattered light.
"""
