"""Prefect tasks of the outbox: announcements, pages, uploads and digests."""
