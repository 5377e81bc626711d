"""Things that a queue once got wrong, each told as it happens to a worker over a real database."""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path

import msgspec
import pytest

from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec, StoreError, StoreFull
from stoker.core.units import parse_dependency
from support.works import CPUS, NODES, ROOT, Works, disk_full, records_at

LONG_S = 10.0


@pytest.fixture
def works(tmp_path: Path, database_url: str) -> Iterator[Works]:
    works = Works(tmp_path, records_at(database_url))
    yield works
    works.worker.tracker.check()
    works.close()


def drain(works: Works, node: str) -> None:
    with works.worker.queue.turn():
        works.worker.control.update_node(node, ROOT, "DRAIN", "a test")


# Ends.


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ({}, JobState.COMPLETED),
        ({"code": 3}, JobState.FAILED),
        ({"signal": 15, "why": "timeout"}, JobState.TIMEOUT),
        ({"signal": 9, "oom": True}, JobState.OUT_OF_MEMORY),
    ],
)
def test_a_job_that_came_and_went_while_the_daemon_was_away_ends_as_it_did(works, how, state):
    """Of what has ended the engine tells the end alone."""
    job = works.submit()
    works.schedule()
    works.kill()
    works.clock.pass_by(1.0)
    works.engine.start("1.0.batch")
    works.engine.finish("1.0.batch", **how)
    works.begin()
    job = works.job(job.job_id)
    assert (job.state, job.restarts) == (state, 0)
    assert 0 < job.start_at <= job.end_at
    assert not works.engine.units, "the engine was not told that the end is on record"


# Arrays.


def test_all_records_of_an_array_share_its_limit(works):
    """Tasks that were held, changed or requeued have records of their own."""
    array = works.submit(array="0-4%1")
    works.ask("hold", f"{array.job_id}_0,2")
    works.ask("release", f"{array.job_id}_0,2")
    works.schedule()
    assert len(works.engine.units) == 1, f"the limit is 1, and {works.engine.units} are to run"
    table = works.worker.queue.table
    reasons = [works.worker.scheduler.reason(job) for job in table if job.allocation is None]
    assert set(reasons) == {"JobArrayTaskLimit"}
    key = next(iter(works.engine.units))
    works.engine.start(key)
    works.engine.finish(key)
    works.engine.deliver()
    assert len(works.engine.units) == 1


def test_a_task_with_a_record_of_its_own_keeps_the_deadline_of_its_array(works):
    array = works.submit(array="0-2", deadline_at=works.clock.now_s + 100, hold=True)
    works.ask("hold", f"{array.job_id}_0")
    works.clock.pass_by(200)
    works.schedule()
    records = works.worker.repository.family(array.job_id)
    assert [job.state for job in records] == [JobState.DEADLINE] * 2


def test_deadlines_that_come_together_end_each_job_once(works):
    """The end of the first lets the second look, which sees that it is too late as well."""
    held = works.submit(hold=True)
    at = works.clock.now_s + 100
    first = works.submit(dependency=f"afterok:{held.job_id}", deadline_at=at)
    second = works.submit(dependency=f"afterany:{first.job_id}", deadline_at=at)
    works.clock.pass_by(200)
    works.schedule()
    ended = [works.job(job.job_id).state for job in (first, second)]
    assert ended == [JobState.DEADLINE] * 2


def test_an_arrays_own_number_stays_on_record_when_its_tasks_are_taken_back(works):
    """The task that starts last keeps it, and may come back after another one has."""
    drain(works, NODES[0])
    others = [works.submit() for _ in range(4)]
    array = works.submit(array="0-2")
    works.schedule()
    works.engine.start(f"{others[0].job_id}.0.batch")
    works.engine.finish(f"{others[0].job_id}.0.batch")
    works.engine.deliver()
    standing = [unit.key for unit in works.engine.units.values() if unit.unit.lane != "6"]
    assert f"{array.job_id}.0.batch" in standing, f"nobody stands in a lane: {standing}"
    works.clock.pass_by(LONG_S)
    works.schedule()
    works.engine.deliver()
    job = works.job(array.job_id)
    assert job.state is JobState.PENDING
    waiting = [each for each in works.worker.queue.table.array(array.job_id) if each.array]
    assert [each.display_id for each in waiting] == [f"{array.job_id}_[1-2]"]


# Memory and record.


def test_what_the_next_daemon_finds_to_be_due_is_recorded(works):
    """The time to begin has come while nobody was there to see it."""
    job = works.submit(begin_at=works.clock.now_s + 100)
    assert works.job(job.job_id).reason == "BeginTime"
    works.kill()
    works.clock.pass_by(200)
    works.begin()
    job = works.job(job.job_id)
    assert (job.reason, job.eligible_at) == ("None", works.clock.now_s)
    assert works.worker.queue.table.jobs == {job.job_id: job}


