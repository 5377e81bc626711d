"""scontrol show job and show step: a record for each, in Slurm's layout.

A record is a list of lines; they stand below one another, or with ``--oneliner`` side by side.

Source: scontrol(1) "show job"; the layout as recorded, blanks at line ends and all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from stoker.commands.errors import describe
from stoker.commands.everyjob import LONG, every_view, named_views
from stoker.commands.jobview import JobView
from stoker.commands.scene import Scene
from stoker.commands.scontrol.words import Line, failure
from stoker.commands.stepview import StepView, step_views, steps_of
from stoker.core.enums import HOLDING, JobState
from stoker.core.errors import UnknownJob
from stoker.core.models import Job, NodeShare
from stoker.core.units import (
    FOREVER,
    JobRef,
    NotationError,
    compress_hosts,
    expand_hosts,
    format_duration,
    format_exit_code,
    format_memory,
    format_time_limit,
    parse_job_ref,
)
from stoker.worker.call import Answer

_JOINED_MAX: Final = 64
"""Records that are rendered at once."""


def show_jobs(line: Line, word: str | None) -> Answer:
    """Show one job, the records of an array, or everything that is known."""
    scene = Scene(line.call, line.controller)
    if word is None:
        return Answer(out=_shown(line, every_view(scene, line.controller)))
    try:
        ref = parse_job_ref(word)
    except NotationError:
        return failure("scontrol_print_job error: Invalid job id specified")
    try:
        found = line.controller.find(JobRef(ref.job_id, ref.tasks))
    except UnknownJob as error:
        return failure(f"slurm_load_jobs error: {describe(error)}")
    jobs = sorted(found, key=lambda job: _rank(job, ref))
    return Answer(out=_shown(line, named_views(jobs, scene, line.controller)))


def show_steps(line: Line, word: str | None) -> Answer:
    """Show the running steps of one job, one step, or all of them."""
    ref = _step_ref(word)
    if ref is None:
        return Answer(out=_all_steps(line))
    try:
        views = steps_of([ref], Scene(line.call, line.controller), line.controller)
    except UnknownJob as error:
        return failure(f"slurm_get_job_steps error: {describe(error)}")
    if not views:
        step = word if ref.step else f"{word}."
        return Answer(out=f"Job step {step} not found\n", code=1)
    return Answer(out="".join(_step_records(line, views)))


def joined(line: Line, lines: Iterable[str]) -> str:
    """Return a record as text."""
    return " ".join(lines) + "\n" if line.is_oneliner else "\n   ".join(lines) + "\n\n"


def _shown(line: Line, parts: Iterable[Sequence[JobView]]) -> str | Iterator[str]:
    """Return the records; more than a few are made as they are read."""
    if isinstance(parts, list) and sum(map(len, parts)) <= _JOINED_MAX:
        return "".join(_listed(line, parts))
    return _listed(line, parts)


def _listed(line: Line, parts: Iterable[Sequence[JobView]]) -> Iterator[str]:
    """Yield the records, one to a piece, or that there are none."""
    is_empty = True
    for views in parts:
        yield ""
        for record in _records(line, views):
            is_empty = False
            yield record
    if is_empty:
        yield "No jobs in the system\n"


def _rank(job: Job, ref: JobRef) -> tuple[bool, int]:
    """Sort an array's waiting rest before its tasks, and the younger task before the older."""
    return (job.array is None and job.job_id != ref.job_id, -job.job_id)


def _records(line: Line, views: Iterable[JobView]) -> Iterator[str]:
    return (joined(line, _job_lines(view, has_details=line.has_details)) for view in views)


# A job.


def _job_lines(view: JobView, *, has_details: bool) -> Iterator[str]:
    yield from _identity_lines(view)
    if has_details:
        job = view.job
        yield f"DerivedExitCode={format_exit_code(job.derived_code, job.derived_signal)}"
    yield from _time_lines(view)
    yield from _place_lines(view)
    if has_details and view.allocation:
        yield f"JOB_GRES={_gres_total(view.allocation.shares)}"
        yield from map(_share_line, view.allocation.shares)
    yield from _request_lines(view)
    yield from _file_lines(view)
    yield ""


