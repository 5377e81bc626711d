"""What users do to jobs: recorded first, then told to the engine, or refused in a sentence."""

from __future__ import annotations

from signal import SIGCONT, SIGSTOP

import pytest

from stoker.core.enums import AllocationState, Hold, JobState, Reason
from stoker.core.errors import NotAllowed, UnknownJob
from stoker.core.models import NOBODY
from stoker.engines.base import Ended
from support.recording_engine import ALICE, BOB, ROOT, ref


@pytest.fixture(autouse=True)
def somebody_else_runs_the_daemon(monkeypatch):
    """Alice owns the jobs and bob does not; neither runs stokerd."""
    monkeypatch.setattr("os.geteuid", lambda: 4711)


# Cancelling.


def test_a_waiting_job_is_cancelled_at_once_with_exit_code_0_0(rooms):
    job = rooms.submit(hold=True)
    rooms.ask("cancel", job.job_id)
    ended = rooms.recorded(job)
    assert (ended.state, ended.exit_code, ended.exit_signal) == (JobState.CANCELLED, 0, 0)
    assert ended.ended_by == ALICE.user_id
    assert rooms.engine.calls == []


def test_a_running_job_is_completing_until_its_processes_are_gone(rooms):
    job = rooms.running()
    rooms.ask("cancel", job.job_id)
    assert rooms.state(job) == "COMPLETING"
    assert rooms.engine.asked("end") == [(f"{job.job_id}.0", "cancelled", 1.0)]
    assert rooms.worker.tracker.used_cpus == 1, "its processes may still run"
    rooms.finish(job, signal=15, why="cancelled")
    ended = rooms.recorded(job)
    assert (ended.state, ended.exit_code, ended.exit_signal) == (JobState.CANCELLED, 0, 15)
    assert rooms.worker.tracker.used_cpus == 0


def test_a_script_that_exits_by_itself_on_the_way_out_is_cancelled_all_the_same(rooms):
    job = rooms.running()
    rooms.ask("cancel", job.job_id)
    rooms.finish(job, code=3, why="cancelled")
    assert rooms.state(job) == "CANCELLED"


def test_a_reserved_job_that_is_cancelled_never_runs(rooms):
    job = rooms.submit()
    rooms.schedule()
    rooms.ask("cancel", job.job_id)
    assert rooms.engine.asked("end") == [("1.0", "cancelled", 1.0)]
    rooms.withdrawn(job)
    ended = rooms.recorded(job)
    assert (ended.state, ended.exit_signal, ended.start_at) == (JobState.CANCELLED, 0, 0.0)
    assert rooms.worker.tracker.used_cpus == 0


def test_a_job_that_started_before_it_could_be_taken_back_is_ended(rooms):
    job = rooms.submit()
    rooms.schedule()
    rooms.ask("cancel", job.job_id)
    rooms.start(job)
    assert rooms.state(job) == "COMPLETING"
    assert rooms.engine.asked("end") == [("1.0", "cancelled", 1.0)] * 2


def test_cancelling_twice_ends_once(rooms):
    job = rooms.running()
    rooms.ask("cancel", job.job_id)
    rooms.ask("cancel", job.job_id)
    assert len(rooms.engine.asked("end")) == 1


def test_a_suspended_job_can_be_cancelled_and_its_pause_counts(rooms):
    job = rooms.running()
    rooms.ask("suspend", job.job_id, ROOT)
    rooms.now_s += 100
    rooms.ask("cancel", job.job_id)
    assert rooms.state(job) == "COMPLETING"
    rooms.finish(job, signal=15)
    ended = rooms.recorded(job)
    assert (ended.state, ended.suspended_s, ended.suspended_at) == (JobState.CANCELLED, 100, 0)


def test_a_suspended_job_that_dies_by_itself_counts_its_pause_too(rooms):
    job = rooms.running()
    rooms.ask("suspend", job.job_id, ROOT)
    rooms.now_s += 100
    rooms.finish(job, signal=9)
    ended = rooms.recorded(job)
    assert (ended.state, ended.suspended_s, ended.suspended_at) == (JobState.FAILED, 100, 0)


def test_what_has_ended_or_never_was_is_left_alone(rooms):
    job = rooms.running()
    rooms.finish(job)
    rooms.ask("cancel", job.job_id)
    rooms.ask("cancel", 4242)
    assert rooms.state(job) == "COMPLETED"


