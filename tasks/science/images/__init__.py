"""Arithmetic of images that several stages share: combining, convolution, resampling, backgrounds."""
