"""What is refused at once since this machine does not have it, as slurmctld would.

Names are checked always, amounts only if the job is not held: both as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from stoker.commands.errors import strerror
from stoker.core.errors import Infeasible, InvalidSpec
from stoker.core.models import JobSpec
from stoker.core.units import NotationError, expand_hosts, parse_gres, parse_licenses
from stoker.worker.controller import Controller
from stoker.worker.requests import Submission


def refused(code: str) -> InvalidSpec:
    """Return the refusal that says no more than Slurm's own text for *code*."""
    return InvalidSpec(strerror(code), code)


def check_demands(
    submission: Submission, layout: Mapping[str, int], controller: Controller
) -> None:
    """Refuse what names nothing here, or asks of a node what none has.

    The *layout* holds what is wanted of sockets, cores and threads, by option.

    Raises:
        InvalidSpec: A partition, feature, node, resource, licence or reservation does not exist.
        Infeasible: An amount is too large for each node.
    """
    check_names(submission.spec, controller)
    if not submission.hold:
        _check_amounts(submission.spec, layout, controller)


def check_names(spec: JobSpec, controller: Controller) -> None:
    """Refuse partitions, features, resources and the like that this machine does not have.

    Raises:
        InvalidSpec: With Slurm's code.
    """
    partitions = {partition.name for partition in controller.partitions()}
    for name in filter(None, spec.partition.split(",")):
        if name not in partitions:
            raise InvalidSpec(
                f"invalid partition specified: {name}", "ESLURM_INVALID_PARTITION_NAME"
            )
    nodes = [status.node for status in controller.nodes()]
    features = {feature for node in nodes for feature in node.features}
    if spec.features and not _are_features(spec.features, features):
        raise refused("ESLURM_INVALID_FEATURE")
    _check_hosts(spec, {node.name for node in nodes})
    known = {name.split(":")[0] for node in nodes for name in node.gres}
    if not all(name.split(":")[0] in known for name, _ in parse_gres(spec.gres)):
        raise refused("ESLURM_INVALID_GRES")
    check_licenses(spec.licenses, controller)
    there = {each.name for each in controller.reservations.listed()} if spec.reservation else set()
    if spec.reservation and not set(spec.reservation.split(",")) <= there:
        raise refused("ESLURM_RESERVATION_INVALID")


def gres_options(controller: Controller) -> str:
    """Return what ``--gres=help`` prints: the generic resources that the nodes have."""
    names = {name.split(":")[0] for status in controller.nodes() for name in status.node.gres}
    return "Valid gres options are:\n" + "".join(
        f"{name}[[:type]:count]\n" for name in sorted(names)
    )


def check_licenses(text: str, controller: Controller) -> None:
    """Refuse licences that this machine does not have, or never so many of.

    Raises:
        InvalidSpec: With Slurm's code.
    """
    try:
        wanted = parse_licenses(text)
    except NotationError:
        raise refused("ESLURM_INVALID_LICENSES") from None
    there = controller.licenses() if wanted else {}
    if any(count > there.get(name, (0, 0))[0] for name, count in wanted):
        raise refused("ESLURM_INVALID_LICENSES")


def _check_amounts(spec: JobSpec, layout: Mapping[str, int], controller: Controller) -> None:
    nodes = [status.node for status in controller.nodes()]
    cpus_max = max((node.cpus for node in nodes), default=0)
    cpus = (spec.ntasks_per_node or 1) * (spec.cpus_per_task or 1)
    cpus = max(cpus, spec.min_cpus_per_node or 1)
    if cpus > cpus_max:
        raise Infeasible("CPU count per node can not be satisfied")
    memory = spec.mem_per_node_mib or (spec.mem_per_cpu_mib or 0) * cpus
    if memory > max((node.memory_mib for node in nodes), default=0):
        raise Infeasible("Memory specification can not be satisfied")
    if spec.tmp_disk_mib > max((node.tmp_disk_mib for node in nodes), default=0):
        raise Infeasible("Temporary disk specification can not be satisfied")
    # A node is one socket whose cores have one thread each: see `scontrol show node`.
    limits = {"sockets-per-node": 1, "threads-per-core": 1, "cores-per-socket": cpus_max}
    if any(layout.get(name, 1) > limit for name, limit in limits.items()):
        raise Infeasible("Socket, core and/or thread specification can not be satisfied")


def _check_hosts(spec: JobSpec, known: set[str]) -> None:
    for text in (spec.node_list, spec.exclude):
        try:
            names = expand_hosts(text) if text else []
        except NotationError:
            names = [text]
        if not known.issuperset(names):
            raise refused("ESLURM_INVALID_NODE_NAME")


def _are_features(text: str, known: set[str]) -> bool:
    """Whether a constraint is well formed and names only features that some node has."""
    words = [word for word in re.split(r"[&|,()\[\]]", text) if word]
    names = [re.sub(r"\*\d+$", "", word, flags=re.ASCII) for word in words]
    pairs = text.count("[") == text.count("]") and text.count("(") == text.count(")")
    return bool(names) and pairs and known.issuperset(names)
