"""The columns of sinfo: headings and values, by letter and by name, and the keys of --sort.

Source: sinfo(1) "--format" and "--Format"; headings and values as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from stoker.commands import nodeview
from stoker.commands.formats import Field
from stoker.commands.scene import Scene
from stoker.commands.sinfo.rows import Row
from stoker.core.models import Partition
from stoker.core.units import format_elapsed
from stoker.worker.controller import Controller, NodeStatus

RowField = Field[Row]

_NO_STATE: Final = "n/a"


def _constant(heading: str, text: str | None) -> RowField:
    return Field(heading, lambda _: text)


def _of_partition(heading: str, read: Callable[[Partition], str]) -> RowField:
    return Field(heading, lambda row: read(row.partition))


def _of_node(heading: str, read: Callable[[NodeStatus], str | None]) -> RowField:
    """A fact about a node, for all nodes of the row the same."""
    return Field(heading, lambda row: read(row.node) if row.node else None)


def _least(heading: str, read: Callable[[NodeStatus], int]) -> RowField:
    """A number that nodes of one row may differ in: the least, with ``+`` if some have more."""

    def text(row: Row) -> str:
        numbers = [read(status) for status in row.nodes] or [0]
        return f"{min(numbers)}+" if max(numbers) > min(numbers) else str(min(numbers))

    return Field(heading, text)


def _span(heading: str, read: Callable[[NodeStatus], str]) -> RowField:
    """A measure that nodes of one row may differ in: from the least to the greatest."""

    def text(row: Row) -> str:
        texts = [read(status) for status in row.nodes] or ["0"]
        least, greatest = min(texts, key=float), max(texts, key=float)
        return least if least == greatest else f"{least}-{greatest}"

    return Field(heading, text)


def _counts(heading: str, read: Callable[[Row], tuple[int, int, int]]) -> RowField:
    """Allocated, idle, other and all of them."""

    def text(row: Row) -> str:
        found = read(row)
        return "/".join(map(str, (*found, sum(found))))

    return Field(heading, text)


def _busy_and_idle(row: Row) -> str:
    busy, idle, _ = row.node_counts
    return f"{busy}/{idle}"


def _partition_name(partition: Partition) -> str:
    return f"{partition.name}*" if partition.is_default else partition.name


def _keep_star(text: str, width: int, _is_right: bool) -> str:  # noqa: FBT001 - a Fit
    """Fit a partition's name: the star of the default one is never cut."""
    if len(text) > width and text.endswith("*"):
        return f"{text[: width - 1]}*"
    return text[:width]


def _size(partition: Partition) -> str:
    most = "infinite" if partition.max_nodes is None else partition.max_nodes
    least = max(1, partition.min_nodes)
    return str(least) if least == most else f"{least}-{most}"


def _time_limit(partition: Partition) -> str:
    seconds = partition.max_time_s
    return "infinite" if seconds is None else format_elapsed(seconds)


def _default_time(partition: Partition) -> str:
    seconds = partition.default_time_s
    return "n/a" if seconds is None else format_elapsed(seconds)


def _state(read: Callable[[nodeview.NodeState], str]) -> Callable[[Row], str]:
    return lambda row: read(row.state) if row.state else _NO_STATE


