"""The columns of squeue: headings and values, by letter and by name.

What one machine has no value for (boards, federations, burst buffers, ...) reads as it does on a
cluster without such things.

Source: squeue(1) "--format" and "--Format"; headings as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from stoker.commands.formats import Field, figure_whole_on_the_right, whole_on_the_right
from stoker.commands.jobview import JobView
from stoker.core.enums import JobState
from stoker.core.units import (
    FOREVER,
    compress_hosts,
    expand_hosts,
    format_elapsed,
    format_memory,
)

JobField = Field[JobView]

_ID_WIDTH_MAX = 31
"""Characters of a job's id that Slurm prints, whatever the column's width."""
_PRIORITY_UNIT = 2**32 - 1


def _constant(heading: str, text: str | None) -> JobField:
    return Field(heading, lambda _: text)


def _of_spec(heading: str, name: str) -> JobField:
    """A text of the specification; an empty one is missing."""

    def read(view: JobView) -> str | None:
        return getattr(view.job.spec, name) or None

    return Field(heading, read)


def _whole(heading: str, read: Callable[[JobView], str | None]) -> JobField:
    return Field(heading, read, whole_on_the_right)


def _time(heading: str, read: Callable[[JobView], float]) -> JobField:
    """A point in time; N/A if there is none."""

    def text(view: JobView) -> str:
        at = read(view)
        return view.scene.time(at) if at else "N/A"

    return Field(heading, text)


def _span(heading: str, read: Callable[[JobView], float | None]) -> JobField:
    return Field(heading, lambda view: format_elapsed(read(view)), figure_whole_on_the_right)


def _delay_boot(view: JobView) -> str:
    """Return for how long no node was to be booted; what never ends is INVALID, as in Slurm."""
    delay_s = view.job.spec.delay_boot_s
    return format_elapsed(-1 if delay_s == FOREVER else delay_s)


def _end_time(view: JobView) -> str:
    at = view.end_at
    if at is None:
        return "NONE"
    return view.scene.time(at) if at else "N/A"


def _left_s(view: JobView) -> float | None:
    left = view.left_s
    return left if left is None else max(0.0, left)


def _cut_reason(text: str, width: int, is_right: bool) -> str:  # noqa: FBT001 - a Fit
    """Fit NODELIST(REASON): on the right a reason is cut, a list of nodes is not."""
    return text if is_right and not text.startswith("(") else text[:width]


def _hosts(text: str) -> str:
    return compress_hosts(expand_hosts(text)) if text else ""


def scheduled_nodes(view: JobView) -> str | None:
    """Return where a waiting job is to start, as far as that is certain: all its nodes, or none."""
    if view.job.state is not JobState.PENDING or view.expected_at is None:
        return None
    names = view.shape.nodes or view.scene.node_names
    return compress_hosts(names) if len(names) == view.node_count else None


def _exit_code(view: JobView) -> str:
    job = view.job
    return str(job.exit_code << 8 | job.exit_signal)


def _pending_s(view: JobView) -> int:
    until = view.start_at or view.scene.now
    return max(0, int(until - view.job.submit_at))


_ACCOUNT: Final = _of_spec("ACCOUNT", "account")
_ALLOC_NODES: Final = Field[JobView](
    "ALLOC_NODES", lambda view: view.job.spec.submit_host or "localhost"
)
_ARRAY_JOB: Final = Field[JobView]("ARRAY_JOB_ID", lambda view: str(view.array_id))
_ARRAY_TASK: Final = Field[JobView]("ARRAY_TASK_ID", lambda view: view.tasks_text or "N/A")
_COMMAND: Final = _of_spec("COMMAND", "command")
_COMMENT: Final = _of_spec("COMMENT", "comment")
_CONTIGUOUS: Final = Field[JobView]("CONTIGUOUS", lambda view: str(int(view.job.spec.contiguous)))
_CORES: Final = _constant("CORES_PER_SOCKET", "*")
_CORE_SPEC: Final = _constant("CORE_SPEC", "N/A")
_CPUS: Final = Field[JobView]("CPUS", lambda view: str(view.cpus))
_DEPENDENCY: Final = Field[JobView]("DEPENDENCY", lambda view: view.dependency)
_END: Final = Field[JobView]("END_TIME", _end_time)
_EXCLUDED: Final = Field[JobView]("EXC_NODES", lambda view: _hosts(view.job.spec.exclude))
_EXEC_HOST: Final = Field[JobView]("EXEC_HOST", lambda view: view.batch_host or "n/a")
_FEATURES: Final = _of_spec("FEATURES", "features")
_GROUP: Final = Field[JobView]("GROUP", lambda view: view.job.owner.group_name)
_GROUP_ID: Final = Field[JobView]("GROUP", lambda view: str(view.job.owner.group_id))
_JOB_ID: Final = Field[JobView]("JOBID", lambda view: view.display_id[:_ID_WIDTH_MAX])
_RAW_ID: Final = Field[JobView]("JOBID", lambda view: str(view.job.job_id))
_LICENSES: Final = _of_spec("LICENSES", "licenses")
_MIN_CPUS: Final = Field[JobView]("MIN_CPUS", lambda view: str(view.min_cpus))
_MIN_MEMORY: Final = Field[JobView]("MIN_MEMORY", lambda view: format_memory(view.min_memory_mib))
_MIN_TMP_DISK: Final = Field[JobView](
    "MIN_TMP_DISK", lambda view: format_memory(view.job.spec.tmp_disk_mib)
)
_NAME: Final = Field[JobView]("NAME", lambda view: view.job.name)
_NICE: Final = Field[JobView]("NICE", lambda view: str(view.job.nice))
_NODELIST: Final = _whole("NODELIST", lambda view: view.node_list)
_NODES: Final = Field[JobView]("NODES", lambda view: str(view.node_count))
_OVER_SUBSCRIBE: Final = Field[JobView]("OVER_SUBSCRIBE", lambda view: view.oversubscribe)
_PARTITION: Final = Field[JobView]("PARTITION", lambda view: view.job.shown_partition)
_PRIORITY: Final = Field[JobView]("PRIORITY", lambda view: f"{view.priority / _PRIORITY_UNIT:.14f}")
_PRIORITY_LONG: Final = Field[JobView]("PRIORITY", lambda view: str(view.priority))
_QOS: Final = Field[JobView]("QOS", lambda view: view.qos)
_REASON: Final = Field[JobView]("REASON", lambda view: view.reason)
_REASON_LIST: Final = Field[JobView](
    "NODELIST(REASON)", lambda view: view.nodes_or_reason, _cut_reason
)
_REQ_NODES: Final = Field[JobView]("REQ_NODES", lambda view: _hosts(view.job.spec.node_list))
_RESERVATION: Final = _of_spec("RESERVATION", "reservation")
_SCHED_NODES: Final = _whole("SCHEDNODES", scheduled_nodes)
_SELECT_INFO: Final = _constant("", "")
_SOCKETS: Final = _constant("SOCKETS_PER_NODE", "*")
_SOCKETS_CORES_THREADS: Final = _constant("S:C:T", "*:*:*")
_START: Final = _time("START_TIME", lambda view: view.start_at)
_STATE: Final = Field[JobView]("STATE", lambda view: view.state.value)
_STATE_COMPACT: Final = Field[JobView]("ST", lambda view: view.state.compact)
_SUBMIT: Final = _time("SUBMIT_TIME", lambda view: view.job.submit_at)
_THREADS: Final = _constant("THREADS_PER_CORE", "*")
_TIME_LEFT: Final = _span("TIME_LEFT", _left_s)
_TIME_LIMIT: Final = _span("TIME_LIMIT", lambda view: view.limit_s)
_TIME_USED: Final = _span("TIME", lambda view: view.elapsed_s)
_TRES_PER_NODE: Final = Field[JobView]("TRES_PER_NODE", lambda view: view.tres_per_node or "N/A")
_USER: Final = Field[JobView]("USER", lambda view: view.job.owner.user_name)
_USER_ID: Final = Field[JobView]("UID", lambda view: str(view.job.owner.user_id))
_WCKEY: Final = _of_spec("WCKEY", "wckey")
_WORK_DIR: Final = _of_spec("WORK_DIR", "work_dir")

BY_LETTER: Mapping[str, JobField] = MappingProxyType(
    {
        "a": _ACCOUNT,
        "A": _RAW_ID,
        "b": _TRES_PER_NODE,
        "B": _EXEC_HOST,
        "c": _MIN_CPUS,
        "C": _CPUS,
        "d": _MIN_TMP_DISK,
        "D": _NODES,
        "e": _END,
        "E": _DEPENDENCY,
        "f": _FEATURES,
        "F": _ARRAY_JOB,
        "g": _GROUP,
        "G": _GROUP_ID,
        "h": _OVER_SUBSCRIBE,
        "H": _SOCKETS,
        "i": _JOB_ID,
        "I": _CORES,
        "j": _NAME,
        "J": _THREADS,
        "k": _COMMENT,
        "K": _ARRAY_TASK,
        "l": _TIME_LIMIT,
        "L": _TIME_LEFT,
        "m": _MIN_MEMORY,
        "M": _TIME_USED,
        "n": _REQ_NODES,
        "N": _NODELIST,
        "o": _COMMAND,
        "O": _CONTIGUOUS,
        "p": _PRIORITY,
        "P": _PARTITION,
        "q": _QOS,
        "Q": _PRIORITY_LONG,
        "r": _REASON,
        "R": _REASON_LIST,
        "s": _SELECT_INFO,
        "S": _START,
        "t": _STATE_COMPACT,
        "T": _STATE,
        "u": _USER,
        "U": _USER_ID,
        "v": _RESERVATION,
        "V": _SUBMIT,
        "w": _WCKEY,
        "W": _LICENSES,
        "x": _EXCLUDED,
        "X": _CORE_SPEC,
        "y": _NICE,
        "Y": _SCHED_NODES,
        "z": _SOCKETS_CORES_THREADS,
        "Z": _WORK_DIR,
    }
)
EVERY_LETTER: Final = "".join(
    f"%{letter}|" for letter in sorted(BY_LETTER, key=lambda letter: (letter.isupper(), letter))
)
"""What ``%all`` stands for."""

BY_NAME: Mapping[str, JobField] = MappingProxyType(
    {
        "account": _ACCOUNT,
        "accruetime": _time("ACCRUE_TIME", lambda view: view.accrue_at),
        "admin_comment": _of_spec("ADMIN_COMMENT", "admin_comment"),
        "allocnodes": _ALLOC_NODES,
        "allocsid": _constant("ALLOC_SID", "0"),
        "arrayjobid": _ARRAY_JOB,
        "arraytaskid": _ARRAY_TASK,
        "associd": _constant("ASSOCID", "0"),
        "batchflag": Field("BATCH_FLAG", lambda view: str(int(not view.job.spec.interactive))),
        "batchhost": _EXEC_HOST,
        "boardspernode": _constant("BOARDS_PER_NODE", "0"),
        "burstbuffer": _constant("BURST_BUFFER", None),
        "burstbufferstate": _constant("BURST_BUFFER_STATE", None),
        "cluster": Field("CLUSTER", lambda view: view.scene.cluster),
        "clusterfeature": _constant("CLUSTER_FEATURES", None),
        "command": _COMMAND,
        "comment": _COMMENT,
        "container": _constant("CONTAINER", None),
        "contiguous": _CONTIGUOUS,
        "cores": _CORES,
        "corespec": _CORE_SPEC,
        "cpus-per-task": Field("CPUS_PER_TASK", lambda view: str(view.shape.cpus_per_task)),
        "cpus-per-tres": _constant("CPUS_PER_TRES", "N/A"),
        "deadline": _time("DEADLINE", lambda view: view.job.spec.deadline_at),
        "delayboot": Field("DELAY_BOOT", _delay_boot),
        "dependency": _DEPENDENCY,
        "derivedec": Field(
            "DERIVED_EC", lambda view: str(view.job.derived_code << 8 | view.job.derived_signal)
        ),
        "eligibletime": _time("ELIGIBLE_TIME", lambda view: view.eligible_at),
        "endtime": _END,
        "exit_code": Field("EXIT_CODE", _exit_code),
        "feature": _FEATURES,
        "groupid": _GROUP_ID,
        "groupname": _GROUP,
        "hetjobid": _constant("HET_JOB_ID", "N/A"),
        "hetjobidset": _constant("HET_JOB_ID_SET", "N/A"),
        "hetjoboffset": _constant("HET_JOB_OFFSET", "N/A"),
        "jobarrayid": _JOB_ID,
        "jobid": _RAW_ID,
        "lastschedeval": _time("LAST_SCHED_EVAL", lambda view: view.job.submit_at),
        "licenses": _LICENSES,
        "maxcpus": _constant("MAX_CPUS", "0"),
        "maxnodes": Field("MAX_NODES", lambda view: str(view.node_count)),
        "mcslabel": _constant("MCSLABEL", None),
        "mem-per-tres": _constant("MEM_PER_TRES", "N/A"),
        "mincpus": _MIN_CPUS,
        "minmemory": _MIN_MEMORY,
        "mintime": _span("TIME_MIN", lambda view: view.job.spec.time_min_s or 0.0),
        "mintmpdisk": _MIN_TMP_DISK,
        "name": _NAME,
        "network": _constant("NETWORK", None),
        "nice": _NICE,
        "nodelist": _NODELIST,
        "ntasks": Field("TASKS", lambda view: str(view.tasks)),
        "ntperboard": _constant("NTASKS_PER_BOARD", "0"),
        "ntpercore": _constant("NTASKS_PER_CORE", "N/A"),
        "ntpernode": Field("NTASKS_PER_NODE", lambda view: str(view.shape.tasks_per_node or 0)),
        "ntpersocket": _constant("NTASKS_PER_SOCKET", "N/A"),
        "numcpus": _CPUS,
        "numnodes": _NODES,
        "numtasks": Field("TASKS", lambda view: str(view.tasks)),
        "origin": _constant("ORIGIN", "NA"),
        "originraw": _constant("ORIGIN_RAW", "NA"),
        "oversubscribe": _OVER_SUBSCRIBE,
        "partition": _PARTITION,
        "pendingtime": Field("PENDING_TIME", lambda view: str(_pending_s(view))),
        "preemptime": _constant("PREEMPT_TIME", "N/A"),
        "prefer": _constant("PREFER", None),
        "priority": _PRIORITY,
        "prioritylong": _PRIORITY_LONG,
        "profile": _constant("PROFILE", "NotSet"),
        "qos": _QOS,
        "reason": _REASON,
        "reasonlist": _REASON_LIST,
        "reboot": _constant("REBOOT", "0"),
        "reqnodes": _REQ_NODES,
        "reqswitch": _constant("REQ_SWITCH", "0"),
        "requeue": Field("REQUEUE", lambda view: str(int(view.job.requeue))),
        "reservation": _RESERVATION,
        "resizetime": _constant("RESIZE_TIME", "N/A"),
        "restartcnt": Field("RESTART_COUNT", lambda view: str(view.job.restarts)),
        "resvport": _constant("RESV_PORTS", None),
        "schednodes": _SCHED_NODES,
        "sct": _SOCKETS_CORES_THREADS,
        "selectjobinfo": _SELECT_INFO,
        "siblingsactive": _constant("ACTIVE_SIBLINGS", "NA"),
        "siblingsactiveraw": _constant("ACTIVE_SIBLINGS_RAW", "NA"),
        "siblingsviable": _constant("VIABLE_SIBLINGS", "NA"),
        "siblingsviableraw": _constant("VIABLE_SIBLINGS_RAW", "NA"),
        "sockets": _SOCKETS,
        "sperboard": _constant("SOCKETS_PER_BOARD", "0"),
        "starttime": _START,
        "state": _STATE,
        "statecompact": _STATE_COMPACT,
        "stderr": Field("STDERR", lambda view: view.stderr),
        "stdin": Field("STDIN", lambda view: view.path(view.job.spec.stdin)),
        "stdout": Field("STDOUT", lambda view: view.stdout),
        "submittime": _SUBMIT,
        "system_comment": _constant("SYSTEM_COMMENT", None),
        "threads": _THREADS,
        "timeleft": _TIME_LEFT,
        "timelimit": _TIME_LIMIT,
        "timeused": _TIME_USED,
        "tres-alloc": Field("TRES_ALLOC", lambda view: view.tres),
        "tres-bind": _constant("TRES_BIND", "N/A"),
        "tres-freq": _constant("TRES_FREQ", "N/A"),
        "tres-per-job": _constant("TRES_PER_JOB", "N/A"),
        "tres-per-node": _TRES_PER_NODE,
        "tres-per-socket": _constant("TRES_PER_SOCKET", "N/A"),
        "tres-per-task": _constant("TRES_PER_TASK", "N/A"),
        "userid": _USER_ID,
        "username": _USER,
        "wait4switch": _constant("WAIT4SWITCH", "0:00"),
        "wckey": _WCKEY,
        "workdir": _WORK_DIR,
    }
)

EXPECTING: Final = frozenset({_START, _END, _SCHED_NODES, BY_NAME["pendingtime"]})
"""Fields for which one must find out when waiting jobs will start."""

TIMES: Final = frozenset(
    {_START, _END, _SUBMIT}
    | {BY_NAME[name] for name in ("accruetime", "deadline", "eligibletime", "lastschedeval")}
)
"""Fields that tell a point in time."""
