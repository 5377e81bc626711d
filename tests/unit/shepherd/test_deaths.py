"""What is told of a job whose processes the kernel ended for want of memory."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stoker.shepherd.cgroups import OFF, Cgroups
from stoker.shepherd.deaths import Deaths
from stoker.shepherd.endings import Endings
from stoker.shepherd.timers import Timers
from stoker.shepherd.units import DEAD, Group, Recipe, Unit
from support.engine import unit as order_of


class _Nothing:
    """Takes whatever is said."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


def _unit(**changes: Any) -> Unit:
    said = order_of("1.0.batch", "true", **changes)
    order = json.loads(json.dumps(_fields(said.recipe) | _fields(said)))
    unit = Unit(order, Recipe(order), Group("1.0"))
    unit.group.units[unit.key] = unit.group.leader = unit  # type: ignore[assignment]
    unit.state, unit.status = DEAD, 0
    unit.usage = SimpleNamespace(
        **dict.fromkeys(("ru_utime", "ru_stime"), 0.0),
        **dict.fromkeys(("ru_maxrss", "ru_minflt", "ru_majflt", "ru_inblock", "ru_oublock"), 0),
    )
    return unit


def _fields(struct: Any) -> dict[str, Any]:
    names = set(struct.__struct_fields__) - {"recipe"}
    return {name: getattr(struct, name) for name in names}


@pytest.mark.parametrize(
    ("events", "kills"), [("oom 3\noom_kill 2\n", 2), ("oom_kill 0\n", 0), ("", 0)]
)
def test_the_output_and_the_end_tell_of_what_the_kernel_did(
    tmp_path: Path, events: str, kills: int
) -> None:
    cgroups = Cgroups(OFF, "none")
    cgroups.base = str(tmp_path)
    (tmp_path / "group1").mkdir()
    (tmp_path / "group1" / "memory.events").write_text(events)
    output = tmp_path / "out"
    output.write_text("mine\n")
    nothing: Any = _Nothing()
    herd: Any = SimpleNamespace(groups={}, units={})
    deaths = Deaths(
        herd=herd,
        lanes=nothing,
        journal=nothing,
        trees=nothing,
        cgroups=cgroups,
        endings=Endings(nothing, cgroups, Timers()),
        limits=nothing,
        reports=nothing,
    )
    unit = _unit(stdout=str(output), notices={"oom": "{number} of {job}\n"})
    unit.group.cgroup, unit.group.has_memory_limit = "group1", True
    deaths.settle(unit.group)
    assert unit.event is not None
    assert json.loads(unit.event)["oom"] is (kills > 0)
    assert output.read_text() == ("mine\n2 of 1\n" if kills else "mine\n")
