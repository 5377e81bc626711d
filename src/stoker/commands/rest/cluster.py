"""What slurmrestd says of the machine: that it is there, its nodes, partitions, licences.

Source: openapi v0.0.38; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from stoker.commands.documents import Value
from stoker.commands.nodejson import node_document
from stoker.commands.rest.replies import Refusal, Reply, controller_reply, record_error
from stoker.commands.rest.requests import Request
from stoker.commands.rest.statisticsjson import statistics_document
from stoker.commands.scontrol.reservations import tres_of
from stoker.core.models import Partition
from stoker.core.reservations import FLAGS, Reservation
from stoker.core.units import compress_hosts, format_memory
from stoker.worker.controller import NodeStatus


def ping(request: Request) -> Reply:
    """Say that the controller answers."""
    host: dict[str, Value] = {
        "hostname": request.controller.host().name,
        "ping": "UP",
        "status": 0,
        "mode": "primary",
    }
    return controller_reply({"pings": [host]})


def diag(request: Request) -> Reply:
    """Say what the scheduler has had to do, as sdiag does."""
    return controller_reply({"statistics": statistics_document(request.controller)})


def licenses(request: Request) -> Reply:
    """List the licences: how many there are, and how many are held."""
    known: list[Value] = [
        {
            "LicenseName": name,
            "Total": total,
            "Used": used,
            "Free": total - used,
            "Reserved": 0,
            "Remote": False,
        }
        for name, (total, used) in request.controller.licenses().items()
    ]
    return controller_reply({"licenses": known})


def reservations(request: Request) -> Reply:
    """List all reservations."""
    there = request.controller.reservations.listed()
    return controller_reply({"reservations": [_reservation(each) for each in there]})


def reservation(request: Request, name: str) -> Reply:
    """Show one reservation."""
    there = request.controller.reservations.listed()
    found: list[Value] = [_reservation(each) for each in there if each.name == name]
    if not found:
        problem = record_error("ESLURM_RESERVATION_INVALID")
        return controller_reply({"reservations": []}, [problem], 500)
    return controller_reply({"reservations": found})


def _reservation(each: Reservation) -> Value:
    return {
        "accounts": ",".join(each.accounts),
        "burst_buffer": "",
        "core_count": each.cpus,
        "core_spec_cnt": 0,
        "end_time": int(each.end_at),
        "features": "",
        "flags": [flag for flag in FLAGS if flag in each.flags],
        "groups": ",".join(each.groups),
        "licenses": "",
        "max_start_delay": 0,
        "name": each.name,
        "node_count": len(each.parts),
        "node_list": compress_hosts(each.nodes),
        "partition": each.partition,
        "purge_completed": {"time": 0},
        "start_time": int(each.start_at),
        "watts": 0,
        "tres": tres_of(each),
        "users": ",".join(each.users),
    }


def nodes(request: Request) -> Reply:
    """List all nodes."""
    check_update_time(request, "nodes")
    return _node_list(request, request.controller.nodes())


def node(request: Request, name: str) -> Reply:
    """Show one node."""
    found = [each for each in request.controller.nodes() if each.node.name == name]
    if not found:
        problem = record_error("ESLURM_INVALID_NODE_NAME")
        return controller_reply({"nodes": []}, [problem], 500)
    return _node_list(request, found)


def _node_list(request: Request, chosen: Sequence[NodeStatus]) -> Reply:
    host, known = request.controller.host(), list(request.controller.partitions())
    return controller_reply({"nodes": [node_document(each, known, host) for each in chosen]})


def partitions(request: Request) -> Reply:
    """List all partitions."""
    check_update_time(request, "partitions")
    return _partition_list(request, request.controller.partitions())


def partition(request: Request, name: str) -> Reply:
    """Show one partition."""
    found = [each for each in request.controller.partitions() if each.name == name]
    if not found:
        problem = record_error("ESLURM_INVALID_PARTITION_NAME")
        return controller_reply({"partitions": []}, [problem], 500)
    return _partition_list(request, found)


def _partition_list(request: Request, chosen: Sequence[Partition]) -> Reply:
    nodes_known = request.controller.nodes()
    return controller_reply({"partitions": [_partition(each, nodes_known) for each in chosen]})


def check_update_time(request: Request, what: str) -> None:
    """Answer at once if the caller asks for news since a time that is still to come.

    Raises:
        Refusal: Nothing can have changed since, or the time is none.
    """
    since = request.query.get("update_time")
    if since is None:
        return
    if not since.isdecimal():
        raise Refusal(controller_reply({what: []}, status=400))
    if int(since) > request.controller.now():
        raise Refusal(Reply(304, "", ""))


def _partition(each: Partition, known: Sequence[NodeStatus]) -> dict[str, Value]:
    members = [status.node for status in known if status.node.name in each.nodes]
    cpus = sum(node.cpus for node in members)
    memory = format_memory(sum(node.memory_mib for node in members))
    return {
        "flags": ["default"] if each.is_default else [],
        "preemption_mode": ["disabled"],
        "allowed_allocation_nodes": "",
        "allowed_accounts": "",
        "allowed_groups": "",
        "allowed_qos": "",
        "alternative": "",
        "billing_weights": "",
        "default_memory_per_cpu": each.default_mem_per_cpu_mib,
        "default_memory_per_node": each.default_mem_per_node_mib,
        "default_time_limit": _minutes(each.default_time_s),
        "denied_accounts": "",
        "denied_qos": "",
        "preemption_grace_time": 0,
        "maximum_cpus_per_node": -1,
        "maximum_memory_per_cpu": each.max_mem_per_cpu_mib,
        "maximum_memory_per_node": each.max_mem_per_node_mib,
        "maximum_nodes_per_job": each.max_nodes or -1,
        "max_time_limit": -1 if each.max_time_s is None else _minutes(each.max_time_s),
        "min nodes per job": each.min_nodes,
        "name": each.name,
        "nodes": compress_hosts([node.name for node in members]),
        "over_time_limit": None,
        "priority_job_factor": each.priority_job_factor,
        "priority_tier": each.priority_tier,
        "qos": "",
        "state": each.state,
        "total_cpus": cpus,
        "total_nodes": len(members),
        "tres": f"cpu={cpus},mem={memory},node={len(members)},billing={cpus}",
    }


def _minutes(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds // 60)
