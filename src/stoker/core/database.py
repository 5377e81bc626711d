"""The store: one writer that syncs at each commit, and readers that see a snapshot.

SQLite in WAL mode with ``synchronous=FULL``: what `transaction` has left is on the disk. There is
one writing connection, behind a lock; who has many things to record puts them into one transaction
and pays for one sync. A damaged, foreign or newer file is refused with the remedy, never replaced
by an empty one. Another database comes by URL; only this file knows what SQLite needs.

Source: SQLite's documentation on WAL and PRAGMA synchronous: only FULL survives a loss of power.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from stoker.core.errors import StoreError
from stoker.core.schema import APPLICATION_ID, SCHEMA_VERSION, metadata

_HEADER = b"SQLite format 3\0"
_VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
_SET_VERSION = text("INSERT INTO alembic_version VALUES (:version)")
_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


class StoreFull(StoreError):
    """The disk is full or read-only: nothing was written, and later the same may succeed."""


class Database:
    """The records' database; use it as a context manager, or `open` and `close` it."""

    def __init__(self, url: str) -> None:
        """Name the database; nothing is touched before `open`."""
        self.url = url
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._writer: Connection | None = None

    @classmethod
    def at(cls, path: Path) -> Database:
        """Return the SQLite database in the file *path*."""
        return cls(f"sqlite:///{path}")

    @property
    def path(self) -> Path | None:
        """Return the file, if the database is one."""
        url = make_url(self.url)
        return Path(url.database) if _is_sqlite(url) and url.database else None

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
        if path is not None:
            check_file(path)
        self._engine = _engine(self.url)
        try:
            _bring_up_to_date(self._engine, path)
            self._writer = self._connect()
        except DBAPIError as error:
            self.close()
            raise _as_store_error(error, self.url) from error

    def close(self) -> None:
        """Let go of the database; closing twice does no harm."""
        with self._lock:
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
                connection.exec_driver_sql("BEGIN IMMEDIATE" if self.path else "BEGIN")
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, DBAPIError):
                    raise _as_store_error(error, self.url) from error
                raise

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Give a connection that only reads, and sees one state of the database throughout."""
        connection = self._connect()
        try:
            if self.path:
                connection.exec_driver_sql("PRAGMA query_only=1")
            connection.exec_driver_sql("BEGIN")
            yield connection
        except DBAPIError as error:
            raise _as_store_error(error, self.url) from error
        finally:
            connection.close()

    def back_up(self, target: Path) -> None:
        """Write a consistent copy to *target* while work goes on; atomically, or not at all."""
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)
        with self.reader() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("VACUUM INTO ?", (str(part),))
        part.replace(target)

    def _open_writer(self) -> Connection:
        if self._writer is None:
            raise StoreError(f"cannot write to {self.url}: the database is not open")
        return self._writer

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
            connection.exec_driver_sql("ROLLBACK")


def check_file(path: Path) -> None:
    """Refuse *path* if it is there but not a database of ours; a missing or empty one is fine.

    Raises:
        StoreError: Names the file, what is wrong and how to go on.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot open the database {path}: {error.strerror}") from error
    if not head:
        return
    if len(head) < 100 or not head.startswith(_HEADER):
        raise StoreError(f"cannot use the database {path}: it is damaged; {_remedy(path)}")
    application_id = int.from_bytes(head[68:72], "big")
    if application_id not in (0, APPLICATION_ID):
        raise StoreError(
            f"cannot use the database {path}: it belongs to another program; "
            "move it away, or set STOKER_HOME to another directory"
        )
    page_size = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    if path.stat().st_size < pages * (65536 if page_size == 1 else page_size):
        raise StoreError(f"cannot use the database {path}: it is cut short; {_remedy(path)}")


def _remedy(path: Path) -> str:
    return f"restore a backup: `stoker restore` lists those in {path.parent / 'backups'}"


def _is_sqlite(url: Any) -> bool:
    return bool(url.get_backend_name() == "sqlite")


def _engine(url: str) -> Engine:
    if not _is_sqlite(make_url(url)):
        return create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    # NullPool: a reader's connection ends with it, so that no old snapshot holds the WAL back.
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


def _bring_up_to_date(engine: Engine, path: Path | None) -> None:
    with engine.connect() as connection:
        found = _version(connection)
        if found is not None and path is not None:
            _check_pages(connection, path)
    if found == SCHEMA_VERSION:
        return
    if found is None:
        _make(engine)
        return
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"cannot use the database {path or engine.url}: its version {found} is newer than "
            f"this Stoker's {SCHEMA_VERSION}; install the newer Stoker, or restore an older backup"
        )
    if path is not None:
        shutil.copy2(path, path.with_name(f"{path.name}.before-{SCHEMA_VERSION}"))
    # Alembic takes longer to import than the rest of a start, and hardly any start migrates.
    from stoker.core.migrations import upgrade  # noqa: PLC0415

    upgrade(engine, SCHEMA_VERSION)


def _make(engine: Engine) -> None:
    """Make an empty database what all migrations would make of it; a test compares the two."""
    with engine.connect() as connection:
        if tables := connection.dialect.get_table_names(connection):
            raise StoreError(
                f"cannot use the database {engine.url}: it holds tables of another program, "
                f"{tables[0]} for one; name another database"
            )
        is_sqlite = _is_sqlite(engine.url)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
        metadata.create_all(connection)
        connection.exec_driver_sql(_VERSION_TABLE)
        connection.execute(_SET_VERSION, {"version": SCHEMA_VERSION})
        if is_sqlite:
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        connection.exec_driver_sql("COMMIT")


def _version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(found) if found is not None else None


def _check_pages(connection: Connection, path: Path) -> None:
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise StoreError(f"cannot use the database {path}: {verdict}; {_remedy(path)}")


def _as_store_error(error: DBAPIError, url: str) -> StoreError:
    cause = str(error.orig)
    name = getattr(error.orig, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_READONLY")):
        return StoreFull(f"cannot write to {url}: {cause}; make room on the disk and try again")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        path = Path(make_url(url).database or "")
        return StoreError(f"cannot use the database {path}: {cause}; {_remedy(path)}")
    return StoreError(f"cannot use the database {url}: {cause}")