def test_somebody_elses_job_cannot_be_cancelled_and_of_several_none_is(rooms):
    rooms.submit(array="1-3", hold=True)
    with pytest.raises(NotAllowed, match=r"cannot change job 1_.* for bob: it belongs to alice"):
        rooms.ask("cancel", 1, BOB)
    assert rooms.state(1) == "PENDING"


def test_root_may_cancel_and_is_named_as_the_one_who_did(rooms):
    job = rooms.submit(hold=True)
    rooms.ask("cancel", job.job_id, ROOT)
    assert rooms.recorded(job).ended_by == ROOT.user_id


def test_a_whole_waiting_array_is_cancelled_as_one_record(rooms):
    rooms.submit(array="0-99999", hold=True)
    rooms.ask("cancel", 1)
    assert rooms.state(1) == "CANCELLED"
    assert rooms.worker.repository.next_job_id() == 2


def test_a_range_of_waiting_tasks_is_cancelled_as_one_record_of_its_own(rooms):
    rooms.submit(array="0-199999", hold=True)
    rooms.ask("cancel", "1_[10-100009]")
    part, rest = rooms.recorded(2), rooms.recorded(1)
    assert (part.display_id, part.state) == ("1_[10-100009]", JobState.CANCELLED)
    assert rest.display_id == "1_[0-9,100010-199999]"
    assert rooms.worker.repository.next_job_id() == 3


def test_a_single_waiting_task_is_cancelled_as_the_task_that_it_is(rooms):
    rooms.submit(array="1-4", hold=True)
    rooms.ask("cancel", "1_3")
    assert (rooms.recorded(2).display_id, rooms.state(2)) == ("1_3", "CANCELLED")
    assert rooms.active(1).display_id == "1_[1-2,4]"


def test_running_and_waiting_tasks_of_an_array_are_cancelled_together(rooms):
    rooms.submit(array="1-4%1")
    rooms.schedule()
    rooms.start(2)
    rooms.ask("cancel", 1)
    assert (rooms.state(1), rooms.state(2)) == ("CANCELLED", "COMPLETING")
    rooms.finish(2, signal=15)
    assert not rooms.queue.table.array(1)


# Running again.


def test_a_running_job_is_requeued_when_it_has_ended_as_its_next_attempt(rooms):
    job = rooms.running()
    rooms.ask("requeue", job.job_id)
    assert rooms.engine.asked("end") == [("1.0", "requeued", 1.0)]
    rooms.finish(job, signal=15, why="requeued")
    waiting = rooms.recorded(job)
    assert (waiting.restarts, waiting.start_at, waiting.ending) == (1, 0, None)
    (first, second) = rooms.worker.repository.attempts([1])
    assert (first.end_state, second.state) == (JobState.REQUEUED, AllocationState.RESERVED)
    assert rooms.engine.launched()[-1].key == "1.1.batch"
    assert rooms.engine.launched()[-1].environment["SLURM_RESTART_COUNT"] == "1"


def test_the_first_run_has_no_restart_count(rooms):
    rooms.running()
    assert rooms.engine.launched()[0].environment.get("SLURM_RESTART_COUNT") is None


def test_a_job_that_has_ended_runs_again_with_nothing_left_of_its_end(rooms):
    job = rooms.running()
    rooms.ask("cancel", job.job_id, ROOT)
    rooms.finish(job, signal=15)
    rooms.ask("requeue", job.job_id)
    again = rooms.recorded(job)
    assert (again.state, again.restarts, again.end_at) == (JobState.PENDING, 1, 0)
    assert (again.exit_signal, again.ended_by, again.message) == (0, NOBODY, "")
    rooms.schedule()
    rooms.start(job)
    rooms.finish(job)
    assert rooms.state(job) == "COMPLETED"


def test_a_held_requeue_waits_and_says_so_until_it_is_released(rooms):
    job = rooms.running()
    rooms.ask("requeue", job.job_id, hold=True)
    rooms.finish(job, signal=15)
    rooms.schedule()
    waiting = rooms.recorded(job)
    assert (waiting.hold, waiting.reason) == (Hold.USER, Reason.REQUEUED_HELD)
    rooms.restart()
    assert rooms.active(job).reason == Reason.REQUEUED_HELD
    rooms.ask("release", job.job_id)
    rooms.ask("hold", job.job_id)
    assert rooms.recorded(job).reason == Reason.JOB_HELD_USER


