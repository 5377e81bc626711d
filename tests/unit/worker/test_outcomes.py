"""How an attempt ended, in Slurm's words: as recorded of a real one."""

from __future__ import annotations

import errno

import msgspec
import pytest

from stoker.core.enums import JobState, Reason
from stoker.engines.base import Ended, Failed, UnitUsage
from stoker.worker import outcomes
from support.machines import waiting_job


def ended(code=0, signal=0, **more):
    return Ended("1.0.batch", code, signal, **({"status_known": True, "at": 9.0} | more))


def summary(outcome):
    return outcome.state.value, f"{outcome.code}:{outcome.signal}", outcome.reason


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (ended(), ("COMPLETED", "0:0", "None")),
        (ended(3), ("FAILED", "3:0", "NonZeroExitCode")),
        (ended(255), ("FAILED", "255:0", "NonZeroExitCode")),
        (ended(0, 9), ("FAILED", "0:9", "JobLaunchFailure")),
        (ended(5, 0, why="timeout"), ("TIMEOUT", "5:0", "TimeLimit")),
        (ended(0, 15, why="timeout"), ("TIMEOUT", "0:15", "TimeLimit")),
        (ended(0, 9, why="timeout"), ("TIMEOUT", "0:9", "TimeLimit")),
        (ended(status_known=False, why="timeout"), ("TIMEOUT", "0:0", "TimeLimit")),
        (ended(0, 0, oom=True), ("OUT_OF_MEMORY", "0:125", "OutOfMemory")),
        (ended(0, 9, oom=True, why="timeout"), ("OUT_OF_MEMORY", "0:125", "OutOfMemory")),
        (ended(0, 9, why="memory"), ("FAILED", "0:9", "JobLaunchFailure")),
        (ended(status_known=False, why="memory"), ("FAILED", "0:9", "JobLaunchFailure")),
        (ended(3, why="memory"), ("FAILED", "3:0", "NonZeroExitCode")),
        (ended(status_known=False), ("FAILED", "-999:0", "SystemFailure")),
    ],
)
def test_a_process_that_ended(end, expected):
    """R20: a kill for memory counts, whatever the script exits with."""
    assert summary(outcomes.outcome_of(waiting_job(start_at=1.0), end)) == expected


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (JobState.CANCELLED, ("CANCELLED", "7:0", "None")),
        (JobState.TIMEOUT, ("TIMEOUT", "7:0", "TimeLimit")),
        (JobState.DEADLINE, ("DEADLINE", "0:15", "DeadLine")),
        (JobState.REQUEUED, ("REQUEUED", "0:15", "None")),
        (JobState.REQUEUE_HOLD, ("REQUEUED", "0:15", "None")),
    ],
)
def test_a_process_that_was_ended_is_what_was_asked_for_however_it_took_it(ending, expected):
    job = waiting_job(start_at=1.0, ending=ending)
    assert summary(outcomes.outcome_of(job, ended(7))) == expected


@pytest.mark.parametrize(
    "end", [ended(0, 9, why="memory"), ended(status_known=False, why="memory")]
)
def test_who_held_too_much_was_killed_by_root_with_what_was_seen(end):
    usage = UnitUsage(maxrss_kib=7, peak_rss_kib=9, peak_size_kib=11)
    found = outcomes.outcome_of(
        waiting_job(start_at=1.0), msgspec.structs.replace(end, usage=usage)
    )
    assert (found.ended_by, found.raw_signal) == (0, 9)
    assert found.message.startswith("it held more memory than its limit")
    assert (found.usage.max_rss_kib, found.usage.max_size_kib) == (9, 11)


def test_what_never_ran_got_no_signal():
    job = waiting_job(ending=JobState.CANCELLED)
    assert summary(outcomes.on_request(job, 9.0)) == ("CANCELLED", "0:0", "None")


def test_what_the_kernel_said_is_kept_beside_what_became_of_the_job():
    usage = UnitUsage(1.0, 2.0, 300, 4, 5, 6, 7)
    outcome = outcomes.outcome_of(waiting_job(), ended(5, 0, why="timeout", usage=usage))
    assert (outcome.raw_code, outcome.raw_signal) == (5, 0)
    assert (outcome.usage.user_s, outcome.usage.system_s, outcome.usage.max_rss_kib) == (1, 2, 300)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOEXEC])
def test_what_cannot_be_executed_ends_with_the_number_of_the_error(number):
    end = Failed("1.0.batch", "exec", number, "no way", 9.0, "nosuch")
    outcome = outcomes.launch_failure(end)
    assert summary(outcome) == ("FAILED", f"{number}:0", "NonZeroExitCode")
    assert outcome.message == "cannot execute nosuch: no way"


@pytest.mark.parametrize("step", ["stdin", "stdout", "stderr", "attributes", "unheard of"])
def test_what_cannot_be_launched_fails_with_53(step):
    end = Failed("1.0.batch", step, 2, "No such file or directory", 9.0, "/no/dir/out")
    outcome = outcomes.launch_failure(end)
    assert summary(outcome) == ("FAILED", "0:53", "JobLaunchFailure")
    assert outcome.message.startswith("cannot start the job: ")
    assert outcome.message.endswith("/no/dir/out: No such file or directory")


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        (JobState.CANCELLED, "cancelled"),
        (JobState.DEADLINE, "cancelled"),
        (JobState.TIMEOUT, "timeout"),
        (JobState.REQUEUED, "requeued"),
        (JobState.FAILED, "ended"),
    ],
)
def test_the_engine_is_told_why(ending, why):
    assert outcomes.why(ending) == why


def test_a_command_that_ends_is_the_end_of_its_allocation():
    assert summary(outcomes.command_ended(0, 0, 9.0)) == ("COMPLETED", "0:0", "None")
    assert summary(outcomes.command_ended(6, 0, 9.0)) == (
        "FAILED",
        "6:0",
        Reason.NON_ZERO_EXIT_CODE,
    )
    assert summary(outcomes.command_ended(0, 9, 9.0))[:2] == ("FAILED", "0:9")
