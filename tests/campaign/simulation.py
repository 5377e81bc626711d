"""The whole worker under virtual time, in random orders and with random faults, millions of steps.

The worker is the very one that the daemon runs: queue, ledger, scheduler, reports, recovery. Clock,
engine and store are the test's. Nothing is slept, so that a minute holds years of a queue; the same
seed takes the same way. Each transaction is audited before it is recorded (`audit`), each start
where it happens; after each step memory is compared with what it recorded, and one more job; all of
memory, record and engine are compared now and then, after each death of the daemon, and in the end,
when everything is let go and the queue has to drain.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from errno import EAGAIN
from itertools import accumulate, chain
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

from campaign.audit import Audit, read_shares
from campaign.store import MemoryRepository
from campaign.tally import Row
from stoker.core import processes
from stoker.core.errors import StokerError, StoreFull
from stoker.core.historyfilter import HistoryFilter
from stoker.core.models import Job
from stoker.core.rows import allocation_row, job_row
from stoker.engines.base import parse_key
from stoker.worker.worker import Worker
from support.queue_checks import check_engine, check_jobs, check_memory, check_room
from support.works import MEMORY_MIB, NODES, ROOT, Killed, Works, disk_full

RAM: Final = Path("/dev/shm")
WALK_STEPS: Final = 2000
LOOK_EVERY: Final = 400
"""Steps between two looks at everything."""
ROUNDS_MAX: Final = 400
DAY_S: Final = 86400.0
WAITING_MAX: Final = 40
"""Records in the queue above which nobody submits: a longer one shows nothing more."""
SHAPES: Final = (
    {},
    {},
    {},
    {"ntasks": 2},
    {"cpus_per_task": 3},
    {"exclusive": True},
    {"array": "0-4%2"},
    {"requeue": False},
    {"time_limit_s": 60.0, "partition": "small"},
)
ENDS: Final = (
    {}, {}, {}, {"code": 3}, {"signal": 9}, {"oom": True}, {"signal": 15, "why": "timeout"},
    {"status_known": False},
)  # fmt: skip
UPDATES: Final[tuple[tuple[str, tuple[object, ...]], ...]] = (
    ("time_limit_s", (60.0, 600.0, 1800.0)),
    ("array_limit", (0, 1, 3)),
    ("priority", (1, 100, 2**32)),
    ("name", ("a", "b")),
)
VERBS: Final = ("cancel", "cancel", "hold", "release", "requeue", "suspend", "resume")


class Walked(NamedTuple):
    """What became of a walk; ``trouble`` is "" if all went as it must."""

    steps: int
    jobs: int
    stuck: int = 0
    trouble: str = ""


class SimulatedWorks(Works):
    """Works whose store is in memory, and whose account book never changes."""

    def _make(self) -> Worker:
        worker = super()._make()
        worker.accounts.load = lambda _: None  # type: ignore[method-assign]
        return worker


class Walk:
    """One worker, taken from one random step to the next."""

    def __init__(self, home: Path, seed: float) -> None:
        self.steps = 0
        self.ids: list[int] = []
        self._rng = random.Random(seed)
        repository = MemoryRepository()
        self._tables = repository.tables
        self._audit = Audit(self._tables, dict.fromkeys(NODES, MEMORY_MIB // len(NODES)))
        self.works = SimulatedWorks(home, repository)
        self._busy: dict[tuple[str, int], str] = {}
        acts = {
            self._submit: 12,
            self._start: 20,
            self._finish: 20,
            self._deliver: 20,
            self.works.schedule: 8,
            self._pass_time: 6,
            self._change: 6,
            self._update: 2,
            self._set_node: 1,
            self._fail: 1,
            self._jump_clock: 0.5,
            self._break_store: 1,
            self._kill: 0.5,
        }
        self._acts: list[Callable[[], object]] = list(acts)
        self._weights = list(accumulate(acts.values()))

    def go(self, steps: int) -> None:
        """Do so much at random; the daemon may die of it, and the next comes."""
        for _ in range(steps):
            (act,) = self._rng.choices(self._acts, cum_weights=self._weights)
            try:
                act()
            except Killed:
                self._kill()
            except StokerError:
                pass
            self.steps += 1
            self._compare_some()
            if self.steps % LOOK_EVERY == 0:
                self.look()

    def look(self) -> None:
        """Compare all of memory, record and engine."""
        repository = self.works.repository
        jobs = repository.history(HistoryFilter())
        attempts = repository.attempts([job.job_id for job in jobs])
        assert {job.job_id for job in jobs} >= set(self.ids), "an id is given out and not on record"
        check_memory(self.works, [job for job in jobs if not job.end_at])
        check_jobs(jobs, attempts)
        check_room(self.works, attempts)
        check_engine(self.works, attempts)

    def compare(self) -> None:
        """Compare memory with the record only: each row is what would be written now."""
        queue = self.works.worker.queue
        if queue.is_stale:
            return
        assert queue.table.jobs.keys() == self._tables.active, "memory knows other jobs"
        for job_id in queue.table.jobs:
            self._compare_one(job_id)

    def _compare_some(self) -> None:
        """Compare what was recorded in this step, and one of the others."""
        queue, touched = self.works.worker.queue, self._audit.touched
        if not queue.is_stale and queue.table.jobs:
            touched.add(self._rng.choice(list(queue.table.jobs)))
            for job_id in touched:
                self._compare_one(job_id)
        touched.clear()

    def _compare_one(self, job_id: int) -> None:
        job = self.works.worker.queue.table.get(job_id)
        is_active = job_id in self._tables.active
        assert (job is not None) == is_active, f"job {job_id} is in one of memory and record only"
        if job is None:
            return
        assert job_row(job) == self._tables.jobs[job_id], f"job {job_id} is another in memory"
        if job.allocation is not None:
            recorded = self._tables.allocations[job_id][job.allocation.attempt]
            assert allocation_row(job.allocation) == recorded, f"job {job_id} holds otherwise"

    def drain(self) -> list[Job]:
        """Let everything go well from here; return the jobs that do not end all the same."""
        works = self.works
        works.database.mend()
        works.clock.pass_by(100.0)
        with works.worker.queue.turn():
            for name in NODES:
                works.worker.control.update_node(name, ROOT, "RESUME", "")
        for _ in range(ROUNDS_MAX):
            works.clock.pass_by(100.0)
            works.engine.read()
            works.schedule()
            for unit in works.engine.startable():
                self._begin_unit(unit.key)
            for unit in works.engine.running():
                self._end(unit.key)
            works.engine.deliver()
            left = works.repository.active_jobs()
            for job in left:
                for verb in ("release", "resume"):
                    with suppress(StokerError):
                        works.ask(verb, job.job_id, by=ROOT)
            if not left:
                break
        self.look()
        return left

    # Steps.

    def _submit(self) -> None:
        if len(self._tables.active) > WAITING_MAX:
            return
        said: dict[str, object] = dict(self._rng.choice(SHAPES))
        if self.ids and self._rng.random() < 0.2:
            kind = self._rng.choice(("afterany", "afterok", "afternotok", "after"))
            said["dependency"] = f"{kind}:{self._rng.choice(self.ids[-5:])}"
            said["kill_on_invalid_dependency"] = True
        key = f"key {self._rng.random()}" if self._rng.random() < 0.3 else ""
        job_id = self.works.submit(key=key, **said).job_id
        assert job_id > (self.ids[-1] if self.ids else 0), f"{job_id} is given after {self.ids[-1]}"
        self.ids.append(job_id)
        if key:
            assert self.works.submit(key=key).job_id == job_id, f"{key} made another job"

    def _start(self) -> None:
        if units := self.works.engine.startable():
            self._begin_unit(self._rng.choice(units).key)

    def _begin_unit(self, key: str) -> None:
        """Start a unit; what it holds is on record, and nobody else's who runs."""
        unit = parse_key(key)
        self.works.engine.start(key)
        assert self.works.engine.starts[key] == 1, f"{key} is started again"
        row = self._tables.allocations.get(unit.job_id, {}).get(unit.attempt)
        assert row is not None, f"{key} starts, and is not on record"
        for node, cores, _ in read_shares(row[3]):
            for core in cores:
                other = self._busy.setdefault((node, core), key)
                assert other == key or not self._runs(other), f"{key} and {other} share {core}"
                self._busy[node, core] = key

    def _runs(self, key: str) -> bool:
        unit = self.works.engine.units.get(key)
        return unit is not None and unit.is_running

    def _finish(self) -> None:
        if units := self.works.engine.running():
            self._end(self._rng.choice(units).key)

    def _end(self, key: str) -> None:
        self.works.engine.finish(key, **self._rng.choice(ENDS))

    def _fail(self) -> None:
        """A unit cannot be started, or nobody knows what became of it."""
        engine = self.works.engine
        if units := engine.startable():
            engine.refuse(self._rng.choice(units).key, "fork", EAGAIN)
        elif units := engine.running():
            engine.lose(self._rng.choice(units).key)

    def _deliver(self) -> None:
        self.works.engine.deliver(self._rng.choice((None, None, 1, 2)))

    def _pass_time(self) -> None:
        self.works.clock.pass_by(self._rng.choice((0.01, 1.0, 3.0, 100.0)))

    def _jump_clock(self) -> None:
        self.works.clock.jump(self._rng.choice((-DAY_S, DAY_S)))

    def _change(self) -> None:
        if not self.ids:
            return
        verb = self._rng.choice(VERBS)
        self._audit.may_run_again = verb == "requeue"
        try:
            self.works.ask(verb, self._rng.choice(self.ids[-10:]), by=ROOT)
        finally:
            self._audit.may_run_again = False

    def _update(self) -> None:
        if self.ids:
            field, values = self._rng.choice(UPDATES)
            changes = {field: self._rng.choice(values)}
            self.works.ask("update", self._rng.choice(self.ids[-10:]), changes, by=ROOT)

    def _set_node(self) -> None:
        """An operator takes a node down, or lets it take no more jobs, or both back."""
        name, state = self._rng.choice(NODES), self._rng.choice(("DRAIN", "DOWN", "RESUME"))
        with self.works.worker.queue.turn():
            self.works.worker.control.update_node(name, ROOT, state, "a walk")

    def _break_store(self) -> None:
        which = self._rng.choice(("before", "after"))
        trouble = disk_full if which == "before" and self._rng.random() < 0.5 else Killed
        self.works.database.fail(trouble, **{which: self._rng.randint(1, 3)})

    def _kill(self) -> None:
        self.works.kill(read=self._rng.randint(0, 2))
        self.works.database.mend()
        with suppress(StoreFull):
            self.works.begin()
        self.compare()


