"""How accounting says that steps stand and end."""

from __future__ import annotations

import pytest

from stoker.commands.endings import End, end_of_step
from stoker.core.enums import JobState
from stoker.core.models import Step


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
