"""Credentials and places: Prefect blocks, each with fields and one method that returns a ready client."""

from blocks.cluster import Cluster
from blocks.gcn import GcnCredentials
from blocks.links import PublicLinks
from blocks.observatory import Observatory
from blocks.registry import RegistryDatabase
from blocks.slack import SlackWorkspace
from blocks.store import ProductStore
from blocks.treasuremap import TreasureMap

__all__ = [
    "Cluster",
    "GcnCredentials",
    "Observatory",
    "ProductStore",
    "PublicLinks",
    "RegistryDatabase",
    "SlackWorkspace",
    "TreasureMap",
]
