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
        by_owner: bool = False,
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
            by_owner: Whether only processes of a job's owner can be the job's. Which process is
                its leader its engine has told, which token one carries is that one's own affair:
                where many are served, both are words of users.
            kill_wait_s: Seconds between SIGTERM and SIGKILL.
        """
        self.is_known = is_known
        self.never_ran = never_ran
        self.adopt = adopt
        self._terminate = terminate
        self._by_owner = by_owner
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
            holders = processes.holders_of(allocation.token, self._user_of(job))
            return next(iter(holders), None)
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
        members = _members(job, self._user_of(job))
        return (each for each in members if self._is_theirs(job, each))

    def _user_of(self, job: Job) -> int | None:
        return job.owner.user_id if self._by_owner else None

    def _is_theirs(self, job: Job, process: ProcessIdentity) -> bool:
        user_id = self._user_of(job)
        return user_id is None or processes.real_user_of(process.pid) == user_id


def _recorded(job: Job) -> ProcessIdentity | None:
    allocation = job.allocation
    if allocation is None or not allocation.pid:
        return None
    return ProcessIdentity(allocation.pid, allocation.start_ticks, allocation.boot_id)


def _members(job: Job, user_id: int | None) -> Iterator[ProcessIdentity]:
    """Yield what is found of the job now: its session while it is led, and who has its token."""
    if job.allocation is None:
        return
    recorded = _recorded(job)
    if recorded is not None:
        if recorded.boot_id != processes.boot_id():
            return
        yield from processes.session_of(recorded)
    yield from processes.holders_of(job.allocation.token, user_id)
