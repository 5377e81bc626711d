"""`stoker doctor --check`: do database, memory, books, engine and processes say the same?

Looks only. Called inside a turn, so that the record does not move while it is compared; what the
engine has to report just then may make a finding that the next look does not have.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stoker.core import processes
from stoker.core.database import Database
from stoker.core.enums import AllocationState
from stoker.core.errors import StokerError
from stoker.core.messages import Finding
from stoker.core.models import Job
from stoker.core.processes import ProcessIdentity
from stoker.core.repository import Repository
from stoker.engines.base import Engine, Evidence, UnitKey
from stoker.worker.launching import BATCH
from stoker.worker.ledger import Ledger

_FREE_MIB_MIN = 64
_SHOWN_MAX = 5


def examine(home: Path, database: Database, engine: Engine, ledger: Ledger) -> Sequence[Finding]:
    """Return a finding for each subject, good ones included."""
    evidence = engine.survey()
    checks: tuple[tuple[str, Callable[[], Iterator[str]], str], ...] = (
        ("database", lambda: _database(database), "restore a backup: `stoker restore`"),
        ("record and memory", lambda: _memory(database, ledger), "restart: `stoker down`"),
        ("resources", lambda: _books(ledger), "restart: `stoker down`"),
        ("jobs and engine", lambda: _jobs(ledger, evidence), "restart: `stoker down`"),
        ("engine and jobs", lambda: _units(ledger, evidence), "restart: `stoker down`"),
        ("processes", lambda: _processes(evidence), "look at the shepherd's log"),
        ("disk", lambda: _disk(home), "make room"),
    )
    return [_finding(subject, check, remedy) for subject, check, remedy in checks]


def _finding(subject: str, check: Callable[[], Iterator[str]], remedy: str) -> Finding:
    try:
        troubles = list(check())
    except (AssertionError, StokerError, OSError) as error:
        troubles = [str(error) or type(error).__name__]
    if not troubles:
        return Finding(subject=subject, is_ok=True, text="as it should be")
    shown = "; ".join(troubles[:_SHOWN_MAX])
    more = f"; and {len(troubles) - _SHOWN_MAX} more" if len(troubles) > _SHOWN_MAX else ""
    return Finding(subject=subject, is_ok=False, text=shown + more, remedy=remedy)


def _database(database: Database) -> Iterator[str]:
    with database.reader() as connection:
        if database.path is not None:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if verdict != "ok":
                yield str(verdict)


def _memory(database: Database, ledger: Ledger) -> Iterator[str]:
    recorded = {job.job_id: job for job in Repository(database).active_jobs()}
    held = ledger.table.jobs
    for job_id in sorted(recorded.keys() ^ held.keys()):
        where = "in the record only" if job_id in recorded else "in memory only"
        yield f"job {job_id} is {where}"
    for job_id in sorted(recorded.keys() & held.keys()):
        if recorded[job_id].state is not held[job_id].state:
            yield f"job {job_id}: {recorded[job_id].state} on record, {held[job_id].state} held"


def _books(ledger: Ledger) -> Iterator[str]:
    ledger.tracker.check()
    holding = {
        job.job_id
        for job in ledger.table
        if job.allocation is not None and not ledger.lanes.is_behind(job.job_id)
    }
    for job_id in sorted(holding ^ ledger.tracker.holders()):
        yield f"job {job_id} " + (
            "holds nothing" if job_id in holding else "holds what it should not"
        )


def _jobs(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    reported = {event.key for event in evidence.events}
    for job in ledger.table:
        allocation = job.allocation
        if allocation is None or job.spec.interactive:
            continue
        key = str(UnitKey(job.job_id, allocation.attempt, BATCH))
        known = key in evidence.running or key in evidence.queued or key in reported
        if not known:
            yield f"job {job.job_id} is {_standing(job)}, but the engine does not know it"


def _standing(job: Job) -> str:
    assert job.allocation is not None
    reserved = job.allocation.state is AllocationState.RESERVED
    return "reserved" if reserved else str(job.state)


def _units(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    for key in sorted(evidence.running):
        job_id, attempt, _ = key.split(".", 2)
        job = ledger.table.get(int(job_id))
        if job is None or job.allocation is None or job.allocation.attempt != int(attempt):
            yield f"the engine runs {key}, but on record that attempt is over"


def _processes(evidence: Evidence) -> Iterator[str]:
    for key, started in sorted(evidence.running.items()):
        identity = ProcessIdentity(started.pid, started.start_ticks, evidence.boot_id)
        if not processes.is_alive(identity):
            yield f"the process of {key}, {started.pid}, is gone"


def _disk(home: Path) -> Iterator[str]:
    free_mib = shutil.disk_usage(home).free >> 20
    if free_mib < _FREE_MIB_MIN:
        yield f"{free_mib} MiB are free in {home}"
    if not os.access(home, os.W_OK):
        yield f"{home} cannot be written"
