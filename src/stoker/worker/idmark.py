"""The highest job id that was ever given out, beside the database and not in it.

A restored database is an older one: it has forgotten ids that people have seen. The mark has not.
It is written after each turn that gave ids, which survives our death, and synced once in `STEP`
ids; restoring adds a `STEP`, so that ids which a power failure took from the mark are skipped, too.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

NAME: Final = "job_ids"
STEP: Final = 1000
"""Ids between two syncs; `client.restoring` adds as many."""

_WIDTH: Final = 20


class IdMark:
    """The file that holds the next id."""

    def __init__(self, home: Path) -> None:
        """Nothing is read before `read`."""
        self._path = home / NAME
        self._synced = 0
        self._has_failed = False

    def read(self) -> int:
        """Return the next id as far as the mark knows, 1 if it knows nothing."""
        try:
            self._synced = int(self._path.read_bytes() or b"1")
        except FileNotFoundError:
            self._synced = 1
        except (OSError, ValueError) as error:
            log.warning("cannot read %s: %s; the database alone says which id is next", NAME, error)
            self._synced = 1
        return self._synced

    def write(self, next_job_id: int) -> None:
        """Note what the database has recorded; a failure is said once, and does not stop us."""
        try:
            self._write(next_job_id)
        except OSError as error:
            if not self._has_failed:
                log.warning("cannot write %s: %s; a restore could give ids again", NAME, error)
            self._has_failed = True
        else:
            self._has_failed = False

    def _write(self, next_job_id: int) -> None:
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            # Always as long: it is overwritten in place, which needs no room on a full disk.
            os.pwrite(descriptor, f"{next_job_id:{_WIDTH}}\n".encode(), 0)
            if next_job_id - self._synced >= STEP:
                os.fdatasync(descriptor)
                self._synced = next_job_id
        finally:
            os.close(descriptor)
