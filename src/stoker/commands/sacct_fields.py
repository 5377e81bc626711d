"""Every field of sacct: its name, its width, and how it is read off a line of accounting.

A field that a single machine has nothing to say about is empty, or what Slurm prints where its
plugin is not configured: energy, frequencies, block ids. Of memory the kernel tells the peak of
resident pages only, so the average and the least are the peak, and virtual sizes are empty.

Source: sacct(1), "Job Accounting Fields"; names, order and widths as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stoker.commands import sacct_usage as usage
from stoker.commands.accounting import Line
from stoker.commands.columns import Column, Kind
from stoker.commands.endings import End
from stoker.commands.sacct_style import Read, Style
from stoker.core.enums import Hold, JobState
from stoker.core.models import BATCH
from stoker.core.units import (
    FOREVER,
    as_shown,
    compress_hosts,
    format_cpu_time,
    format_duration,
    format_time_limit,
)

DEFAULT_FORMAT = "jobid,jobname,partition,account,alloccpus,state,exitcode"
BRIEF_FORMAT = "jobid,state,exitcode"
LONG_FORMAT = (
    "jobid,jobidraw,jobname,partition,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,"
    "maxrssnode,maxrsstask,averss,maxpages,maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,"
    "mincputask,avecpu,ntasks,alloccpus,elapsed,state,exitcode,avecpufreq,reqcpufreqmin,"
    "reqcpufreqmax,reqcpufreqgov,reqmem,consumedenergy,maxdiskread,maxdiskreadnode,"
    "maxdiskreadtask,avediskread,maxdiskwrite,maxdiskwritenode,maxdiskwritetask,avediskwrite,"
    "reqtres,alloctres,tresusageinave,tresusageinmax,tresusageinmaxnode,tresusageinmaxtask,"
    "tresusageinmin,tresusageinminnode,tresusageinmintask,tresusageintot,tresusageoutmax,"
    "tresusageoutmaxnode,tresusageoutmaxtask,tresusageoutave,tresusageouttot"
)

_SHELL_BASE = 128
_NORMAL = "normal"


def columns(style: Style) -> list[Column[Line]]:
    """Return every field as a column that writes in *style*, in the order of ``--helpformat``."""
    return [
        Column(name, width, _bound(read, style), kind)
        for name, (width, read, kind) in _FIELDS.items()
    ]


def names() -> list[str]:
    """Return the names of all fields."""
    return list(_FIELDS)


def state_text(end: End) -> str:
    """Return a state, and for what somebody cancelled, who."""
    if end.state is JobState.CANCELLED and end.ended_by >= 0:
        return f"{end.state} by {end.ended_by}"
    return str(end.state)


def exit_text(end: End) -> str:
    """Return ``code:signal``; what a shell adds to a signal's number is taken off."""
    if not end.is_known:
        return ""
    return f"{_less_shell_base(end.code)}:{end.signal}"


def cpu_time_text(seconds: float) -> str:
    """Return processor time; whole seconds are written without a fraction."""
    if int(seconds * 1000) % 1000 == 0:
        return format_duration(seconds)
    return format_cpu_time(seconds)


def tres_text(
    style: Style, cpus: int, memory_mib: int, nodes: int, gres: Mapping[str, int], *, bills: bool
) -> str:
    """Return trackable resources as ``cpu=1,mem=1000M,node=1``, by name."""
    words = {"cpu": str(cpus), "mem": style.memory(memory_mib), "node": str(nodes)}
    if bills:
        words["billing"] = str(cpus)
    words |= {f"gres/{name}": str(count) for name, count in gres.items()}
    return ",".join(f"{name}={words[name]}" for name in sorted(words))


def job_id_text(line: Line) -> str:
    """Return ``42``, ``42_7``, ``42_[8-99%4]``, each with its step."""
    return _with_step(line.job.display_id, line)


def _bound(read: Read, style: Style) -> Callable[[Line], str]:
    return lambda line: read(line, style)


def _with_step(text: str, line: Line) -> str:
    return f"{text}.{line.step_id}" if line.is_step else text


