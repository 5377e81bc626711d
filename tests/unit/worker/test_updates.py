"""`scontrol update`: all of it or nothing, by whom and when Slurm allows it."""

from __future__ import annotations

import pytest

from stoker.core.enums import Hold, JobState, Reason
from stoker.core.errors import Infeasible, InvalidSpec, NotAllowed, UnknownJob
from stoker.core.models import FOREVER
from stoker.core.units import parse_dependency
from support.recording_engine import ALICE, BOB, ROOT


@pytest.fixture(autouse=True)
def somebody_else_runs_the_daemon(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 4711)


def update(rooms, ref, by=ALICE, **changes):
    rooms.ask("update", ref, by, changes)


def test_a_changed_specification_is_a_new_one_and_the_others_keep_theirs(rooms):
    one, two = rooms.submit(hold=True), rooms.submit(hold=True)
    update(rooms, 1, name="renamed", comment="why")
    assert (rooms.recorded(one).name, rooms.recorded(one).spec.comment) == ("renamed", "why")
    assert rooms.recorded(two).name == "work"


def test_a_waiting_job_moves_to_where_its_new_shape_waits(rooms):
    rooms.running(cpus_per_task=8)
    job = rooms.submit(cpus_per_task=8)
    update(rooms, job.job_id, cpus_per_task=2, ntasks=2)
    rooms.finish(1)
    rooms.schedule()
    assert rooms.active(job).allocation.cpus == 4


def test_who_waits_to_be_the_only_one_of_a_name_is_free_under_another(rooms):
    rooms.submit("a", hold=True)
    waiting = rooms.submit("a", dependency="singleton")
    assert rooms.recorded(waiting).reason == Reason.DEPENDENCY
    update(rooms, waiting.job_id, name="b")
    assert rooms.recorded(waiting).reason == Reason.NONE


def test_the_time_limit_of_a_running_job_reaches_record_and_engine(rooms):
    job = rooms.running(time_limit_s=3600.0)
    update(rooms, job.job_id, time_limit_s=60.0)
    assert rooms.recorded(job).time_limit_s == 60.0
    assert rooms.engine.asked("limit") == [("1.0", 60.0)]


def test_more_time_for_a_running_job_is_for_operators(rooms):
    job = rooms.running(time_limit_s=60.0)
    for limit_s in (120.0, None, FOREVER):
        with pytest.raises(NotAllowed):
            update(rooms, job.job_id, time_limit_s=limit_s)
    update(rooms, job.job_id, ROOT, time_limit_s=FOREVER)
    assert rooms.recorded(job).time_limit_s is None
    assert rooms.engine.asked("limit") == [("1.0", None)]


def test_a_waiting_job_may_be_given_more_time_by_its_owner(rooms):
    job = rooms.submit(time_limit_s=60.0, hold=True)
    update(rooms, job.job_id, time_limit_s=120.0)
    assert rooms.recorded(job).time_limit_s == 120.0
    assert rooms.engine.asked("limit") == []


def test_the_limit_of_an_interactive_job_is_kept_by_the_scheduler(rooms):
    job = rooms.running(interactive=True, time_limit_s=3600.0)
    update(rooms, job.job_id, time_limit_s=60.0)
    assert rooms.engine.asked("limit") == []
    rooms.wait_s(59)
    assert rooms.state(job) == "RUNNING"
    rooms.wait_s(2)
    assert rooms.state(job) == "TIMEOUT"


@pytest.mark.parametrize(
    "changes", [{"partition": "debug"}, {"cpus_per_task": 2}, {"begin_at": 5.0}, {"ntasks": 2}]
)
def test_what_a_job_asked_for_cannot_change_once_it_runs_or_is_about_to(rooms, changes):
    running, reserved = rooms.running(), rooms.submit()
    rooms.schedule()
    for job in (running, reserved):
        with pytest.raises(NotAllowed, match="it waits no more") as refusal:
            update(rooms, job.job_id, **changes)
        assert refusal.value.code == "ESLURM_JOB_NOT_PENDING"


def test_a_running_jobs_comment_may_change(rooms):
    job = rooms.running()
    update(rooms, job.job_id, comment="hm")
    assert rooms.recorded(job).spec.comment == "hm"
    assert rooms.state(job) == "RUNNING"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"nonsense": 1}, "cannot change nonsense: a job has no such field"),
        ({"script": "x"}, "cannot change script"),
        ({"interactive": True}, "cannot change interactive"),
        ({"ntasks": "many"}, "cannot change the job"),
        ({"time_limit_s": "long"}, "cannot change time_limit_s"),
        ({"partition": "nosuch"}, "invalid partition"),
    ],
)
def test_nonsense_is_refused_and_nothing_of_it_is_done(rooms, changes, match):
    job = rooms.submit()
    with pytest.raises(InvalidSpec, match=match):
        update(rooms, job.job_id, comment="new", **changes)
    assert rooms.recorded(job).spec.comment == ""
    rooms.schedule()
    assert len(rooms.engine.launched()) == 1, "the job lost its place"


