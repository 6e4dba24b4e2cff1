"""Texts and blocks of messages, and the senders that deliver them."""
