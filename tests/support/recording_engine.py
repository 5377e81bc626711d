"""An engine that does nothing but note what it is asked; and a worker on it, in this process.

A test reads off `calls` what the daemon ordered, and says itself what the engine would report.
There is no server, no thread and no sleep: the time is a number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stoker.core.database import Database
from stoker.core.hardware import Detected
from stoker.core.machine import machine_of
from stoker.core.models import Job, JobSpec, Owner
from stoker.core.repository import Repository
from stoker.core.settings import Settings
from stoker.core.units import JobRef, parse_array, parse_dependency, parse_job_ref
from stoker.engines.base import (
    Ended,
    EngineEvent,
    Evidence,
    Failed,
    Listener,
    Started,
    Unit,
    UnitKey,
    Withdrawn,
)
from stoker.worker.requests import StepRequest, Submission
from stoker.worker.worker import Worker
from support.databases import empty_database

ALICE = Owner(2001, "alice", 2001, "alice")
BOB = Owner(2002, "bob", 2002, "bob")
ROOT = Owner(0, "root", 0, "root")
NODE = "node1"
BOOT = "a boot that never was"


class RecordingEngine:
    """Implements `stoker.engines.base.Engine`.

    Attributes:
        calls: Name and arguments of everything that it was asked for, in order.
        evidence: What it says that it knows.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.evidence = Evidence(BOOT, frozenset(), {}, ())

    def open(self, listener: Listener) -> Evidence:
        self.listener = listener
        return self.evidence

    def close(self) -> None:
        self.calls.append(("close",))

    def launch(self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        self.calls.append(("launch", tuple(units), dict(descriptors)))

    def withdraw(self, keys: Sequence[str]) -> None:
        self.calls.append(("withdraw", tuple(keys)))

    def end(self, group: str, why: str, kill_wait_s: float) -> None:
        self.calls.append(("end", group, why, kill_wait_s))

    def signal(self, group: str, signal: int, scope: str) -> None:
        self.calls.append(("signal", group, signal, scope))

    def signal_unit(self, key: str, signal: int) -> None:
        self.calls.append(("signal_unit", key, signal))

    def suspend(self, group: str) -> None:
        self.calls.append(("suspend", group))

    def resume(self, group: str) -> None:
        self.calls.append(("resume", group))

    def limit(self, group: str, time_limit_s: float | None) -> None:
        self.calls.append(("limit", group, time_limit_s))

    def limit_unit(self, key: str, time_limit_s: float | None) -> None:
        self.calls.append(("limit_unit", key, time_limit_s))

    def acknowledge(self, keys: Sequence[str]) -> None:
        self.calls.append(("acknowledge", tuple(keys)))

    def survey(self) -> Evidence:
        return self.evidence

    def status(self) -> Mapping[str, Any]:
        return {"pid": 1}

    # What a test asks of it.

    def asked(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of every call of that name."""
        return [call[1:] for call in self.calls if call[0] == name]

    def launched(self) -> list[Unit]:
        """Return every unit that was handed over, in order."""
        return [unit for units, _ in self.asked("launch") for unit in units]


class Rooms:
    """A worker over a real database and a recording engine: one node of 8 CPUs, 8000 MiB."""

    def __init__(self, home: Path, **settings: Any) -> None:
        given: dict[str, Any] = {
            "total_cpus": 8,
            "total_memory": "8000",
            "nodes": NODE,
            "default_mem_per_cpu": "100",
            "kill_wait_s": 1.0,
        }
        self.settings = Settings(**(given | settings))
        self.home = home
        self.now_s = 1_000_000.0
        self.engine = RecordingEngine()
        path = home / "stoker.db"
        if not path.exists():
            path.write_bytes(empty_database())
        self.database = Database.at(path)
        self.begin()

    def begin(self) -> None:
        """Start the daemon on what is there."""
        self.database.open()
        detected = Detected(tuple(range(8)), 8000, NODE)
        self.worker = worker = Worker(
            self.home,
            self.settings,
            machine_of(self.settings, detected),
            detected,
            repository=Repository(self.database),
            engine=self.engine,
            commands={},
            read_draft=lambda *_: None,  # type: ignore[arg-type,return-value]
        )
        worker.queue._clock = worker.queue._monotonic = lambda: self.now_s
        self.control, self.queue = worker.control, worker.queue
        worker.recover(self.engine.open(worker.reports.take))

    def end(self) -> None:
        """Let the daemon die; what it has on record stays."""
        os.close(self.worker._stop_fd)
        self.worker._server.__exit__(None, None, None)
        self.database.close()

    def restart(self, evidence: Evidence | None = None) -> None:
        """Let the next daemon find *evidence*, or an engine that knows all that is on record."""
        known = evidence or self.engine_knows_all()
        self.end()
        self.engine.calls.clear()
        self.engine.evidence = known
        self.begin()

    def engine_knows_all(self) -> Evidence:
        """Return the evidence of an engine that has seen everything on record."""
        held = [job for job in self.queue.table if job.allocation and not job.spec.interactive]
        keys = {key_of(job): job for job in held}
        running = {
            key: Started(key, job.allocation.pid, 1, job.start_at)
            for key, job in keys.items()
            if job.allocation and job.start_at
        }
        steps = {key: Started(key, 99, 1, self.now_s) for key in self.worker.steps.open_units()}
        return Evidence(BOOT, frozenset(keys.keys() - running.keys()), running | steps, ())

    # What users do, each in a turn of its own.

    def submit(self, name: str = "work", **said: Any) -> Job:
        """Submit a job of alice's; *said* are fields of `Submission` or of the specification."""
        asked = submission(name, **said)
        with self.queue.turn():
            return self.control.submit(asked)

    def ask(self, method: str, ref: int | str, by: Owner = ALICE, *rest: Any, **more: Any) -> None:
        """Call a method of the controller that changes what *ref* names."""
        with self.queue.turn():
            getattr(self.control, method)(parse_job_ref(str(ref)), by, *rest, **more)

    def step(self, job: Job, **said: Any) -> Any:
        """Ask for a step in a running job."""
        with self.queue.turn():
            return self.control.steps.create(job, job.owner, step_request(**said))

    def schedule(self) -> None:
        """Let the scheduler wake once."""
        self.worker._turns.do_work()

    def wait_s(self, seconds: float) -> None:
        """Let time pass, and the scheduler wake."""
        self.now_s += seconds
        self.schedule()

    # What the engine reports.

    def report(self, *events: EngineEvent) -> None:
        """Let the engine report."""
        self.worker.reports.take(events)

    def start(self, job: Job | int) -> Job:
        """Let the job's reserved attempt start."""
        job = self.active(job)
        self.report(Started(key_of(job), 1000 + job.job_id, 1, self.now_s))
        return self.active(job)

    def finish(self, job: Job | int, code: int = 0, signal: int = 0, **more: Any) -> None:
        """Let the job's process end."""
        given: dict[str, Any] = {"status_known": True, "at": self.now_s}
        self.report(Ended(key_of(self.active(job)), code, signal, **(given | more)))

    def fail(self, job: Job | int, step: str, errno: int = 2, path: str = "") -> None:
        """Let the job's launch fail."""
        key = key_of(self.active(job))
        self.report(Failed(key, step, errno, os.strerror(errno), self.now_s, path))

    def withdrawn(self, job: Job | int) -> None:
        """Let the engine take the job's reserved attempt back."""
        self.report(Withdrawn(key_of(self.active(job))))

    def running(self, name: str = "work", **said: Any) -> Job:
        """Submit a job and let it run."""
        job = self.submit(name, **said)
        self.schedule()
        return self.active(job) if job.spec.interactive else self.start(job)

    # What is so.

    def active(self, job: Job | int) -> Job:
        """Return the job as memory has it."""
        return self.queue.table.jobs[job if isinstance(job, int) else job.job_id]

    def recorded(self, job: Job | int) -> Job:
        """Return the job as the database has it."""
        (found,) = self.worker.repository.jobs([job if isinstance(job, int) else job.job_id])
        return found

    def state(self, job: Job | int) -> str:
        """Return the recorded state."""
        return self.recorded(job).state.value


class _Abandoned(Exception):
    """Ends a turn before it is recorded."""


@contextmanager
def abandoned_turn(rooms: Rooms) -> Iterator[None]:
    """Enclose a turn that is not recorded."""
    with suppress(_Abandoned), rooms.queue.turn():
        yield
        raise _Abandoned


def key_of(job: Job) -> str:
    """Return the key of the job's present attempt."""
    assert job.allocation is not None, f"job {job.job_id} is not reserved"
    return str(UnitKey(job.job_id, job.allocation.attempt, "batch"))


def submission(name: str = "work", **said: Any) -> Submission:
    """Return a submission; *said* are its fields, or those of the specification."""
    if array := said.pop("array", ""):
        said["array"] = parse_array(array, 10_000_000)
    if dependency := said.pop("dependency", ""):
        said["dependency"] = parse_dependency(dependency)
    of_submission = {key: said.pop(key) for key in _OF_SUBMISSION & said.keys()}
    given = {"name": name, "argv": () if said.get("interactive") else ("true",), "stdout": "out"}
    return Submission(**({"owner": ALICE} | of_submission), spec=JobSpec(**(given | said)))


_OF_SUBMISSION = frozenset(Submission.__struct_fields__) - {"spec"}


def step_request(**said: Any) -> StepRequest:
    """Return a request for a step of one task."""
    given: dict[str, Any] = {
        "name": "step",
        "argv": ("true",),
        "environment": ("A=1",),
        "work_dir": "/",
        "stdin": "/dev/null",
        "stdout": "/dev/null",
    }
    return StepRequest(**(given | said))


def ref(text: int | str) -> JobRef:
    """Read a job reference."""
    return parse_job_ref(str(text))
