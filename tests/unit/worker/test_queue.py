"""Turns, while the records cannot be had."""

from __future__ import annotations

import pytest

from stoker.core.errors import StoreAway, StoreFull


def test_a_server_that_is_silent_is_not_asked_by_every_turn(rooms):
    """It takes seconds to learn that it does not answer, and nobody gets a turn meanwhile."""
    job, read, asked = rooms.submit(), rooms.queue.rebuild, []

    def rebuild() -> None:
        asked.append(rooms.now_s)
        rooms.now_s += 3
        raise StoreAway("cannot reach the database")

    rooms.queue.is_stale, rooms.queue.rebuild = True, rebuild
    for _ in range(3):
        with pytest.raises(StoreAway), rooms.queue.turn():
            pytest.fail("memory is stale")
    assert len(asked) == 1
    rooms.queue.rebuild = read
    rooms.wait_s(3.5)
    assert not rooms.queue.is_stale
    assert rooms.active(job).job_id == job.job_id


def test_what_a_full_disk_holds_is_read_all_the_same(rooms, monkeypatch):
    job = rooms.submit()

    def refuse(_turn, _repository) -> None:
        raise StoreFull("cannot record anything: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("stoker.worker.queue.Turn.record", refuse)
        with pytest.raises(StoreFull):
            rooms.submit()
    assert rooms.queue.is_stale
    with rooms.queue.turn():
        assert rooms.active(job).job_id == job.job_id
