"""Delays that Slurm has and Stoker offers: before a new batch job, and before another run."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from stoker.core.enums import JobState
from support.works import Works

DELAY_S = 120.0


@pytest.fixture
def works_with(tmp_path):
    """Return a context: a worker with these settings."""

    @contextmanager
    def made(**settings):
        works = Works(tmp_path, **settings)
        yield works
        works.worker.tracker.check()
        works.close()

    return made


def test_a_requeued_job_waits_for_as_long_as_is_set(works_with):
    with works_with(requeue_delay_s=DELAY_S) as works:
        job = works.submit()
        works.schedule()
        key = works.run(job.job_id)
        works.ask("requeue", job.job_id)
        works.engine.finish(key)
        works.engine.deliver()
        waiting = works.job(job.job_id)
        assert (waiting.state, waiting.reason) == (JobState.PENDING, "BeginTime")
        assert waiting.begin_at == works.clock.now_s + DELAY_S
        works.clock.pass_by(DELAY_S)
        works.schedule()
        assert list(works.engine.units) == [f"{job.job_id}.1.batch"]


def test_a_job_that_has_ended_need_not_wait_for_another_run(works_with):
    with works_with(requeue_delay_s=DELAY_S) as works:
        job = works.submit()
        works.schedule()
        works.engine.finish(works.run(job.job_id))
        works.engine.deliver()
        works.ask("requeue", job.job_id)
        works.schedule()
        assert list(works.engine.units) == [f"{job.job_id}.1.batch"]


def test_a_task_of_what_is_no_array_is_not_waited_for(works_with):
    with works_with() as works:
        other = works.submit(hold=True)
        job = works.submit(dependency=f"afterok:{other.job_id}_1")
        assert works.job(job.job_id).dependency is None


def test_a_requeued_job_starts_at_once_if_nothing_is_set(works_with):
    with works_with() as works:
        job = works.submit()
        works.schedule()
        key = works.run(job.job_id)
        works.ask("requeue", job.job_id)
        works.engine.finish(key)
        works.engine.deliver()
        assert list(works.engine.units) == [f"{job.job_id}.1.batch"]


def test_new_batch_jobs_are_not_considered_before_their_delay_is_over(works_with):
    with works_with(batch_sched_delay_s=3.0) as works:
        job = works.submit()
        works.schedule()
        assert not works.engine.units
        assert works.job(job.job_id).reason == "None"
        assert works.worker.scheduler.next_wakeup_s() == pytest.approx(3.0)
        works.clock.pass_by(3.0)
        works.schedule()
        assert list(works.engine.units) == [f"{job.job_id}.0.batch"]


def test_who_asks_for_an_allocation_does_not_wait_for_batch_jobs_delay(works_with):
    with works_with(batch_sched_delay_s=3.0) as works:
        job = works.submit(interactive=True)
        assert job.state is JobState.RUNNING


def test_a_condition_on_an_array_names_all_its_tasks_also_when_they_have_ended(works_with):
    with works_with() as works:
        array = works.submit(array="1-2")
        after = works.submit(dependency=f"afterok:{array.job_id}")
        works.ask("cancel", array.job_id)
        found = works.job(after.job_id)
        assert found.reason == "DependencyNeverSatisfied"
        assert str(found.dependency.conditions[0]) == f"afterok:{array.job_id}_*"
