"""Looking at processes that may keep who looks waiting."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from stoker.worker import sampling
from stoker.worker.sampling import Sampler
from support.engine import until
from support.recording_engine import ALICE, BOB, Rooms


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have alice's processes answer only when they are let; note who is looked at."""
    answer = threading.Event()
    looked: list[tuple[Any, ...]] = []

    def samples_of(*asked: Any) -> Any:
        looked.append(asked[1:])
        if asked[1:] == (ALICE.user_id,):
            assert answer.wait(20), "nobody lets them answer"
        return {"batch": asked[1:]}

    monkeypatch.setattr(sampling, "samples_of", samples_of)
    monkeypatch.setattr(sampling, "_LOOK_S", 0.05)
    monkeypatch.setattr(sampling, "_PAUSE_S", 0.05)
    yield looked, answer
    answer.set()


def test_ones_own_processes_are_looked_at_in_place(make_rooms: Any, looks: Any) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0)
    looked, _ = looks
    assert rooms.control.steps.samples(rooms.running()) == {"batch": ()}
    assert rooms.control.steps.samples(rooms.submit(hold=True)) == {}
    assert looked == [()]


def test_who_does_not_answer_keeps_nobody_waiting_twice(
    make_rooms: Any, looks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    rooms: Rooms = make_rooms(follow_depth_max=0)
    looked, answer = looks
    sampler = Sampler(is_shared=True)
    hers, his = rooms.running(), rooms.running(owner=BOB)
    assert sampler.samples(hers) == {}
    assert sampler.samples(hers) == {}
    assert sampler.samples(his) == {"batch": (BOB.user_id,)}
    assert looked == [(ALICE.user_id,), (BOB.user_id,)]
    answer.set()
    until(lambda: sampler.samples(hers), "alice's processes")


def test_who_answers_late_again_and_again_keeps_nobody_waiting_again_and_again(
    make_rooms: Any, looks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sampling, "_PAUSE_S", 600.0)
    rooms: Rooms = make_rooms(follow_depth_max=0)
    looked, answer = looks
    sampler, hers = Sampler(is_shared=True), rooms.running()
    assert sampler.samples(hers) == {}
    answer.set()
    until(lambda: not sampler._looked_at, "the end of the first look")
    assert sampler.samples(hers) == {}
    assert looked == [(ALICE.user_id,)]
