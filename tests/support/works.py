"""A whole worker in this process, over a real database and an engine that a test drives.

There is no server, no thread and no sleep: time is a number, the store fails when it is told to,
and the daemon dies and comes back between any two steps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from stoker.core.database import Database
from stoker.core.errors import StoreFull
from stoker.core.hardware import Detected
from stoker.core.machine import machine_of
from stoker.core.models import Job, JobSpec, Owner
from stoker.core.repository import Repository
from stoker.core.settings import PartitionSettings, Settings
from stoker.core.units import JobRef, TaskSet, parse_array, parse_dependency
from stoker.engines.base import Evidence
from stoker.scheduling.snapshot import Shape
from stoker.worker.requests import Submission
from stoker.worker.scheduler import RunTimes
from stoker.worker.worker import Worker
from support.databases import empty_database
from support.fake_engine import FakeEngine

ALICE = Owner(1000, "alice", 1000, "alice")
ROOT = Owner(0, "root", 0, "root")
NODES = ("node1", "node2")
CPUS, MEMORY_MIB = 8, 8000
_TURNS_MAX = 10


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of ours catches it."""


class Clock:
    """The time of day and the monotonic one, which pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self._set_by_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        """Return the time that nobody can set."""
        return self.now_s - self._set_by_s

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds

    def jump(self, seconds: float) -> None:
        """Let somebody set the time of day."""
        self.now_s += seconds
        self._set_by_s += seconds


class Fragile(Database):
    """A database whose n-th transaction from now meets `trouble`, before or after its commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commits = 0
        self._trouble: Callable[[], BaseException] = Killed
        self._before = self._after = 0

    def fail(
        self, trouble: Callable[[], BaseException], *, before: int = 0, after: int = 0
    ) -> None:
        """Meet *trouble* in the n-th transaction from now; 0 is never."""
        self._trouble, self._before, self._after = trouble, before, after

    def mend(self) -> None:
        """Meet no more trouble."""
        self._before = self._after = 0

    def before_commit(self) -> None:
        """Whoever implements a transaction calls it where nothing is recorded yet."""
        self._before = self._next(self._before)

    def after_commit(self) -> None:
        """The same, where all is recorded."""
        self.commits += 1
        self._after = self._next(self._after)

    def _next(self, left: int) -> int:
        if left == 1:
            self.mend()
            raise self._trouble()
        return max(0, left - 1)


