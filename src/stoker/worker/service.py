"""The daemon's side of every conversation: turns, commands, typed requests, what is waited for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from stoker.core.errors import StoreError
from stoker.core.models import Job, Owner
from stoker.core.repository import Repository
from stoker.core.units import JobRef
from stoker.worker.call import (
    Answer,
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
from stoker.worker.queue import JobQueue
from stoker.worker.rpc import Rpc
from stoker.worker.steps import StepKeeper
from stoker.worker.talk import RpcConversation

Command: TypeAlias = Callable[[Call, Controller], Answer | Conversation]


class DaemonService:
    """Implements `worker.talk.Service` over the queue."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        repository: Repository,
        controller: Controller,
        commands: Mapping[str, Command],
        rpc: Rpc,
        steps: StepKeeper,
        on_turn: Callable[[], None],
    ) -> None:
        """Serve *commands* and *rpc*; *on_turn* is called after a turn that changed something."""
        self._queue = queue
        self._repository = repository
        self._controller = controller
        self._commands = commands
        self._rpc = rpc
        self._steps = steps
        self._on_turn = on_turn

    def serves(self, user_id: int) -> bool:
        """Return whether this user may ask: a user's own daemon serves its user, and root."""
        return user_id in (os.geteuid(), 0)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Enclose one round of calls; leaving it commits and syncs, or raises `StoreError`."""
        with self._queue.turn() as turn:
            yield
        if not turn.is_empty:
            self._on_turn()
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
        return command(call, self._controller)

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

    def attach(self, job_id: int, descriptors: Sequence[int]) -> int:
        """Take a caller's descriptors for a step."""
        return self._steps.attach(job_id, descriptors)

    def hung_up(self, call: Call) -> None:
        """Learn that the caller of a waiting call went away: its own allocation ends."""
        if call.program not in ("srun", "salloc") or not call.key:
            return
        job_id = self._repository.job_of_key(call.key)
        job = self._queue.table.get(job_id) if job_id is not None else None
        if job is not None and job.spec.interactive:
            self._controller.cancel(JobRef(job.job_id), job.owner)

    def rpc(self, method: str, params: bytes, owner: Owner) -> bytes | RpcConversation:
        """Do a typed request."""
        return self._rpc.handle(method, params, owner)

    # What callers wait for.

    def _ended(self, job_ids: Sequence[int]) -> Sequence[Job] | None:
        table = self._queue.table
        if any(table.get(each) is not None or table.array(each) for each in job_ids):
            return None
        found = {job.job_id: job for job in self._repository.jobs(list(job_ids))}
        for job_id in job_ids:
            found |= {job.job_id: job for job in self._repository.array(job_id)}
        current = self._queue.current.jobs
        return [current.get(job_id, job) for job_id, job in sorted(found.items())]

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

    def _step_ended(self, request: UntilStepEnded) -> object | None:
        step = self._steps.step(request.job_id, request.step_id)
        if step is not None:
            return step if step.end_at else None
        recorded = self._repository.steps([request.job_id])
        return next((each for each in reversed(recorded) if each.step_id == request.step_id), None)
