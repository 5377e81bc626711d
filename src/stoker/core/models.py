"""What a job, an attempt, an allocation, a step, a node and a partition is.

What was asked for (`JobSpec`) never changes and is shared by all jobs that asked for the same; what
became of it (`Job`) has slots and changes. An attempt of a job is its allocation: who ran where,
since when, until when, and how it ended. Times are epoch seconds (UTC), memory is MiB.

Structs with ``gc=False`` hold no cycles: a hundred thousand of them cost the collector nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from stoker.core.enums import AllocationState, Hold, JobState, Reason
from stoker.core.units import Dependency, TaskSet

NO_TASK = -1
"""``Job.array_task_id`` of what is no array task."""

FOREVER = float("inf")

BATCH = "batch"
"""The step that is the batch script's, or the command's of a job without one."""

NOBODY = -1
"""``Job.ended_by`` of a job that nobody has ended."""

_TASKS_WIDTH_MAX = 63
"""Characters of an array's waiting tasks that Slurm shows."""


class Owner(msgspec.Struct, frozen=True, gc=False):
    """Whose job it is, as the kernel told us."""

    user_id: int
    user_name: str
    group_id: int
    group_name: str


class SignalRequest(msgspec.Struct, frozen=True, gc=False):
    """``--signal``: a warning before the time limit; ``shell_only`` is the prefix ``B:``."""

    signal: int
    before_end_s: int = 60
    shell_only: bool = False


class CronEntry(msgspec.Struct, frozen=True, gc=False):
    """A crontab's entry: when it is due, in which zone (as TZ has it), and its whole text."""

    times: str
    zone: str
    text: str


class JobSpec(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, weakref=True):
    """What was asked for, after directives, environment and options were read.

    ``script`` and ``environment`` are digests of content that is stored once, however many jobs
    share it. A job without a script runs ``argv`` with no shell in between. None stands for "not
    said": the partition's or the machine's default is applied when the job is accepted.
    """

    name: str
    script: str = ""
    argv: tuple[str, ...] = ()
    environment: str = ""
    command: str = ""
    work_dir: str = "/"
    stdin: str = "/dev/null"
    stdout: str = ""
    stderr: str = ""
    open_mode: str = ""
    umask: int = 0o022
    rlimits: Mapping[str, tuple[int, int]] = {}

    partition: str = ""
    account: str = ""
    qos: str = ""
    comment: str = ""
    admin_comment: str = ""
    wckey: str = ""
    licenses: str = ""
    reservation: str = ""
    mail_type: str = ""
    mail_user: str = ""

    min_nodes: int | None = None
    max_nodes: int | None = None
    ntasks: int | None = None
    ntasks_per_node: int | None = None
    cpus_per_task: int | None = None
    min_cpus_per_node: int | None = None
    mem_per_node_mib: int | None = None
    mem_per_cpu_mib: int | None = None
    tmp_disk_mib: int = 0
    gres: str = ""
    tres_asked: Mapping[str, str] = {}
    """How GPUs were asked for, by Slurm's names (``TresPerJob``), if not for each node alone."""
    features: str = ""
    node_list: str = ""
    exclude: str = ""
    exclusive: bool = False
    oversubscribe: bool = False
    contiguous: bool = False

    time_limit_s: float | None = None
    time_min_s: float | None = None
    delay_boot_s: float = 0.0
    """For how long no node was to be booted for it: shown, and without meaning on one machine."""
    deadline_at: float = 0.0
    nice: int = 0
    priority: int | None = None
    """What was said, instead of what would be worked out."""
    requeue: bool | None = None
    kill_on_invalid_dependency: bool | None = None
    signal: SignalRequest | None = None
    sample_every_s: float | None = None
    """How often to look at what it holds, where no control group limits that."""
    interactive: bool = False
    """Made by srun or salloc: there is no batch script, and no requeue."""
    caller: tuple[int, int, str] | None = None
    """The process that an interactive job ends with: pid, start time in ticks, boot id."""
    cron: CronEntry | None = None
    """Whose job it is, if it waits again, for its next time, whenever it has ended."""

    submit_line: str = ""
    submit_host: str = ""

    @property
    def tasks(self) -> int:
        """Return the number of tasks that the job starts, at least one."""
        if self.ntasks is not None:
            return self.ntasks
        return (self.ntasks_per_node or 1) * (self.min_nodes or 1)

    @property
    def cpus(self) -> int:
        """Return the CPUs that the job needs in all."""
        wanted = self.tasks * (self.cpus_per_task or 1)
        return max(wanted, (self.min_nodes or 1) * (self.min_cpus_per_node or 1))


