"""Holds, times and dependencies: who may be considered, and why not."""

from __future__ import annotations

import pytest

from stoker.core.enums import Hold, JobState, Reason
from stoker.core.units import Condition, Dependency
from stoker.worker.eligibility import Verdict, judge, judge_condition, obstacle
from support.machines import waiting_job

NOW = 10_000.0


def ended(state=JobState.COMPLETED, **changes):
    return waiting_job(state=state, start_at=9000.0, end_at=9500.0, **changes)


def verdict(kind, *records, delay_min=0):
    return judge_condition(Condition(kind, 1, None, delay_min), records, NOW)


@pytest.mark.parametrize("kind", ["after", "afterok", "afterany", "afternotok", "aftercorr"])
def test_a_job_that_was_never_seen_counts_as_met(kind):
    assert verdict(kind) is Verdict.MET


@pytest.mark.parametrize("kind", ["afterok", "afterany", "afternotok", "aftercorr"])
@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RUNNING, JobState.COMPLETING])
def test_what_has_not_ended_is_waited_for(kind, state):
    assert verdict(kind, waiting_job(state=state)) is Verdict.WAITING


@pytest.mark.parametrize(
    ("kind", "state", "expected"),
    [
        ("afterok", JobState.COMPLETED, Verdict.MET),
        ("afterok", JobState.FAILED, Verdict.NEVER),
        ("afterok", JobState.CANCELLED, Verdict.NEVER),
        ("afternotok", JobState.COMPLETED, Verdict.NEVER),
        ("afternotok", JobState.TIMEOUT, Verdict.MET),
        ("afternotok", JobState.CANCELLED, Verdict.MET),
        ("afterany", JobState.NODE_FAIL, Verdict.MET),
        ("aftercorr", JobState.COMPLETED, Verdict.MET),
        ("aftercorr", JobState.OUT_OF_MEMORY, Verdict.NEVER),
    ],
)
def test_how_it_ended_decides(kind, state, expected):
    assert verdict(kind, ended(state)) is expected


def test_of_an_array_every_task_must_have_ended_well():
    assert verdict("afterok", ended(), waiting_job(2)) is Verdict.WAITING
    assert verdict("afterok", ended(), ended(JobState.FAILED)) is Verdict.NEVER
    assert verdict("afternotok", ended(), ended(JobState.FAILED)) is Verdict.MET


def test_after_waits_for_the_start_and_the_delay():
    assert verdict("after", waiting_job()) is Verdict.WAITING
    just_started = waiting_job(state=JobState.RUNNING, start_at=NOW - 60)
    assert verdict("after", just_started) is Verdict.MET
    assert verdict("after", just_started, delay_min=1) is Verdict.MET
    assert verdict("after", just_started, delay_min=2) is Verdict.WAITING


def test_after_is_met_by_a_job_that_was_cancelled_before_it_started():
    cancelled = waiting_job(state=JobState.CANCELLED, end_at=NOW - 1)
    assert verdict("after", cancelled) is Verdict.MET


def test_a_singleton_waits_for_whoever_it_is_told_of():
    assert verdict("singleton") is Verdict.MET
    assert verdict("singleton", waiting_job()) is Verdict.WAITING


def dependency(*, any_of=False):
    conditions = tuple(Condition("afterok", each) for each in (1, 2, 3))
    return Dependency(any_of, conditions)


def judged(states, *, any_of=False):
    records = {number: [ended(state)] for number, state in enumerate(states, 1)}
    return judge(dependency(any_of=any_of), lambda each: records[each.job_id], NOW)


GOOD, BAD, OPEN = JobState.COMPLETED, JobState.FAILED, JobState.RUNNING


def test_all_conditions_must_hold_and_those_that_do_are_dropped():
    assert judged([GOOD, GOOD, GOOD]) == (Verdict.MET, None)
    found, left = judged([GOOD, OPEN, GOOD])
    assert found is Verdict.WAITING
    assert left == Dependency(any_of=False, conditions=(Condition("afterok", 2),))


def test_one_condition_that_can_never_hold_is_enough_for_never():
    found, left = judged([OPEN, BAD, GOOD])
    assert found is Verdict.NEVER
    assert left is not None
    assert [each.job_id for each in left.conditions] == [1, 2]


def test_of_alternatives_one_is_enough():
    assert judged([BAD, OPEN, GOOD], any_of=True) == (Verdict.MET, None)
    assert judged([BAD, OPEN, BAD], any_of=True)[0] is Verdict.WAITING
    assert judged([BAD, BAD, BAD], any_of=True)[0] is Verdict.NEVER


def test_no_condition_at_all_is_met():
    nothing = Dependency(any_of=True, conditions=())
    assert judge(nothing, lambda _: [], NOW) == (Verdict.MET, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"hold": Hold.USER}, Reason.JOB_HELD_USER),
        ({"hold": Hold.ADMIN}, Reason.JOB_HELD_ADMIN),
        ({"begin_at": NOW + 1}, Reason.BEGIN_TIME),
        ({"begin_at": NOW}, None),
        ({"hold": Hold.USER, "begin_at": NOW + 1}, Reason.JOB_HELD_USER),
    ],
)
def test_holds_come_before_times(changes, expected):
    assert obstacle(waiting_job(**changes), NOW) is expected
