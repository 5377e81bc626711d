"""What callers wait for, told when it has come, and cheap however many jobs they wait for."""

from __future__ import annotations

import os
import time

import pytest

from stoker.core.enums import JobState
from stoker.core.errors import StoreError
from stoker.engines.base import Ended
from stoker.worker.call import (
    Answer,
    Call,
    UntilEnded,
    UntilStarted,
    UntilStepEnded,
    UntilStepFree,
)
from stoker.worker.history import HistoryQuery
from support.recording_engine import ALICE, key_of, ref, submission


@pytest.fixture
def service(rooms):
    return rooms.worker._server._service


def outcome(rooms, service, request):
    with rooms.queue.turn():
        return service.outcome(request)


def call(program, key=""):
    return Call(program, (), {}, "/", ALICE, 0.0, key=key)


# Ends.


def test_an_end_is_told_with_the_job_as_it_ended(rooms, service):
    job = rooms.running()
    assert outcome(rooms, service, UntilEnded((job.job_id,))) is None
    rooms.finish(job, code=3)
    (told,) = outcome(rooms, service, UntilEnded((job.job_id,)))
    assert (told.state, told.exit_code) == (JobState.FAILED, 3)


def test_what_ended_in_the_very_turn_that_asks_is_told_as_it_ended(rooms, service):
    job = rooms.submit(hold=True)
    with rooms.queue.turn():
        rooms.control.cancel(ref(job.job_id), ALICE)
        (told,) = service.outcome(UntilEnded((job.job_id,)))
    assert told.state is JobState.CANCELLED


def test_a_requeue_is_no_end(rooms, service):
    job = rooms.running()
    rooms.ask("requeue", job.job_id)
    rooms.finish(job, signal=15)
    assert outcome(rooms, service, UntilEnded((job.job_id,))) is None


def test_an_array_has_ended_when_all_its_tasks_have(rooms, service):
    rooms.submit(array="1-2")
    rooms.schedule()
    for task in (1, 2):
        assert outcome(rooms, service, UntilEnded((1,))) is None
        rooms.start(task)
        rooms.finish(task)
    assert [job.display_id for job in outcome(rooms, service, UntilEnded((1,)))] == ["1_2", "1_1"]


def test_who_waits_for_many_watches_the_last_that_has_not_ended(rooms, service):
    for _ in range(3):
        rooms.submit(hold=True)
    request = UntilEnded((1, 2, 3))
    assert service.awaited(request) == (3,)
    rooms.ask("cancel", 3)
    assert service.awaited(request) == (2,)
    for job_id in (1, 2):
        rooms.ask("cancel", job_id)
    assert service.awaited(request) == ()
    assert service.awaited(UntilStarted(7)) == (7,)


def test_two_thousand_awaited_jobs_cost_no_more_than_two_thousand_looks(rooms, service):
    with rooms.queue.turn():
        jobs = [rooms.control.submit(submission(hold=True)) for _ in range(2000)]
    request = UntilEnded(tuple(job.job_id for job in jobs))
    looks, began_s = 0, time.process_time()
    for job in jobs:
        was_awaited = job.job_id in service.awaited(request)
        rooms.queue.table.remove(job)
        if was_awaited:
            looks += 1
            service._last_active(request.job_ids)
    assert looks == 1
    assert time.process_time() - began_s < 1.0, "waiting for many is not cheap"


# Starts and steps.


def test_a_start_is_told_and_so_is_an_end_without_one(rooms, service):
    running, held = rooms.submit(), rooms.submit(hold=True)
    rooms.schedule()
    assert outcome(rooms, service, UntilStarted(running.job_id)) is None
    rooms.start(running)
    assert outcome(rooms, service, UntilStarted(running.job_id)).state is JobState.RUNNING
    rooms.ask("cancel", held.job_id)
    assert outcome(rooms, service, UntilStarted(held.job_id)).state is JobState.CANCELLED


def end_step(rooms, step):
    key = f"{step.job_id}.0.{step.step_id}.0"
    rooms.report(Ended(key, 4, 0, status_known=True, at=rooms.now_s))


