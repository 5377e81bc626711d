"""A node as Slurm's JSON describes it: every key of openapi v0.0.38, in its order.

Source: the recorded output of ``sinfo --json``.
"""

from __future__ import annotations

from stoker.commands import nodeview
from stoker.commands.documents import Value
from stoker.core.models import Partition
from stoker.core.units import format_memory
from stoker.worker.controller import Host, NodeStatus


def node_document(status: NodeStatus, partitions: list[Partition], host: Host) -> dict[str, Value]:
    """Return the node's keys and values."""
    return {**_hardware(status, host), **_standing(status, partitions, host)}


def _hardware(status: NodeStatus, host: Host) -> dict[str, Value]:
    node = status.node
    features = nodeview.features_text(status) or ""
    return {
        "architecture": host.architecture,
        "burstbuffer_network_address": "",
        "boards": 1,
        "boot_time": int(host.booted_at),
        "comment": "",
        "cores": node.cpus,
        "cpu_binding": 0,
        "cpu_load": round(status.load * 100),
        "extra": "",
        "free_memory": status.free_memory_mib,
        "cpus": node.cpus,
        "last_busy": int(host.started_at),
        "features": features,
        "active_features": features,
        "gres": nodeview.gres_text(status) or "",
        "gres_drained": "N/A",
        "gres_used": nodeview.gres_used_text(status) or "",
        "mcs_label": "",
        "name": node.name,
        "next_state_after_reboot": "invalid",
        "address": host.address,
        "hostname": host.name,
    }


def _standing(status: NodeStatus, partitions: list[Partition], host: Host) -> dict[str, Value]:
    node, state = status.node, nodeview.NodeState.of(status)
    cpus, memory = status.allocated_cpus, status.allocated_memory_mib
    return {
        "state": state.base,
        "state_flags": state.flags,
        "next_state_after_reboot_flags": [],
        "operating_system": host.system,
        "owner": None,
        "partitions": nodeview.partition_names(status, partitions),
        "port": 0,
        "real_memory": node.memory_mib,
        "reason": status.reason,
        "reason_changed_at": int(status.reason_at),
        "reason_set_by_user": status.reason_user or None,
        "slurmd_start_time": int(host.started_at),
        "sockets": 1,
        "threads": 1,
        "temporary_disk": node.tmp_disk_mib,
        "weight": 1,
        "tres": f"cpu={node.cpus},mem={format_memory(node.memory_mib)},billing={node.cpus}",
        "slurmd_version": "22.05.8",
        "alloc_memory": memory,
        "alloc_cpus": cpus,
        "idle_cpus": node.cpus - cpus,
        "tres_used": f"cpu={cpus},mem={format_memory(memory)}" if cpus else None,
        "tres_weighted": float(cpus),
    }
