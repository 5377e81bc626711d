"""The records on a PostgreSQL server: judged before it is used, and held by one Stoker at a time.

What SQLite has in a file stands here in a session: one that would not sync is made to, or refused;
the writer's holds a lock that goes when the session does, however it ends. The database bears the
mark of the home whose jobs it has: another home's daemon, which knows nothing of the processes, is
refused until somebody says that the first one is gone for good.

A server goes and comes back. What had not reached COMMIT is not on record. Where the answer to a
COMMIT was lost, the server is asked what became of that transaction as soon as it answers again.

Source: PostgreSQL's manual, "Asynchronous Commit", "Advisory Locks", ``txid_status``, and the
appendix "PostgreSQL Error Codes".
"""

from __future__ import annotations

import socket
import time
import uuid
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import URL, Connection, Engine, Integer, String, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool

from stoker.core.errors import StoreAway, StoreError, StoreFull, StoreRefused
from stoker.core.schema import APPLICATION_ID
from stoker.core.storefile import write_whole

MARK: Final = "database_mark"
"""The file in the home that says which database is its own."""

_OLDEST: Final = 120000
_LOCK_WAIT_S: Final = 5.0
"""For how long a session of a daemon that was killed may take to go."""

_DOUBT_S: Final = 10.0
"""For how long to ask what became of a transaction; nothing else is recorded meanwhile."""
_DOUBT_PAUSE_S: Final = 0.2

_NETWORK: Final = {
    "connect_timeout": 3,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "client_encoding": "UTF8",
}
"""How soon we notice that the other end is gone, unless the URL says otherwise."""

# The server is to notice as soon that we are gone: until then it keeps our lock.
_PREPARE: Final = """
SELECT set_config('tcp_keepalives_idle', '30', false),
       set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false),
       CASE current_setting('synchronous_commit')
         WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
"""
_JUDGE: Final = """
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
       current_setting('fsync'), current_setting('synchronous_commit'),
       CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END
"""
_MARKED: Final = "SELECT obj_description(to_regclass('alembic_version'), 'pg_class')"
_HOLDER: Final = """
SELECT application_name, pid FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE locktype = 'advisory' AND granted AND pg_locks.database = pg_stat_activity.datid
   AND datname = current_database() AND objid = %s
"""

_BEGIN: Final = "BEGIN READ WRITE; SELECT txid_current()"
_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@compiles(Integer, "postgresql")
def _as_wide_as_sqlites(*_: object, **__: object) -> str:
    """Return what an integer is here, in tables and parameters: a priority has 32 bits."""
    return "BIGINT"


class _NoNul(StrDumperUnknown):
    """Sends texts; a NUL, which no text may have here, stands as rows write what is no text."""

    def dump(self, obj: str) -> Buffer | None:
        """Return what is sent."""
        return super().dump(obj.replace("\0", r"\x00") if "\0" in obj else obj)


@compiles(String, "postgresql")
def _by_its_bytes(kind: String, compiler: Any, **facts: Any) -> str:
    """Return what a text is here: in tables it is found and ordered as SQLite does it."""
    text = str(compiler.visit_string(kind, **facts))
    return f'{text} COLLATE "C"' if facts.get("type_expression") is not None else text


