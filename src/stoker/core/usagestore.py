"""The queries on what associations have used, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from stoker.core.database import Database
from stoker.core.repository import Repository
from stoker.core.schema import association_usage, counters

USAGE_AT: Final = "usage_at"
"""The counter that says as of when use is on record, in whole epoch seconds."""


class UsageThen(NamedTuple):
    """CPU seconds by association, and as of when; 0 if nothing was ever recorded."""

    cpu_s: Mapping[int, float]
    at: float


class UsageStore:
    """The queries; it keeps nothing of its own."""

    def __init__(self, database: Database) -> None:
        """Work on *database*, which is open."""
        self._database = database
        self._repository = Repository(database)

    def usage(self) -> UsageThen:
        """Return what is on record."""
        rows = select(association_usage.c.association_id, association_usage.c.cpu_s)
        counter = select(counters.c.value).where(counters.c.name == USAGE_AT)
        with self._database.reader() as connection:
            found = {row.association_id: row.cpu_s for row in connection.execute(rows)}
            at = connection.execute(counter).scalar()
        return UsageThen(found, float(at or 0))

    def save(self, connection: Connection, usage: Mapping[int, float], at: float) -> None:
        """Record the use as of a time, instead of what was there."""
        connection.execute(association_usage.delete())
        rows = [{"association_id": key, "cpu_s": amount} for key, amount in usage.items()]
        if rows:
            connection.execute(association_usage.insert(), rows)
        self._repository.set_counter(connection, USAGE_AT, int(at))
