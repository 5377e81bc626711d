"""What recovery asks of the machine about a job's processes, and has done to them.

The engine's own knowledge comes in as `is_known`; about what it does not know, /proc is asked: for
the process on record, and for those that carry the attempt's token in their environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from stoker.core import processes
from stoker.core.enums import AllocationState, JobState
from stoker.core.models import Job
from stoker.core.processes import ProcessIdentity


class Probe:
    """Looks at the processes of jobs; callables stand in for what others know or do better."""

    def __init__(
        self,
        *,
        is_known: Callable[[Job], bool] = lambda _: False,
        never_ran: Callable[[Job], bool] = lambda _: False,
        adopt: Callable[[Job], object] = lambda _: None,
        terminate: Callable[[Job], bool] | None = None,
        is_theirs: Callable[[Job, ProcessIdentity], bool] = lambda *_: True,
        kill_wait_s: float = 30.0,
    ) -> None:
        """Ask and act on this machine.

        Args:
            is_known: Whether the engine answers for the job: it will report its end.
            never_ran: Whether the engine is sure that a reserved job was never spawned, because
                its journal is whole and says nothing of it.
            adopt: Called for each healthy job, maybe more than once: watch it, and end it if
                ``job.ending`` says that somebody asked for that.
            terminate: Ends the job's whole tree and returns whether it is gone; if not given, its
                processes are sought and signalled from here.
            is_theirs: Whether a process can be one of the job at all. Which process is a job's
                leader its engine has told, which token a process carries is that one's own affair.
            kill_wait_s: Seconds between SIGTERM and SIGKILL.
        """
        self.is_known = is_known
        self.never_ran = never_ran
        self.adopt = adopt
        self._terminate = terminate
        self._is_theirs = is_theirs
        self._kill_wait_s = kill_wait_s

    def is_alive(self, job: Job) -> bool:
        """Whether the job runs, or is about to: the engine says so, or its process is there."""
        return self.is_known(job) or self.leader(job) is not None

    def leader(self, job: Job) -> ProcessIdentity | None:
        """Return the job's own process if it is there.

        Of a job whose start was not recorded, that is the oldest process with its token.
        """
        allocation = job.allocation
        if allocation is None:
            return None
        if allocation.state is AllocationState.RESERVED:
            holders = processes.holders_of(allocation.token)
            return next((each for each in holders if self._is_theirs(job, each)), None)
        recorded = _recorded(job)
        if recorded is None or not processes.is_alive(recorded):
            return None
        return recorded if self._is_theirs(job, recorded) else None

    def run_s(self, job: Job) -> float:
        """Return for how long the job has run, not counting suspension.

        Where its process is there, the kernel's own clock says it: a wall clock that was set
        must not end a job.
        """
        leader = self.leader(job)
        now = time.time()
        elapsed_s = processes.age_s(leader) if leader is not None else now - job.start_at
        asleep_s = now - job.suspended_at if job.state is JobState.SUSPENDED else 0.0
        return elapsed_s - job.suspended_s - asleep_s

    def terminate(self, job: Job) -> bool:
        """End every process of the job, TERM before KILL; return whether all of them are gone."""
        if self._terminate is not None:
            return self._terminate(job)
        return processes.end_all(lambda: self._members(job), self._kill_wait_s)

    def _members(self, job: Job) -> Iterator[ProcessIdentity]:
        return (each for each in _members(job) if self._is_theirs(job, each))


def _recorded(job: Job) -> ProcessIdentity | None:
    allocation = job.allocation
    if allocation is None or not allocation.pid:
        return None
    return ProcessIdentity(allocation.pid, allocation.start_ticks, allocation.boot_id)


def _members(job: Job) -> Iterator[ProcessIdentity]:
    """Yield what is found of the job now: its session while it is led, and who has its token."""
    if job.allocation is None:
        return
    recorded = _recorded(job)
    if recorded is not None:
        if recorded.boot_id != processes.boot_id():
            return
        yield from processes.session_of(recorded)
    yield from processes.holders_of(job.allocation.token)


def runs_as_owner(job: Job, process: ProcessIdentity) -> bool:
    """Whether a process is one of the user's whose job it is, whatever it runs as."""
    return processes.real_user_of(process.pid) == job.owner.user_id
