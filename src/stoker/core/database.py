"""The store: one writer that syncs at each commit, and readers that see a snapshot.

What `transaction` has left is on the disk. There is one writing connection, behind a lock; who has
many things to record puts them into one transaction and pays for one sync. Readers' connections are
kept for the next reader, with no transaction open. The records stand in a file of SQLite's, or, by
URL, on a PostgreSQL server: what each needs is known to `storesqlite` and `storepostgres`, and to
nobody else.

A new file is made from `schema`, everything else goes through Alembic's migrations: both ways lead
to the same tables.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from stoker.core.errors import StoreAway, StoreError
from stoker.core.schema import SCHEMA_VERSION
from stoker.core.storesqlite import SqliteStore

_ROWS_AT_ONCE = 16
"""Rows that are inserted by one statement; each has its price, and lets go of the interpreter."""

_READERS_KEPT_MAX = 4
"""Connections that wait for a reader: opening one costs more than most reads."""


class Store(Protocol):
    """What one kind of database needs."""

    place: str
    """Where it is, for people; no password is in it."""

    def engine(self) -> Engine:
        """Return what makes connections; each has been found safe."""

    def hold(self, connection: Connection) -> None:
        """Make a connection the writer's; raise if another daemon writes, or may."""

    def judge(self, connection: Connection, version: str | None) -> None:
        """Raise if these are no records of ours, or damaged; None: nothing says their version."""

    def set_aside(self, connection: Connection, version: str) -> None:
        """Keep what is there before it is brought to *version*."""

    def claim(self, connection: Connection) -> None:
        """Note whose jobs these are."""

    def check(self, connection: Connection) -> str | None:
        """Return what is wrong with the records, if anything is."""

    def back_up(self, connection: Connection, target: Path) -> None:
        """Write a copy; whole, or not at all."""

    def begin(self, connection: Connection) -> None:
        """Begin to write."""

    def commit(self, connection: Connection) -> None:
        """Commit; on return it is synced."""

    def begin_reading(self, connection: Connection, *, is_new: bool) -> None:
        """Begin to read one state; *is_new* if nobody has read on the connection yet."""

    def roll_back(self, connection: Connection) -> bool:
        """Roll back; return whether the connection can still be used."""

    def as_store_error(self, error: BaseException) -> StoreError | None:
        """Return what a driver's error means; None if it is none of the driver's."""


