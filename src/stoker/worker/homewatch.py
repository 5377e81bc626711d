"""Notices that the home was deleted or moved away while the daemon serves it.

The kernel tells: the home and each directory above it are watched for their own removal or
renaming, the home also for that of what stands in it. Whether it really is gone is then looked at.
Where the kernel cannot tell (this user has no more inotify instances), `wait_s` says how often to
look.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_MOVED_FROM, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x40, 0x200, 0x400, 0x800
_LOOK_S: Final = 3.0
_EVENTS_MAX: Final = 1 << 16


class HomeWatch:
    """Is ready to be read when something has happened to the home; a context manager."""

    def __init__(self, home: Path) -> None:
        """Look at *home* as it is now."""
        self._home = home
        self._found = _identity(home)
        self._descriptor = -1

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            return self
        itself = _DELETE_SELF | _MOVE_SELF
        watched = {self._home: itself | _DELETE | _MOVED_FROM}
        watched |= dict.fromkeys(self._home.parents, itself)
        for path, mask in watched.items():
            libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def sources(self) -> list[int]:
        """Return what `select` is to wait for."""
        return [self._descriptor] if self._descriptor >= 0 else []

    @property
    def wait_s(self) -> float | None:
        """Return how long to wait between two looks; None if we are told."""
        return None if self._descriptor >= 0 else _LOOK_S

    def is_gone(self) -> bool:
        """Whether another directory, or none, stands where the home stood."""
        if self._descriptor >= 0:
            with suppress(BlockingIOError):
                os.read(self._descriptor, _EVENTS_MAX)
        return _identity(self._home) != self._found


def _identity(home: Path) -> tuple[tuple[int, int], ...]:
    """Return what tells the home, and the lock in it that makes it ours, from any other."""
    found = []
    for path in (home, home / "run" / "stokerd.lock"):
        with suppress(OSError):
            facts = path.stat()
            found.append((facts.st_dev, facts.st_ino))
    return tuple(found)