@pytest.mark.parametrize("hold", [False, True])
def test_what_waits_cannot_be_requeued(rooms, hold):
    job = rooms.submit(hold=True)
    with pytest.raises(NotAllowed, match="cannot requeue job 1: it has not started") as refusal:
        rooms.ask("requeue", job.job_id, hold=hold)
    assert refusal.value.code == "ESLURM_JOB_PENDING"


@pytest.mark.parametrize("said", [{"requeue": False}, {"interactive": True}])
def test_what_may_not_be_requeued_is_not(rooms, said):
    job = rooms.running(**said)
    with pytest.raises(NotAllowed, match="cannot requeue") as refusal:
        rooms.ask("requeue", job.job_id)
    assert refusal.value.code == "ESLURM_DISABLED"
    assert rooms.state(job) == "RUNNING"


def test_a_script_may_requeue_itself_before_its_start_was_heard_of(rooms):
    job = rooms.submit()
    rooms.schedule()
    rooms.ask("requeue", job.job_id)
    rooms.start(job)
    rooms.finish(job, signal=15, why="requeued")
    assert (rooms.state(job), rooms.recorded(job).restarts) == ("PENDING", 1)


def test_of_an_array_what_has_started_is_requeued_and_what_waits_is_left(rooms):
    rooms.submit(array="1-4%1")
    rooms.schedule()
    rooms.start(2)
    rooms.ask("requeue", 1)
    assert rooms.state(2) == "COMPLETING"
    assert rooms.recorded(1).ending is None


def test_a_single_ended_task_is_requeued_with_its_number(rooms):
    rooms.submit(array="1-2")
    rooms.schedule()
    for task in (1, 2):
        rooms.start(task)
        rooms.finish(task, code=task)
    rooms.ask("requeue", "1_1")
    again = rooms.active(2)
    assert (again.display_id, again.restarts) == ("1_1", 1)
    assert rooms.state(1) == "FAILED"


def test_a_cancel_wins_over_a_requeue(rooms):
    job = rooms.running()
    rooms.ask("requeue", job.job_id)
    rooms.ask("cancel", job.job_id)
    rooms.finish(job, signal=15)
    assert rooms.state(job) == "CANCELLED"


def test_nobody_requeues_what_never_was_or_is_anothers(rooms):
    job = rooms.running()
    rooms.finish(job)
    with pytest.raises(UnknownJob, match="cannot find job 77"):
        rooms.ask("requeue", 77)
    with pytest.raises(NotAllowed, match="it belongs to alice"):
        rooms.ask("requeue", job.job_id, BOB)


# Signals and pauses.


@pytest.mark.parametrize("scope", ["leader", "children", "all"])
def test_a_signal_goes_to_the_engine_once_with_its_scope(rooms, scope):
    job = rooms.running()
    rooms.step(job)
    rooms.ask("signal", job.job_id, ALICE, 10, scope)
    assert rooms.engine.asked("signal") == [("1.0", 10, scope)]
    assert rooms.engine.asked("signal_unit") == []


def test_a_waiting_job_takes_no_signal_but_the_running_tasks_of_its_array_do(rooms):
    rooms.submit(array="1-3%1")
    with pytest.raises(NotAllowed, match=r"cannot signal job 1_.*: it has not started"):
        rooms.ask("signal", 1, ALICE, 10, "all")
    rooms.schedule()
    rooms.start(2)
    rooms.ask("signal", 1, ALICE, 10, "all")
    assert rooms.engine.asked("signal") == [("2.0", 10, "all")]


def test_what_was_sent_sigstop_is_stopped_and_its_time_runs_on(rooms):
    job = rooms.running()
    rooms.ask("signal", job.job_id, ALICE, SIGSTOP, "all")
    assert rooms.state(job) == "STOPPED"
    rooms.now_s += 50
    rooms.ask("signal", job.job_id, ALICE, SIGSTOP, "all")
    rooms.ask("signal", job.job_id, ALICE, SIGCONT, "all")
    continued = rooms.recorded(job)
    assert (continued.state, continued.suspended_s) == (JobState.RUNNING, 0)
    assert [number for _, number, _ in rooms.engine.asked("signal")] == [SIGSTOP, SIGSTOP, SIGCONT]


@pytest.mark.parametrize(
    ("asked", "state"), [("cancel", "CANCELLED"), ("requeue", "PENDING"), ("", "COMPLETED")]
)
def test_what_is_stopped_ends_as_what_runs(rooms, asked, state):
    job = rooms.running()
    rooms.ask("signal", job.job_id, ALICE, SIGSTOP, "all")
    if asked:
        rooms.ask(asked, job.job_id)
        assert rooms.state(job) == "COMPLETING"
    rooms.finish(job, signal=15 if asked else 0)
    assert rooms.state(job) == state


