"""What the engine reports becomes what the record says: started, ended, failed, withdrawn, lost.

Live events and the evidence after a restart take the same way. An event may come twice: it is
compared with the record first, so that taking it again does no harm. The engine may forget an end
only when the turn that took it is on record.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from stoker.core.enums import AllocationState, JobState
from stoker.core.errors import StoreError
from stoker.core.models import BATCH, Allocation, Job
from stoker.engines.base import (
    Ended,
    Engine,
    EngineEvent,
    Failed,
    Lost,
    Started,
    Withdrawn,
    group_key,
    parse_key,
)
from stoker.worker import outcomes
from stoker.worker.failpoints import hit
from stoker.worker.ledger import Ledger
from stoker.worker.queue import JobQueue, Turn
from stoker.worker.scheduler import ResourceScheduler
from stoker.worker.steps import StepKeeper

log = logging.getLogger(__name__)

_OUR_TROUBLE = frozenset({"journal", "spool", "fork", "shepherd"})
"""Steps of a launch that are the machine's trouble, not the job's: it may well start later."""

_OUTPUTS: Final = frozenset({"stdout", "stderr"})
_DIRECTORY_WAIT_S: Final = 2.0
"""For how long after its submission a job waits for the directory of its output.

Slurm starts a job a second or more after sbatch has answered. Clients make the directory, which is
named by the job's id, in the meantime (submitit); we are quicker than they are.
"""
_DIRECTORY_PAUSE_S: Final = 0.1
"""The first pause; each doubles the job's age, and the last look is when the wait is over."""


