"""The records of the account book as lines of a listing: texts by the columns' headings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from stoker.commands.sacctmgr.fields import Row
from stoker.commands.sacctmgr.limits import shown
from stoker.core.accounts import (
    PARENT_SHARES,
    ROOT,
    Association,
    Book,
    Limits,
    Qos,
)
from stoker.core.units import TRES_NAMES, compress_hosts, format_duration
from stoker.worker.controller import Controller

_LIMITS: Final[Mapping[str, str]] = {
    "GrpJobs": "grp_jobs",
    "GrpJobsAccrue": "grp_jobs_accrue",
    "GrpSubmit": "grp_submit_jobs",
    "GrpWall": "grp_wall",
    "GrpTRES": "grp_tres",
    "GrpTRESMins": "grp_tres_mins",
    "GrpTRESRunMins": "grp_tres_run_mins",
    "MaxJobs": "max_jobs",
    "MaxJobsAccrue": "max_jobs_accrue",
    "MaxSubmit": "max_submit_jobs",
    "MaxWall": "max_wall",
    "MaxTRES": "max_tres",
    "MaxTRESPerNode": "max_tres_per_node",
    "MaxTRESMins": "max_tres_mins",
    "MinPrioThresh": "min_prio_threshold",
    "MaxJobsPU": "max_jobs_pu",
    "MaxJobsAccruePU": "max_jobs_accrue_pu",
    "MaxSubmitPU": "max_submit_jobs_pu",
    "MaxTRESPU": "max_tres_pu",
    "MaxTRESRunMinsPU": "max_tres_run_mins_pu",
    "MaxJobsPA": "max_jobs_pa",
    "MaxJobsAccruePA": "max_jobs_accrue_pa",
    "MaxSubmitPA": "max_submit_jobs_pa",
    "MaxTRESPA": "max_tres_pa",
    "MaxTRESRunMinsPA": "max_tres_run_mins_pa",
    "MinTRES": "min_tres",
}
_SINGLE: Final[Mapping[str, tuple[str, str]]] = {
    "GrpCPUs": ("grp_tres", "cpu"),
    "GrpMem": ("grp_tres", "mem"),
    "GrpNodes": ("grp_tres", "node"),
    "GrpCPUMins": ("grp_tres_mins", "cpu"),
    "GrpCPURunMins": ("grp_tres_run_mins", "cpu"),
    "MaxCPUs": ("max_tres", "cpu"),
    "MaxNodes": ("max_tres", "node"),
    "MaxCPUMins": ("max_tres_mins", "cpu"),
    "MaxCPUsPU": ("max_tres_pu", "cpu"),
    "MaxNodesPU": ("max_tres_pu", "node"),
}
"""The older columns of one resource each."""

NO_ASSOCIATION: Final[Row] = {
    "Share": "0",
    "GrpJobs": "0",
    "GrpSubmit": "0",
    "GrpWall": "00:00:00",
    "GrpCPUs": "0",
    "GrpMem": "0",
    "GrpNodes": "0",
    "GrpCPUMins": "0",
    "MaxJobs": "0",
    "MaxNodes": "0",
    "MaxCPUs": "0",
    "MaxSubmit": "0",
    "MaxWall": "00:00:00",
    "MaxCPUMins": "0",
}
"""What Slurm prints of the association of a user or an account that has none."""


def limit_cells(limits: Limits) -> dict[str, str]:
    """Return every column that limits have something to say to."""
    cells = {heading: shown(getattr(limits, name), name) for heading, name in _LIMITS.items()}
    for heading, (name, resource) in _SINGLE.items():
        cells[heading] = str(getattr(limits, name).get(resource, ""))
    return cells


def association_row(
    cluster: str, book: Book, association: Association, *, with_parents: bool = True
) -> dict[str, str]:
    """Return an association; without what comes from above unless *with_parents*."""
    left, right = book.numbering.get(association.id, (0, 0))
    parent = book.parent(association)
    own_qos = (*association.qos, *association.delta_qos)
    qos = book.qos_of(association) if with_parents else own_qos
    default = book.default_qos_of(association) if with_parents else association.default_qos
    limits = book.effective(association) if with_parents else association.limits
    return {
        **limit_cells(limits),
        "Cluster": cluster,
        "Account": association.account,
        "User": association.user,
        "Partition": association.partition,
        "Share": shares(association.shares),
        "Priority": "" if association.priority is None else str(association.priority),
        "QOS": ",".join(qos),
        "QOS_RAW": ",".join(own_qos),
        "Def QOS": default,
        "ID": str(association.id),
        "LFT": str(left),
        "RGT": str(right),
        "ParentName": association.parent,
        "ParentID": str(parent.id) if parent is not None else "",
    }


def shares(number: int) -> str:
    """Return shares as they are shown."""
    return "parent" if number == PARENT_SHARES else str(number)


def by_place(book: Book, associations: Iterable[Association]) -> list[Association]:
    """Return associations from left to right."""
    return sorted(associations, key=lambda each: book.numbering.get(each.id, (0, 0)))


def qos_row(qos: Qos) -> Row:
    """Return a quality of service; what is each job's is in the columns for users, as in Slurm."""
    exempt = qos.preempt_exempt_s
    return {
        **limit_cells(qos.limits),
        "Name": qos.name,
        "ID": str(qos.id),
        "Descr": qos.description,
        "Priority": str(qos.priority),
        "Flags": ",".join(qos.flags),
        "GraceTime": format_duration(qos.grace_s),
        "Preempt": ",".join(qos.preempt),
        "PreemptMode": qos.preempt_mode,
        "PreemptExemptTime": "" if exempt is None else format_duration(exempt),
        "UsageFactor": f"{qos.usage_factor:.6f}",
        "UsageThres": "" if qos.usage_threshold is None else f"{qos.usage_threshold:.6f}",
        "LimitFactor": "" if qos.limit_factor is None else f"{qos.limit_factor:.6f}",
        "MaxJobs": shown(qos.limits.max_jobs_pu, "max_jobs_pu"),
        "MaxSubmit": shown(qos.limits.max_submit_jobs_pu, "max_submit_jobs_pu"),
    }