def test_what_is_stopped_can_be_suspended_and_goes_on_when_it_is_resumed(rooms):
    job = rooms.running()
    rooms.ask("signal", job.job_id, ALICE, SIGSTOP, "all")
    rooms.ask("suspend", job.job_id, ROOT)
    assert rooms.state(job) == "SUSPENDED"
    rooms.ask("resume", job.job_id, ROOT)
    assert rooms.state(job) == "RUNNING"


def test_a_special_exit_holds_what_is_requeued_until_it_is_released(rooms):
    job = rooms.running()
    rooms.ask("requeue", job.job_id, special=True)
    rooms.finish(job, signal=15)
    held = rooms.active(job.job_id)
    assert (held.state, held.hold, held.reason) == (
        JobState.PENDING, Hold.SPECIAL, "job requeued in held state",
    )  # fmt: skip
    rooms.ask("release", job.job_id)
    assert (held.hold, held.restarts) == (Hold.NONE, 1)
    assert held.reason != "job requeued in held state"


def test_a_pause_stops_the_processes_and_does_not_count(rooms):
    job = rooms.running()
    rooms.ask("suspend", job.job_id, ROOT)
    rooms.now_s += 50
    assert rooms.state(job) == "SUSPENDED"
    rooms.ask("resume", job.job_id, ROOT)
    resumed = rooms.recorded(job)
    assert (resumed.state, resumed.suspended_s, resumed.suspended_at) == (JobState.RUNNING, 50, 0)
    assert (rooms.engine.asked("suspend"), rooms.engine.asked("resume")) == ([("1.0",)], [("1.0",)])


def test_suspending_twice_is_suspending(rooms):
    job = rooms.running()
    rooms.ask("suspend", job.job_id, ROOT)
    rooms.ask("suspend", job.job_id, ROOT)
    assert rooms.engine.asked("suspend") == [("1.0",)]


def test_only_who_runs_the_machine_or_the_daemon_suspends(rooms, monkeypatch):
    job = rooms.running()
    with pytest.raises(NotAllowed, match="only root and who runs stokerd may"):
        rooms.ask("suspend", job.job_id)
    monkeypatch.setattr("os.geteuid", lambda: ALICE.user_id)
    rooms.ask("suspend", job.job_id)
    assert rooms.state(job) == "SUSPENDED"


def test_what_does_not_run_cannot_be_suspended_nor_resumed(rooms):
    waiting, running = rooms.submit(hold=True), rooms.running()
    ending = rooms.running()
    rooms.ask("cancel", ending.job_id)
    for job, method, code in (
        (waiting, "suspend", "ESLURM_JOB_PENDING"),
        (ending, "suspend", "ESLURM_ALREADY_DONE"),
        (running, "resume", "ESLURM_JOB_NOT_SUSPENDED"),
    ):
        with pytest.raises(NotAllowed, match=f"cannot {method} job") as refusal:
            rooms.ask(method, job.job_id, ROOT)
        assert refusal.value.code == code


# Holding.


def test_a_held_job_does_not_start_and_a_released_one_does(rooms):
    job = rooms.submit()
    rooms.ask("hold", job.job_id)
    rooms.schedule()
    assert (rooms.state(job), rooms.recorded(job).reason) == ("PENDING", Reason.JOB_HELD_USER)
    assert rooms.engine.launched() == []
    rooms.ask("release", job.job_id)
    rooms.schedule()
    assert len(rooms.engine.launched()) == 1


def test_what_root_holds_its_owner_cannot_release(rooms):
    job = rooms.submit()
    rooms.ask("hold", job.job_id, ROOT)
    assert rooms.recorded(job).reason == Reason.JOB_HELD_ADMIN
    with pytest.raises(NotAllowed):
        rooms.ask("release", job.job_id)
    rooms.ask("release", job.job_id, ROOT)
    assert rooms.recorded(job).hold is Hold.NONE


def test_root_may_hold_as_a_user_would(rooms):
    job = rooms.submit()
    rooms.ask("hold", job.job_id, ROOT, as_user=True)
    rooms.ask("release", job.job_id)
    assert rooms.recorded(job).hold is Hold.NONE


def test_others_are_told_in_the_words_of_hold(rooms):
    job = rooms.submit()
    with pytest.raises(NotAllowed) as refusal:
        rooms.ask("hold", job.job_id, BOB)
    assert refusal.value.code == "ESLURM_USER_ID_MISSING"


