"""The registry on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from support import postgres

from tasks import registry


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    if postgres.binaries() is None or postgres.account() is None:
        pytest.skip("PostgreSQL's server binaries are not installed")
    with postgres.server() as socket:
        yield socket


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.sqlite"
    socket = request.getfixturevalue("postgres_socket")
    name = f"test_{abs(hash(request.node.name)) % 10**12}"
    admin = sa.create_engine(f"postgresql+psycopg://siren@/postgres?host={socket}", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    admin.dispose()
    return f"postgresql://siren@/{name}?host={socket}"


@pytest.fixture
def store(url: str) -> Iterator[registry.Registry]:
    opened = registry.open(url)
    yield opened
    opened.close()
