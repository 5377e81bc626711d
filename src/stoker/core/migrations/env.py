"""Alembic's entry: runs the migrations on the connection, and in the transaction, it is given."""

from alembic import context

from stoker.core.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
)
context.run_migrations()
