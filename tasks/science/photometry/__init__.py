"""From detections to calibrated magnitudes: zero points, depths, reference stars."""
