"""Batch scripts as files that the kernel can execute: ``<digest>/slurm_script``.

A script stands once in the spool by its content, whatever number of jobs share it; where many are
served, once for each user. It is written before it is first used by this daemon, so a file that a
power failure cut short is made whole again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_SCRIPT_NAME = "slurm_script"


class Spool(Protocol):
    """Where scripts stand."""

    def path_of(self, digest: str, user_id: int) -> Path:
        """Return the path of a user's script, which is written if this daemon has not done so."""
        ...

    def keep_only(self, digests: set[str]) -> None:
        """Remove the scripts that nobody needs any more."""
        ...


class OwnSpool:
    """The scripts of whoever runs the daemon."""

    def __init__(self, directory: Path, read: Callable[[str], bytes]) -> None:
        """Keep the scripts in *directory*; *read* gives a content by its digest."""
        self._directory = directory
        self._read = read
        self._written: dict[str, Path] = {}

    def path_of(self, digest: str, user_id: int) -> Path:  # noqa: ARG002 - all of them are ours
        """Return the path of a script, which is written if this daemon has not done so yet."""
        path = self._written.get(digest)
        if path is None or not os.path.exists(path):  # noqa: PTH110 - a third of the time, a job each
            path = self._write(digest)
            self._written[digest] = path
        return path

    def _write(self, digest: str) -> Path:
        path = self._directory / digest / _SCRIPT_NAME
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{_SCRIPT_NAME}.new")
        descriptor = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o700)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._read(digest))
        fresh.replace(path)
        return path

    def keep_only(self, digests: set[str]) -> None:
        """Remove the scripts that nobody needs any more."""
        for name in _remove_others(self._directory, digests):
            self._written.pop(name, None)


class SharedSpool:
    """The scripts of many users: ``<user>/<digest>/slurm_script``, each its user's alone.

    All directories are root's, so that a path in them means what root made of it. A user may do
    with their own script what they like; nobody else's jobs run it.
    """

    def __init__(self, directory: Path, read: Callable[[str], bytes]) -> None:
        """Keep the scripts in *directory*; *read* gives a content by its digest."""
        self._directory = directory
        self._read = read
        self._written: dict[tuple[int, str], Path] = {}

    def path_of(self, digest: str, user_id: int) -> Path:
        """Return the path of a user's script, which is written if this daemon has not done so."""
        path = self._written.get((user_id, digest))
        if path is None or not os.path.exists(path):  # noqa: PTH110 - a third of the time, a job each
            path = self._written[user_id, digest] = self._write(digest, user_id)
        return path

    def _write(self, digest: str, user_id: int) -> Path:
        path = self._directory / str(user_id) / digest / _SCRIPT_NAME
        for directory in (path.parent.parent, path.parent):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o711)
        fresh = path.with_name(f".{_SCRIPT_NAME}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o700)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._read(digest))
            os.fchmod(descriptor, 0o700)
            os.fchown(descriptor, user_id, -1)
        fresh.replace(path)
        return path

    def keep_only(self, digests: set[str]) -> None:
        """Remove the scripts that nobody needs any more."""
        with suppress(FileNotFoundError):
            for user in list(self._directory.iterdir()):
                for name in _remove_others(user, digests):
                    self._written.pop((int(user.name), name), None)


def _remove_others(directory: Path, digests: set[str]) -> list[str]:
    """Remove the scripts in a directory that are not among those; return which they were."""
    removed = []
    with suppress(FileNotFoundError):
        for entry in list(directory.iterdir()):
            if entry.name not in digests:
                removed.append(entry.name)
                shutil.rmtree(entry, ignore_errors=True)
    return removed
