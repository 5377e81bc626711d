"""The account book as Slurm's JSON describes it: every key of openapi dbv0.0.38.

Limits that are not set are null, or an empty list for those by resource.

Source: as recorded.
"""

from __future__ import annotations

from typing import Final

from stoker.commands.documents import Value
from stoker.core.accounts import Association, Book, Limits, Qos, Tres
from stoker.core.units import compress_hosts
from stoker.worker.controller import Controller

_KINDS: Final[tuple[tuple[str, str | None, int], ...]] = (
    ("cpu", None, 1),
    ("mem", None, 2),
    ("energy", None, 3),
    ("node", None, 4),
    ("billing", None, 5),
    ("fs", "disk", 6),
    ("vmem", None, 7),
    ("pages", None, 8),
)
_OFFSET: Final[tuple[str, str | None, int]] = ("dynamic_offset", None, 1000)
_RPC_VERSION: Final = 9728


def tres_documents() -> list[Value]:
    """Return the kinds of trackable resources."""
    return [_tres(each, 0) for each in (*_KINDS, _OFFSET)]


def _tres(kind: tuple[str, str | None, int], count: int) -> dict[str, Value]:
    return {"type": kind[0], "name": kind[1], "id": kind[2], "count": count}


def cluster_document(controller: Controller) -> dict[str, Value]:
    """Return what is said of this cluster."""
    host, nodes = controller.host(), [status.node for status in controller.nodes()]
    cpus = sum(node.cpus for node in nodes)
    memory = sum(node.memory_mib for node in nodes)
    amounts = {"cpu": cpus, "mem": memory, "node": len(nodes), "billing": cpus}
    return {
        "controller": {"host": host.address, "port": 0},
        "flags": ["MULTIPLE_SLURMD"] if len(nodes) > 1 else [],
        "name": controller.cluster_name,
        "nodes": compress_hosts([node.name for node in nodes]),
        "select_plugin": "cons_tres",
        "associations": {"root": None},
        "rpc_version": _RPC_VERSION,
        "tres": [_tres(each, amounts.get(each[0], 0)) for each in _KINDS],
    }


def account_document(name: str, book: Book, cluster: str) -> dict[str, Value]:
    """Return what is said of an account."""
    account = book.accounts[name]
    own = sorted(
        (each for each in book.associations.values() if each.account == name),
        key=lambda each: each.key,
    )
    return {
        "associations": [_short(each, cluster) for each in own],
        "coordinators": list(account.coordinators),
        "description": account.description,
        "name": name,
        "organization": account.organization,
        "flags": [],
    }


def user_document(name: str, book: Book, cluster: str) -> dict[str, Value]:
    """Return what is said of a user."""
    user = book.users[name]
    own = sorted(
        (each for each in book.associations.values() if each.user == name),
        key=lambda each: each.key,
    )
    coordinates = sorted(each.name for each in book.accounts.values() if name in each.coordinators)
    return {
        "administrator_level": user.admin_level,
        "associations": [_short(each, cluster) for each in own],
        "coordinators": [{"name": each, "direct": 1} for each in coordinates],
        "default": {"account": book.default_account(name) or None, "wckey": user.default_wckey},
        "flags": [],
        "name": name,
    }


def _short(each: Association, cluster: str) -> dict[str, Value]:
    return {
        "account": each.account,
        "cluster": cluster,
        "partition": each.partition or None,
        "user": each.user or None,
    }


def association_document(each: Association, book: Book, cluster: str) -> dict[str, Value]:
    """Return what is said of an association."""
    limits = each.limits
    return {
        "account": each.account,
        "cluster": cluster,
        "default": {"qos": each.default_qos or None},
        "flags": ["DEFAULT"] if each.is_default else [],
        "max": _association_limits(limits),
        "is_default": int(each.is_default),
        "min": {"priority_threshold": limits.min_prio_threshold},
        "parent_account": each.parent or None,
        "partition": each.partition or None,
        "priority": each.priority,
        "qos": list(book.qos_of(each)),
        "shares_raw": each.shares,
        "usage": None,
        "user": each.user or None,
    }