class Database:
    """The records' database; use it as a context manager, or `open` and `close` it."""

    def __init__(self, url: str, home: Path | None = None) -> None:
        """Name the database, and whose jobs it holds; nothing is touched before `open`.

        Raises:
            StoreError: The URL is none, or names what we cannot use.
        """
        self._store, self.path = _store_at(url, home)
        """The file, if the database is one."""
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._writer: Connection | None = None
        self._readers: list[Connection] = []

    @classmethod
    def at(cls, path: Path) -> Database:
        """Return the SQLite database in the file *path*."""
        return cls(f"sqlite:///{path}")

    @classmethod
    def of_home(cls, home: Path, url: str) -> Database:
        """Return a home's database: the one that *url* names, if it names one, else its file."""
        return cls(url or f"sqlite:///{home / 'stoker.db'}", home)

    @property
    def place(self) -> str:
        """Return where the records are, for people."""
        return self._store.place

    def __enter__(self) -> Database:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the database; make it, or bring it to the newest version, where that is needed.

        Raises:
            StoreError: It is damaged, of a newer version, none of ours, or not to be had.
        """
        try:
            with self._in_our_words():
                self._engine = self._store.engine()
                self._writer = self._connect_writer()
                _bring_up_to_date(self._engine, self._writer, self._store)
                self._store.claim(self._writer)
        except OSError as error:
            self.close()
            raise StoreError(f"cannot make the database {self.place}: {error.strerror}") from error
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
            StoreRefused: There is no room, or no server; nothing was recorded.
            StoreError: The store failed; whether the last transaction is recorded is not known.
        """
        with self._lock:
            connection = self._begin()
            try:
                yield connection
                self._store.commit(connection)
            except BaseException as error:
                if not self._store.roll_back(connection):
                    self._drop_writer()
                if (meant := self._store.as_store_error(error)) is not None:
                    raise meant from error
                raise

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Give a connection that only reads, and sees one state of the database throughout."""
        connection = self._begin_reading()
        try:
            yield connection
            self._store.roll_back(connection)
        except BaseException as error:
            _let_go(connection)
            if (meant := self._store.as_store_error(error)) is not None:
                raise meant from error
            raise
        self._give_back(connection)

    def check(self) -> str | None:
        """Return what is wrong with the records, if anything is."""
        with self.reader() as connection:
            return self._store.check(connection)

    def back_up(self, target: Path) -> None:
        """Write a consistent copy to *target* while work goes on; atomically, or not at all.

        Raises:
            StoreError: This database is no file, or cannot be read.
            OSError: *target* cannot be written.
        """
        with self._in_our_words():
            connection = self._connect()
            try:
                self._store.back_up(connection, target)
            finally:
                connection.close()

    def _begin(self) -> Connection:
        """Begin to write; a connection that broke while nothing was done is replaced unseen."""
        writer = self._open_writer()
        try:
            self._store.begin(writer)
        except Exception as error:
            meant = self._store.as_store_error(error)
            if not isinstance(meant, StoreAway):
                self._store.roll_back(writer)
                if meant is None:
                    raise
                raise meant from error
            self._drop_writer()
        else:
            return writer
        with self._in_our_words():
            writer = self._open_writer()
            self._store.begin(writer)
            return writer

    def _open_writer(self) -> Connection:
        if self._engine is None:
            raise StoreError(f"cannot write to {self.place}: the database is not open")
        if self._writer is None:
            # The server was away when it was last looked for.
            with self._in_our_words():
                self._writer = self._connect_writer()
        return self._writer

    def _connect_writer(self) -> Connection:
        connection = self._connect()
        try:
            self._store.hold(connection)
        except BaseException:
            _let_go(connection)
            raise
        return connection

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            _let_go(writer)

    def _begin_reading(self) -> Connection:
        with self._lock:
            kept = self._readers.pop() if self._readers else None
        if kept is not None:
            try:
                self._store.begin_reading(kept, is_new=False)
            except Exception as error:
                _let_go(kept)
                meant = self._store.as_store_error(error)
                if meant is None:
                    raise
                if not isinstance(meant, StoreAway):
                    raise meant from error
            else:
                return kept
        with self._in_our_words():
            connection = self._connect()
            self._store.begin_reading(connection, is_new=True)
            return connection

    def _give_back(self, reader: Connection) -> None:
        """Keep a connection for the next reader, unless there are enough or we are closed."""
        with self._lock:
            if self._engine is not None and len(self._readers) < _READERS_KEPT_MAX:
                self._readers.append(reader)
                return
        reader.close()

    def _connect(self) -> Connection:
        assert self._engine is not None, "open() comes first"
        return self._engine.connect()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except Exception as error:
            if (meant := self._store.as_store_error(error)) is not None:
                raise meant from error
            raise


def insert_many(
    connection: Connection,
    statement_for: Callable[[int], str],
    rows: Sequence[tuple[object, ...]],
) -> None:
    """Insert rows, of which no two have the same key, inside a `transaction`.

    The driver is asked directly: SQLAlchemy's account of each statement would cost more than the
    statement. *statement_for* gives one in the driver's own words for so many rows.
    """
    driver: Any = connection.connection.driver_connection
    whole = len(rows) - len(rows) % _ROWS_AT_ONCE
    for start in range(0, whole, _ROWS_AT_ONCE):
        some = chain.from_iterable(rows[start : start + _ROWS_AT_ONCE])
        driver.execute(statement_for(_ROWS_AT_ONCE), tuple(some))
    if len(rows) - whole == 1:
        driver.execute(statement_for(1), rows[whole])
    elif len(rows) > whole:
        driver.cursor().executemany(statement_for(1), rows[whole:])


def fetch(
    connection: Connection, statement: str, parameters: Sequence[object] = ()
) -> Sequence[Sequence[Any]]:
    """Return all rows of a query in the driver's own words, as plain tuples; see `insert_many`."""
    driver: Any = connection.connection.driver_connection
    rows: Sequence[Sequence[Any]] = driver.execute(statement, parameters).fetchall()
    return rows


def _let_go(connection: Connection) -> None:
    """Close a connection that may be broken."""
    with suppress(Exception):
        connection.invalidate()
    connection.close()


def _store_at(url: str, home: Path | None) -> tuple[Store, Path | None]:
    """Return what is at *url*, and its file if it is one."""
    try:
        named = make_url(url)
    except ArgumentError:
        raise StoreError(
            "cannot use the setting database_url: it is no URL such as "
            "postgresql://user@host/stoker"
        ) from None
    match named.get_backend_name():
        case "sqlite":
            path = Path(named.database or "")
            return SqliteStore(path), path if named.database else None
        case "postgresql" | "postgres":
            return _server_at(named, home), None
        case other:
            raise StoreError(
                f"cannot use the setting database_url: {other} is neither postgresql nor sqlite"
            )


def _server_at(named: URL, home: Path | None) -> Store:
    # With its driver it would cost every start tens of milliseconds.
    try:
        from stoker.core.storepostgres import PostgresStore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise StoreError(
            f"cannot use the database {named.render_as_string()}: {error.name} is missing; "
            "pip install 'stoker[postgres]'"
        ) from None
    return PostgresStore(named.set(drivername="postgresql+psycopg"), home)


def _bring_up_to_date(engine: Engine, connection: Connection, store: Store) -> None:
    found = _version(connection)
    store.judge(connection, found)
    if found is not None and found > SCHEMA_VERSION:
        raise StoreError(
            f"cannot use the database {store.place}: its version {found} is newer than this "
            f"Stoker's {SCHEMA_VERSION}; install the newer Stoker, or restore an older backup"
        )
    if found == SCHEMA_VERSION:
        return
    if found is not None:
        store.set_aside(connection, SCHEMA_VERSION)
    # Alembic takes longer to import than the rest of a start, and hardly any start migrates.
    from stoker.core.migrations import upgrade  # noqa: PLC0415

    upgrade(engine, SCHEMA_VERSION)


def _version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(found) if found is not None else None
