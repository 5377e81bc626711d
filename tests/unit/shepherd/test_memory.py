"""When the next look at what jobs hold comes: soon after a start, then less and less often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stoker.shepherd import memory as memory_module
from stoker.shepherd.memory import Memory, _kept, _pause_s
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


_STATUS = b"Name:\tx\nRssAnon:\t  1000 kB\nRssFile:\t 500 kB\nRssShmem:\t 24 kB\n"
_ROLLUP = b"55 ---p [rollup]\nPss_Anon:  250 kB\nPss_File: 9 kB\nPss_Shmem: 6 kB\n"
_HIDDEN, _ENDED = 3, 4


@pytest.mark.parametrize(
    ("pids", "kib"),
    [
        ((1,), 1024),
        ((1, 2), 512),
        ((1, 2, _HIDDEN), 2 * 256 + 1024),
        ((1, 2, _ENDED), 512),
    ],
)
def test_of_shared_pages_each_counts_its_part(
    monkeypatch: pytest.MonkeyPatch, pids: tuple[int, ...], kib: int
) -> None:
    def read(pid: int, name: str) -> bytes:
        if pid == _ENDED or (pid == _HIDDEN and name == "smaps_rollup"):
            return b""
        return {"status": _STATUS, "smaps_rollup": _ROLLUP}[name]

    monkeypatch.setattr(memory_module, "_read", read)
    members: Any = [(SimpleNamespace(pid=pid), None) for pid in pids]
    assert _kept(members, 1000 << 10) == kib << 10