def _less_shell_base(code: int) -> int:
    return code - _SHELL_BASE if code >= _SHELL_BASE else code


# Readers of readers: fields that only some lines have.


def _of_job(read: Callable[[Line], str]) -> Read:
    return lambda line, _: "" if line.is_step else read(line)


def _of_step(read: Callable[[Line], str]) -> Read:
    return lambda line, _: read(line) if line.is_step else ""


def _always(text: str) -> Read:
    return lambda *_: text


# Times.


def _cpu_time_s(line: Line) -> int:
    return line.span.elapsed_s * line.cpus


def _start(line: Line, style: Style) -> str:
    if line.span.end_at and not line.span.start_at:
        return "None"
    return style.time(line.span.start_at)


def _waited_s(line: Line, style: Style) -> int:
    since = line.span.eligible_at
    if not since:
        return 0
    until = line.span.start_at or line.span.end_at or style.now
    return max(0, int(until) - int(since))


def _reserved(line: Line, style: Style) -> str:
    return "" if line.is_step else format_duration(_waited_s(line, style))


def _reserved_cpu_s(line: Line, style: Style) -> int:
    return _waited_s(line, style) * line.request.cpus


def _resv_cpu(line: Line, style: Style) -> str:
    return "" if line.is_step else format_duration(_reserved_cpu_s(line, style))


def _resv_cpu_raw(line: Line, style: Style) -> str:
    return "" if line.is_step else str(_reserved_cpu_s(line, style))


def _time_limit(line: Line) -> str:
    return _limit_word(line) or format_time_limit(line.job.time_limit_s)


