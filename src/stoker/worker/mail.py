"""Mail about jobs: for which events it is wanted, and the words of its subject. Pure.

Source: sbatch(1), ``--mail-type``; subjects are recorded, those that are not follow Slurm's source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from stoker.core.enums import JobState
from stoker.core.models import FOREVER, NO_TASK, Job
from stoker.core.noticestore import ArrayEnd
from stoker.core.units import format_duration

BEGIN: Final = "BEGIN"
END: Final = "END"
FAIL: Final = "FAIL"
REQUEUE: Final = "REQUEUE"
INVALID_DEPEND: Final = "INVALID_DEPEND"
TIME_LIMIT: Final = "TIME_LIMIT"
ARRAY_TASKS: Final = "ARRAY_TASKS"

WORDS: Final[Mapping[str, str]] = {
    BEGIN: "Began",
    END: "Ended",
    FAIL: "Failed",
    REQUEUE: "Requeued",
    INVALID_DEPEND: "Invalid dependency",
    TIME_LIMIT: "Reached time limit",
    "TIME_LIMIT_90": "Reached 90% of time limit",
    "TIME_LIMIT_80": "Reached 80% of time limit",
    "TIME_LIMIT_50": "Reached 50% of time limit",
}
"""What a subject says of an event."""

PARTS_OF_LIMIT: Final[Mapping[str, float]] = {
    "TIME_LIMIT_50": 0.5,
    "TIME_LIMIT_80": 0.8,
    "TIME_LIMIT_90": 0.9,
}
_MORE_THAN_ADDRESSES: Final = re.compile(r"""["'`|/\\]|(?:^|[\s,;])[-+]""")
_GOOD_ENDS: Final = (JobState.COMPLETED, JobState.CANCELLED)


def wanted(job: Job) -> frozenset[str]:
    """Return the events of which the job's user wants mail."""
    return _types_of(job.spec.mail_type)


@lru_cache(maxsize=256)
def _types_of(mail_type: str) -> frozenset[str]:
    return frozenset(filter(None, mail_type.split(",")))


def kind_of_end(states: Iterable[JobState], types: frozenset[str]) -> str:
    """Return as what an end is told, "" if it is not; a failure may be told as an end."""
    if all(state in _GOOD_ENDS for state in states):
        return END if END in types else ""
    return next((kind for kind in (FAIL, END) if kind in types), "")


def is_summed_up(job: Job, types: frozenset[str]) -> bool:
    """Whether mail about the job is about its array as a whole."""
    return bool(job.array_job_id) and ARRAY_TASKS not in types


def limit_at(job: Job, kind: str) -> float:
    """Return when a job will have had so much of its time; FOREVER if it has no limit."""
    if job.time_limit_s is None or not job.start_at:
        return FOREVER
    return job.start_at + job.suspended_s + PARTS_OF_LIMIT[kind] * job.time_limit_s


def subject(job: Job, kind: str, state: JobState, now: float) -> str:
    """Return what is said of one job, or of one task of an array."""
    name = f"Slurm Job_id={job.job_id} Name={job.name}"
    if job.array_task_id != NO_TASK:
        number = f"{job.array_job_id}_{job.array_task_id} ({job.job_id})"
        name = f"Slurm Array Task Job_id={number} Name={job.name}"
    return plain(f"{name} {WORDS[kind]}{_time(job, kind, now)}{_end(job, kind, state)}")


def summary(job: Job, kind: str, ends: Sequence[ArrayEnd]) -> str:
    """Return what is said of an array, in the name of any of its tasks."""
    number = f"{job.array_job_id}_* ({job.array_job_id})"
    text = f"Slurm Array Summary Job_id={number} Name={job.name} {WORDS[kind]}"
    return plain(text + (_ends(ends) if kind in (END, FAIL) and ends else ""))


def is_address(text: str) -> bool:
    """Whether text is no more than addresses to a mail program, which runs as the job's user.

    Others may have written it: who coordinates an account changes its jobs. An option, a file, or
    a program behind a bar it must not be.
    """
    return plain(text) == text and _MORE_THAN_ADDRESSES.search(text) is None


def plain(text: str) -> str:
    """Return text without what would be more than a word in a header: line breaks and such."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _time(job: Job, kind: str, now: float) -> str:
    if not job.start_at or kind == INVALID_DEPEND:
        return ""
    if kind == BEGIN:
        return f", Queued time {format_duration(max(0.0, job.start_at - job.submit_at))}"
    run_s = (job.end_at or now) - job.start_at - job.suspended_s
    return f", Run time {format_duration(max(0.0, run_s))}"


def _end(job: Job, kind: str, state: JobState) -> str:
    if kind not in (END, FAIL):
        return ""
    return f", {state}" if job.exit_signal else f", {state}, ExitCode {job.exit_code}"


def _ends(ends: Sequence[ArrayEnd]) -> str:
    low = min(end.min_code for end in ends)
    high = max(end.max_code for end in ends)
    if signal := max(end.max_signal for end in ends):
        return f", Mixed, MaxSignal [{signal}]"
    state = "Mixed" if low == 0 < high else max(ends, key=lambda end: end.max_code).state
    return f", {state}, ExitCode [{low}-{high}]"
