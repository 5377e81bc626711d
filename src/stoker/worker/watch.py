"""Watches processes that run although no engine knows them, and reports their end like an engine.

That is rare: the engine's journal was lost while jobs ran. Each such job gets a thread that waits
at a pidfd, sees to the time limit, ends what the job leaves behind, and reports.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Final

from stoker.core import processes
from stoker.core.models import BATCH, FOREVER, Job
from stoker.core.processes import ProcessIdentity
from stoker.engines.base import Ended, Listener, UnitKey
from stoker.worker.probe import Probe

log = logging.getLogger(__name__)

_WAIT_MAX_S: Final = 86_400.0
"""The longest single wait: poll(2) counts milliseconds in an int."""


class ProcessWatch:
    """Sees jobs of which only the process is known to their end."""

    def __init__(self, report: Listener, probe: Probe) -> None:
        """Give each end to *report*, as an engine does; *probe* finds and ends processes."""
        self._report = report
        self._probe = probe
        self._lock = threading.Lock()
        self._watched: set[UnitKey] = set()

    def watch(self, job: Job) -> None:
        """Watch the job's present attempt; one that is watched already is left alone."""
        assert job.allocation is not None, f"job {job.job_id} has no allocation"
        key = UnitKey(job.job_id, job.allocation.attempt, BATCH)
        with self._lock:
            if key in self._watched:
                return
            self._watched.add(key)
        # Opened now: once the process is gone, its exit status cannot be asked for any more.
        leader = self._probe.leader(job)
        pidfd = processes.open_pidfd(leader) if leader is not None else None
        threading.Thread(
            target=self._see_out, args=(key, job, leader, pidfd), name=f"watches {key}", daemon=True
        ).start()

    def _see_out(
        self, key: UnitKey, job: Job, leader: ProcessIdentity | None, pidfd: int | None
    ) -> None:
        try:
            self._report([self._await_end(key, job, leader, pidfd)])
        except Exception:
            log.exception("job %s is not watched any more; the next start recovers it", key.job_id)
        finally:
            if pidfd is not None:
                os.close(pidfd)

    def _await_end(
        self, key: UnitKey, job: Job, leader: ProcessIdentity | None, pidfd: int | None
    ) -> Ended:
        why = None
        if leader is not None and not self._ends_in_time(job, leader):
            why = "timeout" if job.ending is None else None
        # The job itself if its time is up; in any case what it leaves behind.
        while not self._probe.terminate(job):
            log.warning("job %s has processes that cannot be ended; trying on", key.job_id)
        status = processes.exit_status(pidfd) if pidfd is not None else None
        code, number = status or (0, 0)
        return Ended(
            key=str(key),
            exit_code=code,
            signal=number,
            status_known=status is not None,
            at=time.time(),
            why=why,
        )

    def _ends_in_time(self, job: Job, leader: ProcessIdentity) -> bool:
        """Wait until the process has exited; return whether it has before it must be ended."""
        limit_s = job.time_limit_s if job.time_limit_s is not None else FOREVER
        if job.ending is not None:
            return False
        while (left_s := limit_s - self._probe.run_s(job)) > 0:
            if processes.wait_gone(leader, min(left_s, _WAIT_MAX_S)):
                return True
        return False
