"""What the engine reports becomes what the record says, once, whatever comes twice or too late."""

from __future__ import annotations

import pytest

from stoker.core.enums import AllocationState, JobState, Reason
from stoker.core.errors import StoreError, StoreFull
from stoker.engines.base import Ended, Evidence, Failed, Lost, Started, UnitUsage, Withdrawn
from support.recording_engine import BOOT, key_of


def ended(key, at, code=0, **more):
    return Ended(key, code, 0, status_known=True, at=at, **more)


def test_a_start_is_recorded_with_the_identity_of_its_process(rooms):
    job = rooms.running()
    allocation = job.allocation
    assert (job.state, allocation.state) == (JobState.RUNNING, AllocationState.ALLOCATED)
    assert (allocation.pid, allocation.start_ticks, allocation.boot_id) == (1001, 1, BOOT)


def test_an_end_is_recorded_with_usage_and_release_and_then_acknowledged(rooms):
    job = rooms.running()
    rooms.now_s += 5
    rooms.finish(job, code=3, usage=UnitUsage(1.5, 0.5, 4096))
    done = rooms.recorded(job)
    assert (done.state, done.exit_code, done.end_at) == (JobState.FAILED, 3, rooms.now_s)
    (attempt,) = rooms.worker.repository.attempts([1])
    assert (attempt.exit_code, attempt.usage.user_s, attempt.released_at) == (3, 1.5, rooms.now_s)
    assert rooms.engine.asked("acknowledge") == [(("1.0.batch",),)]
    assert rooms.worker.tracker.used_cpus == 0


def test_starts_are_not_acknowledged_there_is_more_to_come(rooms):
    rooms.running()
    assert rooms.engine.asked("acknowledge") == []


def test_start_and_end_may_come_in_one_message(rooms):
    job = rooms.submit()
    rooms.schedule()
    key = key_of(rooms.active(job))
    rooms.report(Started(key, 7, 8, rooms.now_s), ended(key, rooms.now_s + 1))
    done = rooms.recorded(job)
    assert (done.state, done.start_at, done.end_at) == ("COMPLETED", rooms.now_s, rooms.now_s + 1)
    (attempt,) = rooms.worker.repository.attempts([1])
    assert (attempt.pid, attempt.start_ticks, attempt.boot_id) == (7, 8, BOOT)
    assert (attempt.allocated_at, attempt.released_at) == (rooms.now_s, rooms.now_s + 1)
    assert rooms.engine.asked("acknowledge") == [(("1.0.batch",),)]


def test_who_waits_for_a_start_that_comes_with_a_requeue_has_heard_of_it(rooms):
    job = rooms.submit()
    rooms.schedule()
    follower = rooms.submit(dependency=f"after:{job.job_id}")
    key = key_of(rooms.active(job))
    rooms.ask("requeue", job.job_id)
    rooms.report(Started(key, 7, 7, rooms.now_s), ended(key, rooms.now_s))
    assert rooms.recorded(job).restarts == 1
    assert rooms.active(follower).dependency is None


def test_an_attempt_that_is_lost_with_its_start_in_one_message_has_run(rooms):
    job = rooms.submit(requeue=False)
    rooms.schedule()
    key = key_of(rooms.active(job))
    rooms.report(Started(key, 7, 7, rooms.now_s), Lost(key))
    done = rooms.recorded(job)
    assert (done.state, done.start_at) == (JobState.FAILED, rooms.now_s)


def test_an_end_that_comes_twice_changes_nothing_and_is_acknowledged_again(rooms):
    """R19."""
    job = rooms.running()
    event = ended(key_of(job), rooms.now_s)
    rooms.report(event)
    rooms.report(event)
    assert rooms.state(job) == "COMPLETED"
    assert rooms.engine.asked("acknowledge") == [(("1.0.batch",),)] * 2


def test_a_report_of_an_earlier_attempt_does_not_end_the_present_one(rooms):
    job = rooms.running()
    old = key_of(job)
    rooms.ask("requeue", job.job_id)
    rooms.finish(job, signal=15)
    rooms.start(job)
    rooms.report(ended(old, rooms.now_s), Withdrawn(old), Lost(old))
    assert (rooms.state(job), rooms.recorded(job).restarts) == ("RUNNING", 1)