def _identity_lines(view: JobView) -> Iterator[str]:
    job, owner, spec = view.job, view.job.owner, view.job.spec
    yield f"JobId={job.job_id} {_array_words(view)}JobName={_shown_name(job)}"
    yield (
        f"UserId={owner.user_name}({owner.user_id}) "
        f"GroupId={owner.group_name}({owner.group_id}) MCS_label=N/A"
    )
    account = spec.account or "(null)"
    yield f"Priority={view.priority} Nice={job.nice} Account={account} QOS={view.qos}"
    yield (
        f"JobState={view.state} Reason={view.reason_word} Dependency={view.dependency or '(null)'}"
    )
    yield (
        f"Requeue={int(job.requeue)} Restarts={job.restarts} "
        f"BatchFlag={int(not spec.interactive)} Reboot=0 "
        f"ExitCode={format_exit_code(job.exit_code, job.exit_signal)}"
    )


def _array_words(view: JobView) -> str:
    if not view.is_array_part:
        return ""
    limit = view.job.array_limit
    throttle = f"ArrayTaskThrottle={limit} " if limit else ""
    return f"ArrayJobId={view.array_id} ArrayTaskId={view.tasks_text} {throttle}"


def _time_lines(view: JobView) -> Iterator[str]:
    job, time = view.job, view.scene.time
    least = "N/A" if job.spec.time_min_s is None else format_time_limit(job.spec.time_min_s)
    yield (
        f"RunTime={format_duration(view.elapsed_s)} "
        f"TimeLimit={format_time_limit(job.time_limit_s)} TimeMin={least}"
    )
    yield f"SubmitTime={time(job.submit_at)} EligibleTime={time(view.eligible_at)}"
    yield f"AccrueTime={time(view.accrue_at)}"
    deadline = time(job.spec.deadline_at) if job.spec.deadline_at else "N/A"
    yield (
        f"StartTime={time(view.start_at)} EndTime={time(view.end_at or 0.0)} Deadline={deadline}"
    )
    suspended = time(job.suspended_at) if job.suspended_at else "None"
    yield (
        f"SuspendTime={suspended} SecsPreSuspend={int(job.suspended_s)} "
        f"LastSchedEval={time(job.start_at or job.submit_at)} Scheduler=Main"
    )


def _place_lines(view: JobView) -> Iterator[str]:
    job, spec, shape = view.job, view.job.spec, view.shape
    yield f"Partition={job.shown_partition} AllocNode:Sid={spec.submit_host or 'localhost'}:0"
    yield f"ReqNodeList={_hosts(spec.node_list)} ExcNodeList={_hosts(spec.exclude)}"
    yield f"NodeList={view.node_list}"
    if view.batch_host:
        yield f"BatchHost={view.batch_host}"
    yield (
        f"NumNodes={_node_range(view)} NumCPUs={view.cpus} NumTasks={view.tasks} "
        f"CPUs/Task={shape.cpus_per_task} ReqB:S:C:T=0:0:*:*"
    )
    yield f"TRES={view.tres}"
    yield f"Socks/Node=* NtasksPerN:B:S:C={shape.tasks_per_node or 0}:0:*:* CoreSpec=*"


def _shown_name(job: Job) -> str:
    """Return the name: a command line always gives one, though it may be empty."""
    return job.name if job.name or job.spec.submit_line else "(null)"


def _node_range(view: JobView) -> str:
    """Return how many nodes it has; of a waiting job ``2-4`` if it may have no more than that."""
    most = view.job.spec.max_nodes
    if view.job.state is not JobState.PENDING or not most:
        return str(view.node_count)
    return f"{min(view.node_count, most)}-{most}"


def _gres_total(shares: Iterable[NodeShare]) -> str:
    total: Counter[str] = Counter()
    for share in shares:
        total.update({name: len(indices) for name, indices in share.gres.items()})
    return ",".join(f"{name}:{count}" for name, count in total.items()) or "(null)"


def _share_line(share: NodeShare) -> str:
    cores = compress_hosts(map(str, share.cpus)).strip("[]")
    gres = ",".join(
        f"{name}:{len(indices)}(IDX:{compress_hosts(map(str, indices)).strip('[]')})"
        for name, indices in share.gres.items()
    )
    return f"  Nodes={share.node} CPU_IDs={cores} Mem={share.memory_mib} GRES={gres}"


