"""The doctor finds what is wrong and nothing else, with lanes, arrays and steps going on."""

from __future__ import annotations

import os

import pytest

from stoker.core import processes
from stoker.engines.base import Ended, Evidence, Started
from stoker.worker.doctor import examine
from support.recording_engine import BOOT, Rooms, submission


@pytest.fixture
def lively(rooms, monkeypatch):
    """Rooms with a bit of everything, whose processes are all alive."""
    monkeypatch.setattr(processes, "is_alive", lambda _: True)
    rooms.running()
    rooms.submit(array="1-9%1")
    rooms.submit(hold=True)
    interactive = rooms.running(interactive=True)
    rooms.step(interactive)
    rooms.schedule()
    rooms.engine.evidence = rooms.engine_knows_all()
    return rooms


def troubles(rooms: Rooms) -> dict[str, str]:
    """Return what is found wrong, by subject."""
    with rooms.queue.turn():
        found = examine(rooms.home, rooms.database, rooms.engine, rooms.worker.ledger)
    return {finding.subject: finding.text for finding in found if not finding.is_ok}


def test_all_is_well_where_all_is_well(lively):
    assert troubles(lively) == {}


@pytest.mark.parametrize(("mode", "word"), [("cgroup", "outlives"), ("scan", "can outlive")])
def test_what_the_machine_lets_us_promise_is_said_and_is_no_trouble(lively, mode, word):
    """R35: without control groups promises are weaker, and the doctor names them."""
    lively.engine.status = lambda: {"pid": 1, "mode": mode}
    with lively.queue.turn():
        found = examine(lively.home, lively.database, lively.engine, lively.worker.ledger)
    (said,) = [finding for finding in found if finding.subject == "containment"]
    assert said.is_ok
    assert word in said.text


def test_lanes_are_no_overbooking(make_rooms, monkeypatch):
    monkeypatch.setattr(processes, "is_alive", lambda _: True)
    rooms = make_rooms(follow_depth_max=8)
    for _ in range(5):
        job = rooms.running(cpus_per_task=8)
        rooms.now_s += 0.004
        rooms.finish(job)
    for _ in range(4):
        rooms.submit(cpus_per_task=8)
    rooms.schedule()
    assert rooms.worker.ledger.lanes.has_followers
    rooms.engine.evidence = rooms.engine_knows_all()
    assert troubles(rooms) == {}


def test_what_this_very_turn_has_changed_is_no_trouble(lively):
    with lively.queue.turn():
        lively.control.submit(submission())
        lively.worker.scheduler.schedule(lively.queue.current)
        assert troubles(lively) == {}


def test_a_job_that_the_engine_has_never_heard_of_is_found(lively):
    """H5."""
    lively.engine.evidence = Evidence(BOOT, frozenset(), {}, ())
    found = troubles(lively)["jobs and engine"]
    assert "job 1 is RUNNING, but the engine does not know it" in found
    assert "is reserved" in found


def test_an_end_that_is_on_its_way_is_no_trouble(lively):
    known = lively.engine_knows_all()
    running = {key: each for key, each in known.running.items() if key != "1.0.batch"}
    events = (Ended("1.0.batch", 0, 0, status_known=True, at=lively.now_s),)
    lively.engine.evidence = Evidence(BOOT, known.queued, running, events)
    assert troubles(lively) == {}


@pytest.mark.parametrize("is_queued", [False, True])
def test_what_the_engine_has_without_a_record_is_found(lively, is_queued):
    """H5."""
    known = lively.engine_knows_all()
    key = "77.0.batch"
    running = known.running if is_queued else {**known.running, key: Started(key, 1, 1, 1.0)}
    queued = known.queued | {key} if is_queued else known.queued
    lively.engine.evidence = Evidence(BOOT, queued, running, ())
    assert f"the engine has {key}" in troubles(lively)["engine and jobs"]


def test_a_process_that_has_gone_is_found_if_it_stays_so(lively, monkeypatch):
    monkeypatch.setattr(processes, "is_alive", lambda identity: identity.pid != 1001)
    assert "the process of 1.0.batch, 1001, is gone" in troubles(lively)["processes"]


def test_a_process_that_ended_between_two_looks_is_no_trouble(lively, monkeypatch):
    monkeypatch.setattr(processes, "is_alive", lambda identity: identity.pid != 1001)
    first, later = lively.engine.evidence, lively.engine_knows_all()
    del later.running["1.0.batch"]
    later = Evidence(
        BOOT, later.queued, later.running, (Ended("1.0.batch", 0, 0, status_known=True, at=1.0),)
    )
    looks = iter([first, first, first])
    monkeypatch.setattr(lively.engine, "survey", lambda: next(looks, later))
    assert troubles(lively) == {}


def test_a_job_that_memory_has_lost_is_found(lively):
    job = lively.active(1)
    del lively.queue.table.jobs[1]
    assert troubles(lively)["record and memory"] == "job 1 is in the record only"
    lively.queue.table.jobs[1] = job


def test_books_that_do_not_add_up_are_found(lively):
    job = lively.active(1)
    lively.worker.tracker.release(1)
    assert troubles(lively)["resources"] == "job 1 holds nothing"
    lively.worker.tracker.allocate(1, job.allocation.shares)


def test_many_troubles_are_counted(lively):
    keys = [f"{number}.0.batch" for number in range(100, 108)]
    lively.engine.evidence = Evidence(BOOT, frozenset(keys), lively.engine_knows_all().running, ())
    assert troubles(lively)["engine and jobs"].endswith("; and 3 more")


def test_a_home_that_cannot_be_written_is_found(lively, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written" in troubles(lively)["disk"]
