"""Somebody sets the wall clock by a day, while jobs wait and run."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EAGAIN

import pytest

from stoker.core.enums import JobState
from stoker.engines.base import Withdrawn
from support.works import ROOT, Works

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


@pytest.mark.parametrize("by_s", [-DAY_S, DAY_S])
def test_an_allocation_ends_after_its_time_whatever_the_wall_clock_says(works, by_s) -> None:
    """R27: no shepherd watches the time of an allocation without a script; the daemon does."""
    job_id = works.submit(time_limit_s=60.0, interactive=True).job_id
    works.clock.pass_by(30.0)
    works.schedule()
    works.clock.jump(by_s)
    works.clock.pass_by(29.0)
    works.schedule()
    assert works.job(job_id).state is JobState.RUNNING
    works.clock.pass_by(1.5)
    works.schedule()
    ended = works.job(job_id)
    assert ended.state is JobState.TIMEOUT
    assert ended.end_at - ended.start_at == pytest.approx(60.5)
    assert ended.submit_at <= ended.start_at


def test_a_pause_that_the_clock_was_set_in_is_as_long_as_it_was(works) -> None:
    """R27: how long a job was suspended is no matter of the wall clock, either."""
    job_id = works.submit(time_limit_s=60.0).job_id
    works.schedule()
    works.run(job_id)
    works.ask("suspend", job_id, by=ROOT)
    works.clock.jump(DAY_S)
    works.schedule()
    works.clock.pass_by(5.0)
    works.ask("resume", job_id, by=ROOT)
    assert works.job(job_id).suspended_s == pytest.approx(5.0)


def _scheduled(works: Works) -> int:
    job_id = works.submit().job_id
    works.schedule()
    return job_id
