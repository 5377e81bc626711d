"""When the next look at what jobs hold comes: soon after a start, then less and less often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stoker.shepherd.memory import Memory, _pause_s
from stoker.shepherd.timers import Timers


def _unit(every_s: float | None, clock: float = 100.0) -> Any:
    return SimpleNamespace(recipe=SimpleNamespace(memory_check_s=every_s), clock=clock)


@pytest.mark.parametrize(
    ("every_s", "age_s", "pause_s"),
    [(30.0, 0.0, 2.0), (30.0, 2.0, 2.0), (30.0, 8.0, 8.0), (30.0, 99.0, 30.0), (0.5, 99.0, 0.5)],
)
def test_pauses_grow_with_age_to_what_was_asked_for(
    every_s: float, age_s: float, pause_s: float
) -> None:
    assert _pause_s(_unit(every_s), 100.0 + age_s) == pause_s


def test_one_look_serves_all_that_start_before_it() -> None:
    made: list[float] = []
    timers = Timers()
    at = timers.at
    timers.at = lambda when, call: made.append(when) or at(when, call)  # type: ignore[method-assign,func-returns-value]
    nothing: Any = None
    memory = Memory(nothing, nothing, nothing, timers)
    for unit in (_unit(None), _unit(30.0), _unit(30.0, 101.0), _unit(0.5, 101.0)):
        memory.expect(unit)
    assert made == [102.0, 101.5]
