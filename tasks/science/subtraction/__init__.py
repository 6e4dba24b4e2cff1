"""From a science and a reference image to a difference: registration, kernels, engines."""
