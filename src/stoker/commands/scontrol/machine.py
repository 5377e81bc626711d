"""scontrol show node, partition and config: what there is, in Slurm's layout.

Source: scontrol(1) "show"; the layout as recorded, blanks at line ends and all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stoker.commands import nodeview
from stoker.commands.configuration import parameters
from stoker.commands.scene import Scene
from stoker.commands.scontrol.jobs import joined
from stoker.commands.scontrol.words import Line
from stoker.core.models import Partition
from stoker.core.units import NotationError, compress_hosts, expand_hosts, format_memory
from stoker.core.units import format_time_limit as shown_limit
from stoker.worker.call import Answer
from stoker.worker.controller import Host, NodeStatus


def show_nodes(line: Line, word: str | None) -> Answer:
    """Show the nodes of a host list, or all."""
    by_name = {status.node.name: status for status in line.controller.nodes()}
    names = list(by_name) if word is None else _expanded(word)
    out, code = "", 0
    for name in names:
        if name in by_name:
            out += joined(line, _node_lines(line, by_name[name]))
        else:
            out += f"Node {name} not found\n"
            code = 1
    return Answer(out=out or "No nodes in the system\n", code=code)


def show_partitions(line: Line, word: str | None) -> Answer:
    """Show one partition, or all."""
    found = [each for each in line.controller.partitions() if word in (None, each.name)]
    if not found:
        return Answer(out=f"Partition {word} not found\n", code=1)
    nodes = line.controller.nodes()
    return Answer(out="".join(joined(line, _partition_lines(each, nodes)) for each in found))


def show_aliases(line: Line, word: str | None) -> Answer:
    """Show under which names this host is a node."""
    if word not in (None, line.controller.host().name):
        return Answer()
    return Answer(out=f"{' '.join(status.node.name for status in line.controller.nodes())}\n")


def show_licenses(line: Line, word: str | None) -> Answer:
    """Show one licence, or all: how many there are, and how many are held."""
    known = line.controller.licenses()
    if not known:
        return Answer(out="No licenses configured in Slurm.\n")
    between = " " if line.is_oneliner else "\n    "
    return Answer(
        out="".join(
            f"LicenseName={name}{between}Total={total} Used={used} Free={total - used} "
            "Reserved=0 Remote=no\n"
            for name, (total, used) in known.items()
            if word in (None, name)
        )
    )


def show_config(line: Line, _word: str | None) -> Answer:
    """Show what is configured, by Slurm's names."""
    scene = Scene(line.call, line.controller)
    lines = [f"Configuration data as of {scene.time(scene.now)}"]
    entries = parameters(line.controller, scene.zone)
    lines += [f"{name:<23} = {value}" for name, value in entries]
    return Answer(out="\n".join(lines) + f"\n\n{ping_line(line)}\n")


def ping_line(line: Line) -> str:
    """Return the line that says that the controller is there."""
    return f"Slurmctld(primary) at {line.controller.host().name} is UP"


def _expanded(word: str) -> list[str]:
    try:
        return expand_hosts(word)
    except NotationError:
        return [word]


