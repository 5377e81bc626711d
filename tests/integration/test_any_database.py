"""What holds for databases of each kind: one writer, whole transactions, one state a reader."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from stoker.core.database import Database
from stoker.core.errors import StoreError
from support.databases import ADD, add, names

_COUNT = text("SELECT count(*) FROM counters")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as database:
        yield database


def test_what_was_recorded_is_there_after_a_kill(database_url: str) -> None:
    program = (
        "import os, sys\n"
        "from sqlalchemy import text\n"
        "from stoker.core.database import Database\n"
        f"add = text({ADD.text!r})\n"
        "database = Database(sys.argv[1])\n"
        "database.open()\n"
        "with database.transaction() as connection:\n"
        "    connection.execute(add, {'name': 'kept', 'value': 1})\n"
        "with database.transaction() as connection:\n"
        "    connection.execute(add, {'name': 'lost', 'value': 1})\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    argv = [sys.executable, "-c", program, database_url]
    assert subprocess.run(argv, check=False, timeout=60).returncode == -9
    # The lock of the one that was killed goes with it.
    with Database(database_url) as database:
        assert names(database) == ["kept"]


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.transaction() as connection:
            connection.execute(ADD, [{"name": f"n{n}", "value": n} for n in range(100)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert names(database) == []
    add(database, "next")
    assert names(database) == ["next"]


def test_a_statement_that_fails_takes_the_whole_group_back(database: Database) -> None:
    add(database, "taken")
    rows = [{"name": "new", "value": 1}, {"name": "taken", "value": 1}]
    with (
        pytest.raises(StoreError, match=r"UNIQUE|duplicate key"),
        database.transaction() as connection,
    ):
        connection.execute(ADD, rows)
    assert names(database) == ["taken"]
    add(database, "next")


def test_a_reader_sees_one_state_while_the_writer_goes_on(database: Database) -> None:
    add(database, "before")
    with database.reader() as connection:
        assert connection.execute(_COUNT).scalar() == 1
        add(database, "after")
        assert connection.execute(_COUNT).scalar() == 1
    assert sorted(names(database)) == ["after", "before"]


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match=r"read-?only"), database.reader() as connection:
        connection.execute(ADD, {"name": "no", "value": 1})


def test_many_threads_share_the_one_writer(database: Database) -> None:
    def work(worker: int) -> None:
        for number in range(20):
            add(database, f"{worker}-{number}")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(names(database)) == 160
