from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stoker.engines.base import Ended, Started, Warn
from stoker.engines.orders import Orders
from stoker.shepherd import telling
from stoker.shepherd.units import Group, Recipe, Unit
from support.engine import CONTENTS
from support.engine import unit as order_of


def said_of(**changes: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return recipe and order of a unit, as the engine sends them."""
    body, _ = Orders(CONTENTS.__getitem__).launch([order_of("1.0.batch", "true", **changes)], {})
    message = json.loads(body)
    return message["recipes"][0], message["units"][0]


def make(**changes: object) -> Unit:
    recipe, order = said_of(**changes)
    return Unit(order, Recipe(recipe), Group("1.0"))


def test_an_intent_is_all_that_the_next_shepherd_needs() -> None:
    warning = Warn(signal.SIGUSR1, 60.0, leader_only=True)
    unit = make(
        time_limit_s=90.0,
        warnings=(warning,),
        lane="7",
        notices={"timeout": "t"},
        stderr="/e",
        memory_mib=50,
        memory_check_s=2.0,
    )
    intent = json.loads(json.dumps(unit.intent()))
    again = Unit(intent, Recipe(intent), Group("1.0"))
    for name in ("key", "token", "lane", "limit_s", "warnings", "stderr"):
        assert getattr(again, name) == getattr(unit, name), name
    for name in ("leads", "kill_wait_s", "notices", "memory_mib", "memory_check_s"):
        assert getattr(again.recipe, name) == getattr(unit.recipe, name), name
    assert again.stderr == "/e"


def test_a_notice_names_the_job() -> None:
    unit = make(notices={"timeout": "{job} at {time}"})
    assert (unit.notice("timeout"), unit.notice("cancelled")) == ("1 at {time}", "")


def test_a_notice_says_how_much_was_held() -> None:
    unit = make(notices={"memory": "{number} > 5"})
    unit.group.excess = 7
    assert unit.notice("memory") == "7 > 5"


@pytest.mark.parametrize("missing", ["key", "token", "leads", "kill_wait_s", "notices"])
def test_an_order_that_lacks_something_is_refused(missing: str) -> None:
    recipe, order = said_of()
    for part in (recipe, order):
        part.pop(missing, None)
    with pytest.raises(KeyError):
        Unit(order, Recipe(recipe), Group("1.0"))


@pytest.mark.parametrize(
    ("status", "code", "number"), [(0, 0, 0), (7 << 8, 7, 0), (9, 0, 9), (11 | 0x80, 0, 11)]
)
def test_events_are_what_the_engine_reads(status: int, code: int, number: int) -> None:
    unit = make()
    unit.pid, unit.ticks, unit.started_at, unit.ended_at = 5, 6, 7.25, 8.5
    unit.status, unit.usage = status, os.times() and _usage()
    started = msgspec.json.decode(telling.started(unit), type=Started)
    assert started == Started("1.0.batch", 5, 6, 7.25)
    end = msgspec.json.decode(telling.ended(unit, oom=True), type=Ended)
    assert (end.exit_code, end.signal, end.status_known) == (code, number, True)
    assert end.oom
    assert end.usage is not None
    assert end.usage.maxrss_kib == 100


def _usage() -> SimpleNamespace:
    names = ("ru_minflt", "ru_majflt", "ru_inblock", "ru_oublock")
    return SimpleNamespace(ru_utime=1.0, ru_stime=2.0, ru_maxrss=100, **dict.fromkeys(names, 0))


def test_an_unknown_status_is_said_to_be_unknown() -> None:
    assert json.loads(telling.ended(make(), oom=False))["status_known"] is False


def test_pauses_add_up() -> None:
    group = Group("1.0")
    group.paused_s, group.paused_at = 10.0, 100.0
    assert group.pause_s(105.0) == 15.0
    group.paused_at = 0.0
    assert group.pause_s(105.0) == 10.0


def test_records_of_a_start_are_json() -> None:
    unit = make()
    unit.pid, unit.ticks, unit.started_at, unit.clock = 5, 6, 7.25, 8.0
    assert json.loads(telling.begin_record(unit)) == ["begin", "1.0.batch", ""]
    assert json.loads(telling.start_record(unit)) == ["start", "1.0.batch", 5, 6, 7.25, 8.0]