def _node_lines(line: Line, status: NodeStatus) -> Iterator[str]:
    node, host = status.node, line.controller.host()
    scene = Scene(line.call, line.controller)
    features = nodeview.features_text(status) or "(null)"
    yield f"NodeName={node.name} Arch={host.architecture} CoresPerSocket={node.cpus} "
    yield (
        f"CPUAlloc={status.allocated_cpus} CPUEfctv={node.cpus} CPUTot={node.cpus} "
        f"CPULoad={status.load:.2f}"
    )
    yield f"AvailableFeatures={features}"
    yield f"ActiveFeatures={features}"
    yield f"Gres={nodeview.gres_text(status) or '(null)'}"
    yield f"NodeAddr={host.address} NodeHostName={host.name} Port=0 Version=22.05.8"
    yield f"OS={host.system} "
    yield (
        f"RealMemory={node.memory_mib} AllocMem={status.allocated_memory_mib} "
        f"FreeMem={status.free_memory_mib} Sockets=1 Boards=1"
    )
    yield (
        f"State={status.state} ThreadsPerCore=1 TmpDisk={node.tmp_disk_mib} Weight=1 Owner=N/A "
        "MCS_label=N/A"
    )
    names = nodeview.partition_names(status, list(line.controller.partitions()))
    yield f"Partitions={','.join(names)} "
    yield from _host_lines(host, scene)
    yield f"CfgTRES=cpu={node.cpus},mem={format_memory(node.memory_mib)},billing={node.cpus}"
    yield f"AllocTRES={_allocated(status)}"
    yield "CapWatts=n/a"
    yield "CurrentWatts=0 AveWatts=0"
    yield "ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s"
    if status.reason:
        at = scene.time(status.reason_at)
        yield f"Reason={status.reason} [{status.reason_user}@{at}]"


def _host_lines(host: Host, scene: Scene) -> Iterator[str]:
    started = scene.time(host.started_at)
    yield f"BootTime={scene.time(host.booted_at)} SlurmdStartTime={started}"
    yield f"LastBusyTime={started}"


def _allocated(status: NodeStatus) -> str:
    cpus, memory = status.allocated_cpus, format_memory(status.allocated_memory_mib)
    return f"cpu={cpus},mem={memory}" if cpus else ""


def _partition_lines(partition: Partition, nodes: Sequence[NodeStatus]) -> Iterator[str]:
    inside = [status.node for status in nodes if status.node.name in partition.nodes]
    cpus, memory = sum(each.cpus for each in inside), sum(each.memory_mib for each in inside)
    yield f"PartitionName={partition.name}"
    yield "AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL"
    yield f"AllocNodes=ALL Default={'YES' if partition.is_default else 'NO'} QoS=N/A"
    default = partition.default_time_s
    yield (
        f"DefaultTime={'NONE' if default is None else shown_limit(default)} DisableRootJobs=NO "
        "ExclusiveUser=NO GraceTime=0 Hidden=NO"
    )
    most = "UNLIMITED" if partition.max_nodes is None else partition.max_nodes
    yield (
        f"MaxNodes={most} MaxTime={shown_limit(partition.max_time_s)} "
        f"MinNodes={partition.min_nodes} LLN=NO MaxCPUsPerNode=UNLIMITED"
    )
    yield f"Nodes={compress_hosts(each.name for each in inside)}"
    yield (
        f"PriorityJobFactor={partition.priority_job_factor} "
        f"PriorityTier={partition.priority_tier} RootOnly=NO ReqResv=NO "
        "OverSubscribe=NO"
    )
    yield "OverTimeLimit=NONE PreemptMode=OFF"
    yield (
        f"State={partition.state} TotalCPUs={cpus} TotalNodes={len(inside)} "
        "SelectTypeParameters=NONE"
    )
    yield "JobDefaults=(null)"
    yield _memory_line(partition)
    yield f"TRES=cpu={cpus},mem={format_memory(memory)},node={len(inside)},billing={cpus}"


def _memory_line(partition: Partition) -> str:
    """Return the line of memory limits: what is not per node is per CPU, or not limited."""
    per_node, per_cpu = partition.default_mem_per_node_mib, partition.default_mem_per_cpu_mib
    default = f"DefMemPerNode={per_node or 'UNLIMITED'}"
    if per_node is None and per_cpu is not None:
        default = f"DefMemPerCPU={per_cpu}"
    per_node, per_cpu = partition.max_mem_per_node_mib, partition.max_mem_per_cpu_mib
    most = f"MaxMemPerNode={per_node or 'UNLIMITED'}"
    if per_node is None and per_cpu is not None:
        most = f"MaxMemPerCPU={per_cpu}"
    return f"{default} {most}"
