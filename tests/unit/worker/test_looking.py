"""Looking through the queue a little at a time, while it changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stoker.core.models import NO_TASK
from stoker.worker.controller import HistoryQuery
from stoker.worker.looking import look_through
from support.works import ALICE, Works


@pytest.fixture
def works(tmp_path) -> Iterator[Works]:
    made = Works(tmp_path)
    yield made
    made.close()


def test_every_job_is_seen_once_and_nobody_is_kept_waiting_meanwhile(works):
    ids = [works.submit(hold=True).job_id for _ in range(100)]
    seen: list[int] = []
    for some in look_through(works.worker.queue, lambda jobs: [job.job_id for job in jobs]):
        assert len(some) < 100
        works.submit(hold=True)  # Takes a turn between two looks.
        seen += some
    assert seen == ids


def test_who_has_ended_is_not_seen_any_more(works):
    ids = [works.submit(hold=True).job_id for _ in range(40)]
    looks = look_through(works.worker.queue, lambda jobs: [job.job_id for job in jobs])
    first = next(looks)
    works.ask("cancel", ids[0])
    works.ask("cancel", ids[-1])
    assert first + [job_id for some in looks for job_id in some] == ids[:-1]


def test_no_task_of_an_array_is_missed_or_seen_twice_though_it_starts_meanwhile(works):
    for _ in range(40):
        works.submit(hold=True)
    array = works.submit(array="0-9").job_id
    looks = look_through(
        works.worker.queue, lambda jobs: [(job.array_task_id, job.array) for job in jobs]
    )
    next(looks)
    works.schedule()
    later = [seen for some in looks for seen in some if seen != (NO_TASK, None)]
    tasks = [task for number, rest in later for task in (rest if rest is not None else [number])]
    assert sorted(tasks) == list(range(10))
    assert works.worker.queue.table.is_active(array)


def test_the_past_is_looked_into_a_little_at_a_time(works):
    ids = [works.submit(hold=True).job_id for _ in range(70)]
    for job_id in ids:
        works.ask("cancel", job_id)
    control = works.worker.control
    known = control.recorded_ids(HistoryQuery(user_ids=(ALICE.user_id,)))
    looks = list(control.look_into(known, lambda records: [each.job for each in records]))
    assert known == ids
    assert len(looks) > 1
    assert [job.job_id for some in looks for job in some] == ids
    assert control.recorded_ids(HistoryQuery(user_ids=(ALICE.user_id + 1,))) == []
