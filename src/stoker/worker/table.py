"""The waiting and running jobs in memory, and the indexes that make a turn cheap.

The database is the truth; this is its working set, rebuilt from it at any time. Eligible jobs wait
in one queue for each `Shape` (what placement can tell apart), in the order in which they will be
considered, so that a turn looks at the fronts of a few queues and never at a hundred thousand jobs.
Not thread-safe: whoever uses it holds the queue's lock.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final, NamedTuple, TypeVar, overload

from stoker.core.models import Job
from stoker.core.units import Dependency
from stoker.scheduling.policy import Order, Policy, by_submission
from stoker.scheduling.snapshot import Queue, Shape, Waiting
from stoker.worker.submitcounts import SubmitCounts

_GAP_MIN: Final = 64

_Key = TypeVar("_Key", bound=Hashable)


class Place(NamedTuple):
    """Where a job waits: in the queue of which shape, and where in it."""

    order: Order
    job_id: int
    shape: Shape


class WaitingQueue(Sequence[Waiting]):
    """The eligible jobs of one shape, in order; entries are made only when they are looked at.

    Jobs come at the end and leave at the front, mostly: what has left the front stays as a gap
    until there is more gap than queue, so that neither costs more the longer the queue is.
    """

    def __init__(self, count_of: Callable[[int], int], entries: Iterable[Place] = ()) -> None:
        """*count_of* says how many tasks of a job may start now; *entries* wait, in order."""
        self._entries: list[Place] = list(entries)
        self._gap = 0
        self._count_of = count_of

    @property
    def first(self) -> Place:
        """Return where the first job waits; there is one."""
        return self._entries[self._gap]

    def copy(self, count_of: Callable[[int], int]) -> WaitingQueue:
        """Return the queue as it stands, for whoever looks on while it changes."""
        return WaitingQueue(count_of, islice(self._entries, self._gap, None))

    def add(self, place: Place) -> bool:
        """Let the job wait at its place; return whether it is the first now."""
        entries = self._entries
        # Comparing ends at the id at the latest: no two jobs have the same one.
        if len(entries) > self._gap and entries[-1] < place:
            entries.append(place)
            return False
        insort(entries, place, lo=self._gap)
        return entries[self._gap] is place

    def remove(self, place: Place) -> None:
        """Take the job out; it is there."""
        index = bisect_left(self._entries, place, lo=self._gap)
        found = self._entries[index : index + 1]
        assert found == [place], f"job {place.job_id} is not where it should wait"
        if index > self._gap:
            del self._entries[index]
            return
        self._gap += 1
        if self._gap > _GAP_MIN and self._gap > len(self):
            del self._entries[: self._gap]
            self._gap = 0

    def __len__(self) -> int:
        return len(self._entries) - self._gap

    @overload
    def __getitem__(self, index: int) -> Waiting: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Waiting]: ...
    def __getitem__(self, index: int | slice) -> Waiting | Sequence[Waiting]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        length = len(self._entries) - self._gap
        if not -length <= index < length:
            raise IndexError(index)
        order, job_id, _ = self._entries[index if index < 0 else self._gap + index]
        return Waiting(job_id, order, self._count_of(job_id))


class JobTable:
    """All jobs that have not ended, by id, by array, by what they wait for."""

    def __init__(self, shape_of: Callable[[Job], Shape], order_of: Policy = by_submission) -> None:
        """*shape_of* reads off a job what placement needs to know, *order_of* its place."""
        self.jobs: dict[int, Job] = {}
        self.queues: dict[Shape, WaitingQueue] = {}
        self._fronts: list[tuple[Order, Queue]] = []
        self._shape_of = shape_of
        self._order_of = order_of
        self.submitted: SubmitCounts | None = None
        """Who has how many jobs, where limits on that are enforced."""
        self.owned: Counter[int] = Counter()
        """By user, how many records are theirs."""
        self._places: dict[int, Place] = {}
        self._arrays: dict[int, set[int]] = {}
        self._running_tasks: dict[int, int] = {}
        self._dependents: dict[int, set[int]] = {}
        self._awaited: dict[int, frozenset[int]] = {}
        self._namesakes: dict[tuple[int, str], set[int]] = {}
        self._singletons: dict[tuple[int, str], set[int]] = {}
        self._wakeups: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs.values())

    def clear(self) -> None:
        """Forget everything, to be filled anew."""
        for index in (
            self.jobs,
            self.queues,
            self._fronts,
            self._places,
            self._arrays,
            self._running_tasks,
            self._dependents,
            self._awaited,
            self._namesakes,
            self._singletons,
            self._wakeups,
        ):
            index.clear()
        self.owned.clear()
        if self.submitted is not None:
            self.submitted.clear()

    def get(self, job_id: int) -> Job | None:
        """Return the job, if it has not ended."""
        return self.jobs.get(job_id)

    def is_active(self, job_id: int) -> bool:
        """Whether the job, or any record of the array of that id, has not ended."""
        return job_id in self.jobs or job_id in self._arrays

    def add(self, job: Job) -> None:
        """Take in a job that waits or runs."""
        assert job.job_id not in self.jobs, f"job {job.job_id} is there already"
        self.jobs[job.job_id] = job
        self.owned[job.owner.user_id] += 1
        if job.array_job_id:
            _add(self._arrays, job.array_job_id, job.job_id)
        self.learn_names(job)

    def remove(self, job: Job) -> None:
        """Let go of a job that has ended, or whose record was absorbed by its last task."""
        self.displace(job)
        del self.jobs[job.job_id]
        self.owned[job.owner.user_id] -= 1
        if job.array_job_id:
            _discard(self._arrays, job.array_job_id, job.job_id)
        self.forget_names(job)

    def learn_names(self, job: Job) -> None:
        """Index a job by its name and by what it depends on."""
        name = (job.owner.user_id, job.spec.name)
        _add(self._namesakes, name, job.job_id)
        if job.dependency is not None:
            if _is_singleton(job.dependency):
                _add(self._singletons, name, job.job_id)
            self._watch_dependency(job, job.dependency)
        if self.submitted is not None:
            self.submitted.add(job)

    def forget_names(self, job: Job) -> None:
        """Undo `learn_names`, before name or dependency change."""
        name = (job.owner.user_id, job.spec.name)
        _discard(self._namesakes, name, job.job_id)
        if self._singletons:
            _discard(self._singletons, name, job.job_id)
        if self._awaited:
            self._forget_dependencies(job)
        if self.submitted is not None:
            self.submitted.remove(job)

    def array_ids(self) -> set[int]:
        """Return the arrays of which not all records have ended."""
        return set(self._arrays)

    def array(self, array_job_id: int) -> list[Job]:
        """Return the records of an array that have not ended, by id."""
        return [self.jobs[each] for each in sorted(self._arrays.get(array_job_id, ()))]

    def namesakes(self, job: Job) -> list[Job]:
        """Return the owner's jobs of the same name, by id."""
        found = self._namesakes.get((job.owner.user_id, job.name), ())
        return [self.jobs[each] for each in sorted(found)]

    def singletons(self, job: Job) -> list[Job]:
        """Return the owner's jobs of the same name that wait to be the only one, by id."""
        found = self._singletons.get((job.owner.user_id, job.name), ())
        return [self.jobs[each] for each in sorted(found)]

    # Waiting.

    def place(self, job: Job) -> None:
        """Let an eligible job wait in the queue of its shape; one that waits keeps its place."""
        if job.job_id in self._places:
            return
        shape = self._shape_of(job)
        place = Place((-shape.priority_tier, *self._order_of(job)), job.job_id, shape)
        self._places[job.job_id] = place
        queue = self.queues.get(shape)
        before = queue.first.order if queue is not None else None
        if queue is None:
            queue = self.queues[shape] = WaitingQueue(self.startable)
        if queue.add(place):
            self._move_front(shape, queue, before)

    def reorder(self, job: Job, order: Order) -> None:
        """Let a job that waits in a queue stand where its order, which is *order* now, puts it."""
        place = self._places.get(job.job_id)
        if place is not None and place.order[1:] != order:
            self.displace(job)
            self.place(job)

    def displace(self, job: Job) -> None:
        """Take the job out of its queue, if it waits in one."""
        place = self._places.pop(job.job_id, None)
        if place is None:
            return
        queue = self.queues[place.shape]
        before = queue.first.order
        queue.remove(place)
        self._move_front(place.shape, queue, before)
        if not queue:
            del self.queues[place.shape]

    def waiting(self) -> list[Queue]:
        """Return the queues, sorted by their first jobs, as a snapshot wants them."""
        return [queue for _, queue in self._fronts]

    def still(self, queues: Iterable[Queue]) -> list[Queue]:
        """Return *queues* as they stand; who leaves them has no task left that may start."""

        def startable(job_id: int) -> int:
            return self.startable(job_id) if job_id in self.jobs else 0

        return [Queue(shape, self.queues[shape].copy(startable)) for shape, _ in queues]

    def _move_front(self, shape: Shape, queue: WaitingQueue, before: Order | None) -> None:
        """Keep the queue at the place of its first job, which was that of *before*."""
        after = queue.first.order if queue else None
        if before == after:
            return
        fronts = self._fronts
        if before is not None:
            index = bisect_left(fronts, before, key=itemgetter(0))
            if after is not None and before < after and _is_before(after, fronts, index + 1):
                fronts[index] = after, fronts[index][1]
                return
            del fronts[index]
        if after is not None:
            insort(fronts, (after, Queue(shape, queue)), key=itemgetter(0))

    def shape(self, job: Job) -> Shape | None:
        """Return the shape under which the job waits, if it is eligible."""
        place = self._places.get(job.job_id)
        return place.shape if place is not None else None

    def startable(self, job_id: int) -> int:
        """Return how many of the record's tasks may start now: all that the array's limit leaves.

        Records of one array share the limit: what one of them takes is gone for all.
        """
        job = self.jobs[job_id]
        tasks = len(job.array) if job.array is not None else 1
        if not job.array_limit:
            return tasks
        running = self._running_tasks.get(job.array_job_id, 0)
        return max(0, min(tasks, job.array_limit - running))

    def count_task(self, job: Job, change: int) -> None:
        """Note that a task of the job's array took (+1) or gave back (-1) its place."""
        if job.array_job_id:
            left = self._running_tasks.get(job.array_job_id, 0) + change
            if left:
                self._running_tasks[job.array_job_id] = left
            else:
                self._running_tasks.pop(job.array_job_id, None)

    # Dependencies.

    @property
    def has_dependents(self) -> bool:
        """Whether any job waits for another one; asked for often."""
        return bool(self._dependents or self._singletons)

    def _watch_dependency(self, job: Job, dependency: Dependency) -> None:
        awaited = self._awaited[job.job_id] = _awaited(dependency)
        for each in awaited:
            _add(self._dependents, each, job.job_id)

    def dependents(self, job: Job) -> list[Job]:
        """Return the jobs that wait for this one, or for its array."""
        found: set[int] = set()
        for awaited in {job.job_id, job.array_job_id} - {0}:
            found |= self._dependents.get(awaited, set())
        return [self.jobs[each] for each in sorted(found)]

    def _forget_dependencies(self, job: Job) -> None:
        # Not what the job waits for now: conditions that were met are no longer in it.
        for each in self._awaited.pop(job.job_id, ()):
            _discard(self._dependents, each, job.job_id)

    # Times.

    def wake_at(self, at: float, job: Job) -> None:
        """Ask for the job to be looked at again when *at* has come."""
        heapq.heappush(self._wakeups, (at, job.job_id))

    def due(self, now: float) -> list[Job]:
        """Return the jobs whose time has come; each is told once, however often it asked."""
        found: dict[int, Job] = {}
        while self._wakeups and self._wakeups[0][0] <= now:
            _, job_id = heapq.heappop(self._wakeups)
            if job := self.jobs.get(job_id):
                found[job_id] = job
        return list(found.values())

    @property
    def next_wakeup_at(self) -> float | None:
        """Return when `due` will have something to say."""
        return self._wakeups[0][0] if self._wakeups else None

    def counts(self) -> Mapping[str, int]:
        """Return the number of jobs by state, an array's waiting tasks each counted."""
        found: dict[str, int] = {}
        for job in self:
            tasks = len(job.array) if job.array is not None else 1
            found[job.state.value] = found.get(job.state.value, 0) + tasks
        return found


def _awaited(dependency: Dependency) -> frozenset[int]:
    return frozenset(each.job_id for each in dependency.conditions if each.job_id)


def _add(index: dict[_Key, set[int]], key: _Key, job_id: int) -> None:
    members = index.get(key)
    if members is None:
        index[key] = {job_id}
    else:
        members.add(job_id)


def _discard(index: dict[_Key, set[int]], key: _Key, job_id: int) -> None:
    members = index.get(key)
    if members is not None:
        members.discard(job_id)
        if not members:
            del index[key]


def _is_before(order: Order, fronts: Sequence[tuple[Order, Queue]], index: int) -> bool:
    return index == len(fronts) or order < fronts[index][0]


def _is_singleton(dependency: Dependency) -> bool:
    return any(each.kind == "singleton" for each in dependency.conditions)