def walk(seed: float, steps: int = WALK_STEPS) -> Walked:
    """Take one walk, and let the queue drain."""
    with tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as directory, _alone():
        walker, left = Walk(Path(directory), seed), []
        trouble = ""
        try:
            walker.go(steps)
            left = walker.drain()
            trouble = ", ".join(f"{each.display_id} stays: {each.reason}" for each in left)
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            trouble = f"{type(error).__name__}: {error}"
        finally:
            walker.works.close()
    trouble = f"walk {seed}, step {walker.steps}: {trouble}" if trouble else ""
    return Walked(walker.steps, len(walker.ids), len(left), trouble)


@contextmanager
def _alone() -> Iterator[None]:
    """Look for no processes: there are none; write no log: of faults there is much to say."""
    before = logging.root.manager.disable
    logging.disable()
    gc.disable()
    try:
        with patch.object(processes, "holders_of", lambda *_: []):
            yield
    finally:
        gc.enable()
        logging.disable(before)


def _walks(seed: float, seconds: float) -> list[Walked]:
    """Take one walk after the other for so long."""
    rng, give_up_at, found = random.Random(seed), time.monotonic() + seconds, []
    while time.monotonic() < give_up_at:
        found.append(walk(rng.random()))
    return found


def simulation(rng: random.Random, seconds: float) -> Row:
    """Walk for so long, on every core, each walk on a worker of its own."""
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    began = time.monotonic()
    if seconds < 10:
        found = _walks(rng.random(), seconds)
    else:
        with ProcessPoolExecutor(cores, context) as pool:
            seeds = [rng.random() for _ in range(cores)]
            found = [*chain(*pool.map(_walks, seeds, [seconds] * cores))]
    steps = sum(each.steps for each in found)
    return Row(
        f"simulated: {steps} steps, {steps / (time.monotonic() - began):.0f} a second",
        tries=sum(each.jobs for each in found),
        wrong=sum(bool(each.trouble) and not each.stuck for each in found),
        stuck=sum(each.stuck for each in found),
        notes=[each.trouble for each in found if each.trouble],
    )