def cluster_row(controller: Controller) -> Row:
    """Return the one cluster; its limits are those of the account above all others."""
    nodes = controller.nodes()
    cpus = sum(status.node.cpus for status in nodes)
    memory = sum(status.node.memory_mib for status in nodes)
    book = controller.book()
    root = book.association(ROOT)
    cells = association_row(controller.cluster_name, book, root) if root is not None else {}
    return {
        **cells,
        "Cluster": controller.cluster_name,
        "ControlHost": controller.host().address,
        "ControlPort": "0",
        "RPC": "9728",
        "NodeCount": str(len(nodes)),
        "Cluster Nodes": compress_hosts([status.node.name for status in nodes]),
        "TRES": f"billing={cpus},cpu={cpus},energy=0,fs/disk=0,mem={memory}M,"
        f"node={len(nodes)},pages=0,vmem=0",
    }


def tres_rows() -> Sequence[Row]:
    """Return the resources that are counted."""
    rows = []
    for number, each in enumerate(TRES_NAMES, 1):
        kind, _, name = each.partition("/")
        rows.append({"Type": kind, "Name": name, "ID": str(number)})
    return rows


def problem_rows(controller: Controller) -> Iterator[Row]:
    """Yield accounts and users that nobody can use."""
    book = controller.book()
    associations = sorted(book.associations.values(), key=lambda each: each.id)
    rooted = {each.account for each in associations}
    peopled = {each.account for each in associations if each.user}
    for name in book.accounts:
        if name not in rooted:
            yield {"Account": name, "Problem": "Account has no Associations"}
    for each in associations:
        if each.account not in peopled:
            yield {
                "Cluster": controller.cluster_name,
                "Account": each.account,
                "Problem": "Account has no users",
            }
    members = {each.user for each in associations}
    for name in book.users:
        if name not in members:
            yield {"User": name, "Problem": "User has no Associations"}
        if controller.user_id(name) is None:
            yield {"User": name, "Problem": "User does not have a uid"}