_AVAIL: Final = _of_partition("AVAIL", lambda partition: _availability(partition.state))
_CORES: Final = _least("CORES", lambda status: status.node.cpus)
_CPUS: Final = _least("CPUS", lambda status: status.node.cpus)
_CPU_COUNTS: Final = _counts("CPUS(A/I/O/T)", lambda row: row.cpu_counts)
_DEFAULT_TIME: Final = _of_partition("DEFAULTTIME", _default_time)
_FEATURES: Final = _of_node("AVAIL_FEATURES", nodeview.features_text)
_FEATURES_ACTIVE: Final = _of_node("ACTIVE_FEATURES", nodeview.features_text)
_FREE_MEMORY: Final = _span("FREE_MEM", lambda status: str(status.free_memory_mib))
_GRES: Final = _of_node("GRES", nodeview.gres_text)
_GROUPS: Final = _constant("GROUPS", "all")
_LOAD: Final = _span("CPU_LOAD", lambda status: f"{status.load:.2f}")
_MEMORY: Final = _least("MEMORY", lambda status: status.node.memory_mib)
_NODES: Final = Field[Row]("NODES", lambda row: str(len(row.nodes)))
_NODES_BUSY_IDLE: Final = Field[Row]("NODES(A/I)", _busy_and_idle)
_NODES_COUNTS: Final = _counts("NODES(A/I/O/T)", lambda row: row.node_counts)
_NODE_LIST: Final = Field[Row]("NODELIST", lambda row: row.node_list)
_ADDRESS: Final = Field[Row]("NODE_ADDR", lambda row: row.host.address)
_HOST: Final = Field[Row]("HOSTNAMES", lambda row: row.host.name)
_OVERSUBSCRIBE: Final = _constant("OVERSUBSCRIBE", "NO")
_PARTITION: Final = Field[Row]("PARTITION", lambda row: _partition_name(row.partition), _keep_star)
_PARTITION_PLAIN: Final = _of_partition("PARTITION", lambda partition: partition.name)
_REASON: Final = _of_node("REASON", lambda status: status.reason or "none")
_SHAPE: Final = _of_node("S:C:T", lambda status: f"1:{status.node.cpus}:1")
_SOCKETS: Final = _constant("SOCKETS", "1")
_STATE_COMPACT: Final = Field[Row]("STATE", _state(lambda state: state.compact))
_STATE_LONG: Final = Field[Row]("STATE", _state(lambda state: state.long))
_STATE_COMPLETE: Final = Field[Row]("STATECOMPLETE", _state(lambda state: state.complete))
_THREADS: Final = _constant("THREADS", "1")
_TIME_LIMIT: Final = _of_partition("TIMELIMIT", _time_limit)
_TMP_DISK: Final = _least("TMP_DISK", lambda status: status.node.tmp_disk_mib)
_USER: Final = _of_node("USER", lambda status: status.reason_user or "Unknown")
_VERSION: Final = _constant("VERSION", "22.05.8")
_WEIGHT: Final = _constant("WEIGHT", "1")

COUNTED: Final = frozenset(
    {
        *(_CORES, _CPUS, _CPU_COUNTS, _FREE_MEMORY, _LOAD, _MEMORY, _NODES, _NODES_BUSY_IDLE),
        *(_NODES_COUNTS, _NODE_LIST),
    }
)
"""Fields that count the nodes of a row; all others tell rows apart."""
EXACT: Final = frozenset({_CORES, _CPUS, _MEMORY})
"""Of these, the ones by which ``--exact`` tells rows apart."""

EVERY_LETTER: Final = (
    "%a|%b|%c|%d|%e|%f|%g|%h|%l|%m|%n|%o|%p|%r|%s|%t|%u|%v|%w|%z|%A |%B |%C |%D |%E |%F |%G |%H "
    "|%I |%L |%M |%N |%O |%P |%R |%S |%T |%U |%V |%X |%Y |%Z "
)
"""What ``%all`` stands for."""


def _availability(state: str) -> str:
    return {"INACTIVE": "inact"}.get(state, state.lower())


class Fields:
    """The columns; two of them print what only the caller's scene and the controller know."""

    def __init__(self, scene: Scene, controller: Controller) -> None:
        """Make the fields for one answer."""
        stamp = _of_node(
            "TIMESTAMP",
            lambda status: scene.time(status.reason_at) if status.reason_at else "Unknown",
        )
        user_long = _of_node("USER", lambda status: _user_long(status, controller))
        self.by_letter = _by_letter(stamp, user_long)
        self.by_name = _by_name(stamp, user_long)


def _user_long(status: NodeStatus, controller: Controller) -> str:
    name = status.reason_user
    return f"{name}({controller.user_id(name)})" if name else "Unknown"


def _by_letter(stamp: RowField, user_long: RowField) -> Mapping[str, RowField]:
    return {
        "a": _AVAIL,
        "A": _NODES_BUSY_IDLE,
        "b": _FEATURES_ACTIVE,
        "B": _constant("MAX_CPUS_PER_NODE", "UNLIMITED"),
        "c": _CPUS,
        "C": _CPU_COUNTS,
        "d": _TMP_DISK,
        "D": _NODES,
        "e": _FREE_MEMORY,
        "E": _REASON,
        "f": _FEATURES,
        "F": _NODES_COUNTS,
        "g": _GROUPS,
        "G": _GRES,
        "h": _OVERSUBSCRIBE,
        "H": stamp,
        "I": _of_partition("PRIO_JOB_FACTOR", lambda each: str(each.priority_job_factor)),
        "l": _TIME_LIMIT,
        "L": _DEFAULT_TIME,
        "m": _MEMORY,
        "M": _constant("PREEMPT_MODE", "OFF"),
        "n": _HOST,
        "N": _NODE_LIST,
        "o": _ADDRESS,
        "O": _LOAD,
        "p": _of_partition("PRIO_TIER", lambda partition: str(partition.priority_tier)),
        "P": _PARTITION,
        "r": _constant("ROOT", "no"),
        "R": _PARTITION_PLAIN,
        "s": _of_partition("JOB_SIZE", _size),
        "S": _constant("ALLOCNODES", "all"),
        "t": _STATE_COMPACT,
        "T": _STATE_LONG,
        "u": _USER,
        "U": user_long,
        "v": _VERSION,
        "V": _constant("CLUSTER", "N/A"),
        "w": _WEIGHT,
        "X": _SOCKETS,
        "Y": _CORES,
        "z": _SHAPE,
        "Z": _THREADS,
    }


