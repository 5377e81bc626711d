"""What to do about a job on record when the engine cannot: each strategy a question and a deed.

Recovery takes the way of a live end: the ledger's functions, in a turn, so that a job's end and the
release of its resources are one transaction. A deed looks at the record again inside its turn, so
doing it twice does no harm, and what must not be forgotten when we die half-way is recorded first.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from stoker.core.enums import HOLDING, AllocationState, JobState, Reason
from stoker.core.lifecycle import Event, next_state
from stoker.core.models import Job
from stoker.worker.ledger import Ledger
from stoker.worker.outcomes import RAN_TOO_LONG, Outcome
from stoker.worker.probe import Probe
from stoker.worker.queue import Turn

log = logging.getLogger(__name__)

MAX_RUNTIME_HOURS: Final = 72.0


class RecoveryStrategy(ABC):
    """Knows one kind of trouble, and the way out of it."""

    @abstractmethod
    def should_recover(self, job: Job) -> bool:
        """Whether the job is in this kind of trouble; only looks."""

    @abstractmethod
    def recover_job(self, job: Job) -> bool:
        """Bring the job's record and processes in order; return whether that is done."""

    def bind(self, ledger: Ledger, probe: Probe) -> None:  # noqa: B027 - many need neither
        """Take *ledger* and *probe*, if it was made without."""


class _LedgerStrategy(RecoveryStrategy):
    """A strategy that changes jobs through the ledger."""

    def __init__(self, ledger: Ledger | None, probe: Probe | None) -> None:
        self._given_ledger = ledger
        self._given_probe = probe

    def bind(self, ledger: Ledger, probe: Probe) -> None:
        """Take *ledger* and *probe* if it was made without."""
        self._given_ledger = self._given_ledger or ledger
        self._given_probe = self._given_probe or probe

    @property
    def _ledger(self) -> Ledger:
        assert self._given_ledger is not None, f"{type(self).__name__} has no ledger; see bind()"
        return self._given_ledger

    @property
    def _probe(self) -> Probe:
        assert self._given_probe is not None, f"{type(self).__name__} has no probe; see bind()"
        return self._given_probe

    def _as_recorded(self, job: Job) -> Job | None:
        """Return the job as it is now; None if that attempt of it is over already."""
        current = self._ledger.table.get(job.job_id)
        if current is None or not _is_held(current) or current.restarts != job.restarts:
            return None
        return current


class OrphanJobRecoveryStrategy(_LedgerStrategy):
    """Jobs that are to run, or about to, but of which nothing is there: as after a node failure.

    Such a job waits again as its next attempt if it may be requeued, and failed with exit code
    -999:0 otherwise. One that surely never ran waits again as the same attempt.
    """

    def __init__(self, *, ledger: Ledger | None = None, probe: Probe | None = None) -> None:
        """Change *ledger*'s jobs by what *probe* sees; the manager's own, if not given."""
        super().__init__(ledger, probe)

    def should_recover(self, job: Job) -> bool:
        """Whether the job holds resources, and neither the engine nor /proc knows its process."""
        return _is_held(job) and not self._probe.is_alive(job)

    def recover_job(self, job: Job) -> bool:
        """End what the job left behind, then record its end and give its resources back."""
        if not self._probe.terminate(job):
            log.warning("job %s is lost, but processes of it cannot be ended", job.display_id)
            return False
        with self._ledger.queue.turn() as turn:
            current = self._as_recorded(job)
            if current is not None:
                self._lose(turn, current)
        return True

    def _lose(self, turn: Turn, job: Job) -> None:
        if job.ending is None and _is_reserved(job) and self._probe.never_ran(job):
            self._ledger.unreserve(turn, job)
        else:
            self._ledger.lose(turn, job)


