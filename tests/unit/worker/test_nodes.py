"""Nodes as operators and jobs have made them."""

from __future__ import annotations

import pytest

from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec, NotAllowed
from stoker.worker.outcomes import on_request
from support.recording_engine import ALICE, NODE, ROOT, abandoned_turn


def update(rooms, state, by=ROOT, reason="", node=NODE):
    with rooms.queue.turn():
        rooms.control.update_node(node, by, state, reason)


def status(rooms):
    (found,) = rooms.worker.nodes.statuses()
    return found


@pytest.mark.parametrize(("cpus", "word"), [(0, "IDLE"), (3, "MIXED"), (8, "ALLOCATED")])
def test_a_node_is_what_its_jobs_make_of_it(rooms, cpus, word):
    if cpus:
        rooms.running(cpus_per_task=cpus)
    assert (status(rooms).state, status(rooms).allocated_cpus) == (word, cpus)
    assert status(rooms).allocated_memory_mib == 100 * cpus


def test_a_drained_node_keeps_its_jobs_and_takes_no_more(rooms):
    rooms.running()
    update(rooms, "drain", reason="fan")
    rooms.submit()
    rooms.schedule()
    found = status(rooms)
    assert (found.state, found.reason, found.reason_user) == ("MIXED+DRAIN", "fan", "root")
    assert len(rooms.engine.launched()) == 1
    update(rooms, "RESUME")
    rooms.schedule()
    assert (status(rooms).state, status(rooms).reason) == ("MIXED", "")
    assert len(rooms.engine.launched()) == 2


def test_a_node_that_is_down_is_down(rooms):
    update(rooms, "DOWN", reason="smoke")
    assert status(rooms).state == "DOWN"


def test_what_was_said_outlives_a_restart_and_so_does_its_end(rooms):
    update(rooms, "DRAIN", reason="fan")
    rooms.restart()
    assert status(rooms).state == "IDLE+DRAIN"
    update(rooms, "UNDRAIN")
    rooms.restart()
    assert status(rooms).state == "IDLE"


def test_a_turn_that_was_not_recorded_has_drained_nothing(rooms):
    with abandoned_turn(rooms):
        rooms.control.update_node(NODE, ROOT, "DRAIN", "fan")
    with rooms.queue.turn():
        assert status(rooms).state == "IDLE"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"state": "PURPLE"}, "ESLURM_INVALID_NODE_STATE"),
        ({"state": "DRAIN", "node": "mars"}, "ESLURM_INVALID_NODE_NAME"),
    ],
)
def test_unknown_words_are_refused(rooms, said, code):
    with pytest.raises(InvalidSpec) as refusal:
        update(rooms, **said)
    assert refusal.value.code == code


def test_nodes_are_changed_by_operators(rooms, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(NotAllowed, match="cannot do that for alice"):
        update(rooms, "DRAIN", by=ALICE)
    assert status(rooms).state == "IDLE"


def test_what_runs_on_a_node_that_goes_down_is_ended_and_waits_again_if_it_may(rooms):
    again, never = rooms.running(), rooms.running(requeue=False)
    update(rooms, "DOWN", reason="smoke")
    assert again.ending is JobState.REQUEUED
    assert never.ending is JobState.NODE_FAIL
    assert on_request(never, 1.0).state is JobState.NODE_FAIL
    # What ended its first run, accounting still knows when it runs again.
    assert on_request(again, 1.0).state is JobState.NODE_FAIL
