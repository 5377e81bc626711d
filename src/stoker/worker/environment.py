"""The variables that a batch script and the tasks of a step find in their environment.

They are laid over what the submission brought along, so that a value of ours always wins; None
takes a variable away that an outer job may have left there. ``STOKER_HOME`` is always given: a
command inside a job finds the Stoker that runs it.

Not here: what is fixed at submission (``SLURM_SUBMIT_DIR``, the bounds of an array, what
``--export`` says) stands in the submitted environment, which is stored once by its content.

Source: sbatch(1) "OUTPUT ENVIRONMENT VARIABLES", srun(1), and recorded jobs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from stoker.core.machine import Machine
from stoker.core.models import NO_TASK, Allocation, Job, NodeShare, Step
from stoker.core.units import compress_hosts
from stoker.scheduling.snapshot import Shape

DEFAULT_QOS: Final = "normal"

TASK_PID: Final = "SLURM_TASK_PID"
"""The variable in which a script or task finds its own pid."""

_PROTOCOL: Final = "9728:109"
"""The protocol version and select plugin that SLURM_WORKING_CLUSTER ends with in 22.05."""

_OF_OTHERS: Final = (
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "SLURM_STEPID",
    "SLURM_STEP_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_NUM_NODES",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_TASKS_PER_NODE",
    TASK_PID,
    "SLURM_GPUS_ON_NODE",
    "SLURM_JOB_GPUS",
    "SLURM_JOB_ACCOUNT",
    "SLURM_JOB_RESERVATION",
)
"""What an outer job's environment may bring in and would be a lie here, unless set anew."""

_OWN: Final = ("SLURM_JOBID", "SLURM_JOB_ID", "SLURM_RESTART_COUNT")
"""What no two jobs have in common."""

_COMMON_MAX: Final = 1024
"""How many sets of variables are remembered."""


class BatchVariables:
    """What batch scripts find in their environment on top of the submitted one.

    What is the same for all jobs that are submitted alike and run on as much of the same nodes is
    put together once.
    """

    def __init__(self, machine: Machine, cluster_name: str, host: str, home: str) -> None:
        """Describe jobs that run on *machine*, which is *host*, for the Stoker in *home*."""
        self._machine = machine
        self._cluster_name = cluster_name
        self._host = host
        self._home = home
        self._common: dict[Hashable, dict[str, str | None]] = {}

    def own(self, job: Job, allocation: Allocation) -> dict[str, str | None]:
        """Return the variables of the job's present attempt that no other job has."""
        job_id = str(job.job_id)
        found: dict[str, str | None] = {"SLURM_JOBID": job_id, "SLURM_JOB_ID": job_id}
        if job.restarts:
            found["SLURM_RESTART_COUNT"] = str(job.restarts)
        if job.array_task_id != NO_TASK:
            found["SLURM_ARRAY_JOB_ID"] = str(job.array_job_id)
            found["SLURM_ARRAY_TASK_ID"] = str(job.array_task_id)
        share = allocation.shares[0]
        return {**found, **_gpus(share, self._machine)} if share.gres else found

    def common(self, job: Job, allocation: Allocation, shape: Shape) -> Mapping[str, str | None]:
        """Return the variables of all jobs that are like it; `own` ones are laid over them."""
        amounts = tuple((share.node, len(share.cpus)) for share in allocation.shares)
        like = (job.spec_digest or job.job_id, job.owner, job.partition, shape, amounts)
        common = self._common.get(like)
        if common is None:
            if len(self._common) >= _COMMON_MAX:
                self._common.clear()
            common = self._common[like] = self._new_common(job, allocation, shape)
        return common

    def _new_common(self, job: Job, allocation: Allocation, shape: Shape) -> dict[str, str | None]:
        """Return the variables in all but what `own` says of each job."""
        node = allocation.shares[0].node
        return {
            **dict.fromkeys(_OF_OTHERS),
            **allocation_variables(job, allocation, shape, self._cluster_name, self._host),
            "ENVIRONMENT": "BATCH",
            "STOKER_HOME": self._home,
            "SLURM_NODE_ALIASES": "(null)",
            "SLURM_GTIDS": "0",
            "SLURM_LOCALID": "0",
            "SLURM_NODEID": "0",
            "SLURM_PROCID": "0",
            **_asked_for(job, shape),
            **_node(node, len(allocation.shares[0].cpus)),
            **dict.fromkeys(_OWN),
        }


