"""The queries on whose jobs are whose, once: for who must believe nobody but the record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final

from sqlalchemy import and_, select

from stoker.core.database import Database
from stoker.core.enums import AllocationState
from stoker.core.schema import allocations, jobs

_AT_ONCE: Final = 500
"""Numbers in one statement; SQLite allows 999 in the oldest versions that are about."""


class OwnerStore:
    """The queries; it keeps nothing of its own."""

    def __init__(self, database: Database) -> None:
        """Ask *database*, which is open when it is asked."""
        self._database = database

    def owners(self, job_ids: Collection[int]) -> Mapping[int, int]:
        """Return the user ids of the owners of those jobs that are on record."""
        found: dict[int, int] = {}
        rest = iter(job_ids)
        with self._database.reader() as connection:
            while some := list(islice(rest, _AT_ONCE)):
                rows = select(jobs.c.job_id, jobs.c.user_id).where(jobs.c.job_id.in_(some))
                found |= {row.job_id: row.user_id for row in connection.execute(rows)}
        return found

    def holders(self) -> Collection[int]:
        """Return the users who have jobs that hold resources, or are about to."""
        held = and_(jobs.c.end_at == 0, allocations.c.state != AllocationState.RELEASED.value)
        rows = (
            select(jobs.c.user_id)
            .join(allocations, allocations.c.job_id == jobs.c.job_id)
            .where(held)
            .distinct()
        )
        with self._database.reader() as connection:
            return {row.user_id for row in connection.execute(rows)}
