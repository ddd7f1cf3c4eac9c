"""Alembic's entry: core.store.migrate hands it a connection; `alembic revision` and `alembic check` get one here."""

from alembic import context

from core.store.tables import Table

connection = context.config.attributes.get("connection")
if connection is None:
    from core.store.db import get_engine

    connection = get_engine().connect()

context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
