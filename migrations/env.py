"""Alembic's entry: core.store.migrate hands it all it needs; `alembic revision` and `alembic check` get that here."""

from alembic import context

given = context.config.attributes
if "connection" in given:
    connection, metadata = given["connection"], given["metadata"]
else:  # in a checkout, where the package is called core
    from core.store.db import get_engine
    from core.store.tables import METADATA

    connection, metadata = get_engine().connect(), METADATA

context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
