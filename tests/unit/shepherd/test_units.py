from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace

import msgspec
import pytest

from stoker.engines.base import Ended, Started, Warn
from stoker.shepherd.units import Group, Unit, ended
from support.engine import unit as order_of


def make(**changes: object) -> Unit:
    order = msgspec.to_builtins(order_of("1.0.batch", "true", **changes))
    return Unit(order, Group("1.0"), [])


def test_an_intent_is_all_that_the_next_shepherd_needs() -> None:
    warning = Warn(signal.SIGUSR1, 60.0, leader_only=True)
    unit = make(
        time_limit_s=90.0, warnings=(warning,), lane="7", notices={"timeout": "t"}, stderr="/e"
    )
    again = Unit(json.loads(json.dumps(unit.intent())), Group("1.0"), [])
    for name in ("key", "token", "is_leader", "lane", "limit_s", "kill_wait_s", "warnings"):
        assert getattr(again, name) == getattr(unit, name), name
    assert again.notices == unit.notices
    assert again.stderr == "/e"


@pytest.mark.parametrize("missing", ["key", "token", "leads", "kill_wait_s", "stdout"])
def test_an_order_that_lacks_something_is_refused(missing: str) -> None:
    order = msgspec.to_builtins(order_of("1.0.batch", "true"))
    del order[missing]
    with pytest.raises(KeyError):
        Unit(order, Group("1.0"), [])


@pytest.mark.parametrize(
    ("status", "code", "number"), [(0, 0, 0), (7 << 8, 7, 0), (9, 0, 9), (11 | 0x80, 0, 11)]
)
def test_events_are_what_the_engine_reads(status: int, code: int, number: int) -> None:
    unit = make()
    unit.pid, unit.ticks, unit.started_at, unit.ended_at = 5, 6, 7.25, 8.5
    unit.status, unit.usage = status, os.times() and _usage()
    started = msgspec.json.decode(unit.started(), type=Started)
    assert started == Started("1.0.batch", 5, 6, 7.25)
    end = msgspec.convert(ended(unit, oom=True), Ended)
    assert (end.exit_code, end.signal, end.status_known) == (code, number, True)
    assert end.oom
    assert end.usage is not None
    assert end.usage.maxrss_kib == 100


def _usage() -> SimpleNamespace:
    names = ("ru_minflt", "ru_majflt", "ru_inblock", "ru_oublock")
    return SimpleNamespace(ru_utime=1.0, ru_stime=2.0, ru_maxrss=100, **dict.fromkeys(names, 0))


def test_an_unknown_status_is_said_to_be_unknown() -> None:
    assert ended(make(), oom=False)["status_known"] is False


def test_pauses_add_up() -> None:
    group = Group("1.0")
    group.paused_s, group.paused_at = 10.0, 100.0
    assert group.pause_s(105.0) == 15.0
    group.paused_at = 0.0
    assert group.pause_s(105.0) == 10.0


def test_records_of_a_start_are_json() -> None:
    unit = make()
    unit.pid, unit.ticks, unit.started_at, unit.clock = 5, 6, 7.25, 8.0
    assert json.loads(unit.begin_record()) == ["begin", "1.0.batch", ""]
    assert json.loads(unit.start_record()) == ["start", "1.0.batch", 5, 6, 7.25, 8.0]
