"""The Prefect server: blocks, automations, checks, and everything on one machine."""