def allocation_variables(
    job: Job, allocation: Allocation, shape: Shape, cluster_name: str, host: str
) -> dict[str, str | None]:
    """Return what describes the job and its allocation, to whoever runs in it."""
    nodes = compress_hosts(allocation.nodes)
    tasks = tasks_by_node(shape, allocation.shares, job.spec.ntasks)
    found: dict[str, str | None] = {
        "SLURM_CLUSTER_NAME": cluster_name,
        "SLURM_WORKING_CLUSTER": f"{cluster_name}:127.0.0.1:0:{_PROTOCOL}",
        "SLURM_JOBID": str(job.job_id),
        "SLURM_JOB_ID": str(job.job_id),
        "SLURM_JOB_CPUS_PER_NODE": repeated(len(share.cpus) for share in allocation.shares),
        "SLURM_JOB_GID": str(job.owner.group_id),
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_JOB_NUM_NODES": str(len(allocation.shares)),
        "SLURM_JOB_PARTITION": job.partition,
        "SLURM_JOB_QOS": job.spec.qos or DEFAULT_QOS,
        "SLURM_JOB_UID": str(job.owner.user_id),
        "SLURM_JOB_USER": job.owner.user_name,
        "SLURM_NNODES": str(len(allocation.shares)),
        "SLURM_NODELIST": nodes,
        "SLURM_PRIO_PROCESS": "0",
        "SLURM_SUBMIT_HOST": job.spec.submit_host or host,
        "SLURM_TASKS_PER_NODE": repeated(tasks),
    }
    if _has_name(job):
        found["SLURM_JOB_NAME"] = job.name
    if job.spec.account:
        found["SLURM_JOB_ACCOUNT"] = job.spec.account
    if job.spec.reservation:
        found["SLURM_JOB_RESERVATION"] = job.spec.reservation
    if job.restarts:
        found["SLURM_RESTART_COUNT"] = str(job.restarts)
    return found


_OF_THE_NODE: Final = (
    "SLURM_JOB_GID",
    "SLURM_JOB_UID",
    "SLURM_JOB_USER",
    "SLURM_PRIO_PROCESS",
    "SLURM_WORKING_CLUSTER",
)
"""What only a process on a node is told."""


def salloc_variables(
    job: Job, allocation: Allocation, shape: Shape, cluster_name: str, host: str
) -> dict[str, str]:
    """Return what a command of salloc gets: it runs beside the allocation, not in it."""
    found = allocation_variables(job, allocation, shape, cluster_name, host) | _asked_for(
        job, shape
    )
    found["SLURM_NODE_ALIASES"] = "(null)"
    if job.spec.mem_per_cpu_mib is None:
        found.pop("SLURM_MEM_PER_CPU", None)
    return {
        name: value
        for name, value in found.items()
        if value is not None and name not in _OF_THE_NODE
    }


def step_variables(
    job: Job,
    allocation: Allocation,
    shape: Shape,
    step: Step,
    task: int,
    *,
    machine: Machine,
    cluster_name: str,
    host: str,
    home: str,
    umask: int,
    cpus_per_task: int | None = None,
    name: str | None = None,
) -> dict[str, str | None]:
    """Return what the environment of one task of a step gets on top of srun's own.

    Tasks count from 0; ``cpus_per_task`` and ``name`` are None if they were not asked for.
    """
    node_id = step.node_id_of(task)
    neighbours = step.tasks_on(node_id)
    share = next(each for each in allocation.shares if each.node == step.nodes[node_id])
    nodes = compress_hosts(step.nodes)
    tasks = repeated(step.tasks_per_node)
    asked = {} if cpus_per_task is None else {"SLURM_CPUS_PER_TASK": str(cpus_per_task)}
    named = {} if name is None else {"SLURM_JOB_NAME": name}
    return {
        **asked,
        **allocation_variables(job, allocation, shape, cluster_name, host),
        **named,
        **_node(share.node, len(step.cores_on(share.node) or share.cpus)),
        **_gpus(share, machine),
        "STOKER_HOME": home,
        "SLURM_GTIDS": ",".join(map(str, neighbours)),
        "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1",
        "SLURM_LOCALID": str(neighbours.index(task)),
        "SLURM_NNODES": str(len(step.nodes)),
        "SLURM_NODEID": str(node_id),
        "SLURM_NPROCS": str(step.ntasks),
        "SLURM_NTASKS": str(step.ntasks),
        "SLURM_PROCID": str(task),
        "SLURM_SRUN_COMM_HOST": "127.0.0.1",
        # Nobody listens: what a task has to say to its srun goes through its descriptors.
        "SLURM_SRUN_COMM_PORT": "0",
        "SLURM_STEP_LAUNCHER_PORT": "0",
        "SLURM_STEPID": step.step_id,
        "SLURM_STEP_ID": step.step_id,
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_NUM_NODES": str(len(step.nodes)),
        "SLURM_STEP_NUM_TASKS": str(step.ntasks),
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_TASKS_PER_NODE": tasks,
        "SLURM_UMASK": f"{umask:04o}",
    }