def _request_lines(view: JobView) -> Iterator[str]:
    spec = view.job.spec
    of_node = view.shape.memory_per_node_mib is not None
    yield (
        f"MinCPUsNode={view.min_cpus} "
        f"MinMemory{'Node' if of_node else 'CPU'}={format_memory(view.min_memory_mib)} "
        f"MinTmpDiskNode={format_memory(spec.tmp_disk_mib)}"
    )
    delay_s = spec.delay_boot_s
    delay = "UNLIMITED" if delay_s == FOREVER else format_duration(delay_s)
    yield f"Features={spec.features or '(null)'} DelayBoot={delay}"
    if spec.reservation:
        yield f"Reservation={spec.reservation}"
    yield (
        f"OverSubscribe={view.oversubscribe} Contiguous={int(spec.contiguous)} "
        f"Licenses={spec.licenses or '(null)'} Network=(null)"
    )


def _file_lines(view: JobView) -> Iterator[str]:
    spec = view.job.spec
    yield f"Command={spec.command or '(null)'}"
    yield f"WorkDir={spec.work_dir}"
    if spec.admin_comment:
        yield f"AdminComment={spec.admin_comment} "
    if view.job.message and view.job.exit_code < 0:
        # No state of Slurm's says it: nobody knows how the job ended.
        yield f"SystemComment={view.job.message} "
    if spec.comment:
        yield f"Comment={spec.comment} "
    if not spec.interactive:
        yield f"StdErr={view.stderr}"
        yield f"StdIn={view.path(spec.stdin)}"
        yield f"StdOut={view.stdout}"
    yield "Power="
    yield from (f"{name}={text}" for name, text in spec.tres_asked.items())
    if view.tres_per_node and not spec.tres_asked:
        yield f"TresPerNode={view.tres_per_node}"
    if spec.mail_type:
        yield f"MailUser={spec.mail_user or view.job.owner.user_name} MailType={spec.mail_type}"


def _hosts(text: str) -> str:
    return compress_hosts(expand_hosts(text)) if text else "(null)"


# A step.


def _step_ref(word: str | None) -> JobRef | None:
    """Read a step's id as Slurm does: a name is step 0, and what is no id is none."""
    if word is None:
        return None
    try:
        ref = parse_job_ref(word)
    except NotationError:
        return None
    return JobRef(ref.job_id, ref.tasks, "0" if ref.step and not ref.step.isdecimal() else ref.step)


def _all_steps(line: Line) -> str | Iterator[str]:
    """Return the records of all steps; among many jobs they are looked for a few at a time."""
    lookout, scene = line.controller.lookout, Scene(line.call, line.controller)

    def read(jobs: Iterable[Job]) -> list[tuple[int, str]]:
        running = (job for job in jobs if job.state in HOLDING)
        views = ((job.job_id, step_views(job, scene, line.controller)) for job in running)
        return [(job_id, "".join(_step_records(line, steps))) for job_id, steps in views]

    if lookout.is_crowded(LONG):
        return _steps_in_order(lookout.look_through(read))
    return "".join(_steps_in_order([read(line.controller.active_jobs())]))


def _steps_in_order(parts: Iterable[Sequence[tuple[int, str]]]) -> Iterator[str]:
    """Yield what is said of each job's steps, by the jobs' ids, once all parts have come."""
    found: list[tuple[int, str]] = []
    for part in parts:
        found += part
        yield ""
    texts = [text for _, text in sorted(found) if text]
    yield from texts or ["No job steps in the system\n"]


def _step_records(line: Line, views: Iterable[StepView]) -> Iterator[str]:
    host = line.controller.host().name
    return (joined(line, _step_lines(view, host)) for view in views)


def _step_lines(view: StepView, host: str) -> Iterator[str]:
    time = view.scene.time
    yield (
        f"StepId={view.display_id} UserId={view.job.owner.user_id} "
        f"StartTime={time(view.start_at)} TimeLimit={format_time_limit(view.time_limit_s)}"
    )
    yield f"State={view.state} Partition={view.job.partition} NodeList={view.node_list}"
    yield (
        f"Nodes={len(view.nodes)} CPUs={view.cpus} Tasks={view.tasks} Name={view.name} "
        "Network=(null)"
    )
    if view.step is None:
        yield "TRES=(null)"
    else:
        memory = format_memory(view.cpus * view.memory_per_cpu_mib)
        yield f"TRES=cpu={view.cpus},mem={memory},node={len(view.nodes)}"
    yield "ResvPorts=(null)"
    if view.step is None:
        yield "CPUFreqReq=Default"
        yield "SrunHost:Pid=(null):0"
    else:
        spread = "Cyclic" if view.tasks <= len(view.nodes) else "Block"
        yield f"CPUFreqReq=Default Dist={spread}"
        yield f"SrunHost:Pid={host}:0"
