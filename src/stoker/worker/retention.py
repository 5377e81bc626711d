"""Keeps the history small: what ended long ago leaves the records, into an archive if so wanted.

An archive is a file of JSON lines, compressed, named by the jobs in it: a line for each job with
its attempts and steps, and before the jobs each script and environment that they name, once. It is
whole and on the disk before the first of its jobs is removed; a daemon that dies in between writes
the same jobs again.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from stoker.core.errors import StoreError
from stoker.core.models import Allocation, Job, Step
from stoker.core.repository import Repository
from stoker.core.retention import Retention
from stoker.core.storefile import write_whole
from stoker.worker.daemon import DaemonThread
from stoker.worker.queue import JobQueue

log = logging.getLogger(__name__)

R = TypeVar("R", Allocation, Step)

_LOOK_S: Final = 3600.0
_JOBS_PER_FILE: Final = 10_000
_JOBS_PER_TURN: Final = 100
_DAY_S: Final = 86400.0


class RetentionKeeper(DaemonThread):
    """Removes, once an hour, the jobs that ended more than so many days ago."""

    def __init__(self, queue: JobQueue, home: Path, *, days: float, archives: bool) -> None:
        """Keep jobs for *days* after their end, 0: for ever; with *archives* keep them in files."""
        super().__init__("retention", _LOOK_S)
        self._queue = queue
        self._repository: Repository = queue.repository
        self._retention = Retention(queue.repository.database)
        self._directory = home / "archive"
        self._days = days
        self._archives = archives

    def change(self, days: float, *, archives: bool) -> None:
        """Keep by other numbers from now on."""
        self._days, self._archives = days, archives
        self.wake()

    def do_work(self) -> None:
        """Archive and remove what is due."""
        if not self._days:
            return
        try:
            removed = self._remove_old(self._queue.now() - self._days * _DAY_S)
            if removed:
                swept = self._retention.sweep(self._queue.now())
                log.info("%d jobs left the records, and %d things only they named", removed, swept)
        except (OSError, StoreError) as error:
            log.warning("jobs of more than %g days ago stay on record: %s", self._days, error)

    def _remove_old(self, before: float) -> int:
        removed = last = 0
        while job_ids := self._retention.ended_before(before, _JOBS_PER_FILE, last):
            if self._archives:
                self._archive(job_ids)
            for start in range(0, len(job_ids), _JOBS_PER_TURN):
                # In a turn: a job that is requeued in it has not ended any more.
                with self._queue.turn():
                    removed += self._retention.remove(
                        job_ids[start : start + _JOBS_PER_TURN], before
                    )
            last = job_ids[-1]
        return removed

    def _archive(self, job_ids: Sequence[int]) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        target = self._directory / f"jobs-{job_ids[0]:08}-{job_ids[-1]:08}.jsonl.gz"

        def write(part: Path) -> None:
            with gzip.open(part, "wb") as file:
                for line in self._lines(job_ids):
                    # Not msgspec's: a name may hold bytes that are no text.
                    file.write(json.dumps(line).encode() + b"\n")

        write_whole(target, write)
        log.info("%d jobs are archived in %s", len(job_ids), target)

    def _lines(self, job_ids: Sequence[int]) -> Iterator[Any]:
        jobs = self._repository.jobs(job_ids)
        for digest in _contents_of(jobs):
            body = base64.b64encode(self._repository.content(digest)).decode()
            yield {"content": digest, "base64": body}
        attempts = _by_job(self._repository.attempts(job_ids))
        steps = _by_job(self._repository.steps(job_ids))
        for job in jobs:
            yield {
                "job": _plain(job),
                "attempts": [_plain(each) for each in attempts.get(job.job_id, ())],
                "steps": [_plain(each) for each in steps.get(job.job_id, ())],
            }


def _by_job(records: Iterable[R]) -> dict[int, list[R]]:
    found: dict[int, list[R]] = {}
    for record in records:
        found.setdefault(record.job_id, []).append(record)
    return found


def _plain(record: msgspec.Struct) -> Any:
    """Return a record in JSON's own types; a set of tasks is written as in ``--array``."""
    return msgspec.to_builtins(record, enc_hook=str)


def _contents_of(jobs: Sequence[Job]) -> Sequence[str]:
    named = (digest for job in jobs for digest in (job.spec.script, job.spec.environment))
    return list(dict.fromkeys(filter(None, named)))
