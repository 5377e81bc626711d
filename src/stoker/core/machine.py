"""What there is to give out: the host, or what the settings say it is, as nodes and partitions.

Derived from the settings and what was found of the host, once a start. Notations are read here: a
setting that cannot be read, or that contradicts another, is refused by name.

Always holds: the nodes are equal, and each has at least a CPU and a mebibyte; names of nodes and
of partitions are unique; just one partition is the default.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from stoker.core.hardware import Detected
from stoker.core.models import FOREVER, Node, Partition
from stoker.core.prioritysettings import PrioritySettings, PriorityTimes
from stoker.core.settings import PartitionSettings, Settings, SettingsError
from stoker.core.units import (
    NotationError,
    expand_hosts,
    parse_gres,
    parse_licenses,
    parse_memory,
    parse_time_limit,
)


class Machine(msgspec.Struct, frozen=True):
    """Nodes, partitions, and what jobs get that ask for nothing."""

    nodes: tuple[Node, ...]
    partitions: tuple[Partition, ...]
    default_mem_per_cpu_mib: int
    default_time_s: float | None
    binds_cores: bool
    priority_times: PriorityTimes = PriorityTimes.of(PrioritySettings())
    licenses: Mapping[str, int] = {}
    warnings: tuple[str, ...] = ()

    @property
    def cpus(self) -> int:
        """Return the CPUs over all nodes."""
        return sum(node.cpus for node in self.nodes)

    @property
    def memory_mib(self) -> int:
        """Return the memory over all nodes."""
        return sum(node.memory_mib for node in self.nodes)


def machine_of(settings: Settings, detected: Detected) -> Machine:
    """Return what the settings make of the host.

    Raises:
        SettingsError: A notation that cannot be read, or a partition over unknown nodes.
    """
    try:
        return _machine_of(settings, detected)
    except NotationError as error:
        raise SettingsError(f"cannot use the settings: {error}") from None


def _machine_of(settings: Settings, detected: Detected) -> Machine:
    cpus = settings.total_cpus or len(detected.cpus)
    memory = _memory(settings.total_memory) or detected.memory_mib
    nodes = _nodes(settings, detected, cpus, memory)
    return Machine(
        nodes=nodes,
        partitions=_partitions(settings, tuple(node.name for node in nodes)),
        default_mem_per_cpu_mib=_memory(settings.default_mem_per_cpu)
        or max(1, nodes[0].memory_mib // nodes[0].cpus),
        default_time_s=_time(settings.default_time),
        licenses=dict(parse_licenses(settings.licenses)),
        binds_cores=settings.affinity and cpus <= len(detected.cpus),
        priority_times=PriorityTimes.of(settings),
        warnings=_warnings(cpus, memory, detected),
    )


def _nodes(settings: Settings, detected: Detected, cpus: int, memory: int) -> tuple[Node, ...]:
    """Return the nodes, each with an equal share of CPUs and memory."""
    names = tuple(expand_hosts(settings.nodes)) or (detected.host,)
    _check_are_unique("node", names)
    share, memory_share = cpus // len(names), memory // len(names)
    if share < 1 or memory_share < 1:
        raise SettingsError(
            f"cannot share {cpus} CPUs and {memory}M among {len(names)} nodes: each needs one of "
            "both; set STOKER_TOTAL_CPUS and STOKER_TOTAL_MEMORY"
        )
    gres = dict(parse_gres(settings.gres))
    tmp_disk = _memory(settings.tmp_disk) if settings.tmp_disk else detected.tmp_disk_mib
    return tuple(
        Node(name, index, share, memory_share, gres, tmp_disk_mib=tmp_disk or 0)
        for index, name in enumerate(names)
    )


def _warnings(cpus: int, memory: int, detected: Detected) -> tuple[str, ...]:
    found = []
    if cpus > len(detected.cpus):
        found.append(
            f"STOKER_TOTAL_CPUS={cpus} is more than the {len(detected.cpus)} there are: "
            "jobs share cores and are not bound to them"
        )
    if memory > detected.memory_mib:
        found.append(
            f"STOKER_TOTAL_MEMORY={memory}M is more than the {detected.memory_mib}M there are"
        )
    return tuple(found)


def _partitions(settings: Settings, names: tuple[str, ...]) -> tuple[Partition, ...]:
    stated = settings.partitions or (PartitionSettings(name="debug", default=True),)
    _check_are_unique("partition", tuple(entry.name for entry in stated))
    default = next((entry.name for entry in stated if entry.default), stated[0].name)
    return tuple(_partition(entry, names, is_default=entry.name == default) for entry in stated)


def _partition(entry: PartitionSettings, names: tuple[str, ...], *, is_default: bool) -> Partition:
    nodes = tuple(expand_hosts(entry.nodes)) if entry.nodes not in ("", "ALL") else names
    if unknown := set(nodes) - set(names):
        raise SettingsError(
            f"cannot make partition {entry.name}: there is no node {min(unknown)}; "
            f"the nodes are {','.join(names)}"
        )
    return Partition(
        name=entry.name,
        nodes=nodes,
        is_default=is_default,
        state=entry.state,
        priority_tier=entry.priority_tier,
        priority_job_factor=entry.priority_job_factor,
        max_time_s=_limit(entry.max_time),
        default_time_s=_time(entry.default_time),
        max_nodes=entry.max_nodes,
        default_mem_per_cpu_mib=_memory(entry.default_mem_per_cpu) or None,
        max_mem_per_node_mib=_memory(entry.max_mem_per_node) or None,
    )


def _check_are_unique(what: str, names: tuple[str, ...]) -> None:
    name, count = max(Counter(names).items(), key=lambda item: item[1])
    if count > 1:
        raise SettingsError(f"cannot have {count} {what}s named {name}: give each its own name")


def _memory(text: str) -> int:
    return parse_memory(text) if text else 0


def _time(text: str) -> float | None:
    return parse_time_limit(text) if text else None


def _limit(text: str) -> float | None:
    """Read a maximum; UNLIMITED is none."""
    limit = _time(text)
    return None if limit == FOREVER else limit
