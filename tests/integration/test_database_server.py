"""Records on a PostgreSQL server: synced, one daemon's alone, and none lost when it goes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from stoker.core.database import Database
from stoker.core.errors import StoreAway, StoreError, StoreRefused
from stoker.core.migrations import upgrade
from stoker.core.schema import SCHEMA_VERSION, metadata
from stoker.core.storepostgres import MARK
from support.daemon import until
from support.databases import add, names
from support.postgres import DeafProxy, PostgresServer, postgres_server

ADD = "INSERT INTO counters VALUES (%s, %s)"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own, which may be stopped."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def name(server: PostgresServer) -> str:
    return server.new_database()


@pytest.fixture
def database(server: PostgresServer, name: str) -> Iterator[Database]:
    with Database(server.url(name)) as database:
        yield database


def refusal(url: str, home: Path | None = None) -> str:
    """Return why a database is refused."""
    with pytest.raises(StoreError) as caught:
        Database(url, home).open()
    return str(caught.value)


# What makes it safe.


def test_every_connection_syncs_whatever_the_server_is_set_to(server, name):
    server.say(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Database(server.url(name)) as database:
        for connect in (database.transaction, database.reader):
            with connect() as connection:
                found = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
                assert found == "on", connect


def test_a_stricter_setting_stays(server, name):
    server.say(f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    with Database(server.url(name)) as database, database.transaction() as connection:
        found = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
        assert found == "remote_apply"


def test_a_server_that_does_not_sync_is_refused(server, name):
    server.say("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        # The server's processes read their settings again in their own time.
        until(lambda: _setting(server, "fsync") == "off", lambda: "fsync is on")
        message = refusal(server.url(name))
    finally:
        server.say("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")
        until(lambda: _setting(server, "fsync") == "on", lambda: "fsync is off")
    assert "cannot keep jobs safe in" in message
    assert "fsync is off" in message


def _setting(server: PostgresServer, name: str) -> str:
    with closing(server.connect()) as connection:
        row = connection.execute(f"SHOW {name}").fetchone()
        assert row is not None
        return str(row[0])


def test_a_failure_that_somebody_passed_over_is_not_taken_for_a_commit(database):
    def pass_over() -> None:
        with database.transaction() as connection:
            connection.exec_driver_sql(ADD, ("lost", 1))
            with suppress(DBAPIError):
                connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(StoreError, match="a statement had failed before"):
        pass_over()
    add(database, "next")
    assert names(database) == ["next"]


def test_numbers_have_64_bits_and_texts_are_ordered_by_their_bytes(database):
    words = ["a", "B", "_", "é", "z", "Z", "10", "9"]
    with database.transaction() as connection:
        connection.exec_driver_sql(ADD, [(word, (1 << 63) - 1) for word in words])
    with database.reader() as connection:
        rows = connection.exec_driver_sql("SELECT name, value FROM counters ORDER BY name").all()
    assert [row[0] for row in rows] == sorted(words)
    assert {row[1] for row in rows} == {(1 << 63) - 1}


# Whose it is.


def test_a_second_daemon_is_refused_while_the_first_runs(server, name, database, monkeypatch):
    monkeypatch.setattr("stoker.core.storepostgres._LOCK_WAIT_S", 1)
    message = refusal(server.url(name))
    assert "stokerd of" in message
    assert "uses it; name another database" in message
    add(database, "goes on")


def test_the_jobs_of_another_home_are_not_taken_over(server, name, tmp_path):
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        home.mkdir()
    for _ in range(2):
        with Database(server.url(name), homes[0]) as database:
            add(database, f"mine {len(names(database))}")
    message = refusal(server.url(name), homes[1])
    assert f"it holds the jobs of {homes[0]} on " in message
    server.say("COMMENT ON TABLE alembic_version IS NULL", database=name)
    with Database(server.url(name), homes[1]) as database:
        assert len(names(database)) == 2
    assert "it holds the jobs of" in refusal(server.url(name), homes[0])
    assert (homes[0] / MARK).read_text() != (homes[1] / MARK).read_text()


def test_a_home_that_moved_keeps_its_database(server, name, tmp_path):
    before, after = tmp_path / "before", tmp_path / "it's \udcff after"
    before.mkdir()
    with Database(server.url(name), before):
        pass
    before.rename(after)
    with Database(server.url(name), after):
        pass
    with Database(server.url(name), after):
        pass


# What is refused.


def test_tables_of_another_program_are_left_alone(server):
    name = server.new_database(is_empty=True)
    server.say("CREATE TABLE theirs (x int)", database=name)
    assert "it holds tables of another program, theirs for one" in refusal(server.url(name))


def test_a_newer_database_is_refused_with_what_helps(server, name):
    server.say("UPDATE alembic_version SET version_num = '9999'", database=name)
    assert "version 9999 is newer" in refusal(server.url(name))


def test_a_database_in_another_encoding_is_refused(server):
    name = server.new_database(
        options="ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    assert "its encoding is LATIN1; make one with createdb -E UTF8" in refusal(server.url(name))


def test_a_database_that_is_not_there_is_named(server):
    message = refusal(server.url("nowhere"))
    assert 'database "nowhere" does not exist' in message
    assert "cannot reach the database" in message


def test_a_password_is_in_no_message(tmp_path):
    message = refusal(f"postgresql://me:secret@/x?host={tmp_path}")
    assert "me:***@" in message
    assert "secret" not in message
    assert "secret" not in Database(f"postgresql://me:secret@/x?host={tmp_path}").place


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("no url", "it is no URL such as postgresql://"),
        ("mysql://root@localhost/x", "mysql is neither postgresql nor sqlite"),
    ],
)
def test_what_names_no_database_of_ours_is_refused(url, why):
    with pytest.raises(StoreError, match=why):
        Database(url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_url_may_say_postgresql_in_the_ways_that_are_about(scheme):
    assert Database(f"{scheme}://me@localhost/x").place == "postgresql://me@localhost/x"


def test_a_missing_driver_is_said_with_what_helps(monkeypatch):
    monkeypatch.setitem(sys.modules, "stoker.core.storepostgres", None)
    with pytest.raises(StoreError, match=r"pip install 'stoker\[postgres\]'"):
        Database("postgresql://me@localhost/x")


def test_it_is_backed_up_on_its_server(database, tmp_path):
    with pytest.raises(StoreError, match="back it up there, with pg_dump"):
        database.back_up(tmp_path / "copy.db")
    assert database.check() is None
    assert list(tmp_path.iterdir()) == []


# A server that goes, and comes back.


def test_a_restart_while_nothing_is_done_is_not_noticed(server, database):
    add(database, "before")
    assert names(database) == ["before"]
    server.restart()
    add(database, "after")
    server.restart()
    assert sorted(names(database)) == ["after", "before"]


def test_what_a_server_that_died_had_not_committed_is_not_recorded(server, database):
    add(database, "before")

    def die_half_way() -> None:
        with database.transaction() as connection:
            connection.exec_driver_sql(ADD, ("lost", 1))
            server.restart()
            connection.exec_driver_sql(ADD, ("never", 1))

    with pytest.raises(StoreAway, match="cannot reach the database"):
        die_half_way()
    add(database, "after")
    assert sorted(names(database)) == ["after", "before"]


def test_a_server_that_is_away_refuses_and_later_takes_again(server, database):
    add(database, "before")
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(StoreAway, match="when the server answers again"):
                add(database, "refused")
            with pytest.raises(StoreAway):
                names(database)
    finally:
        server.start()
    add(database, "after")
    assert sorted(names(database)) == ["after", "before"]


def test_a_server_that_goes_down_in_order_is_no_other_matter(server, database):
    add(database, "before")
    server.restart(signal.SIGINT)
    add(database, "after")
    assert len(names(database)) == 2


def test_a_daemon_that_lost_its_session_and_its_database_learns_it(server, name, tmp_path):
    """Meanwhile somebody gave the database to another home."""
    with Database(server.url(name), tmp_path) as database:
        other = tmp_path / "other"
        other.mkdir()
        server.restart()
        server.say("COMMENT ON TABLE alembic_version IS NULL", database=name)
        with Database(server.url(name), other):
            pass
        with pytest.raises(StoreError, match="it holds the jobs of") as caught:
            add(database, "never")
        assert not isinstance(caught.value, StoreRefused)


def test_a_session_that_broke_while_the_server_did_not_notice_is_waited_for(database, monkeypatch):
    """The lock is still ours, though nobody can use it: that is no other daemon's."""
    monkeypatch.setattr("stoker.core.storepostgres._LOCK_WAIT_S", 0.1)
    broken, database._writer = database._writer, None
    with pytest.raises(StoreAway, match="the server still holds our last session"):
        add(database, "never")
    broken.close()
    add(database, "after")
    assert names(database) == ["after"]


