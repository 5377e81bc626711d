"""The indexes of the queue: they follow every change, and cost the same however many wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.enums import JobState
from stoker.core.models import Owner
from stoker.core.units import Condition, Dependency, TaskSet
from stoker.worker.table import JobTable, Place, WaitingQueue
from support.machines import shape, waiting_job


def shape_of(job):
    return shape(tasks=job.spec.ntasks or 1, priority_tier=2 if job.spec.qos == "high" else 1)


@pytest.fixture
def table() -> JobTable:
    return JobTable(shape_of)


def enter(table, *jobs):
    for job in jobs:
        table.add(job)
        table.place(job)


def ids_waiting(table):
    """Return the ids in the order in which a plan meets them."""
    jobs = [job for queue in table.waiting() for job in queue.jobs]
    return [job.job_id for job in sorted(jobs, key=lambda job: job.order)]


def place(number):
    return Place((number,), number, shape())


def after(*job_ids):
    return Dependency(False, tuple(Condition("afterok", each) for each in job_ids))


def test_jobs_wait_by_shape_in_order_of_priority_then_submission(table):
    enter(table, waiting_job(3), waiting_job(1), waiting_job(2, priority=99_999))
    assert [job.job_id for job in table.waiting()[0].jobs] == [2, 1, 3]


def test_queues_come_in_the_order_of_their_first_jobs(table):
    large = waiting_job(1, spec={"ntasks": 4})
    enter(table, waiting_job(2), large, waiting_job(3, spec={"ntasks": 2}))
    assert [queue.jobs[0].job_id for queue in table.waiting()] == [1, 2, 3]
    table.remove(large)
    assert [queue.jobs[0].job_id for queue in table.waiting()] == [2, 3]


def test_a_higher_tier_comes_first_whatever_the_priority(table):
    enter(table, waiting_job(1, priority=99_999), waiting_job(2, spec={"qos": "high"}))
    assert ids_waiting(table) == [2, 1]


def test_a_new_first_job_moves_its_queue_forward(table):
    enter(table, waiting_job(2), waiting_job(3, spec={"ntasks": 2}))
    enter(table, waiting_job(1, spec={"ntasks": 2}))
    assert [queue.jobs[0].job_id for queue in table.waiting()] == [1, 2]


def test_a_job_that_waits_keeps_its_place(table):
    job = waiting_job(1)
    enter(table, job, waiting_job(2))
    table.place(job)
    assert ids_waiting(table) == [1, 2]


def test_displacing_a_job_that_does_not_wait_does_nothing(table):
    job = waiting_job(1)
    table.add(job)
    table.displace(job)
    assert table.waiting() == []
    assert table.shape(job) is None


def test_a_queue_that_is_empty_is_gone(table):
    job = waiting_job(1)
    enter(table, job)
    table.displace(job)
    assert table.queues == {}
    assert table.waiting() == []


def test_a_job_whose_priority_changed_is_still_found_where_it_waits(table):
    job = waiting_job(1)
    enter(table, job, waiting_job(2))
    job.priority = 1
    table.displace(job)
    table.place(job)
    assert ids_waiting(table) == [2, 1]


def test_the_same_job_twice_is_a_defect(table):
    table.add(waiting_job(1))
    with pytest.raises(AssertionError, match="job 1 is there already"):
        table.add(waiting_job(1))


def test_taking_out_what_does_not_wait_there_is_a_defect():
    queue = WaitingQueue(lambda _: 1)
    queue.add(place(1))
    with pytest.raises(AssertionError, match="job 2 is not where it should wait"):
        queue.remove(place(2))


changes = st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=400)


@given(changes)
def test_a_queue_is_a_sorted_list_whatever_comes_and_goes(steps):
    queue, plain = WaitingQueue(lambda _: 1), set()
    for is_coming, number in steps:
        if is_coming and number not in plain:
            queue.add(place(number))
            plain.add(number)
        elif not is_coming and plain:
            # Mostly from the front, as jobs start; sometimes from the middle.
            gone = min(plain) if number % 4 else sorted(plain)[number % len(plain)]
            queue.remove(place(gone))
            plain.remove(gone)
        assert len(queue) == len(plain)
    assert [job.job_id for job in queue] == sorted(plain)
    assert [job.job_id for job in queue[1:3]] == sorted(plain)[1:3]
    if plain:
        assert queue.first.order == (min(plain),)
        assert queue[-1].job_id == max(plain)


def test_a_queue_lets_go_of_those_who_left():
    queue = WaitingQueue(lambda _: 1)
    for number in range(10_000):
        queue.add(place(number))
    for number in range(9_990):
        queue.remove(place(number))
    assert len(queue._entries) < 200
    assert [job.job_id for job in queue] == list(range(9_990, 10_000))


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), max_size=60))
def test_the_order_of_the_queues_follows_every_change(steps):
    table = JobTable(shape_of)
    for job_id, tasks in steps:
        job = table.get(job_id)
        if job is None:
            enter(table, waiting_job(job_id, spec={"ntasks": tasks}))
        else:
            table.remove(job)
        firsts = [queue.jobs[0].order for queue in table.waiting()]
        assert firsts == sorted(firsts)
        assert {queue.shape for queue in table.waiting()} == set(table.queues)
        assert sorted(ids_waiting(table)) == sorted(table.jobs)


def array(tasks="0-9", limit=0, **changes):
    return waiting_job(5, array_job_id=5, array=TaskSet.parse(tasks), array_limit=limit, **changes)


def test_an_array_may_start_what_its_limit_leaves(table):
    rest = array(limit=4)
    enter(table, rest)
    counts = []
    for change in (+1, +1, +1, +1, +1, -1, -1):
        table.count_task(rest, change)
        counts.append(table.startable(5))
    assert counts == [3, 2, 1, 0, 0, 0, 1]
    assert table.waiting()[0].jobs[0].count == 1


def test_an_array_without_a_limit_may_start_all_of_its_tasks(table):
    enter(table, array())
    assert table.startable(5) == 10


def test_an_array_never_starts_more_than_it_has(table):
    enter(table, array("7-8", limit=100))
    assert table.startable(5) == 2


def test_the_records_of_an_array_are_found_by_its_number(table):
    task = waiting_job(7, array_job_id=5, array_task_id=0)
    enter(table, array(), task)
    assert [job.job_id for job in table.array(5)] == [5, 7]
    table.remove(task)
    assert [job.job_id for job in table.array(5)] == [5]
    assert table.array(77) == []


def test_namesakes_are_the_same_owners(table):
    stranger = waiting_job(3, owner=Owner(2002, "bob", 2002, "bob"))
    enter(table, waiting_job(1), waiting_job(2), stranger)
    assert [job.job_id for job in table.namesakes(table.jobs[1])] == [1, 2]
    assert [job.job_id for job in table.namesakes(stranger)] == [3]


def test_a_job_and_its_array_have_dependents(table):
    enter(table, waiting_job(8, dependency=after(5)), waiting_job(9, dependency=after(7)))
    task = waiting_job(7, array_job_id=5, array_task_id=0)
    assert [job.job_id for job in table.dependents(task)] == [8, 9]


def test_a_dependent_that_ended_is_not_told_though_some_of_its_conditions_were_met(table):
    job = waiting_job(3, dependency=after(1, 2))
    enter(table, job)
    job.dependency = after(2)
    table.remove(job)
    assert table.dependents(waiting_job(1)) == []
    assert table.dependents(waiting_job(2)) == []


def test_a_job_is_known_by_its_new_name_and_dependency(table):
    job = waiting_job(3, dependency=after(1))
    enter(table, job)
    table.forget_names(job)
    job.dependency = after(2)
    table.learn_names(job)
    assert table.dependents(waiting_job(1)) == []
    assert table.dependents(waiting_job(2)) == [job]


def test_who_is_due_is_told_once_however_often_it_asked(table):
    job = waiting_job(1)
    enter(table, job)
    for at in (5.0, 5.0, 4.0, 50.0):
        table.wake_at(at, job)
    assert table.next_wakeup_at == 4.0
    assert table.due(3.9) == []
    assert table.due(5.0) == [job]
    assert table.due(6.0) == []
    assert table.next_wakeup_at == 50.0


def test_who_has_ended_is_not_due(table):
    job = waiting_job(1)
    enter(table, job)
    table.wake_at(5.0, job)
    table.remove(job)
    assert table.due(9.0) == []
    assert table.next_wakeup_at is None


def test_an_arrays_waiting_tasks_are_counted_each(table):
    enter(table, array())
    table.add(waiting_job(6, state=JobState.RUNNING))
    assert table.counts() == {"PENDING": 10, "RUNNING": 1}


def test_a_table_that_was_cleared_is_as_new(table):
    job = waiting_job(1, dependency=after(9), array_job_id=1)
    enter(table, job)
    table.count_task(job, +1)
    table.wake_at(1.0, job)
    table.clear()
    assert vars(table) | {"_shape_of": None} == vars(JobTable(shape_of)) | {"_shape_of": None}
