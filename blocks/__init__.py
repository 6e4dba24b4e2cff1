"""Credentials and places: Prefect blocks, each with fields and one method that returns a ready client."""

from blocks.cluster import Cluster
from blocks.observatory import Observatory

__all__ = ["Cluster", "Observatory"]
