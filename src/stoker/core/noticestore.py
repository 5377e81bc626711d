"""The queries on notices, triggers and crontabs, once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from stoker.core.database import Database
from stoker.core.models import NOBODY
from stoker.core.notices import Notice, Trigger
from stoker.core.repository import Repository
from stoker.core.rows import decoder, encode
from stoker.core.schema import counters, crontabs, jobs, notices, triggers

NEXT_TRIGGER_ID: Final = "next_trigger_id"

_LOOKED_AT_MAX: Final = 5000
"""Of what is due, this much at a time."""

_decode_notice = decoder(Notice)
_decode_trigger = decoder(Trigger)


class ArrayEnd(NamedTuple):
    """What became of the tasks of an array that ended in one state."""

    state: str
    min_code: int
    max_code: int
    max_signal: int


class NoticeStore:
    """The queries; it keeps nothing of its own."""

    def __init__(self, database: Database) -> None:
        """Work on *database*, which is open."""
        self._database = database
        self._repository = Repository(database)

    # Notices.

    def add(self, connection: Connection, notice: Notice, at: float) -> None:
        """Record a notice; of one event there is only one."""
        known = select(notices.c.event_id).where(notices.c.event_id == notice.event_id)
        if connection.execute(known).first() is None:
            row = {"at": at, "body": encode(notice), "due_at": notice.due_at or at}
            connection.execute(notices.insert(), {"event_id": notice.event_id, **row})

    def due(self, now: float, count: int) -> dict[int, list[Notice]]:
        """Return by user id what is to be delivered now, the older first, so many of each.

        However much one user has, others are found beside it, if it is not beyond all measure.
        """
        query = (
            select(notices.c.body)
            .where(notices.c.due_at > 0, notices.c.due_at <= now)
            .order_by(notices.c.due_at)
            .limit(_LOOKED_AT_MAX)
        )
        found: dict[int, list[Notice]] = {}
        with self._database.reader() as connection:
            for row in connection.execute(query):
                notice = _decode_notice(row[0])
                own = found.setdefault(notice.owner.user_id if notice.owner else NOBODY, [])
                if len(own) < count:
                    own.append(notice)
        return found

    def next_due_at(self) -> float | None:
        """Return when the next notice is to be delivered, if there is one."""
        query = select(func.min(notices.c.due_at)).where(notices.c.due_at > 0)
        with self._database.reader() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else float(found)

    def put_off(self, notice: Notice) -> None:
        """Record that a notice is to be tried again at its ``due_at``; 0: never."""
        body = encode(notice) if notice.due_at else b""
        with self._database.transaction() as connection:
            connection.execute(
                notices.update()
                .where(notices.c.event_id == notice.event_id)
                .values(body=body, due_at=notice.due_at)
            )

    def forget(self, before: float) -> None:
        """Remove what was settled, and came before that time."""
        with self._database.transaction() as connection:
            connection.execute(notices.delete().where(notices.c.due_at == 0, notices.c.at < before))

    def array_ends(self, array_job_id: int) -> list[ArrayEnd]:
        """Return how the tasks of an array have ended that are on record, by state."""
        query = (
            select(
                jobs.c.state,
                func.min(jobs.c.exit_code),
                func.max(jobs.c.exit_code),
                func.max(jobs.c.exit_signal),
            )
            .where(jobs.c.array_job_id > 0, jobs.c.array_job_id == array_job_id)
            .where(jobs.c.end_at > 0)
            .group_by(jobs.c.state)
        )
        with self._database.reader() as connection:
            return [ArrayEnd(*row) for row in connection.execute(query)]

    # Triggers.

    def triggers(self) -> list[Trigger]:
        """Return all triggers, by id."""
        query = select(triggers.c.body).order_by(triggers.c.trigger_id)
        with self._database.reader() as connection:
            return [_decode_trigger(row[0]) for row in connection.execute(query)]

    def next_trigger_id(self) -> int:
        """Return an id above every one that was ever given out."""
        query = select(counters.c.value).where(counters.c.name == NEXT_TRIGGER_ID)
        with self._database.reader() as connection:
            return int(connection.execute(query).scalar() or 1)

    def add_trigger(self, connection: Connection, trigger: Trigger) -> None:
        """Record a trigger, and that its id is taken."""
        row: dict[str, Any] = {"trigger_id": trigger.trigger_id, "body": encode(trigger)}
        connection.execute(triggers.insert(), row)
        self._repository.set_counter(connection, NEXT_TRIGGER_ID, trigger.trigger_id + 1)

    def remove_triggers(self, connection: Connection, trigger_ids: Iterable[int]) -> None:
        """Remove triggers."""
        for trigger_id in trigger_ids:
            connection.execute(triggers.delete().where(triggers.c.trigger_id == trigger_id))

    # Crontabs.

    def crontab(self, user_id: int) -> str:
        """Return the text of a user's crontab; "" if there is none."""
        query = select(crontabs.c.body).where(crontabs.c.user_id == user_id)
        with self._database.reader() as connection:
            found = connection.execute(query).scalar()
        return bytes(found or b"").decode("utf-8", "surrogateescape")

    def save_crontab(self, connection: Connection, user_id: int, text: str) -> None:
        """Record a user's crontab; "" removes it."""
        connection.execute(crontabs.delete().where(crontabs.c.user_id == user_id))
        if text:
            body = text.encode("utf-8", "surrogateescape")
            connection.execute(crontabs.insert(), {"user_id": user_id, "body": body})
