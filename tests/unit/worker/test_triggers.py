"""Triggers: pulled once, in the turn of their event, by jobs and by nodes."""

from __future__ import annotations

import pytest

from stoker.core.errors import InvalidSpec, NotAllowed, UnknownJob
from stoker.core.notices import Trigger
from stoker.core.noticestore import NoticeStore
from stoker.worker import triggers
from support.recording_engine import ALICE, ROOT


def keep(rooms, *events, by=ALICE, **fields):
    given = {"trigger_id": 0, "owner": by, "program": "/bin/hook -x 'a b'", **fields}
    with rooms.queue.turn():
        rooms.control.set_trigger(Trigger(events=events, **given))


def words(rooms):
    due = NoticeStore(rooms.database).due(1e12, 100)
    return [notice.argv for each in due.values() for notice in each]


def ids(rooms):
    return [each.trigger_id for each in rooms.control.triggers()]


def set_node(rooms, state):
    with rooms.queue.turn():
        rooms.control.update_node("node1", ROOT, state, "test")


def test_the_end_of_a_job_runs_the_program_once(rooms):
    job = rooms.running()
    keep(rooms, "fini", job_id=job.job_id)
    rooms.finish(job)
    assert words(rooms) == [("/bin/hook", "-x", "a b", "1")]
    assert ids(rooms) == []


def test_a_user_has_no_more_triggers_than_all_can_bear(rooms, monkeypatch):
    monkeypatch.setattr(triggers, "_OWN_MAX", 2)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    job = rooms.running()
    for after_s in range(2):
        keep(rooms, "fini", job_id=job.job_id, offset_s=after_s)
    with pytest.raises(NotAllowed, match="clear some first"):
        keep(rooms, "fini", job_id=job.job_id, offset_s=2)
    for after_s in range(3):
        keep(rooms, "fini", job_id=job.job_id, offset_s=after_s, by=ROOT)
    assert len(ids(rooms)) == 5


def test_a_job_that_ends_takes_its_other_triggers_along(rooms):
    job = rooms.running(time_limit_s=100.0)
    keep(rooms, "time", job_id=job.job_id, stays=True)
    rooms.finish(job)
    assert (words(rooms), ids(rooms)) == ([], [])


def test_before_its_limit_a_job_pulls_also_after_a_restart(rooms):
    job = rooms.running(time_limit_s=100.0)
    keep(rooms, "time", job_id=job.job_id, offset_s=-30)
    rooms.wait_s(60)
    rooms.schedule()
    assert words(rooms) == []
    rooms.restart()
    assert ids(rooms) == [1]
    rooms.wait_s(15)
    rooms.schedule()
    assert words(rooms) == [("/bin/hook", "-x", "a b", "1")]
    rooms.finish(job)


def test_nodes_pull_when_they_go_down_and_come_up(rooms):
    keep(rooms, "down", "up", by=ROOT, stays=True)
    keep(rooms, "drained", by=ROOT, node="elsewhere")
    for state in ("DOWN", "RESUME", "DRAIN", "RESUME"):
        rooms.wait_s(1)
        set_node(rooms, state)
    assert [said[-1] for said in words(rooms)] == ["node1"] * 3
    assert ids(rooms) == [1, 2]


def test_a_node_is_idle_when_the_last_job_on_it_has_ended(rooms):
    first, second = rooms.running(), rooms.running()
    keep(rooms, "idle", by=ROOT)
    rooms.finish(first)
    assert words(rooms) == []
    rooms.finish(second)
    assert words(rooms) == [("/bin/hook", "-x", "a b", "node1")]


def test_an_offset_delays_the_program(rooms):
    job = rooms.running()
    keep(rooms, "fini", job_id=job.job_id, offset_s=50)
    rooms.finish(job)
    store = NoticeStore(rooms.database)
    assert store.due(rooms.now_s + 49, 10) == {}
    assert len(store.due(rooms.now_s + 50, 10)[ALICE.user_id]) == 1


def test_only_a_job_that_is_there_and_ones_own_has_triggers(rooms):
    with pytest.raises(UnknownJob):
        keep(rooms, "fini", job_id=99)
    keep(rooms, "fini", by=ROOT, job_id=rooms.running().job_id)
    with pytest.raises(NotAllowed), rooms.queue.turn():
        rooms.control.clear_triggers(rooms.control.triggers(), ALICE)
    with rooms.queue.turn():
        rooms.control.clear_triggers(rooms.control.triggers(), ROOT)
    assert ids(rooms) == []


def test_the_same_trigger_is_kept_once_for_each_user_who_wants_it(rooms):
    job = rooms.running()
    keep(rooms, "fini", job_id=job.job_id)
    with pytest.raises(InvalidSpec) as refused:
        keep(rooms, "fini", job_id=job.job_id)
    assert refused.value.code == "ESLURM_TRIGGER_DUP"
    rooms.restart()
    with pytest.raises(InvalidSpec):
        keep(rooms, "fini", job_id=job.job_id)
    keep(rooms, "fini", job_id=job.job_id, by=ROOT)
    keep(rooms, "fini", job_id=job.job_id, stays=True)
    assert ids(rooms) == [1, 2, 3]


def test_a_list_of_nodes_is_for_each_of_them(rooms):
    keep(rooms, "drained", by=ROOT, node="node[1,3]", stays=True)
    keep(rooms, "drained", by=ROOT, node="node[2-3]")
    set_node(rooms, "DRAIN")
    assert words(rooms) == [("/bin/hook", "-x", "a b", "node1")]


def test_only_administrators_have_triggers_for_nodes(make_rooms):
    rooms = make_rooms(administrators="root")
    with pytest.raises(NotAllowed):
        keep(rooms, "down")
    keep(rooms, "down", by=ROOT)
    assert ids(rooms) == [1]


def test_numbers_are_not_given_twice(rooms):
    keep(rooms, "down", by=ROOT)
    with rooms.queue.turn():
        rooms.control.clear_triggers(rooms.control.triggers(), ROOT)
    rooms.restart()
    keep(rooms, "down", by=ROOT)
    assert ids(rooms) == [2]


def test_a_triggers_program_is_run_by_who_set_it(rooms):
    job = rooms.running()
    keep(rooms, "fini", job_id=job.job_id, by=ROOT)
    rooms.finish(job)
    due = NoticeStore(rooms.database).due(1e12, 100)
    assert [(user_id, len(own)) for user_id, own in due.items()] == [(0, 1)]
