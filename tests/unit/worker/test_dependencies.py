"""Dependencies over memory and record: on ended jobs, across restarts, task by task."""

from __future__ import annotations

import pytest

from stoker.core.enums import JobState, Reason
from stoker.core.models import NOBODY


def run(rooms, job, code=0):
    """Let a job that was reserved run to its end."""
    rooms.schedule()
    rooms.start(job)
    rooms.finish(job, code=code)


def reason(rooms, job):
    return str(rooms.recorded(job).reason)


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("afterok", 0, "None"),
        ("afterok", 1, "DependencyNeverSatisfied"),
        ("afternotok", 0, "DependencyNeverSatisfied"),
        ("afternotok", 1, "None"),
        ("afterany", 0, "None"),
        ("afterany", 1, "None"),
        ("after", 1, "None"),
    ],
)
@pytest.mark.parametrize("when", ["before it ends", "after it ended", "after a restart"])
def test_a_condition_is_judged_by_the_end_whenever_it_is_said(rooms, kind, code, expected, when):
    first = rooms.submit()
    if when == "before it ends":
        second = rooms.submit(dependency=f"{kind}:{first.job_id}")
        assert reason(rooms, second) == "Dependency"
    run(rooms, first, code)
    if when == "after a restart":
        rooms.restart()
    if when != "before it ends":
        second = rooms.submit(dependency=f"{kind}:{first.job_id}")
    assert reason(rooms, second) == expected


def test_an_id_that_was_never_seen_counts_as_met(rooms):
    """R23: as in Slurm."""
    assert reason(rooms, rooms.submit(dependency="afterok:77777")) == "None"


def test_what_is_met_is_not_asked_for_again(rooms):
    first, other = rooms.submit(), rooms.submit(hold=True)
    job = rooms.submit(dependency=f"afterok:{first.job_id}:{other.job_id}")
    run(rooms, first)
    assert [each.job_id for each in rooms.recorded(job).dependency.conditions] == [other.job_id]


def test_with_a_question_mark_one_is_enough(rooms):
    first = rooms.submit()
    job = rooms.submit(dependency=f"afterok:{first.job_id}?afternotok:{first.job_id}")
    run(rooms, first, code=1)
    assert reason(rooms, job) == "None"


# Times.


def test_after_with_a_delay_waits_for_the_start_and_then_the_minutes(rooms):
    first = rooms.submit()
    second = rooms.submit(dependency=f"after:{first.job_id}+2")
    rooms.schedule()
    rooms.start(first)
    rooms.wait_s(119)
    assert reason(rooms, second) == "Dependency"
    rooms.wait_s(2)
    assert rooms.recorded(second).allocation is not None


def test_a_delay_outlives_a_restart(rooms):
    first = rooms.running()
    second = rooms.submit(dependency=f"after:{first.job_id}+2")
    rooms.restart()
    rooms.wait_s(121)
    assert rooms.recorded(second).allocation is not None


# What can never be met.


def test_a_job_that_waits_for_what_can_never_come_is_ended_if_it_asked_for_that(rooms):
    """R23: else it says DependencyNeverSatisfied."""
    first = rooms.submit()
    job = rooms.submit(dependency=f"afterok:{first.job_id}", kill_on_invalid_dependency=True)
    run(rooms, first, code=1)
    ended = rooms.recorded(job)
    assert (ended.state, ended.reason) == (JobState.CANCELLED, Reason.DEPENDENCY_NEVER_SATISFIED)
    assert (ended.ended_by, ended.exit_signal) == (NOBODY, 0)
    assert ended.message == "what it depends on can never come to be"


def test_it_is_ended_at_submission_if_that_is_known_already(rooms):
    first = rooms.submit()
    run(rooms, first, code=1)
    job = rooms.submit(dependency=f"afterok:{first.job_id}", kill_on_invalid_dependency=True)
    assert rooms.state(job) == "CANCELLED"


def test_the_setting_decides_for_those_who_said_nothing(make_rooms):
    rooms = make_rooms(kill_invalid_depend=True)
    first = rooms.submit()
    mute = rooms.submit(dependency=f"afterok:{first.job_id}")
    stays = rooms.submit(dependency=f"afterok:{first.job_id}", kill_on_invalid_dependency=False)
    run(rooms, first, code=1)
    assert (rooms.state(mute), rooms.state(stays)) == ("CANCELLED", "PENDING")


