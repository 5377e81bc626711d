"""The queue: the jobs that have not ended, and the turns in which they change.

Everything that changes a job does so inside a turn: `with queue.turn() as turn`. A turn holds the
lock, collects what changed, and on its way out records all of it in one synced transaction; only
then does it act (launch, signal) and tell (answers, observers). So what is not recorded is never
acted on, many changes share one sync, and a turn that could not be recorded has done nothing: the
memory is then rebuilt from the database, the one truth.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection

from stoker.core.errors import StoreAway, StoreError, StoreRefused
from stoker.core.models import Allocation, Job, JobSpec, Step
from stoker.core.repository import NEXT_JOB_ID, NodeState, Repository
from stoker.core.rows import digest_of, encode_spec
from stoker.worker.fairlock import FairLock
from stoker.worker.idmark import IdMark
from stoker.worker.table import JobTable

log = logging.getLogger(__name__)

_PAUSE_WHEN_REFUSED_S = 1.0

Action = Callable[[], None]
Write = Callable[[Connection], None]
T = TypeVar("T")


class Turn:
    """What one turn changes, and what is to be done once that is on record."""

    def __init__(self, now: float) -> None:
        """Start with nothing changed; *now* is the time for everything in the turn."""
        self.now = now
        self.jobs: dict[int, Job] = {}
        self.allocations: dict[tuple[int, int], Allocation] = {}
        self.steps: dict[tuple[int, int, str], Step] = {}
        self.specs: dict[bytes, bytes] = {}
        self.contents: dict[str, bytes] = {}
        self.keys: dict[str, int] = {}
        self.erased: set[int] = set()
        self.node_states: dict[str, NodeState] = {}
        self.news: set[int] = set()
        self.writes: list[Write] = []
        """What other rooms record in the same transaction."""
        self.actions: list[Action] = []
        self._gathered: dict[Callable[[list[Any]], None], list[Any]] = {}
        self.next_job_id: int | None = None

    def touch(self, job: Job) -> None:
        """Record the job's state at the end of the turn."""
        self.jobs[job.job_id] = job

    def erase(self, job: Job) -> None:
        """Record that there is no such job: an array's waiting tasks stand for it again."""
        self.jobs.pop(job.job_id, None)
        for key in [key for key in self.allocations if key[0] == job.job_id]:
            del self.allocations[key]
        self.erased.add(job.job_id)

    def touch_allocation(self, allocation: Allocation) -> None:
        """Record the allocation's state at the end of the turn."""
        self.allocations[allocation.job_id, allocation.attempt] = allocation

    def touch_step(self, step: Step) -> None:
        """Record the step's state at the end of the turn."""
        self.steps[step.job_id, step.attempt, step.step_id] = step

    def keep_spec(self, spec: JobSpec) -> bytes:
        """Store a specification with the turn; return its digest."""
        digest, body = encode_spec(spec)
        self.specs[digest] = body
        return digest

    def keep_content(self, body: bytes) -> str:
        """Store a script or an environment with the turn; return its digest, "" for nothing."""
        if not body:
            return ""
        digest = digest_of(body)
        self.contents[digest] = body
        return digest

    def tell(self, job_id: int) -> None:
        """Let those who wait for the job, or the array, of that id look when this is on record."""
        self.news.add(job_id)

    def afterwards(self, action: Action) -> None:
        """Do this once the turn is on record."""
        self.actions.append(action)

    def gather(self, action: Callable[[list[T]], None], item: T) -> None:
        """Have *action* called once with every item that was gathered for it in this turn."""
        items = self._gathered.get(action)
        if items is None:
            items = self._gathered[action] = []
            self.actions.append(lambda: action(items))
        items.append(item)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record."""
        return not (
            self.jobs
            or self.allocations
            or self.steps
            or self.keys
            or self.erased
            or self.node_states
            or self.writes
            or self.next_job_id
        )

    def record(self, repository: Repository) -> None:
        """Write everything in one transaction."""
        with repository.database.transaction() as connection:
            repository.add_contents(connection, self.contents)
            repository.add_specs(connection, self.specs)
            repository.add_submissions(connection, self.keys, self.now)
            repository.erase_jobs(connection, self.erased)
            repository.save_jobs(connection, self.jobs.values())
            repository.save_allocations(connection, self.allocations.values())
            repository.save_steps(connection, self.steps.values())
            for state in self.node_states.values():
                repository.save_node_state(connection, state)
            for write in self.writes:
                write(connection)
            if self.next_job_id is not None:
                repository.set_counter(connection, NEXT_JOB_ID, self.next_job_id)


class JobQueue:
    """The jobs that have not ended, their lock, and their turns."""

    def __init__(
        self,
        repository: Repository,
        table: JobTable,
        mark: IdMark | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep *table* in step with *repository*, and *mark* with the ids that were given.

        The clocks are for tests and simulation.
        """
        self.repository = repository
        self.table = table
        self.lock = FairLock()
        self.is_stale = True
        self.on_news: Callable[[set[int]], None] = lambda _: None
        self.on_lost_store: Callable[[StoreError], None] = lambda _: None
        self.rebuild: Callable[[], None] = self.load
        """How to make memory what the record says, in the open turn; whoever keeps more sets it."""
        self._clock = clock
        self._monotonic = monotonic
        self._turn: Turn | None = None
        self._mark = mark
        self._next_job_id = mark.read() if mark is not None else 1
        self._refusal: tuple[type[StoreRefused], str] = (StoreRefused, "")
        self._refused_until = self._silent_until = 0.0

    def load(self) -> None:
        """Fill the memory from the database."""
        with self.lock:
            self.table.clear()
            for job in self.repository.active_jobs():
                self.table.add(job)
            self._next_job_id = max(self._next_job_id, self.repository.next_job_id())

    @property
    def next_job_id(self) -> int:
        """Return the id that the next job gets."""
        return self._next_job_id

    def now(self) -> float:
        """Return the wall clock's time, in epoch seconds."""
        return self._clock()

    def monotonic(self) -> float:
        """Return the time that nobody can set, in seconds since some moment."""
        return self._monotonic()

    @property
    def current(self) -> Turn:
        """Return the open turn; whoever changes jobs is inside one."""
        assert self._turn is not None, "jobs change only inside a turn"
        return self._turn

    def when_recorded(self, action: Action) -> None:
        """Do this once the open turn is on record, or now if there is none."""
        if self._turn is None:
            action()
        else:
            self._turn.afterwards(action)

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Change jobs; a turn inside a turn is the same turn.

        Raises:
            StoreError: Nothing of the turn happened.
        """
        with self.lock:
            if self._turn is not None:
                yield self._turn
                return
            turn = self._turn = Turn(self._clock())
            try:
                if self.is_stale:
                    self._renew()
                yield turn
                self._record(turn)
            except BaseException:
                # What the turn changed in memory is not on record: forget all of it.
                self.is_stale = self.is_stale or not turn.is_empty
                raise
            finally:
                self._turn = None
            # Still under the lock: the engine hears of turns in the order of the record.
            self._act(turn)
        if turn.news:
            self.on_news(turn.news)

    @property
    def newest_id(self) -> int:
        """Return the job id that was given last."""
        return self._next_job_id - 1

    def give_id(self, turn: Turn) -> int:
        """Return the next job id; ids grow and are never given twice."""
        job_id = self._next_job_id
        self._next_job_id += 1
        turn.next_job_id = self._next_job_id
        return job_id

    def _renew(self) -> None:
        """Make memory what the record says; who is silent for long is let be for as long."""
        if self._refusal[0] is StoreAway and self.monotonic() < self._silent_until:
            raise StoreAway(self._refusal[1])
        began = self.monotonic()
        try:
            self.rebuild()
        except StoreAway as error:
            now = self.monotonic()
            self._refusal, self._silent_until = (type(error), str(error)), now + now - began
            raise
        self.is_stale = False

    def _check_store(self) -> None:
        """Ask not again at once whoever has just refused: it may take seconds to answer."""
        if self.monotonic() < self._refused_until:
            kind, text = self._refusal
            raise kind(text)

    def _record(self, turn: Turn) -> None:
        if turn.is_empty:
            return
        self._check_store()
        try:
            turn.record(self.repository)
            if turn.next_job_id is not None and self._mark is not None:
                self._mark.write(turn.next_job_id)
        except StoreRefused as error:
            self._refusal = type(error), str(error)
            self._refused_until = self.monotonic() + _PAUSE_WHEN_REFUSED_S
            raise
        except StoreError as error:
            self.on_lost_store(error)
            raise

    def _act(self, turn: Turn) -> None:
        for action in turn.actions:
            try:
                action()
            except Exception:
                log.exception("a recorded turn could not be carried out; recovery will do it")
                self.is_stale = True