def test_a_memory_that_could_not_be_filled_is_not_used(works, monkeypatch):
    works.submit()
    works.worker.queue.is_stale = True

    def break_off() -> None:
        raise StoreError("it cannot be read")

    with monkeypatch.context() as broken:
        broken.setattr(works.worker.nodes, "load", break_off)
        with pytest.raises(StoreError):
            works.schedule()
    assert works.worker.queue.is_stale
    works.schedule()
    assert list(works.engine.units) == ["1.0.batch"]


# Dependencies.


def test_who_waited_in_vain_has_hope_again_when_the_other_is_requeued(works):
    first = works.submit()
    works.ask("cancel", first.job_id)
    second = works.submit(dependency=f"afterok:{first.job_id}")
    assert works.job(second.job_id).reason == "DependencyNeverSatisfied"
    works.ask("requeue", first.job_id)
    assert works.job(second.job_id).reason == "Dependency"


def test_a_singleton_does_not_wait_for_a_later_namesake_that_was_requeued_and_is_held(works):
    earlier = works.submit(name="only")
    single = works.submit(name="only", dependency="singleton")
    later = works.submit(name="only")
    works.schedule()
    works.engine.finish(works.run(earlier.job_id))
    key = works.run(later.job_id)
    works.engine.deliver()
    assert works.job(single.job_id).reason == "Dependency"
    works.ask("requeue", later.job_id, hold=True)
    works.engine.finish(key)
    works.engine.deliver()
    assert works.job(later.job_id).restarts == 1
    assert f"{single.job_id}.0.batch" in works.engine.units


def test_a_singleton_hears_that_its_namesake_has_another_name(works):
    other = works.submit(name="only")
    works.schedule()
    works.run(other.job_id)
    single = works.submit(name="only", dependency="singleton")
    works.ask("update", other.job_id, {"name": "another"})
    works.schedule()
    assert f"{single.job_id}.0.batch" in works.engine.units


# Lanes.


def test_who_was_taken_back_and_reserved_anew_is_not_taken_back_by_the_first_answer(works):
    """The daemon may ask twice before it has heard once."""
    drain(works, NODES[0])
    jobs = [works.submit() for _ in range(6)]
    works.schedule()
    works.engine.start(f"{jobs[0].job_id}.0.batch")
    works.engine.finish(f"{jobs[0].job_id}.0.batch")
    works.engine.deliver()
    behind = [key for key in works.engine.units if works.worker.ledger.lanes.is_behind(int(key[0]))]
    assert behind, "nobody stands in a lane"
    works.clock.pass_by(LONG_S)
    works.schedule()
    works.schedule()
    with works.worker.queue.turn():
        works.worker.control.update_node(NODES[0], ROOT, "RESUME", "a test")
    while works.engine.outbox:
        works.engine.deliver(1)
    on_record = [works.job(int(key[0])) for key in behind]
    tokens = {key: unit.unit.token for key, unit in works.engine.units.items()}
    assert [tokens[key] for key in behind] == [job.allocation.token for job in on_record]


def test_one_task_of_a_cancelled_array_is_requeued_alone(works):
    array = works.submit(array="0-4")
    works.ask("cancel", array.job_id)
    works.ask("requeue", f"{array.job_id}_1")
    works.ask("requeue", f"{array.job_id}_2-3", hold=True)
    found = {job.display_id: job.state for job in works.worker.repository.family(array.job_id)}
    assert found == {
        f"{array.job_id}_[0,4]": JobState.CANCELLED,
        f"{array.job_id}_1": JobState.PENDING,
        f"{array.job_id}_[2-3]": JobState.PENDING,
    }


def test_tasks_to_which_nothing_corresponds_do_not_fall_with_the_others(works):
    first = works.submit(array="0-2")
    second = works.submit(array="0-4", dependency=f"aftercorr:{first.job_id}")
    works.ask("cancel", f"{first.job_id}_0")
    works.ask("cancel", f"{first.job_id}_1")
    works.ask("cancel", f"{first.job_id}_2")
    works.schedule()
    table = works.worker.queue.table
    reasons = {job.display_id: job.reason for job in table.array(second.job_id)}
    assert reasons.pop(f"{second.job_id}_[0-2]") == "DependencyNeverSatisfied"
    assert set(reasons) == {f"{second.job_id}_3", f"{second.job_id}_4"}
    assert len(works.engine.units) == 2


def test_nobody_is_made_to_wait_for_himself(works):
    first, second = works.submit(), works.submit(dependency="afterok:1")
    third = works.submit(dependency=f"afterany:{second.job_id}")
    array = works.submit(array="0-3", hold=True)
    on_itself, circular = "ESLURM_DEPENDENCY", "ESLURM_CIRCULAR_DEPENDENCY"
    for job, dependency, code in [
        (first.job_id, f"afterok:{first.job_id}", on_itself),
        (first.job_id, f"after:{third.job_id}", circular),
        (array.job_id, f"afterok:{array.job_id}_2", on_itself),
        (f"{array.job_id}_2", f"afterok:{array.job_id}", on_itself),
    ]:
        with pytest.raises(InvalidSpec) as refusal:
            works.ask("update", job, {"dependency": parse_dependency(dependency)})
        assert refusal.value.code == code
    one_after_the_other = {"dependency": parse_dependency(f"afterok:{array.job_id}_2")}
    works.ask("update", f"{array.job_id}_3", one_after_the_other)


