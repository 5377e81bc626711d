"""Backs the records up now and then while work goes on, and removes the oldest of its backups.

They stand in the home's directory ``backups`` and are named ``auto-...``: those that people made
are never touched. A backup is a whole file or none, and `stoker restore` takes it.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

from stoker.core.database import Database
from stoker.core.errors import StoreError
from stoker.worker.daemon import DaemonThread

log = logging.getLogger(__name__)

_PATTERN: Final = "auto-*.db"
_LOOK_S: Final = 3600.0
_AFTER_FAILURE_S: Final = 600.0


class BackupKeeper(DaemonThread):
    """Makes a backup when the newest is older than the interval."""

    def __init__(self, database: Database, home: Path, *, interval_s: float, keep: int) -> None:
        """Keep the last *keep* backups; with an interval of 0 there are none."""
        super().__init__("backups", _LOOK_S)
        self._database = database
        self._directory = home / "backups"
        self._interval_s = interval_s
        self._keep = keep

    def change(self, interval_s: float, keep: int) -> None:
        """Make and keep backups by other numbers from now on."""
        self._interval_s, self._keep = interval_s, keep
        self.wake()

    @property
    def is_wanted(self) -> bool:
        """Whether there is something to do at all."""
        return bool(self._interval_s and self._keep and self._database.path)

    def do_work(self) -> None:
        """Make a backup if one is due, and see to it that we wake when the next is."""
        if not self.is_wanted:
            self.check_interval = _LOOK_S
            return
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            wait_s = self._due_in_s()
            if wait_s <= 0:
                self._back_up()
                wait_s = self._interval_s
        except (OSError, StoreError) as error:
            log.warning("cannot back up to %s: %s", self._directory, error)
            wait_s = _AFTER_FAILURE_S
        # The clock may be set, and the machine may sleep: look again after an hour at the latest.
        self.check_interval = min(_LOOK_S, max(1.0, wait_s))

    def _due_in_s(self) -> float:
        """Return when the next is due; with none yet, the directory's age counts."""
        newest = max(self._backups(), default=self._directory)
        age_s = time.time() - newest.stat().st_mtime
        # A clock that was set back must not keep us from it for years.
        return self._interval_s - age_s if age_s >= 0 else 0.0

    def _back_up(self) -> None:
        target = self._directory / time.strftime("auto-%Y%m%d-%H%M%S.db", time.gmtime())
        self._database.back_up(target)
        log.info("the records are backed up in %s", target)
        for old in self._backups()[: -self._keep]:
            old.unlink(missing_ok=True)

    def _backups(self) -> list[Path]:
        return sorted(self._directory.glob(_PATTERN))
