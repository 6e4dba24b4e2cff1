"""The durable record of notices, effects and products: SQLAlchemy models, Alembic migrations, queries."""
