"""Restoring a backup: checked first, swapped in whole, and never under a running daemon."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stoker.client import restoring
from stoker.client.restoring import backups, restore
from stoker.core.errors import StoreError, UserError
from stoker.core.schema import APPLICATION_ID


def make_database(path: Path, text: str, application_id: int = APPLICATION_ID) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA application_id={application_id}")
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [(text,)] * 500)
        database.commit()
    return path


def text_in(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute("SELECT DISTINCT x FROM t").fetchone()[0])


@pytest.fixture
def home(tmp_path) -> Path:
    found = tmp_path / "home"
    make_database(found / "stoker.db", "present")
    return found


def test_what_marks_our_databases_is_the_same_everywhere():
    assert restoring._APPLICATION_ID == APPLICATION_ID


def test_the_backup_takes_the_place_of_the_records_and_these_are_kept(home, tmp_path):
    backup = make_database(tmp_path / "b.db", "backup")
    (home / "stoker.db-wal").write_bytes(b"belongs to the old one")
    kept = restore(backup, home)
    assert kept is not None
    assert text_in(home / "stoker.db") == "backup"
    assert not (home / "stoker.db-wal").exists()
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"belongs to the old one"
    kept.with_name(kept.name + "-wal").unlink()
    assert text_in(kept) == "present"
    assert backup.exists()
    assert (home / "stoker.db").stat().st_mode & 0o777 == 0o600


def test_a_home_without_records_gets_the_backup(tmp_path):
    backup = make_database(tmp_path / "b.db", "backup")
    assert restore(backup, tmp_path / "new") is None
    assert text_in(tmp_path / "new" / "stoker.db") == "backup"


@pytest.mark.parametrize("damage", ["cut", "torn", "foreign", "no database", "empty"])
def test_what_is_no_intact_backup_of_ours_changes_nothing(home, tmp_path, damage):
    foreign = 7 if damage == "foreign" else APPLICATION_ID
    backup = make_database(tmp_path / "b.db", "backup", foreign)
    content = backup.read_bytes()
    if damage == "cut":
        backup.write_bytes(content[: len(content) // 2])
    elif damage == "torn":
        backup.write_bytes(content[:4096] + b"\xff" * 4096 + content[8192:])
    elif damage == "no database":
        backup.write_text("hello\n" * 1000)
    elif damage == "empty":
        backup.write_bytes(b"")
    with pytest.raises(StoreError, match=f"cannot restore {backup}"):
        restore(backup, home)
    assert text_in(home / "stoker.db") == "present"


def test_under_a_running_daemon_nothing_is_restored(home, tmp_path):
    backup = make_database(tmp_path / "b.db", "backup")
    (home / "run").mkdir()
    with (home / "run" / "stokerd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="`stoker down` first"):
            restore(backup, home)
    assert text_in(home / "stoker.db") == "present"


def test_a_daemon_cannot_start_while_records_are_swapped(home, tmp_path, monkeypatch):
    backup = make_database(tmp_path / "b.db", "backup")
    seen = []

    def spying(source: Path, target: Path) -> None:
        with (home / "run" / "stokerd.lock").open("w") as lock:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(source)

    monkeypatch.setattr(restoring, "_replace", spying)
    restore(backup, home)
    assert seen == [backup]


def test_backups_are_listed_newest_first(home):
    old = make_database(home / "backups" / "a.db", "old")
    new = make_database(home / "backups" / "b.db", "new")
    os.utime(old, (1, 1))
    assert [each.path for each in backups(home)] == [new, old]
    assert backups(home.parent / "nowhere") == []
