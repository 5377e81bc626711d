"""A private PostgreSQL server for tests: a unix socket, a directory, and nothing of it left.

It keeps its files in memory where it can, so that syncing, which Stoker insists on, costs nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stoker.core.database import Database

_DEBIANS = Path("/usr/lib/postgresql")
_RAM = Path("/dev/shm")
_PORT = 5432
_LIMIT_S = 60.0
_EMPTY = "stoker_empty"
_CONFIGURATION = """
listen_addresses = ''
fsync = on
dynamic_shared_memory_type = mmap
full_page_writes = off
max_connections = 60
shared_buffers = 16MB
autovacuum = off
log_min_messages = fatal
"""


def programs() -> Path | None:
    """Return the directory with the newest PostgreSQL's programs, if there is one."""
    places = sorted(
        (path for path in _DEBIANS.glob("*/bin") if (path / "initdb").exists()),
        key=lambda path: int(path.parent.name),
    )
    if places:
        return places[-1]
    found = shutil.which("initdb")
    return Path(found).parent if found else None


def _user() -> Mapping[str, Any]:
    """Return as whom it runs: never root, which it refuses."""
    if os.geteuid():
        return {}
    others = [entry for entry in pwd.getpwall() if entry.pw_uid]
    chosen = next((entry for entry in others if entry.pw_name == "nobody"), others[0])
    return {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": ()}


class PostgresServer:
    """The server; `new_database` gives a URL of one that is empty, or has Stoker's tables."""

    def __init__(self, bin_directory: Path) -> None:
        self._bin = bin_directory
        self.directory = Path(
            tempfile.mkdtemp(prefix="stoker-pg-", dir=_RAM if os.access(_RAM, os.W_OK) else None)
        )
        if user := _user():
            os.chown(self.directory, user["user"], user["group"])
        self._numbers = count(1)
        self._server: subprocess.Popen[bytes] | None = None
        data = self.directory / "data"
        self.call("initdb", "-D", data, "-E", "UTF8", "--locale=C.UTF-8", "-U", "stoker",
                   "-A", "trust", "--no-sync")  # fmt: skip
        with (data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION)
        self.start()

    def call(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs."""
        done = subprocess.run(
            [self._bin / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
            cwd=self.directory,
            **_user(),
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", "data", "-k", self.directory],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                **_user(),
            )
        deadline = time.monotonic() + _LIMIT_S
        while True:
            try:
                return self.say("SELECT 1")
            except psycopg.OperationalError:
                text = (self.directory / "log").read_text()
                assert time.monotonic() < deadline, f"no answer in {_LIMIT_S:g} s: {text}"
                assert self._server.poll() is None, text
            # It tells nobody when it listens.
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: SIGQUIT as a crash would, SIGINT in order."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(how)
            server.wait(_LIMIT_S)

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it, and start it again."""
        self.stop(how)
        self.start()

    def close(self) -> None:
        """Stop it and remove all that it left."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def say(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements as the server's keeper."""
        with closing(self.connect(database)) as connection:
            for statement in statements:
                connection.execute(statement)

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Return a connection of the keeper's."""
        return psycopg.connect(
            host=str(self.directory), user="stoker", dbname=database, autocommit=True
        )

    def url(self, database: str, directory: Path | None = None) -> str:
        """Return the URL of a database."""
        return f"postgresql://stoker@/{database}?host={directory or self.directory}"

    def new_database(self, *, options: str = "", is_empty: bool = False) -> str:
        """Make a database and return its name."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        if not (is_empty or options):
            self._make_template()
            options = f"TEMPLATE {_EMPTY} STRATEGY file_copy"
        self.say(f"CREATE DATABASE {name} {options}")
        return name

    def _make_template(self) -> None:
        with closing(self.connect()) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, (_EMPTY,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_EMPTY}")
                with Database(self.url(_EMPTY)):
                    pass

    def new_url(self) -> str:
        """Make a database with Stoker's tables, and return its URL."""
        return self.url(self.new_database())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Give a server, or skip the test that wants it."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL's programs are not on this machine")
    server = PostgresServer(found)
    try:
        yield server
    finally:
        server.close()


class DeafProxy:
    """Stands between a client and the server; hangs up when the answer to a word comes."""

    def __init__(self, server: PostgresServer, word: bytes) -> None:
        """Listen in a directory of our own; *word* is what nobody is to learn the answer to."""
        self.directory = Path(tempfile.mkdtemp(prefix="stoker-pg-proxy-"))
        self._target = str(server.directory / f".s.PGSQL.{_PORT}")
        self.word = word
        self.is_shut = False
        """Whether nobody gets through any more."""
        self.shuts = False
        """Whether that is so once the word was said."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.directory / f".s.PGSQL.{_PORT}"))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(_LIMIT_S)
        shutil.rmtree(self.directory)

    def _run(self) -> None:
        carriers = []
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.is_shut:
                    client.close()
                    continue
                carriers.append(threading.Thread(target=self._carry, args=(client,)))
                carriers[-1].start()
        for carrier in carriers:
            carrier.join(_LIMIT_S)

    def _carry(self, client: socket.socket) -> None:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self._target)
        back = threading.Thread(target=_pass_on, args=(upstream, client))
        back.start()
        with client, upstream:
            while data := client.recv(1 << 16):
                if self.word and self.word in data:
                    self.word, self.is_shut = b"", self.shuts
                    client.shutdown(socket.SHUT_RDWR)
                    upstream.sendall(data)
                    # The server sees the end of us when it has done what it was told.
                    upstream.shutdown(socket.SHUT_WR)
                    break
                upstream.sendall(data)
            else:
                upstream.shutdown(socket.SHUT_WR)
            back.join(_LIMIT_S)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            with suppress(OSError):
                target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
