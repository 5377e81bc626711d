"""What the daemon knows and does beside the queue: its processes, its stop, its checks, backups."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import stoker
from stoker.core.database import Database
from stoker.core.errors import UserError
from stoker.core.messages import Finding
from stoker.core.models import Owner
from stoker.core.units import JobRef
from stoker.engines.base import Engine
from stoker.worker.control import Control
from stoker.worker.doctor import examine
from stoker.worker.ledger import Ledger


class Stoppable(Protocol):
    """A worker, as its household sees it."""

    ledger: Ledger
    control: Control

    def request_stop(self) -> None:
        """Make it return from its work."""
        ...


class DaemonHousehold:
    """Implements `worker.rpc.Household`."""

    def __init__(self, home: Path, database: Database, engine: Engine, worker: Stoppable) -> None:
        """Speak for the daemon whose files are in *home*."""
        self._home = home
        self._database = database
        self._engine = engine
        self._worker = worker
        self._started_at = time.time()

    def status(self) -> Mapping[str, Any]:
        """Return what `stoker status` shows of the processes."""
        engine = self._engine.status()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "home": str(self._home),
            "version": stoker.__version__,
            "stokerd": {
                "pid": os.getpid(),
                "started_at": self._started_at,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "max_rss_kib": usage.ru_maxrss,
            },
            "shepherd": dict(engine),
        }

    def request_stop(self, *, cancel: bool) -> None:
        """Stop when this turn is over; with *cancel*, end all jobs first."""
        ledger = self._worker.ledger
        if cancel:
            ourselves = Owner(os.geteuid(), "", os.getegid(), "")
            for job in list(ledger.table):
                self._worker.control.cancel(JobRef(job.job_id), ourselves)
        ledger.queue.current.afterwards(self._worker.request_stop)

    def check(self) -> Sequence[Finding]:
        """Compare database, journal, processes and cgroups."""
        return examine(self._home, self._database, self._engine, self._worker.ledger)

    def back_up(self, path: Path) -> None:
        """Copy the records into a file.

        Raises:
            UserError: It is not an absolute path, or cannot be written.
        """
        if not path.is_absolute():
            raise UserError(f"cannot back up to {path}: name an absolute path")
        try:
            self._database.back_up(path)
        except OSError as error:
            raise UserError(f"cannot back up to {path}: {error.strerror}") from None
