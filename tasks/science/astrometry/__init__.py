"""From detections to a WCS: pointing, matching, checks."""
