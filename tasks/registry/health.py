"""Whether the database of the registry answers, without changing anything in it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from tasks.errors import Unavailable


def exists(url: str) -> bool:
    """Tell whether there is a database at ``url``: a file that is not there yet is none."""
    target = make_url(url)
    return target.get_backend_name() != "sqlite" or Path(str(target.database)).is_file()


def named(url: str) -> str:
    """Name a database in words, its password hidden."""
    return make_url(url).render_as_string(hide_password=True)


def of(url: str, *, answer_s: float) -> str:
    """Say in words which database is at ``url``, its password hidden, and how many tables it has.

    Raises
    ------
    Unavailable
        If it does not answer within ``answer_s`` seconds.
    """
    target, words = make_url(url), named(url)
    if not exists(url):
        return f"{words} (made at first use)"
    postgresql = target.get_backend_name() == "postgresql"
    limit = {"connect_timeout": int(answer_s)} if postgresql else {"timeout": answer_s}
    driver = "postgresql+psycopg" if postgresql else target.drivername
    engine = sa.create_engine(target.set(drivername=driver), connect_args=limit)
    try:
        with engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
    except sa.exc.OperationalError as error:
        raise Unavailable(f"{words} does not answer ({type(error.orig).__name__})") from None
    finally:
        engine.dispose()
    return f"{words}, {len(tables)} tables"
