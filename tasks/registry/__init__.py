"""The durable record of notices, effects and products: SQLAlchemy models, Alembic migrations, queries.

``registry.open(url)`` gives a ``Registry``. Every change is an insert that a unique key makes happen once, or a
compare-and-set; outbox rows are written in the transaction of their cause.
"""

from sqlalchemy.orm import Session

from tasks.registry.schema import current, differences, downgrade, upgrade
from tasks.registry.store import Registry, open_registry

open = open_registry  # noqa: A001 - read as registry.open wherever it is called

__all__ = ["Registry", "Session", "current", "differences", "downgrade", "open", "open_registry", "upgrade"]
