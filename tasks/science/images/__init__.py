"""Image arithmetic shared by several stages: combining, convolution, resampling, backgrounds."""