class FragileDatabase(Fragile):
    """A real one."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
            self.before_commit()
        self.after_commit()


def disk_full() -> BaseException:
    """Return what the store raises when there is no room."""
    return StoreFull("cannot write to the database: the disk is full")


def records_at(url: str) -> Repository:
    """Return the records in the database at *url*, which fails when it is told to."""
    database = FragileDatabase(url)
    database.open()
    return Repository(database)


def _open_database(home: Path) -> FragileDatabase:
    path = home / "stoker.db"
    if not path.exists():
        path.write_bytes(empty_database())
    database = FragileDatabase(f"sqlite:///{path}")
    database.open()
    return database


class Credulous(RunTimes):
    """Believes that jobs are short when it has seen one."""

    def note(self, shape: Shape, run_s: float) -> None:
        for _ in range(4):
            super().note(shape, run_s)


class Works:
    """The worker, what it works on, and its clock."""

    def __init__(self, home: Path, repository: Repository | None = None, **settings: Any) -> None:
        given: dict[str, Any] = {
            "total_cpus": CPUS,
            "total_memory": str(MEMORY_MIB),
            "nodes": ",".join(NODES),
            "kill_wait_s": 1.0,
            "requeue_max": 2,
            "follow_depth_max": 4,
            "partitions": (
                PartitionSettings(name="debug", default=True),
                PartitionSettings(name="small", nodes=NODES[0], max_time="60"),
            ),
        }
        self.settings = Settings(**(given | settings))
        self.home = home
        self._is_woken = False
        self.clock = Clock()
        self.engine = FakeEngine(self.clock)
        self.repository = repository or Repository(_open_database(home))
        assert isinstance(self.repository.database, Fragile)
        self.database = self.repository.database
        self.worker = self._make()
        self.worker.recover(self.engine.open(self.worker.reports.take))

    def _make(self) -> Worker:
        detected = Detected(tuple(range(CPUS)), MEMORY_MIB, NODES[0])
        worker = Worker(
            self.home,
            self.settings,
            machine_of(self.settings, detected),
            detected,
            repository=self.repository,
            engine=self.engine,
            commands={},
            read_draft=lambda *_: None,  # type: ignore[arg-type,return-value]
        )
        worker.queue._clock, worker.queue._monotonic = self.clock, self.clock.monotonic
        worker.scheduler.run_times = Credulous()
        worker.scheduler.on_wakeup = self._wake
        return worker

    def _wake(self) -> None:
        self._is_woken = True

    # The daemon's life.

    def kill(self, *, read: int = 0) -> None:
        """Let the daemon die; of what it asked of the engine, so much is still read."""
        self.engine.hang_up(read)
        self._let_go()

    def begin(self) -> None:
        """Start the next daemon on the same records and the same engine."""
        self.worker = self._make()
        evidence: Evidence = self.engine.open(self.worker.reports.take)
        self.worker.recover(evidence)

    def restart(self, *, read: int = 0) -> None:
        """Kill the daemon and start the next."""
        self.kill(read=read)
        self.begin()

    def close(self) -> None:
        """Let go of everything."""
        self._let_go()
        self.database.close()

    def _let_go(self) -> None:
        with ExitStack() as stack:
            stack.callback(os.close, self.worker._stop_fd)
            stack.callback(self.worker._server.__exit__, None, None, None)

    # What users do, each in a turn of its own.

    def submit(self, argv: str = "true", **said: Any) -> Job:
        """Submit a job; *said* are fields of `Submission`, or of the specification."""
        return self._in_turn(lambda: self.worker.control.submit(submission(argv, **said)))

    def ask(self, name: str, ref: str | int, *rest: Any, by: Owner = ALICE, **more: Any) -> None:
        """Call a method of `worker.control` that changes what *ref* names, as its owner."""
        method = getattr(self.worker.control, name)
        self._in_turn(lambda: method(job_ref(ref), by, *rest, **more))

    def _in_turn(self, act: Callable[[], Any]) -> Any:
        with self.worker.queue.turn():
            return act()

    def schedule(self) -> None:
        """Let the scheduler's thread wake, and go on for as long as it is woken again."""
        for _ in range(_TURNS_MAX):
            self._is_woken = False
            self.worker._turns.do_work()
            if not self._is_woken:
                return
        raise AssertionError(f"the scheduler wakes itself {_TURNS_MAX} times without a pause")

    # What is so.

    def job(self, job_id: int) -> Job:
        """Return the job as the database has it."""
        (job,) = self.worker.repository.jobs([job_id])
        return job

    def run(self, job_id: int, attempt: int = 0) -> str:
        """Start the unit of a job's attempt, tell the daemon, and return its key."""
        key = f"{job_id}.{attempt}.batch"
        self.engine.start(key)
        self.engine.deliver()
        return key


def submission(argv: str = "true", **said: Any) -> Submission:
    """Return a submission of alice's; arrays and dependencies are written as sbatch takes them."""
    fields = {name: said.pop(name) for name in list(said) if name in Submission.__struct_fields__}
    if isinstance(fields.get("array"), str):
        fields["array"] = parse_array(fields["array"], 1000)
    if isinstance(fields.get("dependency"), str):
        fields["dependency"] = parse_dependency(fields["dependency"])
    spec = JobSpec(**({"name": "job", "argv": (argv,)} | said))
    return Submission(spec=spec, **({"owner": ALICE} | fields))


def job_ref(name: str | int) -> JobRef:
    """Read ``5`` or ``5_1,3``."""
    job_id, _, tasks = str(name).partition("_")
    return JobRef(int(job_id), TaskSet.parse(tasks) if tasks else None)
