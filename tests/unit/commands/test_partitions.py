"""A partition's part in priorities: changed by scontrol, shown by scontrol and sinfo."""

from __future__ import annotations

import msgspec
import pytest

from stoker.commands.scontrol import scontrol
from stoker.commands.sinfo import sinfo
from support.controller import MACHINE, PARTITIONS, ROOT, FakeController, call_of, converse


def test_what_a_partition_counts_is_changed_and_shown() -> None:
    favoured = msgspec.structs.replace(PARTITIONS[0], priority_job_factor=7)
    machine = msgspec.structs.replace(MACHINE, partitions=(favoured, *PARTITIONS[1:]))
    cluster = FakeController(machine)
    words = ("update", "PartitionName=debug", "PriorityJobFactor=7")
    assert not converse(scontrol(call_of("scontrol", *words, owner=ROOT), cluster)).code
    assert cluster.called("update_partition") == [("debug", "root", {"priority_job_factor": 7})]
    out = converse(scontrol(call_of("scontrol", "show", "partition", "debug"), cluster)).out
    assert "PriorityJobFactor=7 PriorityTier=1" in out
    out = converse(sinfo(call_of("sinfo", "-h", "-o", "%R %I", "-S", "-I"), cluster)).out
    assert out.splitlines()[0] == "debug 7"


@pytest.mark.parametrize("value", ["-1", "65534", "x", ""])
def test_a_factor_that_is_none_is_refused(value: str) -> None:
    cluster = FakeController()
    words = ("update", "PartitionName=debug", f"PriorityJobFactor={value}")
    assert converse(scontrol(call_of("scontrol", *words, owner=ROOT), cluster)).code
    assert not cluster.called("update_partition")
