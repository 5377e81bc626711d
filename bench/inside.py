"""A whole worker in the benchmark's own process, over a real database.

Its engine only remembers what it was asked: what is measured is stokerd's own work, syncs included,
and nobody else's processes.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from stoker.commands.submission import read_draft
from stoker.commands.table import COMMANDS
from stoker.core.database import Database
from stoker.core.hardware import Detected
from stoker.core.machine import machine_of
from stoker.core.models import JobSpec, Owner
from stoker.core.repository import Repository
from stoker.core.settings import Settings
from stoker.core.units import ArraySpec, TaskSet
from stoker.engines.base import (
    Ended,
    Engine,
    EngineEvent,
    Evidence,
    Listener,
    Started,
    Unit,
    UnitUsage,
)
from stoker.worker.requests import Submission
from stoker.worker.worker import Worker

ME = Owner(os.getuid(), "bench", os.getgid(), "bench")
_PID = 2**22
_BATCH = 1000


class RecordingEngine:
    """An engine that keeps the keys of what was launched, and does nothing else."""

    def __init__(self) -> None:
        self.launched: list[str] = []

    def open(self, _listener: Listener) -> Evidence:
        """Know nothing."""
        return Evidence("bench", frozenset(), {}, ())

    def launch(self, units: Sequence[Unit], _: Mapping[str, Sequence[int]]) -> None:
        """Remember the units."""
        self.launched += [unit.key for unit in units]

    def __getattr__(self, name: str) -> Any:
        """Return what does nothing, for all the rest of an engine's methods."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_: None


class Inside:
    """A worker and its engine."""

    def __init__(self, worker: Worker, engine: RecordingEngine) -> None:
        self.worker = worker
        self.engine = engine

    def submit(self, count: int) -> None:
        """Hand in so many equal single jobs, many in a turn, as one client does."""
        submission = Submission(spec=JobSpec(name="job", argv=("true",)), owner=ME)
        for start in range(0, count, _BATCH):
            with self.worker.queue.turn():
                for _ in range(min(_BATCH, count - start)):
                    self.worker.control.submit(submission)

    def submit_array(self, count: int) -> None:
        """Hand in an array."""
        tasks = ArraySpec(TaskSet(range(count)), 0)
        spec = JobSpec(name="job", argv=("true",))
        with self.worker.queue.turn():
            self.worker.control.submit(Submission(spec=spec, owner=ME, array=tasks))

    def schedule(self) -> None:
        """Let the scheduler have a turn, and tell it that what it launched has started."""
        self.worker.scheduler.schedule_pending_jobs()
        self.start()

    def start(self) -> list[str]:
        """Say that everything launched has started; return the keys."""
        keys, self.engine.launched = self.engine.launched, []
        self.worker.reports.take([started(key) for key in keys])
        return keys


def started(key: str) -> EngineEvent:
    """Return the report that a unit runs."""
    return Started(key, _PID, 1, time.time())


def ended(key: str) -> EngineEvent:
    """Return the report that a unit has ended well."""
    return Ended(key, 0, 0, status_known=True, at=time.time(), usage=UnitUsage(0.001, 0.001, 4096))


@contextmanager
def worker_inside(home: Path | None = None, **settings: Any) -> Iterator[Inside]:
    """Give a worker over the records in *home*, or over new ones that go with it."""
    with ExitStack() as stack:
        if home is None:
            directory = tempfile.TemporaryDirectory(prefix="stoker-bench-")
            home = Path(stack.enter_context(directory))
        (home / "run").mkdir(exist_ok=True)
        # As in stokerd itself; and no lanes, in which one turn would start several jobs.
        gc.set_threshold(50_000, 20, 100)
        given = Settings(**({"total_cpus": 2, "follow_depth_max": 0} | settings))
        detected = Detected(tuple(range(given.total_cpus)), 1 << 20, "localhost")
        engine = RecordingEngine()
        worker = Worker(
            home,
            given,
            machine_of(given, detected),
            detected,
            repository=Repository(stack.enter_context(Database.at(home / "stoker.db"))),
            engine=cast(Engine, engine),
            commands=COMMANDS,
            read_draft=read_draft,
        )
        worker.recover(engine.open(worker.reports.take))
        yield Inside(worker, engine)
