"""Credentials and places: Prefect blocks, each with fields and one method that returns a ready client."""
