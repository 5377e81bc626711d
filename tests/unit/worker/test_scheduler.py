"""One turn of the scheduler: who starts, who is handed over in advance, and who is not."""

from __future__ import annotations

import pytest

from stoker.core.enums import JobState
from stoker.worker.scheduler import RunTimes
from support.machines import shape
from support.recording_engine import NODE, ROOT

SHORT_S = 0.004


@pytest.fixture
def quick(make_rooms):
    """Rooms that have learnt that jobs of eight CPUs are over in a few milliseconds."""
    rooms = make_rooms(follow_depth_max=8)
    for _ in range(5):
        job = rooms.running(cpus_per_task=8)
        rooms.now_s += SHORT_S
        rooms.finish(job)
    rooms.engine.calls.clear()
    return rooms


def fill(rooms, count, **said):
    """Let jobs of eight CPUs wait, and the scheduler wake; return their ids."""
    jobs = [rooms.submit(**({"cpus_per_task": 8} | said)) for _ in range(count)]
    rooms.schedule()
    return [job.job_id for job in jobs]


def launched(rooms):
    return [int(unit.key.split(".")[0]) for unit in rooms.engine.launched()]


# Starting.


def test_jobs_start_in_the_order_of_their_submission_as_far_as_there_is_room(rooms):
    jobs = [rooms.submit(cpus_per_task=3) for _ in range(4)]
    rooms.schedule()
    assert launched(rooms) == [jobs[0].job_id, jobs[1].job_id]
    with rooms.queue.turn():
        assert rooms.control.reason(rooms.active(jobs[2])) == "Resources"
        assert rooms.control.reason(rooms.active(jobs[3])) == "Priority"


def test_what_runs_never_exceeds_what_there_is(rooms):
    for cpus in (5, 5, 3, 2, 8, 1):
        rooms.submit(cpus_per_task=cpus)
    rooms.schedule()
    assert rooms.worker.tracker.used_cpus <= 8
    rooms.worker.tracker.check()


def test_an_arrays_limit_counts_what_is_reserved(rooms):
    rooms.submit(array="1-8%3")
    rooms.schedule()
    rooms.schedule()
    assert len(launched(rooms)) == 3
    with rooms.queue.turn():
        assert rooms.control.reason(rooms.active(1)) == "JobArrayTaskLimit"


def test_an_interactive_job_runs_from_its_reservation_on(rooms):
    job = rooms.submit(interactive=True)
    assert (job.state, job.start_at) == (JobState.RUNNING, rooms.now_s)
    assert launched(rooms) == []


def test_statistics_count_jobs_by_state(rooms):
    rooms.running()
    rooms.submit(array="1-5", hold=True)
    stats = rooms.worker.scheduler.get_resource_stats()
    assert (stats["used_cpus"], stats["by_state"]) == (1, {"RUNNING": 1, "PENDING": 5})


# Lanes.


def test_short_jobs_are_handed_over_in_advance_and_only_the_first_holds_anything(quick):
    jobs = fill(quick, 5)
    assert launched(quick) == jobs
    assert {unit.lane for unit in quick.engine.launched()} == {str(jobs[0])}
    assert quick.worker.tracker.holders() == {jobs[0]}
    quick.worker.tracker.check()


def test_an_end_hands_over_to_the_next_in_the_lane(quick):
    jobs = fill(quick, 3)
    quick.start(jobs[0])
    quick.finish(jobs[0])
    assert quick.worker.tracker.holders() == {jobs[1]}
    quick.start(jobs[1])
    quick.finish(jobs[1])
    quick.start(jobs[2])
    quick.finish(jobs[2])
    assert quick.worker.tracker.used_cpus == 0


def test_who_stands_in_a_lane_can_be_cancelled(quick):
    jobs = fill(quick, 3)
    quick.start(jobs[0])
    quick.ask("cancel", jobs[1])
    quick.withdrawn(jobs[1])
    quick.finish(jobs[0])
    assert quick.worker.tracker.holders() == {jobs[2]}
    assert quick.state(jobs[1]) == "CANCELLED"


def test_long_jobs_are_not_handed_over(make_rooms):
    rooms = make_rooms(follow_depth_max=8)
    job = rooms.running(cpus_per_task=8)
    rooms.now_s += 10
    rooms.finish(job)
    rooms.engine.calls.clear()
    assert launched(rooms) != fill(rooms, 3)
    assert len(launched(rooms)) == 1


def test_an_interactive_job_is_not_started_behind_another_one(quick):
    first, *_ = fill(quick, 1)
    job = quick.submit(cpus_per_task=8, interactive=True)
    fill(quick, 1)
    assert quick.state(job) == "PENDING"
    assert launched(quick) == [first]
    quick.worker.tracker.check()


def test_nobody_stands_behind_one_that_turned_out_to_be_long(quick):
    first, second = fill(quick, 2)
    quick.start(first)
    quick.wait_s(1)
    assert quick.engine.asked("withdraw") == [((f"{second}.0.batch",),)]
    quick.withdrawn(second)
    before = len(launched(quick))
    quick.schedule()
    quick.wait_s(1)
    assert len(launched(quick)) == before, "who was taken back was handed over again"


def test_a_drained_node_takes_nobody_into_its_lanes(quick):
    fill(quick, 1)
    with quick.queue.turn():
        quick.control.update_node(NODE, ROOT, "DRAIN", "fan")
    before = len(launched(quick))
    fill(quick, 3)
    assert len(launched(quick)) == before


def test_nobody_stands_behind_one_that_is_being_ended(quick):
    first, *_ = fill(quick, 1)
    quick.start(first)
    quick.ask("cancel", first)
    before = len(launched(quick))
    fill(quick, 3)
    assert len(launched(quick)) == before


def test_a_lane_is_the_same_after_a_restart(quick):
    jobs = fill(quick, 4)
    quick.start(jobs[0])
    quick.restart()
    assert quick.worker.tracker.holders() == {jobs[0]}
    quick.finish(jobs[0])
    assert quick.worker.tracker.holders() == {jobs[1]}


def test_run_times_are_remembered_of_a_bounded_number_of_shapes(rooms):
    times = RunTimes()
    for number in range(5000):
        times.note(shape(time_limit_s=float(number)), 0.01)
    assert len(times._average) == len(times._count) <= 4096


def test_a_shape_must_have_been_short_for_a_while_before_it_is_believed_to_be():
    times = RunTimes()
    depths = []
    for _ in range(5):
        times.note(shape(), 0.01)
        depths.append(times.depth(shape(), 64))
    assert depths == [0, 10, 10, 10, 10]
    times.distrust(shape())
    assert times.depth(shape(), 64) == 0


# Waking.


def test_the_scheduler_sleeps_until_something_is_due(rooms):
    assert rooms.worker.scheduler.next_wakeup_s() == float("inf")
    job = rooms.submit(begin_at=rooms.now_s + 30)
    rooms.schedule()
    assert rooms.worker.scheduler.next_wakeup_s() == 30
    rooms.wait_s(30)
    assert launched(rooms) == [job.job_id]


def test_an_idle_turn_records_nothing(rooms):
    rooms.running()
    with rooms.queue.turn() as turn:
        rooms.worker.scheduler.schedule(turn)
        assert turn.is_empty
