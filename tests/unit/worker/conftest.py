"""A worker on an engine that only notes what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.recording_engine import Rooms

MakeRooms = Callable[..., Rooms]


@pytest.fixture
def make_rooms(tmp_path: Path) -> Iterator[MakeRooms]:
    """Make rooms with other settings; what they hold adds up when the test is over."""
    made: list[Rooms] = []

    def make(**settings: Any) -> Rooms:
        home = tmp_path / str(len(made))
        home.mkdir()
        made.append(Rooms(home, **settings))
        return made[-1]

    yield make
    for rooms in made:
        rooms.worker.tracker.check()
        rooms.end()


@pytest.fixture
def rooms(make_rooms: MakeRooms) -> Rooms:
    """Rooms in which nobody is handed over in advance."""
    return make_rooms(follow_depth_max=0)