class PostgresStore:
    """One database on a server, as `core.database.Database` uses it."""

    def __init__(self, url: URL, home: Path | None) -> None:
        """Name the database at *url*, which is to hold the jobs of *home*."""
        self.place = url.set(drivername="postgresql").render_as_string()
        self._url = url
        self._home = home
        self._mark = ""
        self._engine: Engine | None = None
        self._session_pid = 0
        self._transaction_id = 0

    def engine(self) -> Engine:
        """Return what makes connections; each has been found safe."""
        name = f"stokerd of {socket.gethostname()}:{self._home or ''}"
        wanted = {
            **_NETWORK,
            "application_name": name.encode(errors="replace")[:63].decode(errors="ignore"),
        }
        # What is closed is closed: connections are kept by whom they are for.
        engine = create_engine(
            self._url,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={key: wanted[key] for key in wanted.keys() - self._url.query.keys()},
        )
        event.listen(engine, "connect", self._prepare)
        self._engine = engine
        return engine

    def _prepare(self, connection: psycopg.Connection[Any], _: object) -> None:
        connection.autocommit = True
        connection.adapters.register_dumper(str, _NoNul)
        connection.execute(_PREPARE)
        row = connection.execute(_JUDGE).fetchone()
        assert row is not None, "a SELECT of functions has a row"
        if why := _reason_against(*row):
            connection.close()
            raise StoreError(f"cannot keep jobs safe in {self.place}: {why}")

    def hold(self, connection: Connection) -> None:
        """Make *connection* the only writer; the lock is its session's.

        Raises:
            StoreAway: A session of ours has it that broke, and the server does not know yet.
            StoreError: Another daemon has it, or it holds the jobs of another home.
        """
        driver = driver_of(connection)
        try:
            with driver.transaction():
                driver.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_S:g}s'")
                driver.execute("SELECT pg_advisory_lock(%s)", (APPLICATION_ID,))
        except psycopg.errors.LockNotAvailable:
            holder = driver.execute(_HOLDER, (APPLICATION_ID,)).fetchone()
            if holder is not None and holder[1] == self._session_pid:
                raise StoreAway(
                    f"cannot write to {self.place}: the server still holds our last session, "
                    "which broke; it lets go of it within a minute"
                ) from None
            who = "{} (session {})".format(*holder) if holder is not None else "another session"
            raise StoreError(
                f"cannot use the database {self.place}: {who} uses it; name another database, or "
                "stop that daemon with `stoker down`"
            ) from None
        self._session_pid = driver.info.backend_pid
        self._check_mark(driver)

    def _check_mark(self, driver: psycopg.Connection[Any]) -> None:
        [found] = driver.execute(_MARKED).fetchone() or [None]
        if self._home is None or not found or found.split()[0] == self._own_mark(self._home):
            return
        where = found.partition(" ")[2] or "another Stoker"
        raise StoreError(
            f"cannot use the database {self.place}: it holds the jobs of {where}; name another "
            "database, or, if that one will never run again, say there COMMENT ON TABLE "
            "alembic_version IS NULL"
        )

    def claim(self, connection: Connection) -> None:
        """Mark the database, which has its tables, as our home's."""
        if self._home is None:
            return
        text = f"{self._own_mark(self._home)} {self._home} on {socket.gethostname()}"
        driver = driver_of(connection)
        if driver.execute(_MARKED).fetchone() != (text,):
            words = psycopg.sql.Literal(text.encode(errors="backslashreplace").decode())
            driver.execute(psycopg.sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(words))

    def judge(self, connection: Connection, version: str | None) -> None:
        """Refuse to make our tables among another program's."""
        if version is None and (tables := connection.dialect.get_table_names(connection)):
            raise StoreError(
                f"cannot use the database {self.place}: it holds tables of another program, "
                f"{tables[0]} for one; name another database"
            )

    def set_aside(self, connection: Connection, version: str) -> None:
        """Leave copies to the server's keeper: a migration is one transaction."""

    def check(self, connection: Connection) -> str | None:
        """Return what is wrong: whether the server keeps what it is given may have changed."""
        row = driver_of(connection).execute(_JUDGE).fetchone()
        return _reason_against(*row) or None if row is not None else None

    def back_up(self, connection: Connection, target: Path) -> None:  # noqa: ARG002
        """Refuse: that is the server's own matter."""
        raise StoreError(
            f"cannot copy {self.place} to {target}: it is on a server; back it up there, with "
            "pg_dump or as the server is backed up"
        )

    def _own_mark(self, home: Path) -> str:
        """Return the mark of our home, which is made once."""
        if not self._mark:
            path = home / MARK
            try:
                if not path.exists():
                    write_whole(path, _write_mark)
                self._mark = path.read_text(encoding="ascii").strip()
            except (OSError, ValueError) as error:
                raise StoreError(f"cannot tell whose database {self.place} is: {error}") from error
        return self._mark

    def begin(self, connection: Connection) -> None:
        """Begin to write."""
        answer = driver_of(connection).execute(_BEGIN, prepare=False)
        answer.nextset()
        [self._transaction_id] = answer.fetchone() or [0]

    def begin_reading(self, connection: Connection, *, is_new: bool) -> None:  # noqa: ARG002
        """Begin to read one state of the database."""
        driver_of(connection).execute(_READ, prepare=False)

    def commit(self, connection: Connection) -> None:
        """Commit; if the answer is lost, find out what became of it.

        Raises:
            StoreAway: It is not on record.
            StoreError: Whether it is on record could not be learned in time.
        """
        try:
            done = driver_of(connection).execute("COMMIT", prepare=False)
        except psycopg.OperationalError as error:
            if not _is_gone(error):
                raise
            if not self._was_recorded():
                raise StoreAway(_away(self.place, error)) from error
        else:
            # After a statement that failed, though nobody heard of it, a server only rolls back.
            if done.statusmessage != "COMMIT":
                raise StoreError(
                    f"cannot record anything in {self.place}: a statement had failed before"
                )

    def _was_recorded(self) -> bool:
        deadline = time.monotonic() + _DOUBT_S
        while time.monotonic() < deadline:
            match self._status():
                case "committed":
                    return True
                case "aborted":
                    return False
            # A server that is not there cannot tell us when it is back.
            time.sleep(_DOUBT_PAUSE_S)
        raise StoreError(
            f"cannot tell whether the last transaction is on record in {self.place}: the server "
            f"has not answered for {_DOUBT_S:g} seconds"
        )

    def _status(self) -> str | None:
        """Return what the server says of the last transaction; None if it says nothing."""
        assert self._engine is not None, "who commits has connected"
        try:
            with self._engine.connect() as connection:
                query = "SELECT txid_status(%s)"
                found = driver_of(connection).execute(query, (self._transaction_id,)).fetchone()
        except (psycopg.Error, DBAPIError, StoreError):
            return None
        return found[0] if found is not None else None

    def roll_back(self, connection: Connection) -> bool:
        """Roll back; return whether the connection can still be used."""
        if connection.invalidated or driver_of(connection).closed:
            return False
        try:
            driver_of(connection).execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            return False
        return True

    def as_store_error(self, error: BaseException) -> StoreError | None:
        """Return what a driver's error means to those above; None if it is none of the driver's."""
        origin = getattr(error, "orig", error)
        if not isinstance(origin, psycopg.Error):
            return None
        state, words = origin.sqlstate or "", _words(origin)
        if _is_gone(origin):
            return StoreAway(_away(self.place, origin))
        if state in {"53100", "25006"}:
            return StoreFull(
                f"cannot write to {self.place}: {words}; make room on the server, or look at its "
                "log, and try again"
            )
        if state.startswith(("40", "53", "55", "57")):
            return StoreRefused(f"cannot write to {self.place}: {words}; try again")
        return StoreError(f"cannot use the database {self.place}: {words}")


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """Return the driver's own connection."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _reason_against(
    version: int, encoding: str, fsync: str, synchronous_commit: str, role: str
) -> str:
    """Return why such a server does not do; "" if it does."""
    if version < _OLDEST:
        return f"its PostgreSQL is {version // 10000}; take 12 or newer"
    if encoding != "UTF8":
        return f"its encoding is {encoding}; make one with createdb -E UTF8 -T template0"
    if fsync == "off":
        return "fsync is off; let the server sync what it writes"
    if synchronous_commit == "off":
        return "synchronous_commit is off and cannot be set"
    if role == "standby":
        return "the server is a standby, which takes nothing in; name the primary"
    return ""


def _is_gone(error: psycopg.Error) -> bool:
    """Whether the connection is lost, or none can be had: the server may come back."""
    is_operational = isinstance(error, psycopg.OperationalError)
    return is_operational and (error.sqlstate or "08").startswith(("08", "57P"))


def _away(place: str, error: psycopg.Error) -> str:
    return (
        f"cannot reach the database {place}: {_words(error)}; jobs that run go on, and when the "
        "server answers again, so does all else"
    )


def _words(error: psycopg.Error) -> str:
    """Return what the server says, or the first line of what the driver does."""
    return error.diag.message_primary or str(error).partition("\n")[0].strip()


def _write_mark(part: Path) -> None:
    part.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