def _association_limits(limits: Limits) -> dict[str, Value]:
    return {
        "jobs": {
            "per": {
                "count": limits.max_jobs,
                "accruing": limits.max_jobs_accrue,
                "submitted": limits.max_submit_jobs,
                "wall_clock": limits.max_wall,
            },
            "active": limits.grp_jobs,
            "accruing": limits.grp_jobs_accrue,
            "total": limits.grp_submit_jobs,
        },
        "tres": {
            "total": _amounts(limits.grp_tres),
            "minutes": {
                "per": {"job": _amounts(limits.max_tres_mins)},
                "total": _amounts(limits.grp_tres_mins),
            },
            "group": {"minutes": _amounts(limits.grp_tres_run_mins), "active": []},
            "per": {
                "job": _amounts(limits.max_tres),
                "node": _amounts(limits.max_tres_per_node),
            },
        },
        "per": {"account": {"wall_clock": limits.grp_wall}},
    }


def qos_document(qos: Qos) -> dict[str, Value]:
    """Return what is said of a quality of service."""
    return {
        "description": qos.description,
        "flags": list(qos.flags),
        "id": qos.id,
        "limits": _qos_limits(qos),
        "name": qos.name,
        "preempt": {
            "list": list(qos.preempt),
            "mode": [] if qos.preempt_mode == "cluster" else [qos.preempt_mode.upper()],
            "exempt_time": qos.preempt_exempt_s,
        },
        "priority": qos.priority,
        "usage_factor": qos.usage_factor,
        "usage_threshold": qos.usage_threshold,
    }


def _qos_limits(qos: Qos) -> dict[str, Value]:
    limits = qos.limits
    return {
        "grace_time": qos.grace_s,
        "max": {
            "active_jobs": {"accruing": limits.grp_jobs_accrue, "count": limits.grp_jobs},
            "tres": _qos_tres(limits),
            "wall_clock": {"per": {"qos": limits.grp_wall, "job": limits.max_wall}},
            "jobs": {
                "active_jobs": {"per": {"account": limits.max_jobs_pa, "user": limits.max_jobs_pu}},
                "per": {"account": limits.max_submit_jobs_pa, "user": limits.max_submit_jobs_pu},
            },
            "accruing": {
                "per": {
                    "account": limits.max_jobs_accrue_pa,
                    "user": limits.max_jobs_accrue_pu,
                }
            },
        },
        "factor": qos.limit_factor,
        "min": {
            "priority_threshold": limits.min_prio_threshold,
            "tres": {"per": {"job": _amounts(limits.min_tres)}},
        },
    }


def _qos_tres(limits: Limits) -> dict[str, Value]:
    return {
        "total": _amounts(limits.grp_tres),
        "minutes": {
            "per": {
                "qos": _amounts(limits.grp_tres_mins),
                "job": _amounts(limits.max_tres_mins),
                "account": _amounts(limits.max_tres_run_mins_pa),
                "user": _amounts(limits.max_tres_run_mins_pu),
            }
        },
        "per": {
            "account": _amounts(limits.max_tres_pa),
            "job": _amounts(limits.max_tres),
            "node": _amounts(limits.max_tres_per_node),
            "user": _amounts(limits.max_tres_pu),
        },
    }


def _amounts(tres: Tres) -> list[Value]:
    """Return amounts by resource; a generic resource is named behind its kind: ``gres/gpu``."""
    numbers = {kind: number for kind, _, number in _KINDS}
    found: list[Value] = []
    for place, (name, count) in enumerate(sorted(tres.items())):
        kind, _, rest = name.partition("/")
        found.append(_tres((kind, rest or None, numbers.get(kind, 1001 + place)), count))
    return found
