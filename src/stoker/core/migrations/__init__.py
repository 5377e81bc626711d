"""Migrations: each a file in `versions`, applied in one transaction, all or nothing."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from stoker.core.schema import APPLICATION_ID


def upgrade(engine: Engine, version: str) -> None:
    """Bring the database of *engine* to *version*."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        if is_sqlite:
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        connection.exec_driver_sql("COMMIT")
