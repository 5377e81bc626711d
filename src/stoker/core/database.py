"""The store: one writer that syncs at each commit, and readers that see a snapshot.

SQLite in WAL mode with ``synchronous=FULL``: what `transaction` has left is on the disk. There is
one writing connection, behind a lock; who has many things to record puts them into one transaction
and pays for one sync. Readers' connections are kept for the next reader, with no transaction open.
A damaged, foreign or newer file is refused with the remedy, never replaced by an empty one. Another
database comes by URL; only this file knows what SQLite needs.

A new database is made from `schema`, an older one goes through Alembic's migrations: both ways lead
to the same tables.

Source: SQLite's documentation on WAL and PRAGMA synchronous: only FULL survives a loss of power.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from stoker.core.errors import StoreError
from stoker.core.schema import APPLICATION_ID, SCHEMA_VERSION, metadata
from stoker.core.storefile import check_file, foreign, remedy, write_whole

_VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
_SET_VERSION = text("INSERT INTO alembic_version VALUES (:version)")
_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}

_READERS_KEPT_MAX = 4
"""Connections that wait for a reader: opening one costs more than most reads."""

_FULL = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")
"""A write was refused before anything was synced: no room, no quota, or no leave to write."""


class StoreFull(StoreError):
    """The disk is full or read-only: nothing was written, and later the same may succeed."""


class Database:
    """The records' database; use it as a context manager, or `open` and `close` it."""

    def __init__(self, url: str) -> None:
        """Name the database; nothing is touched before `open`."""
        self.url = url
        named = make_url(url)
        self.path = Path(named.database) if _is_sqlite(named) and named.database else None
        """The file, if the database is one."""
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._writer: Connection | None = None
        self._readers: list[Connection] = []

    @classmethod
    def at(cls, path: Path) -> Database:
        """Return the SQLite database in the file *path*."""
        return cls(f"sqlite:///{path}")

    def __enter__(self) -> Database:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the database; make it, or bring it to the newest version, where that is needed.

        Raises:
            StoreError: It is damaged, of a newer version, or none of ours.
        """
        path = self.path
        try:
            if path is not None and not check_file(path):
                write_whole(path, _make_file)
            self._engine = _engine(self.url)
            _bring_up_to_date(self._engine, path)
            self._writer = self._connect()
        except (DBAPIError, sqlite3.Error) as error:
            self.close()
            raise _as_store_error(error, self.url) from error
        except OSError as error:
            self.close()
            raise StoreError(f"cannot make the database {path}: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the database; closing twice does no harm."""
        with self._lock:
            readers, self._readers = self._readers, []
            for reader in readers:
                reader.close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Record what is executed inside, all of it or nothing; on the way out it is synced.

        Raises:
            StoreFull: There is no room; nothing was recorded.
            StoreError: The store failed; whether the last transaction is recorded is not known.
        """
        with self._lock:
            connection = self._open_writer()
            try:
                _say(connection, "BEGIN IMMEDIATE" if self.path else "BEGIN")
                yield connection
                _say(connection, "COMMIT")
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, (DBAPIError, sqlite3.Error)):
                    raise _as_store_error(error, self.url) from error
                raise

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Give a connection that only reads, and sees one state of the database throughout."""
        connection = self._take_reader()
        try:
            _say(connection, "BEGIN")
            yield connection
            _say(connection, "ROLLBACK")
        except BaseException as error:
            connection.close()
            if isinstance(error, (DBAPIError, sqlite3.Error)):
                raise _as_store_error(error, self.url) from error
            raise
        self._give_back(connection)

    def back_up(self, target: Path) -> None:
        """Write a consistent copy to *target* while work goes on; atomically, or not at all.

        Raises:
            StoreError: This database is no file, or cannot be read.
            OSError: *target* cannot be written.
        """
        if self.path is None:
            raise StoreError(f"cannot copy {self.url}: use the database server's own backup")
        connection = self._connect()
        try:
            _copy(connection, target)
        except DBAPIError as error:
            raise _as_store_error(error, f"sqlite:///{target}") from error
        finally:
            connection.close()

    def _open_writer(self) -> Connection:
        if self._writer is None:
            raise StoreError(f"cannot write to {self.url}: the database is not open")
        return self._writer

    def _take_reader(self) -> Connection:
        with self._lock:
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        if self.path:
            connection.exec_driver_sql("PRAGMA query_only=1")
        return connection

    def _give_back(self, reader: Connection) -> None:
        """Keep a connection for the next reader, unless there are enough or we are closed."""
        with self._lock:
            if self.path and self._writer is not None and len(self._readers) < _READERS_KEPT_MAX:
                self._readers.append(reader)
                return
        reader.close()

    def _connect(self) -> Connection:
        assert self._engine is not None, "open() comes first"
        connection = self._engine.connect()
        if self.path:
            _check_pragmas(connection)
        return connection

    @staticmethod
    def _roll_back(connection: Connection) -> None:
        # SQLite rolls some failures back by itself, and then has nothing left to roll back.
        driver = connection.connection.driver_connection
        if getattr(driver, "in_transaction", True):
            _say(connection, "ROLLBACK")


