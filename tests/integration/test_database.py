"""The store on a real disk: synced, whole, refused rather than replaced, and full without harm."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from stoker.core.database import Database
from stoker.core.errors import StoreError, StoreFull
from stoker.core.migrations import upgrade
from stoker.core.schema import APPLICATION_ID, SCHEMA_VERSION, metadata
from support.databases import add, names

ADD = "INSERT INTO counters VALUES (?, ?)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stoker.db"


@pytest.fixture
def database(path):
    with Database.at(path) as database:
        yield database


def closed(path: Path) -> Path:
    """Return *path* with a database in it that holds something, and no log beside it."""
    with Database.at(path) as database:
        add(database, "kept")
    return path


# What makes it safe.


def test_every_connection_syncs_and_checks(database):
    """R5: WAL, synchronous=FULL, foreign keys, asserted on every connection."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    with database.transaction() as connection:
        assert {n: connection.exec_driver_sql(f"PRAGMA {n}").scalar() for n in wanted} == wanted
    with database.reader() as connection:
        assert {n: connection.exec_driver_sql(f"PRAGMA {n}").scalar() for n in wanted} == wanted
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1


def test_a_connection_that_would_not_sync_is_refused(database, monkeypatch):
    """R5."""
    monkeypatch.setattr("stoker.core.storesqlite._prepare", lambda *_: None)
    database.close()
    with pytest.raises(StoreError, match="cannot keep jobs safe"):
        Database.at(database.path.with_name("other.db")).open()


def test_a_reader_takes_the_connection_of_the_one_before_and_sees_what_is_new(database):
    with database.reader() as first:
        assert first.exec_driver_sql("SELECT count(*) FROM counters").scalar() == 0
    add(database, "later")
    with database.reader() as second:
        assert second is first
        assert second.exec_driver_sql("SELECT count(*) FROM counters").scalar() == 1


def test_readers_that_have_gone_hold_no_log_back(database, path):
    for number in range(50):
        with database.reader() as connection:
            connection.exec_driver_sql("SELECT * FROM counters").fetchall()
        add(database, f"name-{number}")
    with closing(sqlite3.connect(path)) as connection:
        busy, in_log, copied = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, in_log, copied) == (0, 0, 0)


def test_a_reader_that_failed_is_not_used_again(database):
    with pytest.raises(LookupError), database.reader() as broken:
        raise LookupError
    with database.reader() as connection:
        assert connection is not broken
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_readers_at_the_same_time_have_connections_of_their_own(database):
    with database.reader() as one, database.reader() as other:
        assert one is not other


def test_nothing_is_written_to_a_database_that_is_closed(path):
    database = Database.at(closed(path))
    with pytest.raises(StoreError, match="is not open"), database.transaction():
        pass
    database.open()
    database.close()
    database.close()


def test_the_file_is_its_owners_alone(path):
    previous = os.umask(0)
    try:
        closed(path)
        with Database.at(path) as database:
            add(database, "more")
            modes = [stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()]
            database.back_up(path.with_name("copy"))
    finally:
        os.umask(previous)
    assert set(modes) == {0o600}
    assert stat.S_IMODE(path.with_name("copy").stat().st_mode) == 0o600


# What is refused.


def refused(path: Path) -> str:
    """Return why the file is refused, after making sure that it was left as it was."""
    before = {each: each.read_bytes() for each in path.parent.iterdir()}
    with pytest.raises(StoreError) as caught:
        Database.at(path).open()
    assert {each: each.read_bytes() for each in path.parent.iterdir() if each in before} == before
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 99])
def test_a_file_without_a_whole_header_is_damaged(path, size):
    path.write_bytes(closed(path).read_bytes()[:size])
    message = refused(path)
    assert "it is damaged" in message
    assert "stoker restore" in message


@pytest.mark.parametrize("size", [100, 4096, 8192 + 17])
def test_a_file_that_was_cut_short_is_refused(path, size):
    """R6: never an empty queue in place of a damaged one."""
    whole = closed(path).read_bytes()
    assert len(whole) > size
    path.write_bytes(whole[:size])
    assert "it is cut short; restore a backup" in refused(path)


