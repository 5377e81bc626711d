"""Puts a backup in the place of the records, while no daemon serves them.

The backup is checked before anything is touched, copied beside the records, synced, and renamed
into their place; what was there is kept. The home's lock is held meanwhile, so that no daemon
starts in between.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from stoker.core.errors import StoreError, UserError

DATABASE = "stoker.db"
_COMPANIONS = ("-wal", "-shm")
ID_MARK = "job_ids"
ID_STEP = 1000
"""As in worker.idmark: so many ids may have been given after what the mark and records say."""

_APPLICATION_ID = 0x53746F6B  # As in core.schema, which would load SQLAlchemy.


class Backup(NamedTuple):
    """A file in the directory of backups."""

    path: Path
    size_bytes: int
    age_s: float


def backups(home: Path) -> list[Backup]:
    """Return the backups in the home, the newest first."""
    now = time.time()
    found = []
    for path in (home / "backups").glob("*.db"):
        facts = path.stat()
        found.append(Backup(path, facts.st_size, max(0.0, now - facts.st_mtime)))
    return sorted(found, key=lambda backup: backup.age_s)


def restore(source: Path, home: Path) -> Path | None:
    """Put *source* in the place of the records; return where those are now, if there were any.

    Raises:
        UserError: A daemon serves the home, or the file cannot be copied.
        StoreError: The file is no intact backup of ours.
    """
    _check(source)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _no_daemon(home):
        try:
            return _replace(source, home / DATABASE)
        except OSError as error:
            raise UserError(
                f"cannot restore {source}: {error.strerror}; the records are as they were"
            ) from None


def _check(source: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro&immutable=1", uri=True)) as database:
            [application_id] = database.execute("PRAGMA application_id").fetchone()
            [verdict] = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"cannot restore {source}: {error}; take another backup") from None
    if application_id != _APPLICATION_ID:
        raise StoreError(f"cannot restore {source}: it is a database, but none of Stoker's")
    if verdict != "ok":
        raise StoreError(f"cannot restore {source}: it is damaged ({verdict}); take another backup")


@contextmanager
def _no_daemon(home: Path) -> Iterator[None]:
    """Hold the lock that a daemon would hold."""
    path = home / "run" / "stokerd.lock"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"cannot restore into {home}: {path}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UserError(
            f"cannot restore into {home}: stokerd serves it; `stoker down` first"
        ) from None
    try:
        yield
    finally:
        os.close(lock)


def _replace(source: Path, target: Path) -> Path | None:
    fresh = target.with_name(f".{target.name}.restored")
    _raise_mark(target.parent, source)
    try:
        with source.open("rb") as reading, fresh.open("wb") as writing:
            shutil.copyfileobj(reading, writing)
            writing.flush()
            os.fsync(writing.fileno())
        fresh.chmod(0o600)
        kept = _set_aside(target)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_directory(target.parent)
    return kept


def _raise_mark(home: Path, source: Path) -> None:
    """See to it that no id is given again of which the backup does not know."""
    path, part = home / ID_MARK, home / f".{ID_MARK}.new"
    try:
        marked = int(path.read_bytes())
    except (FileNotFoundError, ValueError):
        marked = 1
    with part.open("wb") as writing:
        writing.write(f"{max(marked, _next_job_id(source)) + ID_STEP:20}\n".encode())
        writing.flush()
        os.fsync(writing.fileno())
    part.chmod(0o600)
    part.replace(path)


def _next_job_id(source: Path) -> int:
    with closing(sqlite3.connect(f"file:{source}?mode=ro&immutable=1", uri=True)) as database:
        try:
            found = database.execute(
                "SELECT value FROM counters WHERE name = 'next_job_id'"
            ).fetchone()
        except sqlite3.OperationalError:
            found = None  # Its version is older than the counter.
    return int(found[0]) if found else 1


def _set_aside(target: Path) -> Path | None:
    """Rename the records with what belongs to them; return the new name."""
    if not target.exists():
        return None
    kept = target.with_name(time.strftime(f"{target.stem}-replaced-%Y%m%d-%H%M%S.db"))
    for suffix in _COMPANIONS:
        companion = target.with_name(target.name + suffix)
        if companion.exists():
            companion.rename(kept.with_name(kept.name + suffix))
    target.rename(kept)
    return kept


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
