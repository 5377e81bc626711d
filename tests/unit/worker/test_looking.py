"""Looking through the queue and the past a little at a time, while both change."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from stoker.core.idpages import id_pages
from stoker.core.models import NO_TASK
from stoker.worker.history import HistoryQuery
from stoker.worker.lookout import Lookout
from support.works import ALICE, Works, job_ref

_PER_LOOK = 16


@pytest.fixture
def works(tmp_path) -> Iterator[Works]:
    made = Works(tmp_path)
    yield made
    made.close()


@pytest.fixture
def lookout(works) -> Lookout:
    return works.worker.control.lookout


def job_ids(jobs) -> list[int]:
    return [job.job_id for job in jobs]


def tasks(jobs) -> list[int]:
    rests = (job.array if job.array is not None else [job.array_task_id] for job in jobs)
    return [task for rest in rests for task in rest]


def states(jobs) -> list[tuple[int, str]]:
    return [(job.job_id, job.state) for job in jobs]


def recorded(records) -> list[int]:
    return job_ids(each.job for each in records)


def ids_and_tasks(jobs) -> list[tuple[int, int]]:
    return [(job.job_id, task) for job in jobs for task in tasks([job])]


def first_of(looks):
    """Return what is seen first, once what is looked for has been found."""
    return next(filter(None, looks))


def end(works: Works, *doomed: int) -> None:
    for job_id in doomed:
        works.ask("cancel", job_id)


def end_of(works: Works, *running: int) -> None:
    """End jobs that run, or are about to."""
    for job_id in running:
        works.run(job_id)
        works.engine.finish(f"{job_id}.0.batch")
    works.engine.deliver()


def test_every_job_is_seen_once_and_nobody_is_kept_waiting_meanwhile(works, lookout):
    ids = [works.submit(hold=True).job_id for _ in range(100)]
    seen: list[int] = []
    for some in lookout.look_through(job_ids):
        assert len(some) <= _PER_LOOK
        works.submit(hold=True)  # Takes a turn between two looks.
        seen += some
    assert seen == ids


def test_who_has_ended_is_not_seen_any_more(works, lookout):
    ids = [works.submit(hold=True).job_id for _ in range(40)]
    looks = lookout.look_through(job_ids)
    first = next(looks)
    end(works, ids[0], ids[-1])
    assert first + [job_id for some in looks for job_id in some] == ids[:-1]


def test_no_task_of_an_array_is_missed_or_seen_twice_though_it_starts_meanwhile(works, lookout):
    for _ in range(40):
        works.submit(hold=True)
    array = works.submit(array="0-9").job_id
    looks = lookout.look_through(lambda jobs: [(job.array_task_id, job.array) for job in jobs])
    next(looks)
    works.schedule()
    later = [seen for some in looks for seen in some if seen != (NO_TASK, None)]
    tasks = [task for number, rest in later for task in (rest if rest is not None else [number])]
    assert sorted(tasks) == list(range(10))
    assert works.worker.queue.table.is_active(array)


def test_tasks_are_seen_though_the_record_that_stood_for_them_ends_meanwhile(works, lookout):
    for _ in range(40):
        works.submit(hold=True)
    array = works.submit(array="0-2").job_id
    looks = lookout.look_through(tasks)
    seen = next(looks)
    works.schedule()
    end_of(works, array)  # It has become that of the last task.
    seen += [task for some in looks for task in some]
    assert sorted(task for task in seen if task != NO_TASK) == [0, 1]


# With those that ended a short while ago.


def test_those_that_ended_come_as_well_by_id_and_a_turn_fits_in_between(works, lookout):
    ids = [works.submit(hold=True).job_id for _ in range(100)]
    end(works, *ids[::2])
    seen: list[int] = []
    for some in lookout.look_through(job_ids, with_recent=True):
        assert len(some) <= _PER_LOOK
        assert not some or not seen or some[0] > seen[-1]
        works.submit(hold=True)
        seen += some
    assert seen == ids


def test_who_ends_meanwhile_is_seen_once(works, lookout):
    ids = [works.submit(hold=True).job_id for _ in range(40)]
    looks = lookout.look_through(states, with_recent=True)
    seen = first_of(looks)
    end(works, ids[0], ids[-1])
    seen += [each for some in looks for each in some]
    assert [job_id for job_id, _ in seen] == ids
    assert (seen[0][1], seen[-1][1]) == ("PENDING", "CANCELLED")


def test_what_ended_long_ago_is_not_recent(works, lookout):
    ids = [works.submit(hold=True).job_id for _ in range(3)]
    end(works, ids[0])
    works.clock.pass_by(works.settings.min_job_age_s + 1)
    end(works, ids[1])
    seen = [job_id for some in lookout.look_through(job_ids, with_recent=True) for job_id in some]
    assert seen == ids[1:]


def test_an_arrays_tasks_are_seen_once_though_they_start_and_end_meanwhile(works, lookout):
    array = works.submit(array="0-9").job_id
    for _ in range(40):
        works.submit(hold=True)
    works.schedule()
    started = job_ids(works.worker.queue.table.array(array))
    looks = lookout.look_through(tasks, with_recent=True)
    seen = first_of(looks)
    end_of(works, *started[1:])
    works.schedule()
    seen += [task for some in looks for task in some if task != NO_TASK]
    assert sorted(task for task in seen if task != NO_TASK) == list(range(10))


@pytest.mark.parametrize("ended", [(0,), (2,), (0, 2), (0, 1, 2)])
def test_tasks_that_start_and_end_meanwhile_are_seen_once_with_those_that_run(
    works, lookout, ended
):
    for _ in range(40):
        works.submit(hold=True)
    array = works.submit(array="0-2").job_id
    works.submit(hold=True)
    looks = lookout.look_through(ids_and_tasks, with_recent=True)
    seen = first_of(looks)
    works.schedule()
    records = {job.array_task_id: job.job_id for job in works.worker.queue.table.array(array)}
    end_of(works, *(records[task] for task in ended))
    seen += [each for some in looks for each in some]
    assert sorted(task for _, task in seen if task != NO_TASK) == [0, 1, 2]
    assert {task: job_id for job_id, task in seen if task != NO_TASK} == records


def test_how_many_there_are_is_known_beforehand(works, lookout):
    ids = [works.submit(hold=True).job_id for _ in range(10)]
    end(works, *ids[:4])
    assert [lookout.is_crowded(most) for most in (5, 6)] == [True, False]
    assert [lookout.is_crowded(most, with_recent=True) for most in (9, 10)] == [True, False]


# The future.


def test_when_jobs_start_is_found_out_bit_by_bit_and_is_what_would_be_found_at_once(works, lookout):
    ids = [works.submit(ntasks=8, time_limit_s=60.0 * (each % 5 + 1)).job_id for each in range(30)]
    works.schedule()
    with works.worker.queue.turn():
        at_once = works.worker.control.expected_starts(ids)
    found: dict[int, float] = {}
    steps = 0
    for starts in lookout.foresee():
        works.submit(hold=True)  # Takes a turn, and changes nothing of what is foreseen.
        found = {**starts, **found}
        steps += 1
    assert found == at_once
    assert len(found) == steps - 1 == 29


def test_who_is_gone_before_it_is_looked_at_does_not_start(works, lookout):
    ids = [works.submit(ntasks=8, time_limit_s=60.0).job_id for _ in range(10)]
    works.schedule()
    steps = lookout.foresee()
    next(steps)
    end(works, *ids[5:])
    assert {job_id for starts in steps for job_id in starts} == {*ids[1:5]}


# Accounting records.


def test_the_past_is_looked_into_a_little_at_a_time(works, lookout):
    ids = [works.submit(hold=True).job_id for _ in range(70)]
    end(works, *ids)
    mine = HistoryQuery(user_ids=(ALICE.user_id,))
    for looks in (lookout.look_up(mine, recorded), lookout.look_into(ids, recorded)):
        seen = []
        for some in looks:
            assert len(some) <= 2 * _PER_LOOK
            works.submit(hold=True)
            seen += some
        assert seen == ids
    nobody = HistoryQuery(user_ids=(ALICE.user_id + 1,))
    assert [each for some in lookout.look_up(nobody, recorded) for each in some] == []
    assert [lookout.are_recorded(mine, most) for most in (69, 10_000)] == [True, False]
    assert not lookout.are_recorded(nobody, 0)


@pytest.mark.parametrize("ends_in_s", [None, 86_400.0])
def test_a_look_into_the_past_does_not_run_after_those_who_come_meanwhile(
    works, lookout, monkeypatch, ends_in_s
):
    monkeypatch.setattr("stoker.worker.looking.id_pages", partial(id_pages, size=10))
    ids = [works.submit(hold=True).job_id for _ in range(30)]
    query = HistoryQuery(end_at=ends_in_s and works.clock() + ends_in_s)
    seen = []
    for some in lookout.look_up(query, recorded):
        works.clock.pass_by(1.0)
        works.submit(hold=True)
        seen += some
    assert seen == ids


def test_an_array_is_looked_up_by_its_id(works, lookout):
    array = works.submit(array="0-99", hold=True).job_id
    for task in range(0, 100, 2):
        works.ask("cancel", f"{array}_{task}")
    query = HistoryQuery(refs=(job_ref(array),))
    looks = list(lookout.look_up(query, recorded))
    seen = [each for some in looks for each in some]
    assert max(map(len, looks)) <= 2 * _PER_LOOK
    assert len(seen) == len({*seen}) == 51