def test_a_file_whose_pages_are_damaged_is_refused(path):
    whole = bytearray(closed(path).read_bytes())
    for page in range(1, len(whole) // 4096):
        whole[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(whole)
    assert "restore a backup" in refused(path)


@pytest.mark.parametrize("at", range(0, 100, 7))
def test_a_header_with_a_flipped_byte_is_opened_whole_or_refused(path, at):
    """R6."""
    whole = bytearray(closed(path).read_bytes())
    whole[at] ^= 0xFF
    path.write_bytes(whole)
    try:
        with Database.at(path) as database:
            assert names(database) == ["kept"]
    except StoreError as error:
        assert str(path) in str(error)  # noqa: PT017 - refusing is as good as reading


@pytest.mark.parametrize("application_id", [0, 0x12345678])
def test_a_database_of_another_program_is_refused(path, application_id):
    """R6."""
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA application_id={application_id}; CREATE TABLE theirs (x)")
    connection.close()
    assert "belongs to another program; move it away" in refused(path)


def test_a_file_with_our_mark_but_none_of_our_tables_is_refused(path):
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA application_id={APPLICATION_ID}; CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="belongs to another program"):
        Database.at(path).open()


def test_a_newer_database_is_refused_with_what_helps(path):
    """R6."""
    connection = sqlite3.connect(closed(path))
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    assert "version 9999 is newer" in refused(path)
    assert "install the newer Stoker" in refused(path)


def test_a_database_that_was_deleted_beside_its_log_is_not_begun_anew(path):
    with Database.at(path) as database:
        add(database, "kept")
        log = path.with_name("stoker.db-wal").read_bytes()
    path.unlink()
    path.with_name("stoker.db-wal").write_bytes(log)
    assert "it is gone, but its log stoker.db-wal is there" in refused(path)


def test_what_is_no_file_is_refused(path):
    path.mkdir()
    with pytest.raises(StoreError, match="cannot open the database"):
        Database.at(path).open()


def test_a_place_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot make the database"):
        Database.at(tmp_path / "none" / "stoker.db").open()


def test_a_database_that_was_refused_can_be_opened_once_it_is_mended(path):
    whole = closed(path).read_bytes()
    path.write_bytes(b"")
    database = Database.at(path)
    with pytest.raises(StoreError):
        database.open()
    path.write_bytes(whole)
    with database:
        assert names(database) == ["kept"]


def test_a_start_that_was_cut_off_leaves_nothing_in_the_way(path):
    path.with_name("stoker.db.part").write_bytes(b"half")
    path.with_name("stoker.db.part-wal").write_bytes(b"half")
    closed(path)
    assert sorted(each.name for each in path.parent.iterdir()) == ["stoker.db"]


# A disk without room.


_FILL = f"""
import resource, sys
from pathlib import Path
from stoker.core.database import Database
from stoker.core.errors import StoreFull
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = Database.at(Path(sys.argv[1]))
database.open()
with database.transaction() as connection:
    connection.exec_driver_sql({ADD!r}, ("before", 1))
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
refused = 0
for number in range(3):
    try:
        with database.transaction() as connection:
            rows = [(f"{{number}}-{{row}}" * 50, row) for row in range(5000)]
            connection.exec_driver_sql({ADD!r}, rows)
    except StoreFull as error:
        refused += 1
print(refused)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with database.transaction() as connection:
    connection.exec_driver_sql({ADD!r}, ("after", 1))
database.close()
"""


def test_a_full_disk_refuses_and_forgets_nothing_and_later_takes_again(path):
    ended = subprocess.run(
        [sys.executable, "-c", _FILL, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n", "")
    with Database.at(path) as database:
        assert sorted(names(database)) == ["after", "before"]


def test_a_database_without_room_to_grow_says_so(database):
    with database.transaction() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    with (
        pytest.raises(StoreFull, match="make room on the disk"),
        database.transaction() as connection,
    ):
        connection.exec_driver_sql(ADD, [(f"n{number}" * 99, number) for number in range(2000)])
    assert names(database) == []


# Copies.


def test_a_copy_is_whole_while_work_goes_on(database, path):
    """R7: backups are made online."""
    add(database, "before")
    with database.transaction() as connection:
        connection.exec_driver_sql(ADD, ("later", 1))
        database.back_up(path.with_name("copy.db"))
    with Database.at(path.with_name("copy.db")) as copy:
        assert names(copy) == ["before"]
    assert sorted(each.name for each in path.parent.glob("copy*")) == ["copy.db"]


def test_a_newer_copy_takes_the_place_of_the_older(database, path):
    database.back_up(path.with_name("copy.db"))
    add(database, "new")
    database.back_up(path.with_name("copy.db"))
    with Database.at(path.with_name("copy.db")) as copy:
        assert names(copy) == ["new"]


def test_a_copy_that_fails_leaves_the_older_one(database, path, monkeypatch):
    database.back_up(path.with_name("copy.db"))
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        database.back_up(path.with_name("copy.db"))
    monkeypatch.undo()
    with Database.at(path.with_name("copy.db")) as copy:
        assert names(copy) == []
    assert not path.with_name("copy.db.part").exists()


def test_a_copy_to_nowhere_says_so(database, path):
    with pytest.raises(OSError, match="No such file"):
        database.back_up(path.with_name("none") / "copy.db")


def test_a_short_file_with_its_log_is_completed_not_refused(path):
    """A crash while the log is copied back leaves a file shorter than its header says."""
    closed(path)
    other = path.with_name("other.db")
    with Database.at(path) as database:
        with database.transaction() as connection:
            connection.exec_driver_sql(ADD, [(f"{number}" * 99, number) for number in range(99)])
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        shutil.copy(f"{path}-wal", f"{other}-wal")
        whole = bytearray(path.read_bytes())
    assert len(whole) < pages * 4096
    whole[28:32] = pages.to_bytes(4, "big")
    other.write_bytes(whole)
    with Database.at(other) as database:
        assert len(names(database)) == 100


# The schema, by both ways.


def shape(url: str) -> dict[str, object]:
    """Return all that the two ways of making the tables must agree in."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master")
        found = {(row[0], row[1], row[2]): "".join(str(row[3]).split()) for row in rows}
        found["id"] = connection.exec_driver_sql("PRAGMA application_id").scalar()
        found["version"] = connection.exec_driver_sql("SELECT * FROM alembic_version").scalar()
    engine.dispose()
    return found


def test_a_new_database_is_what_the_migrations_make(path):
    closed(path)
    migrated = f"sqlite:///{path.with_name('migrated.db')}"
    engine = create_engine(migrated, isolation_level="AUTOCOMMIT")
    upgrade(engine, SCHEMA_VERSION)
    engine.dispose()
    made, found = shape(f"sqlite:///{path}"), shape(migrated)
    assert found["version"] == SCHEMA_VERSION
    assert {key: made[key] for key in made} == found
    inspector = inspect(create_engine(migrated))
    assert set(metadata.tables) <= set(inspector.get_table_names())


def test_the_migrated_database_opens(path):
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    upgrade(engine, SCHEMA_VERSION)
    engine.dispose()
    with Database.at(path) as database:
        assert names(database) == []


def test_an_older_database_is_copied_before_it_is_migrated(path, monkeypatch):
    """R8."""
    with Database.at(path) as database:
        add(database, "kept")
    asked = []
    monkeypatch.setattr("stoker.core.database.SCHEMA_VERSION", "9999")
    monkeypatch.setattr(
        "stoker.core.migrations.upgrade", lambda engine, version: asked.append(version)
    )
    with Database.at(path):
        pass
    assert asked == ["9999"]
    monkeypatch.undo()
    with Database.at(path.with_name("stoker.db.before-9999")) as before:
        assert names(before) == ["kept"]


def test_a_migration_is_all_or_nothing(path, monkeypatch):
    """R8."""
    monkeypatch.setattr(
        "alembic.operations.Operations.create_index",
        lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed half-way")),
    )
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    with pytest.raises(RuntimeError, match="half-way"):
        upgrade(engine, SCHEMA_VERSION)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0
    engine.dispose()


def test_a_start_imports_no_alembic_and_no_other_databases_dialect(path):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from stoker.core.database import Database\n"
        "with Database.at(Path(sys.argv[1])):\n"
        "    pass\n"
        "print(sorted({'alembic', 'sqlalchemy.dialects.postgresql'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