@pytest.fixture
def deaf(server, name) -> Iterator[tuple[DeafProxy, Database]]:
    proxy = DeafProxy(server, b"")
    try:
        with Database(server.url(name, proxy.directory)) as database:
            add(database, "before")
            yield proxy, database
    finally:
        proxy.close()


def test_a_commit_whose_answer_was_lost_is_asked_for_and_stands(deaf):
    proxy, database = deaf
    proxy.word = b"COMMIT"
    add(database, "recorded")
    assert proxy.word == b""
    add(database, "after")
    assert sorted(names(database)) == ["after", "before", "recorded"]


def test_a_commit_that_was_cut_off_is_asked_for_and_was_none(server, name, database):
    """The server ends our session while it commits: nothing of it is on record."""
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON counters DEFERRABLE INITIALLY "
            "DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()"
        )
    ended = threading.Thread(target=_end_who_sleeps, args=(server, name))
    ended.start()
    with pytest.raises(StoreAway, match="cannot reach the database"):
        add(database, "cut off")
    ended.join(60)
    assert names(database) == []


def _end_who_sleeps(server: PostgresServer, name: str) -> None:
    with closing(server.connect()) as connection:
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND wait_event = 'PgSleep'"
        )
        until(lambda: connection.execute(query, (name,)).fetchall(), lambda: "nobody sleeps")


