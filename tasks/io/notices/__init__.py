"""Notices as bytes: GCN JSON, LVK alerts and VOEvents become records."""
