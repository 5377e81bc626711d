"""Recovery on start: every job on record that is to hold resources is healthy, or brought in order.

It runs to its end before the first new launch. Each job is recovered in turns of its own: a failure
stops nobody else's recovery, and a kill at any point leaves a record that the next recovery goes on
from. A job whose processes are fine is adopted; that is no recovery, and no failure of one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import msgspec

from stoker.core.database import Database
from stoker.core.enums import HOLDING, AllocationState
from stoker.core.hardware import detect
from stoker.core.homes import home_directory
from stoker.core.machine import machine_of
from stoker.core.models import Job
from stoker.core.processes import age_s
from stoker.core.repository import Repository
from stoker.core.settings import load_settings
from stoker.worker.admission import Admission
from stoker.worker.homelock import only_daemon
from stoker.worker.ledger import Ledger
from stoker.worker.probe import Probe
from stoker.worker.queue import JobQueue
from stoker.worker.recovery_strategies import RecoveryStrategy, default_strategy
from stoker.worker.resources import ResourceTracker
from stoker.worker.table import JobTable

log = logging.getLogger(__name__)


class RecoveryResult(msgspec.Struct, frozen=True):
    """What a recovery found and did; adopted jobs needed none and are not in the total."""

    recovered_jobs: int
    skipped_jobs: int
    total_jobs: int
    duration_seconds: float
    adopted_jobs: int = 0

    @property
    def success_rate(self) -> float:
        """Return how many of those were recovered, in percent; of none, all were."""
        return 100.0 * self.recovered_jobs / self.total_jobs if self.total_jobs else 100.0

    def __str__(self) -> str:
        adopted = f", {self.adopted_jobs} adopted" if self.adopted_jobs else ""
        return (
            f"Recovery: {self.recovered_jobs}/{self.total_jobs} jobs recovered "
            f"({self.success_rate:.1f}% success) in {self.duration_seconds:.2f}s{adopted}"
        )


class _Verdict(Enum):
    RECOVERED = "recovered"
    SKIPPED = "skipped"
    ADOPTED = "adopted"


class RecoveryManager:
    """Looks at every job that is to hold resources, once, when the daemon starts."""

    def __init__(
        self,
        strategy: RecoveryStrategy | None = None,
        *,
        ledger: Ledger | None = None,
        probe: Probe | None = None,
        concerns: Callable[[Job], bool] = lambda _: True,
    ) -> None:
        """Recover by *strategy*, or as the settings say.

        Args:
            strategy: What to do about a job in trouble.
            ledger: Whose jobs; if not given, those of the home directory, where no daemon may be
                running.
            probe: Knows the processes; if not given, /proc is asked.
            concerns: Which jobs to look at; the others stay as they are.
        """
        self._strategy = strategy
        self._ledger = ledger
        self._probe = probe
        self._concerns = concerns

    def recover_on_startup(self) -> RecoveryResult:
        """Bring every job in order that needs it; once more does no harm."""
        began_s = time.monotonic()
        if self._ledger is not None:
            verdicts = self._recover_all(self._ledger)
        else:
            with _ledger_at_home(home_directory()) as ledger:
                verdicts = self._recover_all(ledger) if ledger is not None else []
        result = _result(verdicts, time.monotonic() - began_s)
        log.info("%s", result)
        return result

    def _recover_all(self, ledger: Ledger) -> list[_Verdict]:
        settings = ledger.admission.settings
        probe = self._probe or Probe(kill_wait_s=settings.kill_wait_s)
        strategy = self._strategy or default_strategy(settings.max_runtime_hours)
        strategy.bind(ledger, probe)
        with ledger.queue.turn():
            held = sorted(
                job.job_id for job in ledger.table if _is_held(job) and self._concerns(job)
            )
        # By id: where a turn fails, the table is made anew, and with it all its jobs.
        return [
            self._recover(job, ledger, strategy, probe)
            for job_id in held
            if (job := ledger.table.get(job_id)) is not None and _is_held(job)
        ]

    @staticmethod
    def _recover(job: Job, ledger: Ledger, strategy: RecoveryStrategy, probe: Probe) -> _Verdict:
        try:
            if not strategy.should_recover(job):
                _adopt(job, ledger, probe)
                return _Verdict.ADOPTED
            if strategy.recover_job(job):
                return _Verdict.RECOVERED
        except Exception:
            log.exception("job %s could not be recovered; the others are", job.job_id)
        return _Verdict.SKIPPED


def recover_apart(
    recoveries: Mapping[int, Callable[[], RecoveryResult]], timeout_s: float
) -> RecoveryResult:
    """Recover the jobs of several users, all at once; return what came of it in that time.

    Whose processes take longer to be looked at or ended, keep their own user's jobs waiting.
    """
    results: list[RecoveryResult] = []

    def recover(user_id: int) -> None:
        try:
            results.append(recoveries[user_id]())
        except Exception:
            log.exception("the jobs of user %d are not recovered", user_id)

    threads = [
        threading.Thread(target=recover, args=(user_id,), name=f"recovers {user_id}", daemon=True)
        for user_id in recoveries
    ]
    for thread in threads:
        thread.start()
    give_up_at = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    return RecoveryResult(
        recovered_jobs=sum(each.recovered_jobs for each in results),
        skipped_jobs=sum(each.skipped_jobs for each in results),
        total_jobs=sum(each.total_jobs for each in results),
        duration_seconds=max((each.duration_seconds for each in results), default=0.0),
        adopted_jobs=sum(each.adopted_jobs for each in results),
    )


def _result(verdicts: Sequence[_Verdict], duration_s: float) -> RecoveryResult:
    adopted = verdicts.count(_Verdict.ADOPTED)
    return RecoveryResult(
        recovered_jobs=verdicts.count(_Verdict.RECOVERED),
        skipped_jobs=verdicts.count(_Verdict.SKIPPED),
        total_jobs=len(verdicts) - adopted,
        duration_seconds=duration_s,
        adopted_jobs=adopted,
    )


def _is_held(job: Job) -> bool:
    return job.allocation is not None or job.state in HOLDING


def _adopt(job: Job, ledger: Ledger, probe: Probe) -> None:
    """Take a healthy job over; if its start was never recorded, record it now."""
    allocation = job.allocation
    if allocation is not None and allocation.state is AllocationState.RESERVED:
        leader = None if probe.is_known(job) else probe.leader(job)
        if leader is not None:
            with ledger.queue.turn() as turn:
                ledger.start(turn, job, leader, turn.now - age_s(leader))
    probe.adopt(job)


@contextmanager
def _ledger_at_home(home: Path) -> Iterator[Ledger | None]:
    """Open the records of a home directory; None if it has none.

    Raises:
        UserError: Its daemon is running, and does this itself.
    """
    settings = load_settings(home)
    path = home / "stoker.db"
    if not settings.database_url and not path.exists():
        yield None
        return
    machine = machine_of(settings, detect())
    admission = Admission(machine, settings)
    with only_daemon(home), Database.of_home(home, settings.database_url) as database:
        queue = JobQueue(Repository(database), JobTable(admission.shape))
        ledger = Ledger(queue, ResourceTracker(machine.nodes), admission)
        queue.rebuild = ledger.rebuild
        yield ledger