def tasks_by_node(shape: Shape, shares: Sequence[NodeShare], ntasks: int | None) -> list[int]:
    """Return how many tasks run on each node: one each, then node after node as CPUs allow.

    Without a number of tasks there are as many as the CPUs allow, unless it is said per node.
    """
    room = [max(1, len(share.cpus) // shape.cpus_per_task) for share in shares]
    if shape.tasks_per_node is not None:
        room = [min(each, shape.tasks_per_node) for each in room]
    if ntasks is None:
        return room
    counts = [1] * len(shares)
    left = max(0, ntasks - len(shares))
    for at, capacity in enumerate(room):
        more = min(left, capacity - 1)
        counts[at] += more
        left -= more
    counts[-1] += left
    return counts


def repeated(numbers: Iterable[int]) -> str:
    """Return numbers as Slurm writes them: ``2(x3),1``."""
    words = []
    for number, group in groupby(numbers):
        count = sum(1 for _ in group)
        words.append(f"{number}(x{count})" if count > 1 else str(number))
    return ",".join(words)


def _asked_for(job: Job, shape: Shape) -> dict[str, str | None]:
    """Return what is only there if it was asked for, or if a default of ours stood in for it."""
    spec = job.spec
    found: dict[str, str | None] = {}
    if spec.ntasks is not None or spec.ntasks_per_node is not None:
        found["SLURM_NTASKS"] = found["SLURM_NPROCS"] = str(spec.tasks)
    if spec.ntasks_per_node is not None:
        found["SLURM_NTASKS_PER_NODE"] = str(spec.ntasks_per_node)
    if spec.cpus_per_task is not None:
        found["SLURM_CPUS_PER_TASK"] = str(spec.cpus_per_task)
    if shape.memory_per_node_mib is not None:
        # Nothing tells a script that --mem=0 gave it the whole node, as in Slurm.
        if shape.memory_per_node_mib:
            found["SLURM_MEM_PER_NODE"] = str(shape.memory_per_node_mib)
    elif shape.memory_per_cpu_mib:
        found["SLURM_MEM_PER_CPU"] = str(shape.memory_per_cpu_mib)
    return found


def _node(name: str, cpus: int) -> dict[str, str | None]:
    return {
        "HOSTNAME": name,
        "SLURMD_NODENAME": name,
        "SLURM_CPUS_ON_NODE": str(cpus),
        "SLURM_TOPOLOGY_ADDR": name,
        "SLURM_TOPOLOGY_ADDR_PATTERN": "node",
    }


def _gpus(share: NodeShare, machine: Machine) -> dict[str, str | None]:
    """Return how many GPUs the job has on the node and, for libraries, which."""
    indices = sorted(
        index for name, held in share.gres.items() if name.split(":")[0] == "gpu" for index in held
    )
    if not indices:
        return {}
    listed = ",".join(map(str, indices))
    found: dict[str, str | None] = {"SLURM_GPUS_ON_NODE": str(len(indices))}
    # Several nodes that share one host would each count their GPUs from 0: only one node names any.
    if len(machine.nodes) == 1:
        found |= dict.fromkeys(
            ("SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"), listed
        )
    return found


def _has_name(job: Job) -> bool:
    """Whether the job was named: sbatch names no job that it read from its standard input."""
    return bool(job.spec.command) or job.name != "sbatch"
