"""The machine that the settings make of a host."""

from __future__ import annotations

import pytest

from stoker.core.hardware import Detected
from stoker.core.machine import machine_of
from stoker.core.settings import PartitionSettings, Settings, SettingsError
from stoker.core.units import FOREVER

HOST = Detected(cpus=(0, 1, 2, 3), memory_mib=8000, host="box")


def test_a_machine_is_the_host_unless_something_else_is_said():
    machine = machine_of(Settings(), HOST)
    (node,) = machine.nodes
    assert (node.name, node.cpus, node.memory_mib) == ("box", 4, 8000)
    assert (machine.cpus, machine.memory_mib, machine.default_mem_per_cpu_mib) == (4, 8000, 2000)
    assert machine.partitions[0].name == "debug"
    assert machine.partitions[0].is_default
    assert machine.binds_cores
    assert machine.warnings == ()


def test_nodes_share_the_totals():
    machine = machine_of(
        Settings(total_cpus=8, total_memory="16G", nodes="node[1-2]", gres="gpu:2,fpga"), HOST
    )
    assert [node.name for node in machine.nodes] == ["node1", "node2"]
    assert {(node.cpus, node.memory_mib) for node in machine.nodes} == {(4, 8192)}
    assert machine.nodes[1].gres == {"fpga": 1, "gpu": 2}
    assert machine.nodes[1].index == 1


def test_more_than_there_is_is_allowed_with_a_warning():
    machine = machine_of(Settings(total_cpus=8, total_memory="16G"), HOST)
    assert not machine.binds_cores
    assert [text.partition("=")[0] for text in machine.warnings] == [
        "STOKER_TOTAL_CPUS",
        "STOKER_TOTAL_MEMORY",
    ]


def test_partitions_have_their_limits_and_one_is_the_default():
    stated = (
        PartitionSettings(name="debug"),
        PartitionSettings(name="long", default=True, nodes="n2", max_time="7-0", default_time="60"),
    )
    machine = machine_of(Settings(nodes="n[1-2]", partitions=stated), HOST)
    debug, long = machine.partitions
    assert (debug.nodes, debug.max_time_s, debug.is_default) == (("n1", "n2"), None, False)
    assert (long.nodes, long.max_time_s, long.is_default) == (("n2",), 604_800.0, True)
    assert long.default_time_s == 3600.0


def test_a_default_of_no_limit_is_one():
    assert machine_of(Settings(default_time="UNLIMITED"), HOST).default_time_s in (None, FOREVER)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(total_memory="lots"), "lots"),
        (Settings(nodes="n[2-1]"), "2-1"),
        (Settings(nodes="n1,n1"), "n1"),
        (Settings(nodes="n[1-5]"), "STOKER_TOTAL_CPUS"),
        (Settings(nodes="n[1-2]", total_memory="1"), "STOKER_TOTAL_MEMORY"),
        (Settings(gres="gpu:x:y:z"), "gpu:x:y:z"),
        (Settings(default_time="soon"), "soon"),
        (Settings(partitions=(PartitionSettings(name="a", nodes="elsewhere"),)), "elsewhere"),
        (
            Settings(partitions=(PartitionSettings(name="a"), PartitionSettings(name="a"))),
            "named a",
        ),
    ],
)
def test_a_machine_that_cannot_be_is_refused_by_name(settings, named):
    with pytest.raises(SettingsError, match=named):
        machine_of(settings, HOST)


def test_temporary_space_is_that_of_the_host_unless_it_is_said() -> None:
    host = Detected((0,), 8000, "box", tmp_disk_mib=5000)
    found = [
        machine_of(Settings(tmp_disk=said), host).nodes[0].tmp_disk_mib for said in ("", "2G", "0")
    ]
    assert found == [5000, 2048, 0]
