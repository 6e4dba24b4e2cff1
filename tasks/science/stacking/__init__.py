"""From reduced frames to a stack: members, weights, coadding."""