def execute_many(
    connection: Connection, statement: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Execute a statement in the driver's own words for every row, inside a `transaction`.

    SQLite's driver is asked directly: SQLAlchemy's account of each statement would cost more than
    the statement. Another database's is not: SQLAlchemy must see a connection that broke.
    """
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.executemany(statement, rows)
    else:
        connection.exec_driver_sql(statement, list(rows))


def fetch(
    connection: Connection, statement: str, parameters: Sequence[object] = ()
) -> Sequence[Sequence[Any]]:
    """Return all rows of a query in the driver's own words, as plain tuples; see `execute_many`."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        return driver.execute(statement, parameters).fetchall()
    return connection.exec_driver_sql(statement, tuple(parameters)).fetchall()


def _say(connection: Connection, statement: str) -> None:
    """Execute a statement that begins or ends a transaction."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.execute(statement)
    else:
        connection.exec_driver_sql(statement)


def _is_sqlite(url: Any) -> bool:
    return bool(url.get_backend_name() == "sqlite")


def _engine(url: str) -> Engine:
    if not _is_sqlite(make_url(url)):
        return create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    # NullPool: what is closed is closed, and the last one to close copies the log back.
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "timeout": 30.0},
    )
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    for name, value in _PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")


def _check_pragmas(connection: Connection) -> None:
    for name, wanted in _PRAGMAS.items():
        found = connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        if found != wanted:
            raise StoreError(
                f"cannot keep jobs safe in {connection.engine.url.database}: PRAGMA {name} is "
                f"{found}, not {wanted}; is it on a network file system? Set STOKER_HOME to a "
                "local directory"
            )


def _make_file(path: Path) -> None:
    engine = _engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        _make_tables(connection)
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _make_tables(connection: Connection) -> None:
    """Make an empty database what all migrations would make of it; a test compares the two."""
    connection.exec_driver_sql("BEGIN")
    metadata.create_all(connection)
    connection.exec_driver_sql(_VERSION_TABLE)
    connection.execute(_SET_VERSION, {"version": SCHEMA_VERSION})
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    connection.exec_driver_sql("COMMIT")


def _bring_up_to_date(engine: Engine, path: Path | None) -> None:
    with engine.connect() as connection:
        found = _version(connection)
        if path is not None:
            _check_pages(connection, path)
        if found is None:
            _check_is_empty(connection, path)
            _make_tables(connection)
            return
        if found > SCHEMA_VERSION:
            raise StoreError(
                f"cannot use the database {path or engine.url}: its version {found} is newer than "
                f"this Stoker's {SCHEMA_VERSION}; install the newer Stoker, or restore an older "
                "backup"
            )
        if found < SCHEMA_VERSION and path is not None:
            _copy(connection, path.with_name(f"{path.name}.before-{SCHEMA_VERSION}"))
    if found < SCHEMA_VERSION:
        # Alembic takes longer to import than the rest of a start, and hardly any start migrates.
        from stoker.core.migrations import upgrade  # noqa: PLC0415

        upgrade(engine, SCHEMA_VERSION)


def _check_is_empty(connection: Connection, path: Path | None) -> None:
    if path is not None:
        raise foreign(path)
    if tables := connection.dialect.get_table_names(connection):
        raise StoreError(
            f"cannot use the database {connection.engine.url}: it holds tables of another "
            f"program, {tables[0]} for one; name another database"
        )


def _copy(connection: Connection, target: Path) -> None:
    def write(part: Path) -> None:
        connection.exec_driver_sql("VACUUM INTO ?", (str(part),))

    write_whole(target, write)


def _version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(found) if found is not None else None


def _check_pages(connection: Connection, path: Path) -> None:
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise StoreError(f"cannot use the database {path}: {verdict}; {remedy(path)}")


def _as_store_error(error: DBAPIError | sqlite3.Error, url: str) -> StoreError:
    origin = error.orig if isinstance(error, DBAPIError) else error
    name = getattr(origin, "sqlite_errorname", "")
    place = make_url(url).render_as_string()
    if name.startswith(_FULL):
        return StoreFull(
            f"cannot write to {place}: {origin}; make room on the disk, or look at its quota and "
            "permissions, and try again"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        path = Path(make_url(url).database or "")
        return StoreError(f"cannot use the database {path}: {origin}; {remedy(path)}")
    return StoreError(f"cannot use the database {place}: {origin}")
