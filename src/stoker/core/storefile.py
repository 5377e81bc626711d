"""The database file: judged before SQLite touches it, made and copied whole or not at all.

A file that is cut short, foreign or damaged is refused with the remedy. Nothing here ever replaces
a file that is there by an empty one, and since a new one gets its name only when it is complete,
one that is empty has lost its records.

Source: SQLite's file format, "The Database Header"; VACUUM INTO does not sync what it wrote.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from stoker.core.errors import StoreError
from stoker.core.schema import APPLICATION_ID

_HEADER = b"SQLite format 3\0"
_HEADER_SIZE = 100


def check_file(path: Path) -> bool:
    """Return whether *path* is there; refuse it if it is, but is no whole database of ours.

    Raises:
        StoreError: Names the file, what is wrong and how to go on.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_SIZE)
    except FileNotFoundError:
        _check_is_new(path)
        return False
    except OSError as error:
        raise StoreError(f"cannot open the database {path}: {error.strerror}") from error
    if len(head) < _HEADER_SIZE or not head.startswith(_HEADER):
        raise StoreError(f"cannot use the database {path}: it is damaged; {remedy(path)}")
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise foreign(path)
    _check_size(path, head)
    return True


def _check_is_new(path: Path) -> None:
    # SQLite would play this log into whatever database stands beside it, a new one too.
    if log_of(path).exists():
        raise StoreError(
            f"cannot use the database {path}: it is gone, but its log {log_of(path).name} is "
            f"there; {remedy(path)}, or move the log away to begin anew"
        )


def _check_size(path: Path, head: bytes) -> None:
    if log_of(path).exists():
        # A crash while the log was copied back leaves a short file that SQLite completes.
        return
    page_size = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    if path.stat().st_size < pages * (65536 if page_size == 1 else page_size):
        raise StoreError(f"cannot use the database {path}: it is cut short; {remedy(path)}")


def log_of(path: Path) -> Path:
    """Return the write-ahead log of the database *path*."""
    return path.with_name(path.name + "-wal")


def foreign(path: Path) -> StoreError:
    """Return the error for a database that is none of ours."""
    return StoreError(
        f"cannot use the database {path}: it belongs to another program; "
        "move it away, or set STOKER_HOME to another directory"
    )


def remedy(path: Path) -> str:
    """Return what helps when the records cannot be read."""
    return f"restore a backup: `stoker restore` lists those in {path.parent / 'backups'}"


def write_whole(target: Path, write: Callable[[Path], None]) -> None:
    """Have *write* fill a file that becomes *target* when it is complete and on the disk.

    The file is its owner's alone: it holds the environments of jobs.
    """
    part = target.with_name(f"{target.name}.part")
    for leftover in (part, log_of(part), part.with_name(f"{part.name}-shm")):
        leftover.unlink(missing_ok=True)
    try:
        part.touch(mode=0o600)
        write(part)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