def test_one_end_brings_down_a_whole_chain(rooms):
    """R23."""
    first = rooms.submit()
    chain = [first]
    for _ in range(20):
        dependency = f"afterok:{chain[-1].job_id}"
        chain.append(rooms.submit(dependency=dependency, kill_on_invalid_dependency=True))
    run(rooms, first, code=1)
    assert {rooms.state(job) for job in chain[1:]} == {"CANCELLED"}


# Arrays.


def test_an_array_is_waited_for_as_a_whole(rooms):
    array = rooms.submit(array="1-3")
    job = rooms.submit(dependency=f"afterok:{array.job_id}")
    rooms.schedule()
    for task in (3, 4, 1):
        assert reason(rooms, job) == "Dependency"
        rooms.start(task)
        rooms.finish(task)
    assert reason(rooms, job) == "None"


def test_one_failed_task_spoils_it(rooms):
    array = rooms.submit(array="1-2")
    job = rooms.submit(dependency=f"afterok:{array.job_id}")
    rooms.schedule()
    for task, code in ((3, 1), (1, 0)):
        rooms.start(task)
        rooms.finish(task, code=code)
    assert reason(rooms, job) == "DependencyNeverSatisfied"


def test_a_single_task_is_waited_for_also_before_it_has_a_record_of_its_own(rooms):
    array = rooms.submit(array="1-3%1")
    job = rooms.submit(dependency=f"afterok:{array.job_id}_2")
    assert reason(rooms, job) == "Dependency"
    run(rooms, 3)
    assert reason(rooms, job) == "Dependency"
    run(rooms, 4)
    assert reason(rooms, job) == "None"


def test_aftercorr_goes_task_by_task_and_only_the_failed_tasks_partner_stays(rooms):
    rooms.submit(array="1-3", name="first")
    second = rooms.submit(array="1-3", name="second", dependency="aftercorr:1")
    rooms.schedule()
    tasks = {job.array_task_id: job for job in rooms.queue.table.array(1)}
    for number in (3, 2, 1):
        rooms.start(tasks[number])
        rooms.finish(tasks[number], code=int(number == 2))
    records = {job.display_id: job for job in rooms.queue.table.array(second.job_id)}
    assert {key: bool(job.allocation) for key, job in records.items()} == {
        "2_[2]": False,
        "2_1": True,
        "2_3": True,
    }
    assert records["2_[2]"].reason == Reason.DEPENDENCY_NEVER_SATISFIED


def test_aftercorr_on_two_arrays_waits_for_both_partners(rooms):
    for name in ("a", "b"):
        rooms.submit(array="1-2", name=name)
    third = rooms.submit(array="1-2", name="c", dependency="aftercorr:1:2")
    rooms.schedule()
    for array_id in (1, 2):
        task = next(job for job in rooms.queue.table.array(array_id) if job.array_task_id == 1)
        assert len(rooms.queue.table.array(third.job_id)) == 1
        rooms.start(task)
        rooms.finish(task)
    started = [job for job in rooms.queue.table.array(third.job_id) if job.allocation]
    assert [job.display_id for job in started] == ["3_1"]


def test_partners_that_had_ended_before_are_seen_at_submission(rooms):
    rooms.submit(array="1-2", name="first")
    rooms.schedule()
    for task in (2, 1):
        rooms.start(task)
        rooms.finish(task)
    second = rooms.submit(array="1-3", name="second", dependency="aftercorr:1")
    ready = {job.display_id: job.reason for job in rooms.queue.table.array(second.job_id)}
    assert ready == {"3_1": "None", "3_2": "None", "3_3": "None"}


def test_the_end_of_a_task_does_not_read_the_array_while_others_are_active(rooms, monkeypatch):
    rooms.submit(array="1-100%2")
    rooms.submit(dependency="afterok:1")
    rooms.submit(array="1-100", name="pairs", dependency="aftercorr:1")
    read = type(rooms.worker.repository).families
    reads = []

    def counted(repository, job_ids):
        reads.append(job_ids)
        return read(repository, job_ids)

    monkeypatch.setattr(type(rooms.worker.repository), "families", counted)
    for _ in range(20):
        rooms.schedule()
        task = next(job for job in rooms.queue.table.array(1) if job.allocation)
        rooms.start(task)
        rooms.finish(task)
    assert reads == []


# Singletons.


def test_a_singleton_waits_for_its_elders_of_the_same_name(rooms):
    one = rooms.submit("same", dependency="singleton")
    two = rooms.submit("same", dependency="singleton")
    other = rooms.submit("other", dependency="singleton")
    assert [reason(rooms, job) for job in (one, two, other)] == ["None", "Dependency", "None"]
    run(rooms, one)
    assert rooms.recorded(two).allocation is not None