class Reports:
    """Takes the engine's events, many in one turn."""

    def __init__(
        self,
        queue: JobQueue,
        ledger: Ledger,
        engine: Engine,
        steps: StepKeeper,
        scheduler: ResourceScheduler,
    ) -> None:
        """Change jobs through *ledger*; acknowledge to *engine*; let *scheduler* follow."""
        self.boot_id = ""
        self.is_live = False
        """Whether jobs may be started: not before recovery has come to its end."""
        self._queue = queue
        self._postponed: list[EngineEvent] = []
        self._scheduler = scheduler
        self._ledger = ledger
        self._engine = engine
        self._steps = steps

    @property
    def is_behind(self) -> bool:
        """Whether something was reported that could not be recorded yet."""
        return bool(self._postponed)

    def take(self, events: Sequence[EngineEvent]) -> None:
        """Record what happened, and let the scheduler follow in the same turn.

        What cannot be recorded now (a full disk) is kept, and taken before what comes later. An
        event that breaks its turn is left behind alone: the others are taken one by one.

        Raises:
            StoreError: Recovery, which must not go on without, could not record it.
        """
        with self._queue.lock:
            was_behind = self.is_behind
            events, self._postponed = [*self._postponed, *events], []
            try:
                self._take_together(events)
            except StoreError as error:
                log.warning("%d reports cannot be recorded now: %s", len(events), error)
                self._postponed = events
                if not self.is_live:
                    raise
                if not was_behind:
                    self._scheduler.on_wakeup()
            except Exception:
                log.exception("of %d reports one cannot be taken", len(events))
                if len(events) > 1:
                    for event in events:
                        self.take([event])

    def _take_together(self, events: Sequence[EngineEvent]) -> None:
        _hit_before_commit(events)
        settled = [event.key for event in events if not isinstance(event, Started)]
        with self._queue.turn() as turn:
            turn.afterwards(lambda: _hit_after_commit(events))
            if settled:
                turn.afterwards(partial(self._acknowledge, settled))
            for event, start in _with_starts(events):
                self._take_one(turn, event, start)
            if self.is_live:
                self._scheduler.schedule(turn)

    def _take_one(self, turn: Turn, event: EngineEvent, start: Started | None) -> None:
        """Take in an event; if it is an end, perhaps with the start that was told at once."""
        key = parse_key(event.key)
        job = self._ledger.table.get(key.job_id)
        if job is None or job.allocation is None or job.allocation.attempt != key.attempt:
            return
        if key.step == BATCH:
            self._take_batch(turn, job, job.allocation, event, start)
        else:
            self._steps.take(turn, job, key, event)
            self._end_interactive(turn, job)

    def _acknowledge(self, keys: Sequence[str]) -> None:
        hit("ack.before")
        self._engine.acknowledge(keys)
        hit("ack.after")

    def _take_batch(
        self,
        turn: Turn,
        job: Job,
        allocation: Allocation,
        event: EngineEvent,
        start: Started | None,
    ) -> None:
        match event:
            case Started():
                self._start(turn, job, allocation, event)
            case Ended():
                self._end(turn, job, allocation, event, start)
            case Failed():
                self._fail(turn, job, event)
            case Withdrawn():
                self._take_back(turn, job)
            case Lost():
                self._ledger.lose(turn, job)

    def _end_interactive(self, turn: Turn, job: Job) -> None:
        """End an allocation that is to end when the last of its steps has."""
        if not job.spec.interactive or job.ending is None:
            return
        if not self._steps.open_steps(job.job_id):
            self._steps.end_all(turn, job, turn.now)
            self._ledger.finish(turn, job, outcomes.on_request(job, turn.now))

    def _start(self, turn: Turn, job: Job, allocation: Allocation, event: Started) -> None:
        if allocation.state is AllocationState.RESERVED:
            process = event.pid, event.start_ticks, self.boot_id
            self._ledger.start(turn, job, process, event.at)
            if job.ending is None:
                return
        # It was to end while the order to start it was on its way; or this is told again, because
        # the daemon or the connection is a new one, and what was asked before may be lost.
        turn.afterwards(partial(self._insist, job, group_key(job.job_id, allocation.attempt)))

    def _insist(self, job: Job, group: str) -> None:
        """Ask of the engine what the record says is to be done to a running job; maybe again."""
        if job.ending is not None:
            kill_wait_s = self._ledger.admission.settings.kill_wait_s
            self._engine.end(group, outcomes.why(job.ending), kill_wait_s)
        elif job.state is JobState.SUSPENDED:
            self._engine.suspend(group)
        else:
            self._engine.resume(group)
            self._engine.limit(group, job.time_limit_s)

    def _end(
        self, turn: Turn, job: Job, allocation: Allocation, event: Ended, start: Started | None
    ) -> None:
        self._steps.end_all(turn, job, event.at)
        is_news = allocation.state is AllocationState.RESERVED
        if is_news and start is not None:
            process = start.pid, start.start_ticks, self.boot_id
            self._ledger.begin(turn, job, process, start.at)
        elif is_news:
            # It came and went while we were away: nobody tells of its start any more.
            self._ledger.begin(turn, job, (0, 0, self.boot_id), allocation.reserved_at)
        if start is not None or not is_news:
            self._scheduler.note_run(job, event.at - job.start_at)
        if event.why == "unwatched" and not event.status_known:
            # Whether it ended by itself or died with whoever watched it, nobody can tell.
            self._ledger.lose(turn, job)
        else:
            self._ledger.finish(turn, job, outcomes.outcome_of(job, event))

    def _fail(self, turn: Turn, job: Job, event: Failed) -> None:
        """End a job that cannot be started; what is our trouble and will pass makes it wait."""
        if event.step in _OUR_TROUBLE:
            log.warning(
                "job %s could not be started (%s): %s", job.job_id, event.step, event.message
            )
            self._take_back(turn, job)
            self._back_off(turn, job, event)
        elif _may_come(job, event, turn.now):
            look_at = turn.now + max(_DIRECTORY_PAUSE_S, turn.now - job.submit_at)
            job.begin_at = min(look_at, job.submit_at + _DIRECTORY_WAIT_S)
            self._take_back(turn, job)
        else:
            self._ledger.finish(turn, job, outcomes.launch_failure(event))

    def _back_off(self, turn: Turn, job: Job, event: Failed) -> None:
        """Start nothing for a while; where many are served, nothing of the job's user.

        What the engine had no room for there may be a limit of that user's, or their own doing.
        """
        if not self._ledger.admission.settings.shared:
            self._scheduler.back_off(event.message)
            return
        table = self._ledger.table
        # A task of an array may wait with its array again.
        waiting = table.get(job.job_id) or table.get(job.array_job_id)
        if waiting is not None:
            waiting.message = event.message
            turn.touch(waiting)
        self._scheduler.back_off_from(job, event.message)

    def _take_back(self, turn: Turn, job: Job) -> None:
        """Let a job whose process never was wait again, unless it was to end anyway."""
        if job.ending is not None:
            self._ledger.finish(turn, job, outcomes.on_request(job, turn.now))
        elif job.state is JobState.PENDING:
            self._ledger.unreserve(turn, job)


def _with_starts(
    events: Sequence[EngineEvent],
) -> Iterator[tuple[EngineEvent, Started | None]]:
    """Yield the events, but a start whose end is among them with that: most jobs are short."""
    over = {event.key for event in events if isinstance(event, Ended)}
    begun: dict[str, Started] = {}
    for event in events:
        if isinstance(event, Started) and event.key in over:
            begun[event.key] = event
        else:
            yield event, begun.get(event.key)


def _may_come(job: Job, event: Failed, now: float) -> bool:
    """Whether what is missing is a directory that the job's submitter may be about to make."""
    is_missing = event.step in _OUTPUTS and event.errno == errno.ENOENT
    return is_missing and 0 <= now - job.submit_at < _DIRECTORY_WAIT_S


def _hit_before_commit(events: Sequence[EngineEvent]) -> None:
    if any(isinstance(event, Started) for event in events):
        hit("started.before-commit")
    if any(isinstance(event, Ended) for event in events):
        hit("ended.before-commit")


def _hit_after_commit(events: Sequence[EngineEvent]) -> None:
    if any(isinstance(event, Started) for event in events):
        hit("started.after-commit")
    if any(isinstance(event, Ended) for event in events):
        hit("ended.after-commit")
