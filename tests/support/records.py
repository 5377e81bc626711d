"""A ledger over a real database in a temporary file, and jobs in it, without engine or daemon."""

from __future__ import annotations

from pathlib import Path

from stoker.core.database import Database
from stoker.core.hardware import Detected
from stoker.core.machine import machine_of
from stoker.core.models import Job, JobSpec, NodeShare, Owner
from stoker.core.processes import ProcessIdentity
from stoker.core.repository import Repository
from stoker.core.settings import Settings
from stoker.worker.admission import Admission
from stoker.worker.ledger import Ledger
from stoker.worker.queue import JobQueue
from stoker.worker.resources import ResourceTracker
from stoker.worker.table import JobTable

NODE = "node"
OWNER = Owner(1000, "user", 1000, "user")


class Records:
    """What a daemon keeps, opened at *path*; `reopen` is what the next daemon sees."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.path = path
        self.settings = Settings(total_cpus=8, total_memory="8000", nodes=NODE, **settings)
        self.open()

    def open(self) -> None:
        """Open the database and build everything on it anew."""
        self.database = Database.at(self.path)
        self.database.open()
        machine = machine_of(self.settings, Detected(tuple(range(8)), 8000, NODE))
        admission = Admission(machine, self.settings)
        self.repository = Repository(self.database)
        self.tracker = ResourceTracker(machine.nodes)
        self.queue = JobQueue(self.repository, JobTable(admission.shape))
        self.ledger = Ledger(self.queue, self.tracker, admission)
        self.queue.rebuild = self.ledger.rebuild

    def reopen(self) -> Records:
        """Forget everything in memory, as a kill of the daemon does."""
        self.database.close()
        self.open()
        with self.queue.turn():
            pass
        return self

    def reserved(self, *, cpus: int = 1, requeue: bool = True, restarts: int = 0) -> Job:
        """Record a job that is about to run."""
        with self.queue.turn() as turn:
            spec = JobSpec(name="job", argv=("true",), requeue=requeue)
            job = Job(
                job_id=self.queue.give_id(turn),
                spec=spec,
                spec_digest=turn.keep_spec(spec),
                owner=OWNER,
                submit_at=turn.now,
                partition="debug",
                requeue=requeue,
                restarts=restarts,
            )
            self.ledger.enter(turn, job)
            used = self.tracker.used_cpus
            share = NodeShare(NODE, tuple(range(used, used + cpus)), 100)
            return self.ledger.reserve(turn, job, (share,))

    def running(self, process: ProcessIdentity, **more: object) -> Job:
        """Record a job that runs as *process*."""
        job = self.reserved(**more)
        with self.queue.turn() as turn:
            self.ledger.start(turn, job, process, turn.now)
        return job

    def on_record(self, job_id: int) -> Job:
        """Return the job as the database has it."""
        (job,) = self.repository.jobs([job_id])
        return job
