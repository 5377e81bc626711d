"""Callers of interactive jobs whom a restart has cut off: when one goes, its job is not wanted.

A caller that is connected is missed by the server. After a restart it comes back only when it next
has something to say, which for salloc is when its command has ended: until then its process is
watched. One that is in another process namespace cannot be watched; its job ends by its time limit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from stoker.core import processes
from stoker.core.models import Job
from stoker.core.processes import ProcessIdentity

log = logging.getLogger(__name__)


class CallerWatch:
    """Waits for callers to go, a thread for each; there are few, and only after a restart."""

    def __init__(self, on_gone: Callable[[int], None]) -> None:
        """Call *on_gone* with the id of a job whose caller is not there any more."""
        self._on_gone = on_gone

    def watch(self, job: Job) -> None:
        """Watch the caller of a job that has one."""
        if job.spec.caller is None:
            return
        caller = ProcessIdentity(*job.spec.caller)
        threading.Thread(
            target=self._see_out,
            args=(job.job_id, caller),
            name=f"caller of {job.job_id}",
            daemon=True,
        ).start()

    def _see_out(self, job_id: int, caller: ProcessIdentity) -> None:
        try:
            processes.wait_gone(caller)
            self._on_gone(job_id)
        except Exception:
            log.exception("the caller of job %d is not watched any more", job_id)
