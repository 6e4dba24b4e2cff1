"""What is said of a registry's database never holds its password."""

from __future__ import annotations

from pathlib import Path

from tasks import registry
from tasks.registry import health


def test_a_database_is_named_without_its_password() -> None:
    url = "postgresql://siren:very-secret@db.example.org:5432/siren"

    assert health.named(url) == "postgresql://siren:***@db.example.org:5432/siren"


def test_a_database_of_a_file_is_there_once_it_was_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.sqlite"
    assert not health.exists(url)
    registry.open(url).close()
    assert health.exists(url)
    assert health.exists("postgresql://db.example.org/siren"), "a server's database is asked, not looked for"
