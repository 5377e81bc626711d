"""The public names as a user's program uses them: checked by two type checkers, never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import stoker
from stoker import (
    AttemptView,
    Client,
    DaemonUnavailable,
    Draft,
    Explanation,
    Finding,
    Infeasible,
    InvalidSpec,
    JobCancelled,
    JobDetail,
    JobFailed,
    JobFilter,
    JobState,
    JobTimedOut,
    JobView,
    NodeView,
    Reason,
    StepView,
    StokerError,
    UnknownJob,
    UserError,
)


def submitting(client: Client) -> None:
    assert_type(stoker.__version__, str)
    assert_type(client.submit("--time=10", "--", "convert", "a.png", "a.jpg"), int)
    assert_type(client.submit("--array=0-9%2", script="#!/bin/sh\n./task\n"), int)
    drafts = [Draft.of(["--wrap", f"echo {number}"]) for number in range(3)]
    assert_type(drafts, list[Draft])
    assert_type(client.submit_many(drafts), Iterator[int])


def looking(home: Path) -> None:
    with stoker.Client(home) as client:
        assert_type(client, Client)
        assert_type(client.jobs(), Iterator[JobView])
        assert_type(client.history(JobFilter(states=("FAILED",), since=0.0)), Iterator[JobView])
        assert_type(client.tally(1, "2_3").get("RUNNING", 0), int)
        assert_type(client.nodes(), tuple[NodeView, ...])
        assert_type(client.doctor(), tuple[Finding, ...])
        assert_type(client.script(42), bytes)
        assert_type(str(client.status()["stokerd"]["pid"]), str)


def one_job(client: Client) -> None:
    detail = client.job("42_7")
    assert_type(detail, JobDetail)
    assert_type(detail.job, JobView)
    assert_type(detail.attempts, tuple[AttemptView, ...])
    assert_type(detail.steps, tuple[StepView, ...])
    assert_type(detail.job.time_limit_s, float | None)
    explanation = client.why(42)
    assert_type(explanation, Explanation)
    assert_type(explanation.remedies, tuple[str, ...])


def waiting(client: Client, job_id: int) -> int:
    [job] = client.wait(job_id, timeout_s=60.0)
    assert_type(job, JobView)
    state = JobState(job.state)
    assert_type(state.has_ended, bool)
    if job.reason == Reason.TIME_LIMIT or state is JobState.TIMEOUT:
        client.requeue(job_id, hold=True)
        client.release(job_id)
    return job.status


def failing(client: Client) -> str:
    try:
        client.cancel(1, "2_3")
    except UnknownJob as error:
        assert_type(error.job_id, int | str)
    except (InvalidSpec, Infeasible) as error:
        return error.code
    except (DaemonUnavailable, UserError) as error:
        return str(error)
    except (JobCancelled, JobTimedOut) as error:
        return error.state
    except JobFailed as error:
        return error.exit_code + error.last_lines
    except StokerError:
        raise
    return ""