def test_who_opened_a_lane_and_is_requeued_does_not_open_it_again_over_others(works):
    drain(works, NODES[0])
    jobs = [works.submit() for _ in range(9)]
    works.schedule()
    works.engine.finish(works.run(jobs[0].job_id))
    works.engine.deliver()
    opener = next(job for _, (job, *others) in works.worker.ledger.lanes.lines() if others)
    works.engine.lose(f"{opener}.0.batch")
    with works.worker.queue.turn():
        works.worker.control.update_node(NODES[0], ROOT, "RESUME", "a test")
    works.engine.deliver()
    assert works.job(opener).allocation.lane != opener
    works.worker.tracker.check()
    while works.engine.units:
        for unit in works.engine.startable():
            works.engine.start(unit.key)
            works.engine.finish(unit.key)
        works.engine.deliver()
    assert {works.job(job.job_id).state for job in jobs} == {JobState.COMPLETED}


# A full disk.


def test_a_failed_start_that_cannot_be_recorded_does_not_keep_the_scheduler_awake(works):
    """Where the disk is full the engine cannot keep its journal either."""
    job = works.submit()
    works.schedule()
    works.engine.refuse("1.0.batch", "journal", ENOSPC)
    works.database.fail(disk_full, before=1)
    works.engine.deliver()
    assert works.worker.reports.is_behind
    works.schedule()
    works.clock.pass_by(LONG_S)
    works.schedule()
    assert not works.worker.reports.is_behind
    works.clock.pass_by(LONG_S)
    works.schedule()
    assert works.job(job.job_id).allocation is not None


def test_tasks_above_the_limit_of_their_array_do_not_keep_the_scheduler_awake(works):
    array = works.submit(array="0-3%1")
    works.ask("hold", f"{array.job_id}_0,1")
    works.schedule()
    (key,) = works.engine.units
    works.engine.start(key)
    works.engine.finish(key)
    works.ask("release", f"{array.job_id}_0,1")
    works.database.fail(disk_full, before=1)
    works.engine.deliver()
    works.schedule()
    works.clock.pass_by(LONG_S)
    works.schedule()
    assert len(works.engine.units) == 1


def test_lanes_that_could_not_be_recorded_do_not_keep_the_scheduler_awake(works):
    drain(works, NODES[0])
    jobs = [works.submit() for _ in range(9)]
    works.schedule()
    works.engine.finish(works.run(jobs[0].job_id))
    works.database.fail(disk_full, before=1)
    works.engine.deliver()
    with pytest.raises(StoreFull):
        works.schedule()
    works.clock.pass_by(LONG_S)
    works.schedule()
    assert not works.worker.reports.is_behind


# What was asked of the engine, and never heard.


def suspended(works: Works) -> bool:
    (unit,) = works.engine.running()
    return unit.is_suspended


@pytest.mark.parametrize("how", ["the daemon died", "the connection broke"])
def test_what_the_engine_did_not_hear_is_asked_again(works, how):
    def go_on() -> None:
        if how == "the daemon died":
            works.restart()
        else:
            works.engine.tell(works.engine.reconnect_events())

    job = works.submit()
    works.schedule()
    works.run(job.job_id)
    works.engine.is_prompt = False
    works.ask("suspend", job.job_id, by=ROOT)
    go_on()
    works.engine.read()
    assert suspended(works)
    works.ask("resume", job.job_id, by=ROOT)
    works.ask("update", job.job_id, {"time_limit_s": 60.0})
    go_on()
    works.engine.read()
    assert not suspended(works)
    assert works.engine.running()[0].time_limit_s == 60.0
    works.ask("cancel", job.job_id)
    go_on()
    works.engine.read()
    assert works.engine.running()[0].ending == "cancelled"


# The machine.


@pytest.mark.parametrize(
    "less",
    [
        {"total_cpus": 2},
        {"total_memory": "3000"},
        {"nodes": NODES[1], "partitions": ()},
        {"nodes": "renamed", "partitions": ()},
    ],
)
def test_a_daemon_starts_on_a_machine_that_has_become_smaller_or_was_renamed(works, less):
    """Whoever ran where nothing is now runs on, and leaves nothing behind in the books."""
    jobs = [works.submit() for _ in range(CPUS)]
    works.schedule()
    for unit in works.engine.startable():
        works.engine.start(unit.key)
    works.engine.deliver()
    works.kill()
    works.settings = msgspec.structs.replace(works.settings, **less)
    works.begin()
    assert {works.job(job.job_id).state for job in jobs} == {JobState.RUNNING}
    works.worker.tracker.check()
    works.submit()
    works.schedule()
    for job in jobs:
        works.engine.finish(f"{job.job_id}.0.batch")
    works.engine.deliver()
    assert {works.job(job.job_id).state for job in jobs} == {JobState.COMPLETED}
    assert len(works.engine.units) == 1
    assert works.worker.tracker.used_cpus == 1
