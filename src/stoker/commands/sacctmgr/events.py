"""sacctmgr show event: what has happened to the cluster and its nodes, and still lasts.

Source: sacctmgr(1) of Slurm 22.05, as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoker.commands.nodeview import NodeState
from stoker.commands.sacctmgr.desk import Desk
from stoker.commands.sacctmgr.fields import Row
from stoker.commands.sacctmgr.wanted import Wanted
from stoker.core.units import compress_hosts, format_duration, format_time, zone_of
from stoker.worker.controller import NodeStatus

CLUSTER: Final = "cluster"
NODE: Final = "node"
_STATES: Final = ("drain", "fail", "unknown", "down", "idle", "allocated", "mixed", "future")
_BAD_STATE: Final = (
    "Invalid state: {}\n"
    "Valid node states are: DRAIN FAIL UNKNOWN DOWN IDLE ALLOCATED ? MIXED FUTURE \n"
    "sacctmgr: fatal: unrecognized job state value\n"
)


def trouble(desk: Desk, wanted: Wanted) -> str:
    """Return what is wrong with what is asked for; "": nothing. Words are written in full.

    The types of events may be abbreviated, as nothing else may.
    """
    values = wanted.values
    for at, text in enumerate(values.get("events", ())):
        kind = next((each for each in (CLUSTER, NODE) if each.startswith(text)), None)
        if kind is None:
            return f" Unknown event type: '{text}'  Valid events are Cluster and Node.\n"
        values["events"][at] = kind
    for text in values.get("condition flags", ()):
        if text != "open":
            return f"sacctmgr: error: Unknown condition flag {text}\n"
    for text in values.get("states", ()):
        if text not in ("all", *_STATES):
            return _BAD_STATE.format(text)
    for text in values.get("users", ()):
        if not text.isdecimal() and desk.controller.user_id(text) is None:
            return f"sacctmgr: error: Invalid user id: {text}\n"
    return ""


def rows(desk: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield what has happened and still lasts."""
    for row in _all(desk):
        if (
            wanted.has("nodes", row.get("NodeName", ""))
            and wanted.has("clusters", row["Cluster"])
            and wanted.has("events", row["Event"])
            and wanted.has("reasons", row["Reason"])
            and wanted.has("states", row.get("State", ""))
            and wanted.has("users", row.get("User", ""))
        ):
            yield row


def _all(desk: Desk) -> Iterator[Row]:
    """Yield the start of the cluster, and the nodes that take no jobs."""
    controller = desk.controller
    nodes = [status.node for status in controller.nodes()]
    cpus, memory_mib = sum(each.cpus for each in nodes), sum(each.memory_mib for each in nodes)
    yield {
        **_since(desk, controller.host().started_at),
        "Cluster Nodes": compress_hosts([each.name for each in nodes]),
        "TRES": f"billing={cpus},cpu={cpus},energy=0,fs/disk=0,mem={memory_mib}M,"
        f"node={len(nodes)},pages=0,vmem=0",
        "Reason": "Cluster Registered TRES",
        "Event": "Cluster",
    }
    for status in controller.nodes():
        if status.reason_at:
            yield _of_node(desk, status)


def _of_node(desk: Desk, status: NodeStatus) -> Row:
    return {
        **_since(desk, status.reason_at),
        "NodeName": status.node.name,
        "State": "DRAIN" if NodeState.of(status).is_draining else status.state.partition("+")[0],
        "Reason": status.reason,
        "User": status.reason_user,
        "Event": "Node",
    }


def _since(desk: Desk, at: float) -> dict[str, str]:
    zone = zone_of(desk.call.environment.get("TZ", ""))
    now = desk.controller.now()
    return {
        "Cluster": desk.controller.cluster_name,
        "TimeStart": format_time(at, zone, "", now),
        "TimeEnd": "Unknown",
        "Duration": format_duration(now - at),
    }
