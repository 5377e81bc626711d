"""The lock of a home directory: one process at a time changes what stands there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stoker.core.errors import UserError


@contextmanager
def only_daemon(home: Path) -> Iterator[None]:
    """Hold the home's lock; its file says who does.

    Raises:
        UserError: Another process holds it.
    """
    for directory in (home, home / "run", home / "log", home / "spool"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "run" / "stokerd.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode().strip() or "?"
            raise UserError(
                f"cannot start stokerd in {home}: stokerd {holder} (pid) serves it already; "
                "`stoker down` stops it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
