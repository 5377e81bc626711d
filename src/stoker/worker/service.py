"""The daemon's side of every conversation: turns, commands, typed requests, what is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Final, Protocol, TypeAlias

from stoker.core.errors import StoreError
from stoker.core.models import Job, Owner, Step
from stoker.core.repository import Repository
from stoker.worker.call import (
    Answer,
    Attach,
    Call,
    Conversation,
    Until,
    UntilEnded,
    UntilStarted,
    UntilStepEnded,
    UntilStepFree,
)
from stoker.worker.controller import Controller
from stoker.worker.failpoints import hit
from stoker.worker.handed import Handed
from stoker.worker.queue import JobQueue
from stoker.worker.rpc import Rpc
from stoker.worker.statistics import Statistics, TimedConversation
from stoker.worker.steps import StepKeeper
from stoker.worker.talk import RpcConversation

Command: TypeAlias = Callable[[Call, Controller], Answer | Conversation]

_ALLOCATING: Final = frozenset({"srun", "salloc"})
"""Programs whose jobs are not wanted any more when they have gone."""


class Allocations(Controller, Protocol):
    """A controller that also hears of callers who went away."""

    def abandon(self, key: str, by: Owner) -> None:
        """End the interactive job that their submission with this key made, if it has not ended."""
        ...


class DaemonService:
    """Implements `worker.talk.Service` over the queue."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        repository: Repository,
        controller: Allocations,
        commands: Mapping[str, Command],
        rpc: Rpc,
        steps: StepKeeper,
        statistics: Statistics,
        on_turn: Callable[[], None],
        serves: Callable[[int], bool],
    ) -> None:
        """Serve *commands* and *rpc* to users whom it *serves*.

        *on_turn* is called after a turn that changed something.
        """
        self._serves = serves
        self._queue = queue
        self._repository = repository
        self._controller = controller
        self._commands = commands
        self._rpc = rpc
        self._steps = steps
        self._statistics = statistics
        self._on_turn = on_turn
        self._has_submitted = False

    def serves(self, user_id: int) -> bool:
        """Return whether this user may ask."""
        return self._serves(user_id)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Enclose one round of calls; leaving it commits and syncs, or raises `StoreError`."""
        with self._queue.turn() as turn:
            yield
        self._has_submitted = bool(turn.keys)
        if not turn.is_empty:
            self._on_turn()

    def replied(self) -> None:
        """Learn that all that was said in the last turn is on its way to the callers."""
        if self._has_submitted:
            self._has_submitted = False
            hit("submit.after-reply")

    def begin(self, call: Call) -> Answer | Conversation:
        """Run a command."""
        command = self._commands.get(call.program)
        if command is None:
            return Answer(
                err=f"{call.program}: error: this Stoker has no such command; it has "
                f"{', '.join(sorted(self._commands))}\n",
                code=1,
            )
        begun = perf_counter()
        try:
            outcome = command(call, self._controller)
        finally:
            self._statistics.note_call(call.program, call.owner, perf_counter() - begun)
        if isinstance(outcome, Answer):
            return outcome
        more = partial(self._statistics.note_call, call.program, call.owner, count=0)
        return TimedConversation(outcome, more)

    def failed(self, call: Call, error: StoreError) -> Answer | None:
        """Return the answer to a call whose turn was not committed."""
        return Answer(err=f"{call.program}: error: {error}\n", code=1)

    def outcome(self, request: Until) -> object | None:
        """Return what the request waits for, if it has come."""
        match request:
            case UntilEnded():
                return self._ended(request.job_ids)
            case UntilStarted():
                return self._started(request.job_id)
            case UntilStepFree():
                return self._step_free(request)
            case UntilStepEnded():
                return self._step_ended(request)

    def awaited(self, request: Until) -> Sequence[int]:
        """Return the jobs whose changes can bring the outcome, as things stand.

        Of many it is enough to watch the last that has not ended: it is mostly the last to end.
        """
        if isinstance(request, UntilEnded):
            job_id = self._last_active(request.job_ids)
            return () if job_id is None else (job_id,)
        return request.job_ids

    def is_ending(self, job_id: int) -> bool:
        """Return whether a job is being ended, or has ended."""
        job = self._queue.table.get(job_id)
        return job is None or job.ending is not None

    def attach(self, request: Attach, descriptors: Handed) -> int:
        """Take a caller's descriptors for a step."""
        return self._steps.attach(request, descriptors)

    def hung_up(self, call: Call) -> None:
        """Learn that the caller of a waiting call went away: its own allocation ends."""
        if call.program in _ALLOCATING and call.key:
            self._controller.abandon(call.key, call.owner)

    def rpc(self, method: str, params: bytes, owner: Owner) -> bytes | RpcConversation:
        """Do a typed request."""
        return self._rpc.handle(method, params, owner)

    # What callers wait for.

    def _last_active(self, job_ids: Sequence[int]) -> int | None:
        table = self._queue.table
        return next((each for each in reversed(job_ids) if table.is_active(each)), None)

    def _ended(self, job_ids: Sequence[int]) -> Sequence[Job] | None:
        if self._last_active(job_ids) is not None:
            return None
        found = {job.job_id: job for job in self._repository.families(job_ids)}
        # What ended in this very turn is not on record yet.
        wanted = set(job_ids)
        for job in self._queue.current.jobs.values():
            if job.job_id in wanted or job.array_job_id in wanted:
                found[job.job_id] = job
        return [job for _, job in sorted(found.items())]

    def _started(self, job_id: int) -> Job | None:
        job = self._queue.table.get(job_id)
        if job is None:
            return next(iter(self._ended([job_id]) or ()), None)
        return job if job.start_at else None

    def _step_free(self, request: UntilStepFree) -> Job | None:
        job = self._queue.table.get(request.job_id)
        if job is None:
            return self._started(request.job_id)
        has_changed = self._steps.ended_count(job.job_id) != request.steps_ended
        return job if has_changed else None

    def _step_ended(self, request: UntilStepEnded) -> Step | None:
        step = self._steps.step(request.job_id, request.step_id)
        if step is None:
            step = self._past_step(request)
        if step is None or step.end_at:
            return step
        job = self._queue.table.get(request.job_id)
        is_ending = request.heeds_job and job is not None and job.ending is not None
        is_ending = is_ending or (request.heeds_ending and step.is_ending)
        has_more = request.ends is not None and len(step.ends) > request.ends
        return step if is_ending or has_more else None

    def _past_step(self, request: UntilStepEnded) -> Step | None:
        """Return the step of an attempt that is over; what this turn says of it counts."""
        recorded = self._repository.steps([request.job_id])
        for step in (*self._queue.current.steps.values(), *reversed(recorded)):
            if (step.job_id, step.step_id) == (request.job_id, request.step_id):
                return step
        return None