def test_a_steps_end_is_told_also_when_its_job_has_gone(rooms, service):
    job = rooms.running()
    request = UntilStepEnded(job.job_id, rooms.step(job).step_id)
    assert outcome(rooms, service, request) is None
    end_step(rooms, rooms.worker.steps.step(job.job_id, "0"))
    assert outcome(rooms, service, request).exit_code == 4
    rooms.finish(job)
    assert outcome(rooms, service, request).exit_code == 4


def test_a_step_that_ends_with_its_job_in_the_very_turn_that_asks_is_not_told_as_running(
    rooms, service
):
    job = rooms.running(interactive=True)
    rooms.step(job)
    with rooms.queue.turn() as turn:
        rooms.worker.steps.end_all(turn, job, turn.now)
        told = service.outcome(UntilStepEnded(job.job_id, "0"))
        assert told.state is JobState.CANCELLED


def test_a_step_that_was_told_to_end_is_told_to_who_heeds_that(rooms, service):
    job = rooms.running()
    rooms.step(job)
    heeding = UntilStepEnded(job.job_id, "0", heeds_ending=True)
    assert outcome(rooms, service, heeding) is None
    with rooms.queue.turn():
        rooms.control.steps.signal(job, "0", ALICE, 15)
    assert outcome(rooms, service, heeding).is_ending
    assert outcome(rooms, service, UntilStepEnded(job.job_id, "0")) is None


def test_free_cpus_are_told_when_a_step_or_the_job_has_ended(rooms, service):
    job = rooms.running()
    step = rooms.step(job)
    assert outcome(rooms, service, UntilStepFree(job.job_id, 0)) is None
    end_step(rooms, step)
    assert outcome(rooms, service, UntilStepFree(job.job_id, 0)) is not None
    assert outcome(rooms, service, UntilStepFree(job.job_id, 1)) is None
    rooms.finish(job)
    assert outcome(rooms, service, UntilStepFree(job.job_id, 1)).state is JobState.COMPLETED


# Callers who leave.


@pytest.mark.parametrize("program", ["srun", "salloc"])
def test_the_allocation_of_a_caller_who_left_ends(rooms, service, program):
    job = rooms.submit(interactive=True, key="k")
    with rooms.queue.turn():
        service.hung_up(call(program, key="k"))
    assert rooms.state(job) == "CANCELLED"


def test_a_batch_job_stays_when_sbatch_wait_is_killed(rooms, service):
    job = rooms.submit(key="k")
    with rooms.queue.turn():
        service.hung_up(call("sbatch", key="k"))
        service.hung_up(call("srun"))
    assert rooms.state(job) == "PENDING"


# Turns and commands.


def test_a_user_is_served_by_their_own_daemon_and_so_is_root(service):
    assert service.serves(os.geteuid())
    assert service.serves(0)
    assert not service.serves(os.geteuid() + 12345)


def test_an_unknown_command_says_what_there_is(service):
    answer = service.begin(call("sacctmgr"))
    assert (answer.code, answer.err[:9]) == (1, "sacctmgr:")


def test_a_turn_that_was_not_recorded_is_told_in_a_sentence(service):
    answer = service.failed(call("sbatch"), StoreError("cannot record anything: the disk is full"))
    assert answer == Answer(err="sbatch: error: cannot record anything: the disk is full\n", code=1)


def test_the_scheduler_is_woken_only_if_something_changed(rooms, service, monkeypatch):
    woken = []
    monkeypatch.setattr(service, "_on_turn", lambda: woken.append(1))
    with service.turn():
        pass
    assert woken == []
    with service.turn():
        rooms.control.submit(submission(hold=True))
    assert woken == [1]


def test_accounting_shows_an_end_the_moment_the_queue_does_not(rooms):
    job = rooms.running()
    rooms.report(Ended(key_of(job), 0, 0, status_known=True, at=rooms.now_s))
    with rooms.queue.turn():
        assert list(rooms.control.active_jobs()) == []
        (record,) = rooms.control.history(HistoryQuery(refs=(ref(job.job_id),)))
        assert record.job.state is JobState.COMPLETED
        assert [job.job_id for job in rooms.control.recent_jobs()] == [job.job_id]
