"""New databases, and what tests write into them where any table would do."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import text

from stoker.core.database import Database

ADD = text("INSERT INTO counters VALUES (:name, :value)")


@cache
def empty_database() -> bytes:
    """Return a new database's file, which takes longer to make than to copy."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "stoker.db"
        with Database.at(path):
            pass
        return path.read_bytes()


def add(database: Database, name: str, value: int = 1) -> None:
    """Write a row."""
    with database.transaction() as connection:
        connection.execute(ADD, {"name": name, "value": value})


def names(database: Database) -> list[str]:
    """Return what names were written."""
    with database.reader() as connection:
        return [row[0] for row in connection.execute(text("SELECT name FROM counters"))]
