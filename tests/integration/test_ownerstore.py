"""Whose jobs are whose, by the record."""

from __future__ import annotations

from pathlib import Path

from stoker.core.models import Owner
from stoker.core.ownerstore import OwnerStore
from support.recording_engine import ALICE, Rooms

BOB = Owner(2002, "bob", 2002, "bob")


def test_the_record_tells_whose_jobs_are_whose_and_who_holds_something(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, follow_depth_max=0)
    store = OwnerStore(rooms.database)
    assert store.holders() == set()
    ended, running = rooms.running(), rooms.running(owner=BOB)
    rooms.finish(ended)
    waiting = rooms.submit(cpus_per_task=8)
    rooms.schedule()
    asked = [ended.job_id, running.job_id, waiting.job_id, *range(1000, 2000)]
    assert store.owners(asked) == {
        ended.job_id: ALICE.user_id,
        running.job_id: BOB.user_id,
        waiting.job_id: ALICE.user_id,
    }
    assert store.owners(()) == {}
    assert store.holders() == {BOB.user_id}
    rooms.finish(running)
    rooms.schedule()
    assert store.holders() == {ALICE.user_id}
    rooms.end()