def test_a_commit_of_which_nobody_tells_is_no_refusal(deaf, monkeypatch):
    """Then the daemon stops: only what is on record can say how to go on."""
    monkeypatch.setattr("stoker.core.storepostgres._DOUBT_S", 0.3)
    proxy, database = deaf
    proxy.shuts, proxy.word = True, b"COMMIT"
    with pytest.raises(StoreError, match="cannot tell whether") as caught:
        add(database, "in doubt")
    assert not isinstance(caught.value, StoreRefused)
    proxy.is_shut = False
    assert sorted(names(database)) == ["before", "in doubt"]


def test_a_lock_that_somebody_holds_too_long_refuses_and_does_no_harm(server, name):
    server.say(f"ALTER DATABASE {name} SET lock_timeout = '200ms'")
    with Database(server.url(name)) as database, closing(server.connect(name)) as keeper:
        with keeper.transaction():
            keeper.execute("LOCK TABLE counters")
            with pytest.raises(StoreRefused, match="lock timeout; try again"):
                add(database, "refused")
        add(database, "taken")
        assert names(database) == ["taken"]


# The schema.


def columns(server: PostgresServer, name: str) -> set[tuple[str, ...]]:
    with closing(server.connect(name)) as connection:
        return set(
            connection.execute(
                "SELECT table_name, column_name, data_type, is_nullable, collation_name "
                "FROM information_schema.columns WHERE table_schema = 'public' "
                "AND table_name <> 'alembic_version'"
            )
        )


def test_the_migrations_make_what_the_schema_says(server):
    by_migrations, by_schema = (server.new_database(is_empty=True) for _ in range(2))
    with Database(server.url(by_migrations)):
        pass
    database = Database(server.url(by_schema))
    engine = database._store.engine()
    with engine.connect() as connection:
        metadata.create_all(connection)
    engine.dispose()
    found = columns(server, by_migrations)
    assert found == columns(server, by_schema)
    # What counts changes of the account book is the server's own number.
    narrow = {column[:2] for column in found if column[2] == "integer"}
    assert narrow == {("transactions", "number")}
    with closing(server.connect(by_migrations)) as connection:
        indexes = dict(connection.execute("SELECT indexname, indexdef FROM pg_indexes").fetchall())
    assert {index.name for table in metadata.tables.values() for index in table.indexes} <= set(
        indexes
    )
    assert "WHERE (array_job_id > 0)" in indexes["jobs_by_array"]


def test_a_migration_is_all_or_nothing(server, monkeypatch):
    name = server.new_database(is_empty=True)
    monkeypatch.setattr(
        "alembic.operations.Operations.create_index",
        lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed half-way")),
    )
    engine = Database(server.url(name))._store.engine()
    with pytest.raises(RuntimeError, match="half-way"):
        upgrade(engine, SCHEMA_VERSION)
    engine.dispose()
    monkeypatch.undo()
    assert columns(server, name) == set()
    with Database(server.url(name)) as database:
        add(database, "made")


def test_the_server_leaves_nothing_behind():
    with postgres_server() as server:
        directory = server.directory
        assert list(directory.iterdir())
    assert not directory.exists()