def test_a_running_job_that_is_held_runs_on_and_waits_held_when_requeued(rooms):
    job = rooms.running()
    rooms.ask("hold", job.job_id)
    assert (rooms.state(job), rooms.recorded(job).reason) == ("RUNNING", Reason.JOB_HELD_USER)
    rooms.ask("requeue", job.job_id)
    rooms.finish(job, signal=15)
    rooms.schedule()
    assert (rooms.state(job), rooms.recorded(job).reason) == ("PENDING", Reason.JOB_HELD_USER)


def test_a_reserved_job_that_is_held_is_taken_back_if_it_still_can_be(rooms):
    job = rooms.submit()
    rooms.schedule()
    rooms.ask("hold", job.job_id)
    assert rooms.engine.asked("withdraw") == [(("1.0.batch",),)]
    rooms.withdrawn(job)
    held = rooms.recorded(job)
    assert (held.state, held.reason, held.restarts) == (JobState.PENDING, Reason.JOB_HELD_USER, 0)


def test_a_held_task_gets_a_record_of_its_own(rooms):
    rooms.submit(array="1-4", begin_at=rooms.now_s + 3600)
    rooms.ask("hold", "1_2")
    assert (rooms.active(1).display_id, rooms.active(2).display_id) == ("1_[1,3-4]", "1_2")
    assert rooms.recorded(1).hold is Hold.NONE


def test_ended_and_unknown_jobs_cannot_be_held(rooms):
    job = rooms.running()
    rooms.finish(job)
    with pytest.raises(NotAllowed, match="cannot change job 1: it has ended"):
        rooms.ask("hold", job.job_id)
    with pytest.raises(UnknownJob):
        rooms.ask("release", 77)


# Interactive jobs.


def test_an_interactive_job_ends_with_its_command(rooms):
    job = rooms.running(interactive=True)
    with rooms.queue.turn():
        rooms.control.finish_allocation(job, 6, 0)
    ended = rooms.recorded(job)
    assert (ended.state, ended.exit_code) == (JobState.FAILED, 6)
    assert rooms.worker.tracker.used_cpus == 0


def test_steps_that_the_command_leaves_behind_keep_what_they_use_until_they_are_gone(rooms):
    job = rooms.running(interactive=True)
    rooms.step(job)
    with rooms.queue.turn():
        rooms.control.finish_allocation(job, 0, 0)
    assert (rooms.state(job), rooms.worker.tracker.used_cpus) == ("COMPLETING", 1)
    assert rooms.engine.asked("end") == [("1.0", "ended", 1.0)]
    rooms.report(Ended("1.0.0.0", 0, 15, status_known=True, at=rooms.now_s))
    assert (rooms.state(job), rooms.worker.tracker.used_cpus) == ("COMPLETED", 0)


def test_what_ended_already_is_not_ended_by_its_command_again(rooms):
    job = rooms.running(interactive=True)
    rooms.ask("cancel", job.job_id)
    with rooms.queue.turn():
        rooms.control.finish_allocation(job, 0, 0)
    assert rooms.state(job) == "CANCELLED"


def test_a_job_whose_caller_went_away_is_cancelled(rooms):
    job = rooms.submit(interactive=True, key="k1")
    with rooms.queue.turn():
        rooms.control.abandon("k1", ALICE)
        rooms.control.abandon("no such key", ALICE)
    ended = rooms.recorded(job)
    assert (ended.state, ended.message) == (JobState.CANCELLED, "its caller went away")


def test_a_batch_job_does_not_need_its_submitter(rooms):
    job = rooms.submit(key="k1")
    with rooms.queue.turn():
        rooms.control.abandon("k1", ALICE)
    assert rooms.state(job) == "PENDING"


def test_what_was_to_end_is_ended_again_after_a_restart(rooms):
    cancelled, requeued = rooms.running(), rooms.running()
    rooms.ask("cancel", cancelled.job_id)
    rooms.ask("requeue", requeued.job_id)
    rooms.restart()
    assert rooms.engine.asked("end") == [("1.0", "cancelled", 1.0), ("2.0", "requeued", 1.0)]


def test_a_job_with_many_waiting_tasks_is_found_by_one_of_them(rooms):
    rooms.submit(array="1-9", hold=True)
    with rooms.queue.turn():
        assert [job.job_id for job in rooms.control.find(ref("1_7"))] == [1]
