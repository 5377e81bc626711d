"""What peers say: nonsense is refused before anything is taken on, and nothing of it stays open."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

from stoker.engines.orders import Orders
from stoker.shepherd.connection import ProtocolError
from stoker.shepherd.requests import Requests
from stoker.shepherd.units import Unit
from support.engine import CONTENTS, unit


class Stage:
    """Requests with nobody behind them; what would be taken on is kept."""

    def __init__(self) -> None:
        self.taken_on: list[Unit] = []
        everything: dict[str, Any] = {
            "herd": SimpleNamespace(units={}, groups={}),
            "births": SimpleNamespace(take_on=lambda units, _: self.taken_on.extend(units)),
            "deaths": None,
            "endings": None,
            "spawner": SimpleNamespace(environments={}, prepare=lambda _: None),
            "reports": None,
            "status": dict,
            "boot_id": "b",
        }
        self.requests = Requests(**everything)
        self.peer: Any = SimpleNamespace(is_primary=True)

    def begin(self, message: dict[str, Any], *descriptors: int) -> Any:
        return self.requests.begin(self.peer, message, json.dumps(message), list(descriptors))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def launch(*, count: int = 1, of_unit: Any = None, of_recipe: Any = None) -> dict[str, Any]:
    """Return a launch as the engine sends it, with some of it changed."""
    units = [unit(f"{number}.0.batch", "true", lane="l") for number in range(1, count + 1)]
    body, _ = Orders(CONTENTS.__getitem__).launch(units, {})
    message: dict[str, Any] = json.loads(body)
    message["units"][-1] |= of_unit or {}
    message["recipes"][0] |= of_recipe or {}
    return message


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "message",
    [
        launch(of_unit={"lane": ["l"]}),
        launch(of_unit={"lane": []}),
        launch(of_unit={"key": 7}),
        launch(of_unit={"token": None}),
        launch(of_unit={"group": {}}),
        launch(of_unit={"recipe": "first"}),
        launch(of_unit={"descriptors": 3}),
        launch(of_unit={"descriptors": [0]}),
        launch(of_unit={"descriptors": [-1]}),
        launch(of_unit={"descriptors": [0.0]}),
        launch(of_recipe={"number": []}),
        launch(of_recipe={"environment_key": {}}),
        launch(of_recipe={"kill_wait_s": float("nan")}),
        launch(of_recipe={"time_limit_s": float("inf")}),
        launch(of_recipe={"time_limit_s": "soon"}),
        launch(of_recipe={"memory_mib": "much"}),
        launch(of_recipe={"memory_check_s": []}),
        launch(of_recipe={"notices": 7}),
        launch(of_recipe={"warnings": [[1.0]]}),
        launch(of_recipe={"warnings": [["soon", 10, True]]}),
        launch(of_recipe={"warnings": [[1.0, 65, True]]}),
        launch(of_recipe={"warnings": ["USR1"]}),
        {"type": "launch", "recipes": 7, "units": []},
        {"type": "launch", "recipes": [7], "units": []},
        {"type": "launch", "recipes": [], "units": [[]]},
        {"type": "environments", "forget": 7, "contents": {}},
        {"type": "environments", "forget": [], "contents": ["A=1"]},
        {"type": "environments", "forget": [], "contents": {"plain": 7}},
    ],
)
def test_nonsense_costs_who_says_it_the_connection_and_takes_nobody_on(
    stage: Stage, message: dict[str, Any]
) -> None:
    order = stage.begin(message)
    with pytest.raises(ProtocolError):
        order.carry_out()
    assert not stage.taken_on


def test_what_a_launch_brought_is_closed_if_one_of_its_units_is_nonsense(stage: Stage) -> None:
    reading, writing = os.pipe()
    message = launch(count=2, of_unit={"descriptors": [7]})
    message["units"][0]["descriptors"] = [0]
    order = stage.begin(message, reading, writing)
    with pytest.raises(ProtocolError):
        order.carry_out()
    assert not is_open(reading)
    assert not is_open(writing)


def test_what_a_launch_brought_is_closed_if_its_peer_goes_before_it_is_carried_out(
    stage: Stage,
) -> None:
    reading, writing = os.pipe()
    stage.begin(launch(of_unit={"descriptors": [0]}), reading, writing).drop()
    assert not is_open(reading)
    assert not is_open(writing)


def test_each_descriptor_goes_to_the_unit_that_names_it_and_the_rest_is_closed(
    stage: Stage,
) -> None:
    reading, writing = os.pipe()
    stage.begin(launch(of_unit={"descriptors": [1, 1]}), reading, writing).carry_out()
    (taken_on,) = stage.taken_on
    assert taken_on.descriptors == [writing, -1]
    assert is_open(writing)
    assert not is_open(reading)
    taken_on.close()
    assert not is_open(writing)
