"""Deadlines and limits that no shepherd keeps: looked at in time, also after a restart."""

from __future__ import annotations

import pytest

from stoker.core.enums import JobState, Reason
from stoker.core.models import FOREVER, Allocation, NodeShare
from stoker.worker.times import due_at, ends_at, latest_start_at, overdue
from support.machines import waiting_job
from support.recording_engine import ROOT


def held(**more):
    allocation = Allocation(1, 0, (NodeShare("node1", (0,), 100),), "token", 50.0)
    given = {"state": JobState.RUNNING, "start_at": 100.0, "allocation": allocation}
    return waiting_job(**(given | more))


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (held(), FOREVER),
        (held(time_limit_s=60.0), 160.0),
        (held(time_limit_s=60.0, suspended_s=5.0), 165.0),
        (held(time_limit_s=60.0, start_at=0.0, state=JobState.PENDING), 110.0),
    ],
)
def test_a_job_ends_a_time_limit_after_its_start(job, expected):
    assert ends_at(job) == expected


@pytest.mark.parametrize(
    ("spec", "limit_s", "expected"),
    [
        ({}, 60.0, FOREVER),
        ({"deadline_at": 1000.0}, None, 1000.0),
        ({"deadline_at": 1000.0}, 60.0, 940.0),
        ({"deadline_at": 1000.0, "time_min_s": 20.0}, 60.0, 980.0),
    ],
)
def test_a_job_must_start_early_enough_to_end_before_its_deadline(spec, limit_s, expected):
    job = waiting_job(spec=spec, time_limit_s=limit_s)
    assert latest_start_at(job) == due_at(job) == expected


def test_only_what_has_no_shepherd_is_watched_for_its_limit():
    assert due_at(held(time_limit_s=60.0)) == FOREVER
    assert due_at(held(spec={"interactive": True}, time_limit_s=60.0)) == 160.0
    suspended = held(
        spec={"interactive": True}, time_limit_s=60.0, state=JobState.SUSPENDED, suspended_at=120.0
    )
    assert due_at(suspended) == FOREVER


def test_what_is_ending_already_is_not_overdue():
    job = held(spec={"deadline_at": 120.0}, ending=JobState.CANCELLED)
    assert overdue(job, 500.0) is None
    job.ending = None
    assert overdue(job, 119.0) is None
    assert overdue(job, 120.0) is JobState.DEADLINE


# In the rooms.


def test_a_waiting_job_goes_when_it_could_not_end_in_time_any_more_even_if_it_is_held(rooms):
    job = rooms.submit(hold=True, deadline_at=rooms.now_s + 61, time_limit_s=60.0)
    rooms.wait_s(0.5)
    assert rooms.state(job) == "PENDING"
    rooms.wait_s(1)
    ended = rooms.recorded(job)
    assert (ended.state, ended.reason) == (JobState.DEADLINE, Reason.DEADLINE)
    assert (ended.exit_code, ended.exit_signal) == (0, 0)


def test_a_deadline_that_cannot_be_kept_ends_the_job_at_once(rooms):
    job = rooms.submit(deadline_at=rooms.now_s + 60, time_limit_s=600.0)
    assert rooms.state(job) == "DEADLINE"


def test_a_deadline_that_passed_while_we_were_away_is_on_record_after_the_restart(rooms):
    job = rooms.submit(hold=True, deadline_at=rooms.now_s + 60)
    rooms.now_s += 100
    rooms.restart()
    rooms.schedule()
    assert rooms.state(job) == "DEADLINE"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_running_job_is_ended_at_its_deadline(rooms, restarted):
    job = rooms.running(deadline_at=rooms.now_s + 60)
    if restarted:
        rooms.restart()
    rooms.wait_s(59)
    assert rooms.state(job) == "RUNNING"
    rooms.wait_s(2)
    assert rooms.state(job) == "COMPLETING"
    assert rooms.engine.asked("end") == [("1.0", "cancelled", 1.0)]
    rooms.finish(job, signal=15)
    assert rooms.state(job) == "DEADLINE"


def test_a_reserved_job_whose_deadline_passes_never_runs(rooms):
    job = rooms.submit(deadline_at=rooms.now_s + 60)
    rooms.schedule()
    rooms.wait_s(61)
    rooms.withdrawn(job)
    assert rooms.state(job) == "DEADLINE"


@pytest.mark.parametrize("restarted", [False, True])
def test_an_interactive_job_is_ended_when_its_time_is_up(rooms, restarted):
    job = rooms.running(interactive=True, time_limit_s=60.0)
    if restarted:
        rooms.restart()
    rooms.wait_s(59)
    assert rooms.state(job) == "RUNNING"
    rooms.wait_s(2)
    ended = rooms.recorded(job)
    assert (ended.state, ended.exit_code, ended.exit_signal) == (JobState.TIMEOUT, 0, 0)


def test_a_pause_does_not_count_towards_the_limit_of_an_interactive_job(rooms):
    job = rooms.running(interactive=True, time_limit_s=60.0)
    rooms.wait_s(30)
    rooms.ask("suspend", job.job_id, ROOT)
    rooms.wait_s(1000)
    assert rooms.state(job) == "SUSPENDED"
    rooms.ask("resume", job.job_id, ROOT)
    rooms.wait_s(29)
    assert rooms.state(job) == "RUNNING"
    rooms.wait_s(2)
    assert rooms.state(job) == "TIMEOUT"


def test_the_scheduler_knows_when_it_must_wake(rooms):
    rooms.submit(hold=True, deadline_at=rooms.now_s + 42)
    rooms.schedule()
    assert rooms.worker.scheduler.next_wakeup_s() == 42
