"""Somebody sets the wall clock by a day, while jobs wait and run."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EAGAIN

import pytest

from stoker.engines.base import Withdrawn
from support.works import Works

DAY_S = 86400.0


@pytest.fixture
def works(tmp_path) -> Iterator[Works]:
    made = Works(tmp_path)
    yield made
    made.close()


def test_after_a_fork_that_failed_jobs_start_soon_though_the_clock_was_set_back(works) -> None:
    """R22, R27: the pause is two seconds, not two seconds and a day."""
    job_id = works.submit().job_id
    works.schedule()
    works.engine.refuse(f"{job_id}.0.batch", "fork", EAGAIN)
    works.engine.deliver()
    works.clock.jump(-DAY_S)
    works.clock.pass_by(3.0)
    works.schedule()
    assert [unit.key for unit in works.engine.startable()] == [f"{job_id}.0.batch"]


def test_what_waits_for_a_start_goes_on_though_the_clock_was_set_back_since(works) -> None:
    """R23, R27: ``after`` without a delay asks whether a job has started, not when."""
    first = works.submit().job_id
    works.schedule()
    works.engine.start(f"{first}.0.batch")
    works.clock.jump(-DAY_S)
    second = works.submit(dependency=f"after:{first}").job_id
    works.engine.deliver()
    works.schedule()
    assert f"{second}.0.batch" in [unit.key for unit in works.engine.startable()]


def test_nobody_stands_behind_a_long_job_because_the_clock_was_set_back(works) -> None:
    """R27: who was handed over in advance is taken back after half a second of any clock."""
    for _ in range(2):
        works.run(_scheduled(works))
        works.engine.finish(works.engine.running()[0].key)
        works.engine.deliver()
    for _ in range(12):
        works.submit()
    works.schedule()
    behind = [unit for unit in works.engine.units.values() if unit not in works.engine.startable()]
    assert behind, "nobody was handed over in advance: the test shows nothing"
    works.clock.jump(-DAY_S)
    works.schedule()
    assert {type(event) for event in works.engine.outbox} == {Withdrawn}


def _scheduled(works: Works) -> int:
    job_id = works.submit().job_id
    works.schedule()
    return job_id
