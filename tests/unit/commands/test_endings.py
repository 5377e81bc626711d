"""How accounting says that steps stand and end."""

from __future__ import annotations

import pytest

from stoker.commands.endings import End, derived_end, end_of_step
from stoker.core.enums import JobState
from stoker.core.models import Step, TaskEnd


@pytest.mark.parametrize(
    ("job", "state"),
    [
        (JobState.RUNNING, JobState.RUNNING),
        (JobState.COMPLETING, JobState.RUNNING),
        (JobState.SUSPENDED, JobState.SUSPENDED),
    ],
)
def test_an_open_step_stands_as_its_job_does(job: JobState, state: JobState) -> None:
    assert end_of_step(Step(1, 0, "0", "sleep", JobState.RUNNING, 5.0), job) == End(state)


@pytest.mark.parametrize("job", [JobState.SUSPENDED, JobState.RUNNING, JobState.TIMEOUT])
def test_an_ended_step_stands_for_itself(job: JobState) -> None:
    step = Step(1, 0, "0", "sleep", JobState.CANCELLED, 5.0, 6.0, exit_signal=9, ended_by=2001)
    assert end_of_step(step, job) == End(JobState.CANCELLED, 0, 9, ended_by=2001)


def step_that_ended(code: int, signal: int, why: str) -> Step:
    ends = (TaskEnd(0, 0), TaskEnd(1, code, signal, why=why))
    return Step(
        1, 0, "0", "sh", JobState.FAILED, 5.0, 6.0, exit_code=code, exit_signal=signal, ends=ends
    )


@pytest.mark.parametrize("why", ["cancelled", "ended", "leader", "requeued", "timeout"])
def test_a_step_that_was_ended_with_its_job_is_no_part_of_what_accounting_derives(why: str) -> None:
    assert derived_end([step_that_ended(0, 9, why)]) == (0, 0)
    assert derived_end([step_that_ended(2, 0, ""), step_that_ended(5, 0, why)]) == (2, 0)


@pytest.mark.parametrize("why", ["", "limit", "memory"])
def test_of_steps_that_ended_for_themselves_the_worst_counts(why: str) -> None:
    assert derived_end([step_that_ended(0, 9, why), step_that_ended(0, 0, "")]) == (0, 9)
