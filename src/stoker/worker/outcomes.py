"""How an attempt ended, as Slurm says it: state, exit code, reason. Pure.

Source: recorded behaviour. A job that was cancelled, or ran into its time limit, has the exit code
of its script on the way out (accounting says 0:0 of it all the same, see ``commands/endings``); a
cancelled one without a script 0:15, or 0:0 if it never ran; one that ran out of memory
0:125, also if the script went on and exited 0; one that was ended because it was seen to hold too
much 0:9, by root; one that could not be launched 0:53; one whose
program cannot be executed the number of the error, as srun's tasks do.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stoker.core.enums import REQUEUES, JobState, Reason
from stoker.core.models import NOBODY, Job, Usage
from stoker.engines.base import Ended, Failed, UnitUsage

WORKER_DIED = -999
"""Exit code of a job whose exit status could not be had."""
RAN_TOO_LONG = -998
"""Exit code of a job that outlived the site's maximum run time."""

_ROOT = 0
_SIGKILL = 9
_SIGTERM = 15
_OUT_OF_MEMORY = 125
_LAUNCH_FAILED = 53
_WHY: Final = {
    JobState.TIMEOUT: "timeout",
    JobState.REQUEUED: "requeued",
    JobState.REQUEUE_HOLD: "requeued",
    JobState.SPECIAL_EXIT: "requeued",
    JobState.COMPLETED: "ended",
    JobState.FAILED: "ended",
}
_HEARD_OUT: Final = (JobState.CANCELLED, JobState.TIMEOUT)
"""Ends from outside after which the exit code is the script's own."""

_GOOD: Final = (JobState.COMPLETED, 0, 0, Reason.NONE, "")
"""What is said of an end of which there is nothing to say."""

_PLACES: Final = {
    "stdin": "its input cannot be opened",
    "stdout": "its output cannot be opened",
    "stderr": "its error output cannot be opened",
    "environment": "its environment is not there",
    "attributes": "its limits cannot be set",
}
"""What is said of the steps of a launch that are the job's own trouble."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of the job, and what its process ended with, where that differs.

    ``at`` is epoch seconds. ``raw_code`` and ``raw_signal`` are what the kernel said. ``ended_by``
    is the user whom Slurm names for it, if that is not on record yet.
    """

    state: JobState
    at: float
    code: int = 0
    signal: int = 0
    reason: str = Reason.NONE
    message: str = ""
    raw_code: int = 0
    raw_signal: int = 0
    usage: Usage | None = None
    ended_by: int = NOBODY


def outcome_of(job: Job, end: Ended) -> Outcome:
    """Return the outcome of an attempt whose process has ended."""
    state, code, signal, reason, message = _verdict(job, end)
    return Outcome(
        state=state,
        at=end.at,
        code=code,
        signal=signal,
        reason=reason,
        message=message,
        raw_code=end.exit_code,
        raw_signal=end.signal if end.status_known else signal,
        usage=usage_of(end.usage),
        ended_by=_ROOT if end.why == "memory" and signal == _SIGKILL else NOBODY,
    )


def _verdict(job: Job, end: Ended) -> tuple[JobState, int, int, str, str]:
    if end.oom:
        text = f"the kernel ended a process of it: the limit is {_memory(job)} MiB"
        return JobState.OUT_OF_MEMORY, 0, _OUT_OF_MEMORY, Reason.OUT_OF_MEMORY, text
    if job.ending is not None:
        wanted = on_request(job, end.at)
        if wanted.state in _HEARD_OUT and end.status_known and not wanted.code:
            # A script that ends by itself when it is told to has the last word.
            return wanted.state, end.exit_code, end.signal, wanted.reason, wanted.message
        return wanted.state, wanted.code, wanted.signal, wanted.reason, wanted.message
    if end.why == "timeout":
        code, signal = (end.exit_code, end.signal) if end.status_known else (0, 0)
        return JobState.TIMEOUT, code, signal, Reason.TIME_LIMIT, "it ran into its time limit"
    if end.why == "memory" and (end.signal == _SIGKILL or not end.status_known):
        text = f"it held more memory than its limit of {_memory(job)} MiB"
        return JobState.FAILED, 0, _SIGKILL, Reason.JOB_LAUNCH_FAILURE, text
    if not end.status_known:
        text = "worker exited abnormally: the exit status could not be had"
        return JobState.FAILED, WORKER_DIED, 0, Reason.SYSTEM_FAILURE, text
    if end.signal:
        # Slurm's word for it, as recorded; the exit code tells which signal it was.
        return JobState.FAILED, end.exit_code, end.signal, Reason.JOB_LAUNCH_FAILURE, ""
    if end.exit_code:
        return JobState.FAILED, end.exit_code, 0, Reason.NON_ZERO_EXIT_CODE, ""
    return _GOOD


