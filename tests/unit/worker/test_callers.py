"""After a restart, an interactive job ends when the process that asked for it is gone."""

from __future__ import annotations

import subprocess
import threading

import pytest

from stoker.core.enums import JobState

LIMIT_S = 20.0


@pytest.fixture
def caller():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait(LIMIT_S)


def join_watch(job):
    """Wait until the thread that watches the job's caller has done its work."""
    for thread in threading.enumerate():
        if thread.name == f"caller of {job.job_id}":
            thread.join(LIMIT_S)
            assert not thread.is_alive(), "the caller's end was not seen"


def wait_for_end(rooms, job):
    """Wait until the job has ended because its caller has."""
    join_watch(job)
    assert rooms.recorded(job).state is JobState.CANCELLED
    assert rooms.recorded(job).message == "its caller went away"


def test_a_job_whose_caller_died_with_the_daemon_is_not_wanted_any_more(rooms, caller):
    job = rooms.running(interactive=True, caller_pid=caller.pid)
    caller.kill()
    caller.wait(LIMIT_S)
    rooms.restart()
    wait_for_end(rooms, job)
    assert rooms.worker.tracker.used_cpus == 0


def test_a_caller_that_is_still_there_keeps_its_job_until_it_goes(rooms, caller):
    job = rooms.running(interactive=True, caller_pid=caller.pid)
    rooms.restart()
    assert rooms.state(job) == "RUNNING"
    caller.kill()
    wait_for_end(rooms, job)


def test_a_waiting_job_whose_caller_is_gone_does_not_start(rooms, caller):
    job = rooms.submit(interactive=True, caller_pid=caller.pid, begin_at=rooms.now_s + 60)
    caller.kill()
    caller.wait(LIMIT_S)
    rooms.restart()
    wait_for_end(rooms, job)
    rooms.wait_s(61)
    assert rooms.recorded(job).start_at == 0


def test_an_allocation_that_was_left_without_a_caller_stays(rooms):
    job = rooms.running(interactive=True)
    rooms.restart()
    assert rooms.state(job) == "RUNNING"


def test_a_caller_that_comes_back_finds_its_job_and_its_step(rooms, caller):
    said = {"interactive": True, "key": "k", "caller_pid": caller.pid}
    job = rooms.running(**said)
    step = rooms.step(job, key="k")
    rooms.restart()
    again = rooms.submit(**said)
    assert again.job_id == job.job_id
    assert rooms.step(again, key="k").step_id == step.step_id
    caller.kill()
    join_watch(job)
    assert rooms.state(job) == "COMPLETING", "its step is still there"
