"""Runners and the first thread: who acts, and on whom, in each order that threads may have."""

from __future__ import annotations

import _thread
import os
import select
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from stoker.shepherd.hands import Hand
from stoker.shepherd.lanes import Lanes
from stoker.shepherd.runners import Runners
from stoker.shepherd.units import ENDED, QUEUED, RUNNING
from support.engine import LIMIT_S, until


class Stage:
    """Real lanes and processes; what else is done at a birth and a death is only noted."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.started: list[Any] = []
        self.fails_with: Exception | None = None
        everything: dict[str, Any] = {
            "births": SimpleNamespace(start=self._start, on_line=None),
            "deaths": SimpleNamespace(reap_one=self._reap_one),
            "lanes": self.lanes,
            "reports": SimpleNamespace(is_due=lambda: False),
            "timers": SimpleNamespace(next_at=float("inf")),
            "trees": SimpleNamespace(can_list=True),
        }
        self.runners = Runners(**everything)

    def units(self, count: int) -> list[Any]:
        """Let units stand in a lane."""
        units = [SimpleNamespace(lane="l", state=QUEUED, pid=0) for _ in range(count)]
        for unit in units:
            self.lanes.join(unit)
        return units

    def withdraw(self, *units: Any) -> None:
        for unit in units:
            unit.state = ENDED
            self.lanes.leave(unit)

    def _start(self, unit: Any, _: Hand) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.started.append(unit)
        assert unit.state == QUEUED, "it was withdrawn, or was started before"
        unit.pid = os.posix_spawn("/bin/true", ["true"], {})
        unit.state = RUNNING

    def _reap_one(self, unit: Any) -> None:
        os.waitpid(unit.pid, 0)
        self.withdraw(unit)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Give a stage on which the first thread acts; in the end the runners go to their end."""
    stage = Stage()
    stage.runners.stop()
    yield stage
    stage.runners.go_on(float("inf"))
    until(lambda: not stage.runners, "the runners to have gone")
    os.close(stage.runners.wake_fd)
    assert stage.runners.defect is None


def test_who_is_withdrawn_before_the_runner_has_come_is_passed_over(stage: Stage) -> None:
    first, second, third = stage.units(3)
    assert stage.runners.take(stage.lanes.ready.popleft())
    stage.withdraw(first)
    stage.runners.go_on(float("inf"))
    until(lambda: not stage.runners, "the runner to have gone")
    stage.runners.stop()
    assert stage.started == [second, third]


def test_a_runner_whose_lane_was_emptied_leaves_the_next_of_that_name_to_another(
    stage: Stage,
) -> None:
    stale = stage.units(2)
    assert stage.runners.take(stage.lanes.ready.popleft())
    stage.withdraw(*stale[::-1])
    fresh = stage.units(2)
    assert list(stage.lanes.ready) == fresh[:1]
    assert stage.runners.take(stage.lanes.ready.popleft())
    stage.runners.go_on(float("inf"))
    until(lambda: not stage.runners, "the runners to have gone")
    stage.runners.stop()
    assert stage.started == fresh


def test_without_a_thread_the_lane_is_left_to_the_first_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    first, second = stage.units(2)
    assert not stage.runners.take(stage.lanes.ready.popleft())
    assert not stage.runners
    stage.withdraw(first)
    assert list(stage.lanes.ready) == [second]
    stage.withdraw(second)


def test_after_a_defect_nobody_starts_or_reaps_any_more(stage: Stage) -> None:
    first, second = stage.units(2)
    assert stage.runners.take(stage.lanes.ready.popleft())
    defect = stage.runners.defect = ArithmeticError()
    stage.runners.go_on(float("inf"))
    until(lambda: not stage.runners, "the runner to have gone")
    with pytest.raises(ArithmeticError) as raised:
        stage.runners.stop()
    assert raised.value is defect
    assert not stage.started
    assert [first.state, second.state] == [QUEUED] * 2
    stage.runners.defect = None


def test_who_breaks_a_step_tells_the_first_thread_before_anybody_acts(stage: Stage) -> None:
    stage.units(2)
    assert stage.runners.take(stage.lanes.ready.popleft())
    stage.fails_with = ZeroDivisionError()
    stage.runners.go_on(float("inf"))
    assert select.select([stage.runners.wake_fd], [], [], LIMIT_S)[0]
    with pytest.raises(ZeroDivisionError):
        stage.runners.stop()
    until(lambda: not stage.runners, "the runner to have gone")
    stage.runners.defect = None
