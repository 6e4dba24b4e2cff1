"""Migrations of the registry, run by ``tasks.registry.schema``."""