class NodeShare(msgspec.Struct, frozen=True, gc=False):
    """What an allocation holds of one node; ``cpus`` are its core numbers, ascending."""

    node: str
    cpus: tuple[int, ...]
    memory_mib: int
    gres: Mapping[str, tuple[int, ...]] = {}


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What the kernel says an ended process and its waited-for children used (getrusage(2)).

    ``max_size_kib`` is the most address space that was seen, 0 if nobody looked; if somebody did,
    ``max_rss_kib`` is not less than all processes together held then.
    """

    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_kib: int = 0
    minor_faults: int = 0
    major_faults: int = 0
    blocks_in: int = 0
    blocks_out: int = 0
    max_size_kib: int = 0


class Allocation(msgspec.Struct, gc=False):
    """One attempt of one job: reserved, then allocated (its process known), then released.

    ``token`` stands in the environment of every process of the attempt. Allocations of one
    ``lane`` (the number of the job that opened it, or 0) share what they name: they run one after
    the other, in the order of their reservation. A process is known by
    ``pid``, ``start_ticks`` (field 22 of /proc/PID/stat) and ``boot_id`` together.
    """

    job_id: int
    attempt: int
    shares: tuple[NodeShare, ...]
    token: str
    reserved_at: float
    lane: int = 0
    state: AllocationState = AllocationState.RESERVED
    allocated_at: float = 0.0
    released_at: float = 0.0
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""
    end_state: JobState | None = None
    exit_code: int = 0
    exit_signal: int = 0
    usage: Usage | None = None

    @property
    def cpus(self) -> int:
        """Return the number of CPUs over all nodes."""
        return sum(len(share.cpus) for share in self.shares)

    @property
    def memory_mib(self) -> int:
        """Return the memory over all nodes."""
        return sum(share.memory_mib for share in self.shares)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the names of the nodes, in the machine's order."""
        return tuple(share.node for share in self.shares)

    @property
    def is_active(self) -> bool:
        """Whether it holds, or is about to hold, resources."""
        return self.state is not AllocationState.RELEASED


class Job(msgspec.Struct, gc=False):
    """What became of a specification: one job, one started array task, or an array's waiting rest.

    An array is one record with the tasks that have not started in ``array``; a task gets a record
    of its own when it starts. As in Slurm the task that starts last keeps the array's own number.
    """

    job_id: int
    spec: JobSpec
    owner: Owner
    submit_at: float
    partition: str
    spec_digest: bytes = b""
    state: JobState = JobState.PENDING
    reason: str = Reason.NONE
    priority: int = 0
    nice: int = 0
    hold: Hold = Hold.NONE
    time_limit_s: float | None = None
    begin_at: float = 0.0
    eligible_at: float = 0.0
    start_at: float = 0.0
    end_at: float = 0.0
    suspended_at: float = 0.0
    suspended_s: float = 0.0
    restarts: int = 0
    requeue: bool = True
    exit_code: int = 0
    exit_signal: int = 0
    derived_code: int = 0
    derived_signal: int = 0
    message: str = ""
    ending: JobState | None = None
    ended_by: int = NOBODY
    dependency: Dependency | None = None
    array_job_id: int = 0
    array_task_id: int = NO_TASK
    array: TaskSet | None = None
    array_limit: int = 0
    allocation: Allocation | None = None

    @property
    def name(self) -> str:
        """Return the job's name."""
        return self.spec.name

    @property
    def shown_partition(self) -> str:
        """Return where the job is or was; until it has started, where it may start."""
        asked = self.spec.partition
        return asked if "," in asked and not self.start_at else self.partition

    @property
    def has_choice(self) -> bool:
        """Whether the job may start in one of several partitions."""
        return "," in self.spec.partition

    @property
    def is_array_rest(self) -> bool:
        """Whether this record stands for the tasks of an array that have not started."""
        return self.array is not None

    @property
    def display_id(self) -> str:
        """Return the id as Slurm shows it: ``42``, ``42_7`` or ``42_[8-99%4]``."""
        if self.array is not None:
            limit = f"%{self.array_limit}" if self.array_limit else ""
            return f"{self.array_job_id}_[{self.array.format(_TASKS_WIDTH_MAX)}{limit}]"
        if self.array_task_id != NO_TASK:
            return f"{self.array_job_id}_{self.array_task_id}"
        return str(self.job_id)


