"""Who is an operator: by default who runs the daemon, else whom the settings name."""

from __future__ import annotations

import os
from typing import Any

import pytest

from stoker.core.errors import NotAllowed
from stoker.core.models import Owner
from stoker.core.settings import Settings
from stoker.worker.operators import Operators
from support.recording_engine import ALICE, BOB, ROOT, Rooms

ME = Owner(os.geteuid(), "whoever", os.getegid(), "whoever")


def test_by_default_root_and_who_runs_the_daemon_are():
    operators = Operators(Settings())
    assert ROOT in operators
    assert ME in operators
    assert Owner(os.geteuid() + 4711, "other", 1, "other") not in operators


def test_where_some_are_named_only_they_and_root_are():
    operators = Operators(Settings(administrators="bob, carol"))
    assert ROOT in operators
    assert BOB in operators
    assert Owner(4711, "me", 1, "me") not in operators
    with pytest.raises(NotAllowed, match="only root and bob, carol may"):
        operators.check(ALICE)


@pytest.mark.parametrize(
    "changes", [{"nice": -100}, {"admin_comment": "hey"}, {"oversubscribe": True}]
)
def test_a_user_may_not_give_a_job_what_only_operators_give(
    make_rooms: Any, changes: dict[str, object]
) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0, administrators="bob")
    job = rooms.submit(hold=True)
    with pytest.raises(NotAllowed):
        rooms.ask("update", job.job_id, ALICE, changes)
    rooms.ask("update", job.job_id, ROOT, changes)


def test_nodes_are_drained_by_operators(make_rooms: Any) -> None:
    rooms: Rooms = make_rooms(administrators="bob")
    with rooms.queue.turn(), pytest.raises(NotAllowed):
        rooms.control.update_node("node1", ALICE, "DRAIN", "x")
    with rooms.queue.turn():
        rooms.control.update_node("node1", BOB, "DRAIN", "x")
