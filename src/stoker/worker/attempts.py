"""The present attempt of a job: how it is known, and how long it has run."""

from __future__ import annotations

from collections.abc import Iterator
from os import urandom
from typing import Final

from stoker.core.models import BATCH, Allocation, Job
from stoker.engines.base import group_key, unit_key

_TOKEN_SIZE: Final = 8
_TOKENS_DRAWN: Final = 128
"""How many are drawn at a time: to ask the kernel takes longer than most of a job's reservation."""
_TIMES_OF_JOB: Final = ("submit_at", "eligible_at", "start_at", "suspended_at")
_TIMES_OF_ALLOCATION: Final = ("reserved_at", "allocated_at")


def attempt_of(job: Job) -> Allocation:
    """Return what a job holds, or is about to hold; there is something."""
    assert job.allocation is not None, f"job {job.job_id} has no allocation"
    return job.allocation


def batch_key(attempt: Allocation) -> str:
    """Return the engine's key of what the attempt itself runs: its script, or its command."""
    return unit_key(group_key(attempt.job_id, attempt.attempt), BATCH)


def new_tokens() -> Iterator[str]:
    """Yield names that nobody can guess, each once."""
    while True:
        drawn = urandom(_TOKEN_SIZE * _TOKENS_DRAWN)
        for start in range(0, len(drawn), _TOKEN_SIZE):
            yield drawn[start : start + _TOKEN_SIZE].hex()


def count_pause(job: Job, at: float) -> None:
    """Add a suspension that ends at *at* to those of the job; nothing if it is not suspended."""
    if job.suspended_at:
        job.suspended_s += max(0.0, at - job.suspended_at)
        job.suspended_at = 0.0


def shift_times(job: Job, attempt: Allocation, by_s: float) -> None:
    """Let all that happened to a job that holds something have happened so much later."""
    for record, names in ((job, _TIMES_OF_JOB), (attempt, _TIMES_OF_ALLOCATION)):
        for name in names:
            if at := getattr(record, name):
                setattr(record, name, at + by_s)