class TimeoutJobRecoveryStrategy(_LedgerStrategy):
    """Jobs that have run for longer than the site allows anybody: TIMEOUT, exit code -998:0."""

    def __init__(
        self,
        max_runtime_hours: float = MAX_RUNTIME_HOURS,
        *,
        ledger: Ledger | None = None,
        probe: Probe | None = None,
    ) -> None:
        """Allow *max_runtime_hours*; *ledger* and *probe* are the manager's own, if not given.

        Raises:
            ValueError: The time is not positive.
        """
        if max_runtime_hours <= 0:
            raise ValueError(
                f"cannot allow {max_runtime_hours:g} hours: every job would be ended; "
                "leave the strategy out where there is no maximum"
            )
        super().__init__(ledger, probe)
        self.max_runtime_hours = max_runtime_hours

    def should_recover(self, job: Job) -> bool:
        """Whether the job runs and has done so for too long, or its end for that was begun."""
        if job.state not in HOLDING:
            return False
        if _is_marked(job):
            return True
        return self._is_too_old(job) and self._probe.is_alive(job)

    def recover_job(self, job: Job) -> bool:
        """End the whole tree; only when it is gone does the record say so."""
        # What is decided is recorded first: if we die before the end, it does not look lost.
        with self._ledger.queue.turn() as turn:
            current = self._as_recorded(job)
            if current is None:
                return True
            self._mark(turn, current)
        if not self._probe.terminate(current):
            log.warning("job %s has run for too long and cannot be ended", job.display_id)
            return False
        with self._ledger.queue.turn() as turn:
            # The engine may have reported the end by now.
            if (current := self._as_recorded(job)) is not None:
                self._ledger.finish(turn, current, self._outcome(turn))
        return True

    def _is_too_old(self, job: Job) -> bool:
        return self._probe.run_s(job) > self.max_runtime_hours * 3600

    def _mark(self, turn: Turn, job: Job) -> None:
        if job.state is not JobState.COMPLETING:
            job.state = next_state(job.state, Event.ENDING)
        job.ending = JobState.TIMEOUT
        job.exit_code = RAN_TOO_LONG
        job.message = self._message
        turn.touch(job)

    @property
    def _message(self) -> str:
        return f"exceeded the maximum run time of {self.max_runtime_hours:g} hours"

    def _outcome(self, turn: Turn) -> Outcome:
        return Outcome(
            state=JobState.TIMEOUT,
            at=turn.now,
            code=RAN_TOO_LONG,
            reason=Reason.TIME_LIMIT,
            message=self._message,
        )


class CompositeRecoveryStrategy(RecoveryStrategy):
    """Several strategies, tried in order: the first that acts wins."""

    def __init__(self, strategies: Sequence[RecoveryStrategy]) -> None:
        self.strategies = tuple(strategies)

    def should_recover(self, job: Job) -> bool:
        """Whether any of them would."""
        return any(each.should_recover(job) for each in self.strategies)

    def recover_job(self, job: Job) -> bool:
        """Let the first do it that can."""
        return any(each.should_recover(job) and each.recover_job(job) for each in self.strategies)

    def bind(self, ledger: Ledger, probe: Probe) -> None:
        """Pass both on."""
        for each in self.strategies:
            each.bind(ledger, probe)


def default_strategy(max_runtime_hours: float) -> RecoveryStrategy:
    """Return what the daemon does: overlong jobs if there is a maximum, then orphans.

    In this order, since a job whose end for its age was begun and finished looks like an orphan.
    """
    strategies: list[RecoveryStrategy] = [OrphanJobRecoveryStrategy()]
    if max_runtime_hours > 0:
        strategies.insert(0, TimeoutJobRecoveryStrategy(max_runtime_hours))
    return CompositeRecoveryStrategy(strategies)


def _is_held(job: Job) -> bool:
    return job.allocation is not None or job.state in HOLDING


def _is_reserved(job: Job) -> bool:
    return job.allocation is not None and job.allocation.state is AllocationState.RESERVED


def _is_marked(job: Job) -> bool:
    return job.ending is JobState.TIMEOUT and job.exit_code == RAN_TOO_LONG
