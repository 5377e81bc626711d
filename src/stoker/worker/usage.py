"""What each association has used: worked out anew once in a period, and the priorities with it.

Use is CPU seconds that fade. What is on record is the use at a time; whatever ran since then is
added from the records of the jobs, so that nothing is lost when the daemon is away. Of a run that
ended in a requeue the part since the last time is not counted.

Source: Slurm's priority/multifactor plugin, "PriorityCalcPeriod" in slurm.conf(5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from math import inf
from typing import Final

from stoker.core.accounts import NORMAL, Book
from stoker.core.models import Allocation, Job
from stoker.core.usagestore import UsageStore, UsageThen
from stoker.scheduling.fairshare import Spent, fair_tree, last_reset, usage_after
from stoker.worker.daemon import DaemonThread
from stoker.worker.ledger import Ledger
from stoker.worker.priorities import Priorities
from stoker.worker.queue import Turn

_PERIOD_MAX_S: Final = 86_400.0
_JOBS_A_TURN: Final = 200
_WINDOW_S: Final = 10.0
_WINDOWS_MAX: Final = 100
_LIMITING: Final = frozenset({"limits", "safe", "all"})
"""What of AccountingStorageEnforce needs to know what was used."""


class UsageKeeper(DaemonThread):
    """Keeps the use and the standing of every association, and the order of those who wait."""

    def __init__(self, ledger: Ledger, priorities: Priorities, store: UsageStore) -> None:
        """Rank the jobs of *ledger* by what *store* remembers."""
        times = ledger.admission.machine.priority_times
        super().__init__("usage", min(max(1.0, times.calc_period_s), _PERIOD_MAX_S))
        self._half_life_s = times.half_life_s
        self._reset_period = ledger.admission.settings.priority_usage_reset_period
        self._ledger = ledger
        self._queue = ledger.queue
        self._priorities = priorities
        self._store = store
        self._then: UsageThen | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anything depends on use: the order of jobs, or limits on use."""
        enforced = self._ledger.admission.settings.accounting_storage_enforce.split(",")
        return self._priorities.is_multifactor or not _LIMITING.isdisjoint(enforced)

    def begin(self) -> None:
        """Rank everybody by what is on record, before anybody finds a place in the order.

        It is done inside the turn in which memory is made anew.
        """
        then = self._then = self._recorded()
        if not self._store.usage().at:
            # What runs from now on counts, even if we die before the first time.
            write = partial(self._store.save, usage={}, at=then.at)
            self._queue.current.writes.append(write)
        standings = fair_tree(self._priorities.book(), then.cpu_s)
        self._priorities.take(standings, then.at)

    def do_work(self) -> None:
        """Work out use, standings and priorities as of now."""
        self._calculate()
        if self._priorities.is_multifactor:
            self._reorder()

    def forget(self, turn: Turn, association_ids: Collection[int]) -> None:
        """Let associations begin anew, as if they had used nothing until the last time."""
        then = self._then or self._recorded()
        usage = {key: used for key, used in then.cpu_s.items() if key not in association_ids}
        standings = fair_tree(self._priorities.book(), usage)
        turn.writes.append(partial(self._store.save, usage=usage, at=then.at))
        turn.afterwards(partial(self._take, UsageThen(usage, then.at)))
        turn.afterwards(partial(self._priorities.take, standings, then.at))

    def _calculate(self) -> None:
        then = self._then or self._recorded()
        with self._queue.lock:
            # In whole seconds, as on record: nothing counts twice.
            now = float(int(self._queue.now()))
            # A clock that was set back must not let use grow by itself.
            since = min(then.at, now)
            running = _running(self._ledger)
        book = self._priorities.book()
        spent = [*_spent(running, book, since, now), *self._ended(running, book, since, now)]
        is_reset = self._is_reset_since(since, now)
        before = {} if is_reset else then.cpu_s
        usage = usage_after(before, now - since, spent, now, self._half_life_s)
        standings = fair_tree(book, usage)
        with self._queue.turn() as turn:
            if self._then is not None and self._then != then:
                return  # Something was forgotten meanwhile: the next time counts the rest.
            # What only faded can be worked out from the record: an idle machine writes nothing.
            if spent or is_reset:
                turn.writes.append(partial(self._store.save, usage=usage, at=now))
            turn.afterwards(partial(self._take, UsageThen(usage, now)))
            turn.afterwards(partial(self._priorities.take, standings, now))

    def _take(self, then: UsageThen) -> None:
        self._then = then

    def _recorded(self) -> UsageThen:
        """Return what is on record; who has never counted begins now."""
        recorded = self._store.usage()
        now = self._queue.now()
        is_new = not 0 < recorded.at <= now
        is_forgotten = is_new or self._reset_period == "NOW"
        return UsageThen({} if is_forgotten else recorded.cpu_s, now if is_new else recorded.at)

    def _is_reset_since(self, at: float, now: float) -> bool:
        reset = last_reset(self._reset_period, datetime.fromtimestamp(now).astimezone())
        return reset is not None and reset.timestamp() > at

    def _ended(
        self, running: Mapping[int, tuple[Job, Allocation]], book: Book, since: float, now: float
    ) -> Iterator[Spent]:
        """Return what those used that have ended since, but for those that count as running."""
        repository = self._queue.repository
        for start, end in _windows(since, now):
            ended = {job.job_id: job for job in repository.ended_since(start, before=end)}
            attempts = repository.attempts([job_id for job_id in ended if job_id not in running])
            for each in attempts:
                yield from _spent({each.job_id: (ended[each.job_id], each)}, book, since, now)

    def _reorder(self) -> None:
        """Give all who wait their priorities anew, a few in a turn."""
        with self._queue.lock:
            ids = [job.job_id for job in self._ledger.table]
        for start in range(0, len(ids), _JOBS_A_TURN):
            with self._queue.turn() as turn:
                self._rank(turn, ids[start : start + _JOBS_A_TURN])

    def _rank(self, turn: Turn, ids: Iterable[int]) -> None:
        """Rank some jobs; those whose priority is another one are recorded."""
        table = self._ledger.table
        for job_id in ids:
            job = table.get(job_id)
            if job is not None and table.shape(job) is not None:
                before, place = job.priority, self._priorities.renew(job)
                if job.priority != before:
                    turn.touch(job)
                table.reorder(job, place)


def _windows(since: float, now: float) -> Iterator[tuple[float, float]]:
    """Return spans that together reach from *since* on: few jobs are in memory at a time."""
    step = max(_WINDOW_S, (now - since) / _WINDOWS_MAX)
    start = since
    while start + step < now:
        yield start, start + step
        start += step
    yield start, inf


def _running(ledger: Ledger) -> dict[int, tuple[Job, Allocation]]:
    """Return who holds resources, by job id."""
    found = {}
    for job_id in ledger.tracker.holdings():
        job = ledger.table.get(job_id)
        if job is not None and job.allocation is not None:
            found[job_id] = (job, job.allocation)
    return found


def _spent(
    runs: Mapping[int, tuple[Job, Allocation]], book: Book, since: float, now: float
) -> Iterator[Spent]:
    """Return what runs have used between two times."""
    for job, attempt in runs.values():
        association = book.of_job(job.owner.user_name, job.spec.account, job.partition)
        begun = max(attempt.allocated_at, since)
        over = min(attempt.released_at or now, now)
        if association is None or not attempt.allocated_at or over <= begun:
            continue
        quality = book.qos.get(job.spec.qos or book.default_qos_of(association) or NORMAL)
        factor = quality.usage_factor if quality is not None else 1.0
        yield Spent(association.id, (over - begun) * attempt.cpus * factor, over)