def _time_limit_raw(line: Line) -> str:
    return _limit_word(line) or str(int((as_shown(line.job.time_limit_s) or 0.0) // 60))


def _limit_word(line: Line) -> str:
    """Return the word for a limit that is none, or that only the partition will set."""
    if line.job.time_limit_s is None and line.job.spec.time_limit_s is None and not line.has_run:
        return "Partition_Limit"
    limit = line.job.time_limit_s
    return "UNLIMITED" if limit is None or limit == FOREVER else ""


# Resources.


def _alloc_tres(line: Line, style: Style) -> str:
    held = line.held
    if not line.has_run:
        return ""
    return tres_text(
        style, held.cpus, held.memory_mib, len(held.nodes), held.gres, bills=not line.is_step
    )


def _req_tres(line: Line, style: Style) -> str:
    wanted = line.request
    if line.is_step:
        return ""
    return tres_text(style, wanted.cpus, wanted.memory_mib, wanted.nodes, wanted.gres, bills=True)


def _req_mem(line: Line, style: Style) -> str:
    return "" if line.is_step else style.memory(line.request.memory_mib)


def _req_cpus(line: Line, _: Style) -> str:
    return str(line.held.cpus if line.is_step else line.request.cpus)


def _req_nodes(line: Line, _: Style) -> str:
    return str(len(line.held.nodes) if line.is_step else line.request.nodes)


def _node_count(line: Line, _: Style) -> str:
    return str(len(line.held.nodes) if line.has_run else line.request.nodes)


def _node_list(line: Line, _: Style) -> str:
    return compress_hosts(line.held.nodes) if line.has_run else "None assigned"


# Words.


def layout(line: Line) -> str:
    """Return how the tasks of a step are spread over its nodes."""
    if line.step_id == BATCH:
        return "Unknown"
    return "Cyclic" if line.ntasks <= len(line.held.nodes) else "Block"


def _frequency(line: Line, _: Style) -> str:
    return "0" if line.step_id == BATCH else "Unknown"


def _flags(line: Line) -> str:
    return "SchedMain,StartRecieved" if line.has_run else "StartRecieved"


def _priority(line: Line) -> str:
    job = line.job
    held = job.hold is not Hold.NONE and not line.has_run
    return "0" if held else str(job.priority)


def _derived(line: Line) -> str:
    code, signal = line.derived
    return f"{_less_shell_base(code)}:{signal}"


_EMPTY = _always("")
_ZERO = _always("0")

_FIELDS: dict[str, tuple[int, Read, Kind]] = {
    "Account": (10, lambda line, _: line.job.spec.account, "text"),
    "AdminComment": (15, _of_job(lambda line: line.job.spec.admin_comment), "text"),
    "AllocCPUS": (10, lambda line, _: str(line.cpus), "figure"),
    "AllocNodes": (10, lambda line, _: str(len(line.held.nodes)), "figure"),
    "AllocTRES": (10, _alloc_tres, "text"),
    "AssocID": (7, _ZERO, "figure"),
    "AveCPU": (10, usage.CPU, "text"),
    "AveCPUFreq": (10, _of_step(lambda _: "0"), "text"),
    "AveDiskRead": (14, usage.READ, "text"),
    "AveDiskWrite": (14, usage.WRITTEN, "text"),
    "AvePages": (10, usage.PAGES, "text"),
    "AveRSS": (10, usage.RSS, "text"),
    "AveVMSize": (10, usage.SIZE, "text"),
    "BlockID": (16, _EMPTY, "text"),
    "Cluster": (10, lambda _, style: style.cluster, "text"),
    "Comment": (14, _of_job(lambda line: line.job.spec.comment), "text"),
    "Constraints": (19, _of_job(lambda line: line.job.spec.features), "text"),
    "ConsumedEnergy": (14, _ZERO, "text"),
    "ConsumedEnergyRaw": (17, _ZERO, "figure"),
    "Container": (19, _EMPTY, "text"),
    "CPUTime": (10, lambda line, _: format_duration(_cpu_time_s(line)), "figure"),
    "CPUTimeRAW": (10, lambda line, _: str(_cpu_time_s(line)), "figure"),
    "DBIndex": (-10, lambda line, _: str(line.job.job_id), "figure"),
    "DerivedExitCode": (15, _of_job(_derived), "text"),
    "Elapsed": (10, lambda line, _: format_duration(line.span.elapsed_s), "figure"),
    "ElapsedRaw": (10, lambda line, _: str(line.span.elapsed_s), "figure"),
    "Eligible": (19, lambda line, style: style.time(line.span.eligible_at), "stamp"),
    "End": (19, lambda line, style: style.time(line.span.end_at), "stamp"),
    "ExitCode": (8, lambda line, _: exit_text(line.end), "text"),
    "Flags": (19, _of_job(_flags), "text"),
    "GID": (6, _of_job(lambda line: str(line.job.owner.group_id)), "figure"),
    "Group": (9, _of_job(lambda line: line.job.owner.group_name), "text"),
    "JobID": (-12, lambda line, _: job_id_text(line), "text"),
    "JobIDRaw": (-12, lambda line, _: _with_step(str(line.job.job_id), line), "text"),
    "JobName": (10, lambda line, _: line.name, "text"),
    "Layout": (9, _of_step(layout), "text"),
    "MaxDiskRead": (12, usage.READ, "text"),
    "MaxDiskReadNode": (15, usage.NODE, "text"),
    "MaxDiskReadTask": (15, usage.TASK, "text"),
    "MaxDiskWrite": (12, usage.WRITTEN, "text"),
    "MaxDiskWriteNode": (16, usage.NODE, "text"),
    "MaxDiskWriteTask": (16, usage.TASK, "text"),
    "MaxPages": (8, usage.PAGES, "text"),
    "MaxPagesNode": (12, usage.NODE, "text"),
    "MaxPagesTask": (14, usage.TASK, "text"),
    "MaxRSS": (10, usage.RSS, "text"),
    "MaxRSSNode": (10, usage.NODE, "text"),
    "MaxRSSTask": (10, usage.TASK, "text"),
    "MaxVMSize": (10, usage.SIZE, "text"),
    "MaxVMSizeNode": (14, usage.SIZE_NODE, "text"),
    "MaxVMSizeTask": (14, usage.SIZE_TASK, "text"),
    "McsLabel": (12, _EMPTY, "text"),
    "MinCPU": (10, usage.CPU, "text"),
    "MinCPUNode": (10, usage.NODE, "text"),
    "MinCPUTask": (10, usage.TASK, "text"),
    "NCPUS": (10, lambda line, _: str(line.cpus), "figure"),
    "NNodes": (8, _node_count, "figure"),
    "NodeList": (15, _node_list, "text"),
    "NTasks": (8, _of_step(lambda line: str(line.ntasks)), "figure"),
    "Partition": (10, _of_job(lambda line: line.job.shown_partition), "text"),
    "Priority": (10, _of_job(_priority), "figure"),
    "QOS": (10, _of_job(lambda line: line.job.spec.qos or _NORMAL), "text"),
    "QOSRAW": (6, _of_job(lambda _: "1"), "figure"),
    "Reason": (22, _of_job(lambda line: line.reason), "text"),
    "ReqCPUFreq": (10, _frequency, "text"),
    "ReqCPUFreqGov": (13, _frequency, "text"),
    "ReqCPUFreqMax": (13, _frequency, "text"),
    "ReqCPUFreqMin": (13, _frequency, "text"),
    "ReqCPUS": (8, _req_cpus, "figure"),
    "ReqMem": (10, _req_mem, "text"),
    "ReqNodes": (8, _req_nodes, "figure"),
    "ReqTRES": (10, _req_tres, "text"),
    "Reservation": (20, _of_job(lambda line: line.job.spec.reservation), "text"),
    "ReservationId": (8, _EMPTY, "text"),
    "Reserved": (10, _reserved, "figure"),
    "ResvCPU": (10, _resv_cpu, "figure"),
    "ResvCPURAW": (10, _resv_cpu_raw, "figure"),
    "Start": (19, _start, "stamp"),
    "State": (10, lambda line, _: state_text(line.end), "text"),
    "Submit": (19, lambda line, style: style.time(line.span.submit_at), "stamp"),
    "SubmitLine": (20, lambda line, _: line.submit_line, "text"),
    "Suspended": (10, lambda line, _: format_duration(line.span.suspended_s), "figure"),
    "SystemComment": (15, _EMPTY, "text"),
    "SystemCPU": (10, lambda line, _: cpu_time_text(line.system_s), "text"),
    "Timelimit": (10, _of_job(_time_limit), "text"),
    "TimelimitRaw": (10, _of_job(_time_limit_raw), "text"),
    "TotalCPU": (10, lambda line, _: cpu_time_text(line.user_s + line.system_s), "text"),
    "TRESUsageInAve": (14, usage.IN_AVERAGE, "text"),
    "TRESUsageInMax": (14, usage.IN, "text"),
    "TRESUsageInMaxNode": (18, usage.IN_NODE, "text"),
    "TRESUsageInMaxTask": (18, usage.IN_TASK, "text"),
    "TRESUsageInMin": (14, usage.IN_AVERAGE, "text"),
    "TRESUsageInMinNode": (18, usage.IN_NODE, "text"),
    "TRESUsageInMinTask": (18, usage.IN_TASK, "text"),
    "TRESUsageInTot": (14, usage.IN, "text"),
    "TRESUsageOutAve": (15, usage.OUT, "text"),
    "TRESUsageOutMax": (15, usage.OUT, "text"),
    "TRESUsageOutMaxNode": (19, usage.OUT_NODE, "text"),
    "TRESUsageOutMaxTask": (19, usage.OUT_TASK, "text"),
    "TRESUsageOutMin": (15, usage.OUT, "text"),
    "TRESUsageOutMinNode": (19, usage.OUT_NODE, "text"),
    "TRESUsageOutMinTask": (19, usage.OUT_TASK, "text"),
    "TRESUsageOutTot": (15, usage.OUT, "text"),
    "UID": (6, _of_job(lambda line: str(line.job.owner.user_id)), "figure"),
    "User": (9, _of_job(lambda line: line.job.owner.user_name), "text"),
    "UserCPU": (10, lambda line, _: cpu_time_text(line.user_s), "text"),
    "WCKey": (10, _of_job(lambda line: line.job.spec.wckey), "text"),
    "WCKeyID": (10, _of_job(lambda _: "0"), "figure"),
    "WorkDir": (20, _of_job(lambda line: line.job.spec.work_dir), "text"),
}
"""Name, width (negative: left-aligned), reader and kind, in the order of ``--helpformat``."""