def test_of_an_array_all_records_change_or_none(rooms):
    rooms.submit(array="1-3%1")
    rooms.schedule()
    rooms.start(2)
    with pytest.raises(NotAllowed):
        update(rooms, 1, cpus_per_task=2)
    assert rooms.recorded(1).spec.cpus_per_task is None
    update(rooms, 1, comment="all")
    assert {rooms.recorded(each).spec.comment for each in (1, 2)} == {"all"}


def test_a_single_waiting_task_is_changed_alone(rooms):
    rooms.submit(array="1-5", hold=True)
    update(rooms, "1_2", name="second")
    assert (rooms.recorded(2).display_id, rooms.recorded(2).name) == ("1_2", "second")
    assert rooms.recorded(1).name == "work"


def test_the_throttle_of_an_array_counts_at_once(rooms):
    rooms.submit(array="1-8%1")
    rooms.schedule()
    update(rooms, 1, array_limit=3)
    rooms.schedule()
    assert len(rooms.engine.launched()) == 3


def test_what_could_never_run_is_refused(rooms):
    job = rooms.submit(hold=True)
    with pytest.raises(Infeasible) as refusal:
        update(rooms, job.job_id, ntasks=9)
    assert refusal.value.code == "ESLURM_REQUESTED_PART_CONFIG_UNAVAILABLE"


def test_priority_0_is_a_hold_and_the_rank_comes_back_with_the_release(rooms):
    job = rooms.submit()
    before = job.priority
    update(rooms, job.job_id, priority=0)
    assert (rooms.recorded(job).hold, rooms.recorded(job).priority) == (Hold.USER, before)
    with pytest.raises(NotAllowed, match="release it first") as refusal:
        update(rooms, job.job_id, priority=5)
    assert refusal.value.code == "ESLURM_JOB_HELD"


def test_priority_0_of_an_administrator_is_not_for_the_owner_to_release(rooms):
    job = rooms.submit()
    update(rooms, job.job_id, ROOT, priority=0)
    assert rooms.recorded(job).hold is Hold.ADMIN
    with pytest.raises(NotAllowed):
        rooms.ask("release", job.job_id, ALICE)


def test_only_operators_raise_a_rank(rooms):
    one, two = rooms.submit(cpus_per_task=8), rooms.submit(cpus_per_task=8)
    with pytest.raises(NotAllowed):
        update(rooms, two.job_id, priority=one.priority + 1)
    with pytest.raises(NotAllowed):
        update(rooms, two.job_id, nice=-1)
    update(rooms, two.job_id, ROOT, priority=one.priority + 1)
    rooms.schedule()
    assert rooms.engine.launched()[0].key == "2.0.batch"


def test_who_is_nice_falls_behind(rooms):
    one, two = rooms.submit(cpus_per_task=8), rooms.submit(cpus_per_task=8)
    update(rooms, one.job_id, nice=100)
    rooms.schedule()
    assert rooms.engine.launched()[0].key == f"{two.job_id}.0.batch"


def test_a_new_dependency_counts_and_an_empty_one_sets_free(rooms):
    rooms.submit(hold=True)
    job = rooms.submit()
    update(rooms, job.job_id, dependency=parse_dependency("afterok:1"))
    assert rooms.recorded(job).reason == Reason.DEPENDENCY
    update(rooms, job.job_id, dependency=None)
    assert rooms.recorded(job).reason == Reason.NONE


def test_a_deadline_that_is_set_later_counts(rooms):
    job = rooms.running()
    update(rooms, job.job_id, deadline_at=rooms.now_s + 10)
    rooms.wait_s(11)
    assert rooms.recorded(job).ending is JobState.DEADLINE


def test_others_and_the_unknown_are_refused(rooms):
    job = rooms.submit(hold=True)
    with pytest.raises(NotAllowed, match="it belongs to alice") as refusal:
        update(rooms, job.job_id, BOB, comment="mine")
    assert refusal.value.code == "ESLURM_USER_ID_MISSING"
    with pytest.raises(UnknownJob):
        update(rooms, 77, comment="x")


def test_a_partition_that_goes_down_keeps_its_jobs_waiting_until_it_is_up(rooms):
    job = rooms.submit()
    with rooms.queue.turn():
        rooms.control.update_partition("debug", ROOT, {"state": "DOWN"})
    rooms.schedule()
    assert rooms.recorded(job).reason == Reason.PARTITION_DOWN
    with rooms.queue.turn():
        rooms.control.update_partition("debug", ROOT, {"state": "UP"})
    rooms.schedule()
    assert len(rooms.engine.launched()) == 1


def test_partitions_are_changed_by_operators(rooms):
    with pytest.raises(NotAllowed), rooms.queue.turn():
        rooms.control.update_partition("debug", ALICE, {"state": "DOWN"})