def test_a_start_that_comes_twice_starts_once(rooms):
    job = rooms.running()
    rooms.now_s += 9
    rooms.report(Started(key_of(job), 9999, 9, rooms.now_s))
    assert rooms.recorded(job).start_at == rooms.now_s - 9


def test_the_next_job_is_placed_in_the_turn_that_records_the_end(rooms):
    first, second = rooms.running(cpus_per_task=8), rooms.submit(cpus_per_task=8)
    rooms.finish(first)
    assert rooms.recorded(second).allocation is not None


def test_a_missing_output_directory_fails_the_job_as_in_slurm(rooms):
    """R21."""
    job = rooms.submit()
    rooms.wait_s(2)
    rooms.fail(job, "stdout", path="/no/dir/out")
    failed = rooms.recorded(job)
    assert (failed.state, failed.reason) == (JobState.FAILED, Reason.JOB_LAUNCH_FAILURE)
    assert (failed.exit_code, failed.exit_signal) == (0, 53)
    assert failed.message == (
        "cannot start the job: its output cannot be opened: /no/dir/out: No such file or directory"
    )


def test_a_new_job_waits_for_a_directory_that_its_submitter_may_be_making(rooms):
    job = rooms.submit()
    rooms.schedule()
    looks = 0
    for _ in range(19):
        if rooms.recorded(job).allocation is not None:
            looks += 1
            rooms.fail(job, "stdout", path="/soon/out")
        rooms.wait_s(0.1)
    assert 4 <= looks <= 6, "it looks early, and does not spin"
    rooms.wait_s(0.2)
    rooms.start(job)
    assert (rooms.state(job), rooms.recorded(job).restarts) == ("RUNNING", 0)


def test_so_do_the_tasks_of_an_array(rooms):
    rooms.submit(array="0-1")
    rooms.schedule()
    first = [unit.key for unit in rooms.engine.launched()]
    rooms.report(*(Failed(key, "stdout", 2, "No such file", rooms.now_s) for key in first))
    assert len(rooms.engine.launched()) == 2
    rooms.wait_s(0.11)
    assert len(rooms.engine.launched()) == 4


def test_what_else_is_wrong_with_an_output_fails_the_job_at_once(rooms):
    job = rooms.submit()
    rooms.schedule()
    rooms.fail(job, "stdout", errno=13, path="/root/out")
    assert rooms.state(job) == "FAILED"


def test_a_program_that_cannot_be_executed_ends_with_the_errors_number(rooms):
    job = rooms.submit(argv=("nosuch",))
    rooms.schedule()
    rooms.fail(job, "exec", path="nosuch")
    failed = rooms.recorded(job)
    assert (failed.state, failed.exit_code) == (JobState.FAILED, 2)
    (attempt,) = rooms.worker.repository.attempts([1])
    assert attempt.exit_code == 2


@pytest.mark.parametrize("step", ["journal", "fork", "spool"])
def test_what_is_the_machines_trouble_lets_the_job_wait_for_a_while(rooms, step):
    """R22."""
    job = rooms.submit()
    rooms.schedule()
    rooms.fail(job, step, errno=11)
    assert rooms.recorded(job).allocation is None
    rooms.wait_s(1)
    assert len(rooms.engine.launched()) == 1
    rooms.wait_s(1.1)
    assert [unit.key for unit in rooms.engine.launched()] == ["1.0.batch"] * 2


def test_a_job_that_was_taken_back_waits_as_the_same_attempt(rooms):
    job = rooms.submit()
    rooms.schedule()
    rooms.ask("hold", job.job_id)
    rooms.withdrawn(job)
    assert (rooms.state(job), rooms.recorded(job).restarts) == ("PENDING", 0)