class TaskEnd(msgspec.Struct, frozen=True, gc=False):
    """How a task of a step ended.

    If it ``failed`` to start, ``message`` says where (``exec``, ``stdout``, ...) and ``code`` is
    the errno. ``why`` is what the engine did to it: ``limit`` (the step's time was over),
    ``timeout`` (the job's), ``leader`` (its job's script had ended), or something else, or nothing.
    """

    task: int
    code: int
    signal: int = 0
    failed: bool = False
    message: str = ""
    why: str = ""


class StepOutput(msgspec.Struct, frozen=True, gc=False):
    """A file to which a step writes, from ``offset`` on; ``task`` is whose it is, -1: several's."""

    path: str
    offset: int
    task: int = -1


class Step(msgspec.Struct, gc=False):
    """A step of a job: one srun. ``cpus`` is how many its tasks may use, over all nodes.

    ``tasks_per_node`` and ``cores`` (the numbers of those CPUs) run parallel to ``nodes``. Tasks
    are numbered node by node, unless ``layout`` says for each on which of the nodes it runs.
    ``ends`` grows as tasks end.
    """

    job_id: int
    attempt: int
    step_id: str
    name: str
    state: JobState
    start_at: float
    end_at: float = 0.0
    exit_code: int = 0
    exit_signal: int = 0
    ended_by: int = NOBODY
    ntasks: int = 1
    cpus: int = 1
    nodes: tuple[str, ...] = ()
    tasks_per_node: tuple[int, ...] = ()
    ends: tuple[TaskEnd, ...] = ()
    usage: Usage | None = None
    key: str = ""
    """What its caller called it: asked for again under the same key, it is the same step."""
    time_limit_s: float | None = None
    cores: tuple[tuple[int, ...], ...] = ()
    layout: tuple[int, ...] = ()
    overlaps: bool = False
    """Whether it keeps nothing from other steps."""
    outputs: tuple[StepOutput, ...] = ()
    """The files to which all its tasks write; () if any of them writes elsewhere."""
    submit_line: str = ""
    """The command that began it, with its arguments; "": that was not recorded."""
    is_ending: bool = False
    """Whether it was told to end: cancelled, or sent TERM."""
    memory_mib: int = 0
    """How much memory of each node it keeps from other steps; 0: what its CPUs bring with them."""

    def node_of(self, task: int) -> str:
        """Return the node on which a task runs."""
        return self.nodes[self.node_id_of(task)]

    def node_id_of(self, task: int) -> int:
        """Return the place among ``nodes`` of that on which a task runs."""
        if self.layout:
            return self.layout[task]
        for node_id, count in enumerate(self.tasks_per_node):
            if task < count:
                return node_id
            task -= count
        raise LookupError(f"step {self.step_id} has no task {task} more")

    def tasks_on(self, node_id: int) -> Sequence[int]:
        """Return the tasks that run on the node at that place, by number."""
        if self.layout:
            return [task for task, where in enumerate(self.layout) if where == node_id]
        first = sum(self.tasks_per_node[:node_id])
        return range(first, first + self.tasks_per_node[node_id])

    def cores_on(self, node: str) -> tuple[int, ...]:
        """Return the CPUs that its tasks may use there; () if that was not recorded."""
        return dict(zip(self.nodes, self.cores, strict=False)).get(node, ())


class Node(msgspec.Struct, frozen=True, gc=False):
    """A node as configured; several nodes may share one host."""

    name: str
    index: int
    cpus: int
    memory_mib: int
    gres: Mapping[str, int] = {}
    features: tuple[str, ...] = ()
    tmp_disk_mib: int = 0
    """Temporary space that there can be; nodes of one machine share it."""


class Partition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A queue over some of the nodes, with its limits and defaults; None is no limit."""

    name: str
    nodes: tuple[str, ...] = ()
    is_default: bool = False
    state: str = "UP"
    priority_tier: int = 1
    priority_job_factor: int = 1
    max_time_s: float | None = None
    default_time_s: float | None = None
    max_nodes: int | None = None
    min_nodes: int = 0
    default_mem_per_cpu_mib: int | None = None
    default_mem_per_node_mib: int | None = None
    max_mem_per_cpu_mib: int | None = None
    max_mem_per_node_mib: int | None = None