def on_request(job: Job, at: float) -> Outcome:
    """Return the outcome of an attempt that ends because ``job.ending`` says so."""
    signal = _SIGTERM if job.start_at else 0
    match job.ending:
        case JobState.TIMEOUT:
            return Outcome(
                state=JobState.TIMEOUT,
                at=at,
                code=job.exit_code,
                reason=Reason.TIME_LIMIT,
                message=job.message or "it ran into its time limit",
            )
        case JobState.DEADLINE:
            return msgspec.structs.replace(missed(at), signal=signal)
        case JobState.NODE_FAIL:
            return node_failed(at)
        case JobState.COMPLETED | JobState.FAILED:
            return command_ended(job.exit_code, job.exit_signal, at)
        case ending if ending in REQUEUES and job.reason == Reason.NODE_DOWN:
            # That it runs again does not change what ended this attempt.
            return node_failed(at)
        case ending if ending in REQUEUES:
            return Outcome(state=JobState.REQUEUED, at=at, signal=signal)
    return Outcome(state=JobState.CANCELLED, at=at, signal=signal, message=job.message)


def why(ending: JobState) -> str:
    """Return what the engine is told of why it ends a job: it tells the job's own output."""
    return _WHY.get(ending, "cancelled")


def command_ended(code: int, signal: int, at: float) -> Outcome:
    """Return the outcome of an interactive job whose caller's command ended with this status."""
    return Outcome(
        state=JobState.FAILED if code or signal else JobState.COMPLETED,
        at=at,
        code=code,
        signal=signal,
        reason=Reason.NON_ZERO_EXIT_CODE if code else Reason.NONE,
        raw_code=code,
        raw_signal=signal,
    )


def node_failed(at: float) -> Outcome:
    """Return the outcome of an attempt whose node an operator took down."""
    return Outcome(
        state=JobState.NODE_FAIL,
        at=at,
        reason=Reason.NODE_DOWN,
        message="its node was taken down",
    )


def missed(at: float) -> Outcome:
    """Return the outcome of a job that cannot end before its deadline any more."""
    return Outcome(
        state=JobState.DEADLINE,
        at=at,
        reason=Reason.DEADLINE,
        message="it could not end before its deadline",
    )


def hopeless(at: float) -> Outcome:
    """Return the outcome of a job that waited for what can never come."""
    return Outcome(
        state=JobState.CANCELLED,
        at=at,
        reason=Reason.DEPENDENCY_NEVER_SATISFIED,
        message="what it depends on can never come to be",
    )


def _memory(job: Job) -> int:
    return job.allocation.memory_mib if job.allocation is not None else 0


def launch_failure(end: Failed) -> Outcome:
    """Return the outcome of an attempt that could not be started.

    A program that cannot be executed ends like one that did: with the error's number.
    """
    what = f"{end.path}: " if end.path else ""
    if end.step == "exec":
        return Outcome(
            state=JobState.FAILED,
            at=end.at,
            code=end.errno,
            reason=Reason.NON_ZERO_EXIT_CODE,
            message=f"cannot execute {what}{end.message}",
            raw_code=end.errno,
        )
    where = _PLACES.get(end.step, end.step)
    return Outcome(
        state=JobState.FAILED,
        at=end.at,
        signal=_LAUNCH_FAILED,
        reason=Reason.JOB_LAUNCH_FAILURE,
        message=f"cannot start the job: {where}: {what}{end.message}",
    )


def lost(at: float) -> Outcome:
    """Return the outcome of an attempt that may have run, but of which nobody knows the end."""
    return Outcome(
        state=JobState.FAILED,
        at=at,
        code=WORKER_DIED,
        reason=Reason.SYSTEM_FAILURE,
        message="worker exited abnormally: the job died with it, or its end was not recorded",
    )


def usage_of(usage: UnitUsage | None) -> Usage | None:
    """Return the engine's figures as the record keeps them."""
    if usage is None:
        return None
    return Usage(
        user_s=usage.utime_s,
        system_s=usage.stime_s,
        max_rss_kib=max(usage.maxrss_kib, usage.peak_rss_kib),
        minor_faults=usage.minflt,
        major_faults=usage.majflt,
        blocks_in=usage.inblock,
        blocks_out=usage.oublock,
        max_size_kib=usage.peak_size_kib,
    )