def _by_name(stamp: RowField, user_long: RowField) -> Mapping[str, RowField]:
    by_letter = _by_letter(stamp, user_long)
    return {
        "allocmem": _least("ALLOCMEM", lambda status: status.allocated_memory_mib),
        "allocnodes": by_letter["S"],
        "available": _AVAIL,
        "cluster": Field("CLUSTER", lambda row: row.cluster),
        "comment": _constant("COMMENT", None),
        "cores": _CORES,
        "cpus": _CPUS,
        "cpusload": _LOAD,
        "cpusstate": _CPU_COUNTS,
        "defaulttime": _DEFAULT_TIME,
        "disk": _TMP_DISK,
        "extra": _constant("EXTRA", None),
        "features": _FEATURES,
        "features_act": _FEATURES_ACTIVE,
        "freemem": _FREE_MEMORY,
        "gres": _GRES,
        "gresused": _of_node("GRES_USED", nodeview.gres_used_text),
        "groups": _GROUPS,
        "maxcpuspernode": by_letter["B"],
        "memory": _MEMORY,
        "nodeaddr": _ADDRESS,
        "nodeai": _NODES_BUSY_IDLE,
        "nodeaiot": _NODES_COUNTS,
        "nodehost": _HOST,
        "nodelist": _NODE_LIST,
        "nodes": _NODES,
        "oversubscribe": _OVERSUBSCRIBE,
        "partition": _PARTITION,
        "partitionname": _PARTITION_PLAIN,
        "port": _constant("PORT", "0"),
        "preemptmode": by_letter["M"],
        "priorityjobfactor": by_letter["I"],
        "prioritytier": by_letter["p"],
        "reason": _REASON,
        "root": by_letter["r"],
        "share": _OVERSUBSCRIBE,
        "size": by_letter["s"],
        "socketcorethread": _SHAPE,
        "sockets": _SOCKETS,
        "statecompact": _STATE_COMPACT,
        "statecomplete": _STATE_COMPLETE,
        "statelong": _STATE_LONG,
        "threads": _THREADS,
        "time": _TIME_LIMIT,
        "timestamp": stamp,
        "user": _USER,
        "userlong": user_long,
        "version": _VERSION,
        "weight": _WEIGHT,
    }


SORT_KEYS: Mapping[str, Callable[[Row], Any]] = MappingProxyType(
    {
        "a": _AVAIL.read,
        "A": lambda row: row.node_counts[0],
        "c": lambda row: min((status.node.cpus for status in row.nodes), default=0),
        "C": lambda row: row.cpu_counts,
        "D": lambda row: len(row.nodes),
        "e": lambda row: min((status.free_memory_mib for status in row.nodes), default=0),
        "E": lambda row: _REASON.read(row) or "",
        "F": lambda row: row.node_counts[0],
        "G": lambda row: _GRES.read(row) or "",
        "H": lambda row: row.node.reason_at if row.node else 0.0,
        "I": lambda row: row.partition.priority_job_factor,
        "l": lambda row: row.partition.max_time_s or float("inf"),
        "L": lambda row: row.partition.default_time_s or float("inf"),
        "m": lambda row: min((status.node.memory_mib for status in row.nodes), default=0),
        "n": lambda row: row.host.name,
        "N": lambda row: row.node.node.index if row.node else -1,
        "O": lambda row: min((status.load for status in row.nodes), default=0.0),
        "p": lambda row: row.partition.priority_tier,
        "P": lambda row: row.partition.name,
        "R": lambda row: row.partition.name,
        "t": lambda row: row.state.rank if row.state else -1,
        "T": lambda row: row.state.rank if row.state else -1,
        "u": _USER.read,
    }
)
