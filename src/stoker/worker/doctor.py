"""`stoker doctor --check`: do database, memory, books, engine and processes say the same?

Looks only. Called inside a turn, so that the record does not move while it is compared; the engine
goes on meanwhile, and what it has to report just then is no trouble: only what two looks in a row
find counts. What this machine lets us promise of processes is said as well; it is no trouble.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from stoker.core import processes
from stoker.core.database import Database
from stoker.core.enums import AllocationState
from stoker.core.errors import StokerError
from stoker.core.messages import Finding
from stoker.core.models import Job
from stoker.core.processes import ProcessIdentity
from stoker.core.repository import Repository
from stoker.engines.base import Engine, Evidence, parse_key
from stoker.worker.attempts import batch_key
from stoker.worker.ledger import Ledger

_CONTAINED = "each job has a control group: nothing of it outlives its end"
_LOOSE = (
    "no control groups can be made here: a job's processes are known by ancestry, session and "
    "environment, and one that leaves all three can outlive its job; memory is not limited"
)
_FREE_MIB_MIN = 64
_SHOWN_MAX = 5


class _Check(NamedTuple):
    """What is looked at, how, and what helps if it is not as it should be."""

    subject: str
    look: Callable[[], Iterator[str]]
    remedy: str


def examine(home: Path, database: Database, engine: Engine, ledger: Ledger) -> Sequence[Finding]:
    """Return a finding for each subject, good ones included."""
    again = "restart: `stoker down`, `stoker up`"
    is_file = database.path is not None
    mend = "restore a backup: `stoker restore`" if is_file else "look at the server's log"
    findings = [
        _finding(check)
        for check in (
            _Check("database", lambda: _database(database), mend),
            _Check("record and memory", lambda: _memory(database, ledger), again),
            _Check("resources", lambda: _books(ledger), again),
            _Check("jobs and engine", lambda: _jobs(ledger, engine.survey()), again),
            _Check("engine and jobs", lambda: _units(ledger, engine.survey()), again),
            _Check("processes", lambda: _processes(engine.survey()), "look at the shepherd's log"),
            _Check("disk", lambda: _disk(home), "make room"),
        )
    ]
    text = _CONTAINED if engine.status().get("mode") == "cgroup" else _LOOSE
    return [*findings, Finding(subject="containment", is_ok=True, text=text)]


def _finding(check: _Check) -> Finding:
    troubles = _troubles(check)
    if troubles:
        lasting = set(_troubles(check))
        troubles = [each for each in troubles if each in lasting]
    if not troubles:
        return Finding(subject=check.subject, is_ok=True, text="as it should be")
    shown = "; ".join(troubles[:_SHOWN_MAX])
    more = f"; and {len(troubles) - _SHOWN_MAX} more" if len(troubles) > _SHOWN_MAX else ""
    return Finding(subject=check.subject, is_ok=False, text=shown + more, remedy=check.remedy)


def _troubles(check: _Check) -> list[str]:
    try:
        return list(check.look())
    except (AssertionError, StokerError, OSError) as error:
        return [str(error) or type(error).__name__]


def _database(database: Database) -> Iterator[str]:
    if (wrong := database.check()) is not None:
        yield wrong


def _memory(database: Database, ledger: Ledger) -> Iterator[str]:
    recorded = {job.job_id: job for job in Repository(database).active_jobs()}
    held = ledger.table.jobs
    changed = _changed(ledger)
    for job_id in sorted((recorded.keys() ^ held.keys()) - changed):
        where = "in the record only" if job_id in recorded else "in memory only"
        yield f"job {job_id} is {where}"
    for job_id in sorted((recorded.keys() & held.keys()) - changed):
        if recorded[job_id].state is not held[job_id].state:
            yield f"job {job_id}: {recorded[job_id].state} on record, {held[job_id].state} held"


def _changed(ledger: Ledger) -> Set[int]:
    """Return the jobs that this turn has changed: neither record nor engine has heard of it."""
    return ledger.queue.current.jobs.keys()


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
    """Find jobs that are to run of which the engine knows nothing."""
    reported = {event.key for event in evidence.events}
    known = evidence.running.keys() | evidence.queued | reported
    for job in ledger.table:
        # One that was reserved in this very turn is launched at its end.
        if job.allocation is None or job.spec.interactive or job.job_id in _changed(ledger):
            continue
        key = batch_key(job.allocation)
        if key not in known:
            yield f"job {job.job_id} is {_standing(job)}, but the engine does not know it"


def _standing(job: Job) -> str:
    assert job.allocation is not None
    reserved = job.allocation.state is AllocationState.RESERVED
    return "reserved" if reserved else str(job.state)


def _units(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    """Find what runs, or is about to, of attempts that are over, or that nobody recorded."""
    for key in sorted(evidence.running.keys() | evidence.queued):
        unit = parse_key(key)
        job = ledger.table.get(unit.job_id)
        is_present = (
            job is not None
            and job.allocation is not None
            and job.allocation.attempt == unit.attempt
        )
        if not is_present and unit.job_id not in _changed(ledger):
            yield f"the engine has {key}, but on record there is no such attempt, or it is over"


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