def test_a_lost_job_is_requeued_if_it_may_be(rooms):
    one, two = rooms.running(), rooms.running(requeue=False)
    rooms.report(Lost(key_of(one)), Lost(key_of(two)))
    assert (rooms.state(one), rooms.recorded(one).restarts) == ("PENDING", 1)
    failed = rooms.recorded(two)
    assert (failed.state, failed.exit_code) == (JobState.FAILED, -999)


def test_a_lost_job_that_was_to_end_is_what_was_asked_for(rooms):
    cancelled, late = rooms.running(), rooms.running(deadline_at=rooms.now_s + 5)
    rooms.ask("cancel", cancelled.job_id)
    rooms.wait_s(6)
    rooms.report(Lost(key_of(rooms.active(cancelled))), Lost(key_of(rooms.active(late))))
    assert (rooms.state(cancelled), rooms.state(late)) == ("CANCELLED", "DEADLINE")


# Trouble with the record.


@pytest.fixture
def disk(rooms, monkeypatch):
    """A disk that is full while the list holds anything."""
    trouble = []
    record = type(rooms.queue)._record

    def maybe(queue, turn):
        if trouble and not turn.is_empty:
            raise StoreFull("cannot record anything: the disk is full")
        record(queue, turn)

    monkeypatch.setattr(type(rooms.queue), "_record", maybe)
    return trouble


def test_an_end_that_cannot_be_recorded_is_kept_until_it_can(rooms, disk):
    job = rooms.running()
    disk.append("full")
    rooms.finish(job, code=3)
    assert rooms.state(job) == "RUNNING"
    assert rooms.engine.asked("acknowledge") == []
    rooms.schedule()
    assert rooms.worker._turns.check_interval <= 1.0, "it is tried again soon"
    disk.clear()
    rooms.schedule()
    assert (rooms.state(job), rooms.recorded(job).exit_code) == ("FAILED", 3)
    assert rooms.engine.asked("acknowledge") == [(("1.0.batch",),)]


def test_what_was_kept_is_taken_before_what_comes_later(rooms, disk):
    job = rooms.submit()
    rooms.schedule()
    key = key_of(rooms.active(job))
    disk.append("full")
    rooms.report(Started(key, 7, 7, rooms.now_s))
    disk.clear()
    rooms.report(ended(key, rooms.now_s + 1))
    done = rooms.recorded(job)
    assert (done.state, done.start_at) == (JobState.COMPLETED, rooms.now_s)


def test_recovery_does_not_go_on_without_what_the_engine_reported(rooms, monkeypatch):
    job = rooms.running()
    event = ended(key_of(job), rooms.now_s, code=3)

    def full(_queue, turn):
        if not turn.is_empty:
            raise StoreFull("cannot record anything: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(rooms.queue), "_record", full)
        with pytest.raises(StoreError):
            rooms.restart(Evidence(BOOT, frozenset(), {}, (event,)))
    rooms.restart(Evidence(BOOT, frozenset(), {}, (event,)))
    assert (rooms.state(job), rooms.recorded(job).exit_code) == ("FAILED", 3)


def test_one_report_that_cannot_be_taken_keeps_no_other_from_being_recorded(rooms, monkeypatch):
    one, two, three = rooms.running(), rooms.running(), rooms.running()
    finish = type(rooms.worker.ledger).finish

    def poisoned(ledger, turn, job, outcome):
        if job.job_id == two.job_id:
            raise ZeroDivisionError
        finish(ledger, turn, job, outcome)

    monkeypatch.setattr(type(rooms.worker.ledger), "finish", poisoned)
    rooms.report(*(ended(key_of(job), rooms.now_s) for job in (one, two, three)))
    states = [rooms.state(job) for job in (one, two, three)]
    assert states == ["COMPLETED", "RUNNING", "COMPLETED"]
    assert rooms.engine.asked("acknowledge") == [(("1.0.batch",),), (("3.0.batch",),)]


def test_nothing_is_started_before_recovery_has_come_to_its_end(rooms):
    rooms.submit()
    rooms.worker.reports.is_live = False
    rooms.report(Withdrawn("77.0.batch"))
    assert rooms.engine.launched() == []
