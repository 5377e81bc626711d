"""The records in a file of SQLite's: what it needs to be as safe as we promise.

WAL mode with ``synchronous=FULL``, looked at on every connection: what was committed is on the
disk. A damaged, foreign or newer file is refused with the remedy, never replaced by an empty one.

Source: SQLite's documentation on WAL and PRAGMA synchronous: only FULL survives a loss of power.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from stoker.core.errors import StoreError, StoreFull
from stoker.core.schema import APPLICATION_ID, SCHEMA_VERSION, metadata
from stoker.core.storefile import check_file, foreign, remedy, write_whole

_VERSION_TABLE: Final = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
_SET_VERSION = text("INSERT INTO alembic_version VALUES (:version)")
_PRAGMAS: Final = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}

# The driver takes numbers and text as they are, but looks each time for a way to adapt a NULL or a
# blob, which takes longer than storing it. With these it finds one at once: they stay as they are.
sqlite3.register_adapter(type(None), lambda none: none)
sqlite3.register_adapter(bytes, bytes)

_FULL: Final = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")
"""A write was refused before anything was synced: no room, no quota, or no leave to write."""


class SqliteStore:
    """One file, as `core.database.Database` uses it; two daemons are told apart by their homes."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is touched."""
        self.place = str(path)
        self._path = path

    def engine(self) -> Engine:
        """Make the file if it is not there, and return what makes connections to it."""
        if not check_file(self._path):
            write_whole(self._path, _make_file)
        return _engine(self._path)

    def hold(self, connection: Connection) -> None:
        """Let this be the writer's connection."""

    def claim(self, connection: Connection) -> None:
        """Say whose jobs these are: the file stands in its home."""

    def judge(self, connection: Connection, version: str | None) -> None:
        """Refuse damaged pages, and what has none of our tables."""
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if verdict != "ok":
            raise StoreError(
                f"cannot use the database {self._path}: {verdict}; {remedy(self._path)}"
            )
        if version is None:
            raise foreign(self._path)

    def set_aside(self, connection: Connection, version: str) -> None:
        """Keep a copy of the records as they are before they are brought to *version*."""
        self.back_up(connection, self._path.with_name(f"{self._path.name}.before-{version}"))

    def back_up(self, connection: Connection, target: Path) -> None:
        """Write a consistent copy; atomically, or not at all."""

        def write(part: Path) -> None:
            connection.exec_driver_sql("VACUUM INTO ?", (str(part),))

        write_whole(target, write)

    def check(self, connection: Connection) -> str | None:
        """Return what is wrong with the records, if anything is."""
        verdict = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        return verdict if verdict != "ok" else None

    def begin(self, connection: Connection) -> None:
        """Begin to write."""
        driver_of(connection).execute("BEGIN IMMEDIATE")

    def commit(self, connection: Connection) -> None:
        """Commit, and sync."""
        driver_of(connection).execute("COMMIT")

    def begin_reading(self, connection: Connection, *, is_new: bool) -> None:
        """Begin to read one state of the records."""
        driver = driver_of(connection)
        if is_new:
            driver.execute("PRAGMA query_only=1")
        driver.execute("BEGIN")

    def roll_back(self, connection: Connection) -> bool:
        """Roll back; return whether the connection can still be used."""
        driver = driver_of(connection)
        # Some failures SQLite rolls back by itself, and then has nothing left to roll back.
        if driver.in_transaction:
            driver.execute("ROLLBACK")
        return True

    def as_store_error(self, error: BaseException) -> StoreError | None:
        """Return what a driver's error means to those above; None if it is none of the driver's."""
        origin = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(origin, sqlite3.Error):
            return None
        name = getattr(origin, "sqlite_errorname", "")
        if name.startswith(_FULL):
            return StoreFull(
                f"cannot write to {self.place}: {origin}; make room on the disk, or look at its "
                "quota and permissions, and try again"
            )
        help_ = ""
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            help_ = f"; {remedy(self._path)}"
        return StoreError(f"cannot use the database {self.place}: {origin}{help_}")


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _engine(path: Path) -> Engine:
    # NullPool: what is closed is closed, and the last one to close copies the log back.
    engine = create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "timeout": 30.0},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "connect", _check_pragmas)
    return engine


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    for name, value in _PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")


def _check_pragmas(connection: sqlite3.Connection, _: object) -> None:
    for name, wanted in _PRAGMAS.items():
        [found] = connection.execute(f"PRAGMA {name}").fetchone()
        if found != wanted:
            [_, _, path] = connection.execute("PRAGMA database_list").fetchone()
            connection.close()
            raise StoreError(
                f"cannot keep jobs safe in {path}: PRAGMA {name} is {found}, not {wanted}; is it "
                "on a network file system? Set STOKER_HOME to a local directory"
            )


def _make_file(path: Path) -> None:
    """Make an empty database what all migrations would make of it; a test compares the two."""
    engine = _engine(path)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        metadata.create_all(connection)
        connection.exec_driver_sql(_VERSION_TABLE)
        connection.execute(_SET_VERSION, {"version": SCHEMA_VERSION})
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
