"""The whole worker under virtual time, in random orders and with random faults, thousands of steps.

The worker is the very one that the daemon runs; clock, engine and store are the test's. After every
step all that must always hold is looked at. Nothing is slept, so that a minute holds weeks of a
queue; the same seed takes the same way.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN
from pathlib import Path
from typing import Final

from campaign.tally import Row
from stoker.core.database import StoreFull
from stoker.core.errors import StokerError
from stoker.core.models import Allocation, Job
from stoker.core.repository import HistoryFilter
from support.queue_checks import check_engine, check_jobs, check_memory, check_room
from support.works import Killed, Works, disk_full

RAM: Final = Path("/dev/shm")
WALK_STEPS: Final = 150
ROUNDS_MAX: Final = 400
DAY_S: Final = 86400.0


class Walk:
    """One worker, taken from one random step to the next."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self.works = Works(home)
        self.ids: list[int] = []
        self._rng = rng
        self._ended: dict[int, Job] = {}
        self._requeued: set[int] = set()
        self._snapshot: tuple[int, list[Job], list[Allocation]] = (-1, [], [])
        self._steps: list[tuple[int, Callable[[], None]]] = [
            (6, self._submit),
            (8, self.works.schedule),
            (8, self._start),
            (8, self._finish),
            (8, self._deliver),
            (4, self._pass_time),
            (2, self._change),
            (1, self._refuse),
            (2, self._kill),
            (1, self._break_store),
            (1, self._jump_clock),
        ]

    def step(self) -> None:
        """Do something at random; the daemon may die of it, and the next comes."""
        [(_, act)] = self._rng.choices(self._steps, [weight for weight, _ in self._steps])
        try:
            act()
        except Killed:
            self._come_back()
        except StokerError:
            pass
        self.check()

    def check(self) -> None:
        """Look at everything that always holds."""
        repository, commits = self.works.worker.repository, self.works.database.commits
        if self._snapshot[0] != commits:
            read = repository.history(HistoryFilter())
            attempts = repository.attempts([job.job_id for job in read])
            self._snapshot = commits, read, attempts
        _, jobs, attempts = self._snapshot
        known = {job.job_id: job for job in jobs}
        assert set(self.ids) <= known.keys(), "an id was given out, and is not on record"
        check_memory(self.works, [job for job in jobs if not job.end_at])
        check_jobs(jobs, attempts)
        check_room(self.works, attempts)
        check_engine(self.works, attempts)
        for job_id, before in self._ended.items():
            if job_id not in self._requeued:
                assert known[job_id] == before, f"job {job_id} ended, and is now another"
        self._ended = {job.job_id: job for job in jobs if job.end_at}
        self._requeued.clear()

    def drain(self) -> list[Job]:
        """Let everything go well from here; return the jobs that do not end all the same."""
        works = self.works
        works.database.mend()
        for _ in range(ROUNDS_MAX):
            works.clock.pass_by(100.0)
            works.engine.read()
            works.schedule()
            for unit in works.engine.startable():
                works.engine.start(unit.key)
            for unit in works.engine.running():
                works.engine.finish(unit.key)
            works.engine.deliver()
            self.check()
            left = [*works.worker.repository.active_jobs()]
            for job in left:
                with suppress(StokerError):
                    works.ask("release", job.job_id)
            if not left:
                break
        return left

    # Steps.

    def _submit(self) -> None:
        shape = self._rng.choice(
            ({}, {}, {"ntasks": 2}, {"cpus_per_task": 3}, {"exclusive": True}, {"array": "0-4%2"})
        )
        key = f"key {self._rng.random()}" if self._rng.random() < 0.5 else ""
        job_id = self.works.submit(key=key, **shape).job_id
        assert job_id > max(self.ids, default=0), f"id {job_id} is given after {self.ids[-1]}"
        self.ids.append(job_id)
        if key:
            assert self.works.submit(key=key).job_id == job_id, f"{key} made another job"

    def _start(self) -> None:
        if units := self.works.engine.startable():
            self.works.engine.start(self._rng.choice(units).key)

    def _finish(self) -> None:
        if units := self.works.engine.running():
            key = self._rng.choice(units).key
            self.works.engine.finish(key, code=self._rng.choice((0, 0, 3)))

    def _refuse(self) -> None:
        if units := self.works.engine.startable():
            self.works.engine.refuse(self._rng.choice(units).key, "fork", EAGAIN)

    def _deliver(self) -> None:
        self.works.engine.deliver(self._rng.choice((None, None, 1, 2)))

    def _pass_time(self) -> None:
        self.works.clock.pass_by(self._rng.choice((0.01, 1.0, 100.0)))

    def _jump_clock(self) -> None:
        self.works.clock.pass_by(self._rng.choice((-DAY_S, DAY_S)))

    def _change(self) -> None:
        if not self.ids:
            return
        job_id = self._rng.choice(self.ids[-10:])
        verb = self._rng.choice(("cancel", "hold", "release", "requeue"))
        if verb == "requeue":
            self._requeued.update(self._ended)
        self.works.ask(verb, job_id)

    def _break_store(self) -> None:
        which = self._rng.choice(("before", "after"))
        trouble = disk_full if which == "before" and self._rng.random() < 0.5 else Killed
        self.works.database.fail(trouble, **{which: self._rng.randint(1, 3)})

    def _kill(self) -> None:
        self.works.kill(read=self._rng.randint(0, 2))
        self._begin()

    def _come_back(self) -> None:
        self.works.kill(read=self._rng.randint(0, 2))
        self._begin()

    def _begin(self) -> None:
        self.works.database.mend()
        with suppress(StoreFull):
            self.works.begin()


def simulation(rng: random.Random, seconds: float) -> Row:
    """Walk for so long, each walk on a worker of its own."""
    row, steps, began = Row(""), 0, time.monotonic()
    while time.monotonic() < began + seconds:
        seed = rng.random()
        with tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as directory:
            walk = Walk(Path(directory), random.Random(seed))
            try:
                for _ in range(WALK_STEPS):
                    walk.step()
                    steps += 1
                left = walk.drain()
            except AssertionError as error:
                row.wrong += 1
                row.notes.append(f"walk {seed}: {error}")
            else:
                row.stuck += len(left)
                row.notes += [f"walk {seed}: {job.job_id} stays {job.state}" for job in left]
            row.tries += len(walk.ids)
            walk.works.close()
    row.fault = f"simulated: {steps} steps, {steps / (time.monotonic() - began):.0f} a second"
    return row
