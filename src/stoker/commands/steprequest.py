"""What srun asks for of a job that runs: the options that describe a step, made into one request.

Source: srun(1); messages are recorded.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Final, NoReturn

from stoker.commands.bindings import binding_variables, check_memory_binding
from stoker.commands.exports import entries, exported, is_partial
from stoker.commands.options import EarlyAnswer
from stoker.commands.submission import absolute, limits_of, work_dir_of
from stoker.commands.wishes import Wishes
from stoker.core.models import FOREVER, Job
from stoker.core.units import expand_hosts
from stoker.worker.call import Answer, Call
from stoker.worker.environment import repeated
from stoker.worker.requests import StepRequest

_MPI_TYPES: Final = re.compile(r"none|openmpi|pmi2|pmix(?:_v\d)?|cray_shasta")


def check_step_options(wishes: Wishes) -> None:
    """Refuse values of srun's own options that say nothing, and what is not there.

    Raises:
        EarlyAnswer: They ask for help.
        OptionError: In srun's words.
    """
    for name, default in (("kill-on-bad-exit", "set"), ("wait", "")):
        value = wishes.shown.get(name, default)
        if value != default and re.fullmatch(r"\d{1,9}", value, re.ASCII) is None:
            wishes.fail(f'error: Invalid numeric value "{value}" for --{name}.')
    if re.fullmatch(r"\d{1,9}", wishes.shown.get("relative", "0"), re.ASCII) is None:
        wishes.fail(f'error: Invalid numeric value "{wishes.shown["relative"]}" for --relative.')
    check_memory_binding(wishes)
    mpi = wishes.shown.get("mpi", "none")
    if mpi == "list":
        raise EarlyAnswer(Answer(out="MPI plugin types are...\n\tnone\n"))
    if _MPI_TYPES.fullmatch(mpi) is None:
        _refuse_mpi(wishes, mpi)


def pumped_streams(wishes: Wishes, request: StepRequest) -> str:
    """Return the streams of tasks for which the caller must make pipes, as in `Attach`."""
    if "pty" in wishes.shown:
        return ""
    outputs = "" if request.stdout else "o"
    outputs += "" if request.stderr or request.stderr is None else "e"
    if "label" in wishes.shown:
        outputs = outputs.upper()
    elif request.ntasks == 1:
        outputs = ""
    return ("" if request.stdin else "i") + outputs


def step_request(
    call: Call, wishes: Wishes, words: Sequence[str], job: Job, *, is_inside: bool
) -> StepRequest:
    """Return what to ask for in *job*, of which *words* are the command to run.

    Raises:
        OptionError: The options contradict the allocation.
    """
    spec, shown = wishes.spec, wishes.shown
    work_dir = work_dir_of(call, wishes)
    nodes = _nodes(wishes, job)
    ntasks = _tasks(wishes, job, nodes)
    distribution = shown.get("distribution", "")
    if is_inside:
        _check_memory(wishes, job)
    return StepRequest(
        name=str(spec.get("name") or posixpath.basename(words[0]) or words[0]),
        is_named=is_inside and bool(spec.get("name")),
        argv=(_command(words[0], work_dir), *words[1:]),
        environment=entries(_environment(call, wishes, job, ntasks, is_inside=is_inside)),
        work_dir=work_dir,
        ntasks=ntasks,
        cpus_per_task=_number(spec.get("cpus_per_task"), 1),
        memory_mib=_memory(wishes, job) if is_inside else 0,
        nodes=nodes,
        node_names=_node_names(wishes, job, nodes),
        overlap="overlap" in shown or "overcommit" in shown,
        # Outside of an allocation --exclusive is about the job that is made.
        exact="exact" in shown or (is_inside and "exclusive" in shown),
        cyclic=distribution.startswith("cyclic"),
        plane=_plane(distribution),
        time_limit_s=_time_limit(spec.get("time_limit_s")),
        stdin=_stream(wishes.stdin, work_dir, ntasks),
        stdout=_stream(wishes.stdout, work_dir, ntasks),
        stderr=_stderr(wishes, work_dir, ntasks),
        lone_tasks=_lone_tasks(wishes, ntasks),
        open_mode=str(spec.get("open_mode", "")),
        umask=call.umask,
        rlimits=limits_of(call, wishes),
        key=call.key,
        submit_line=" ".join((call.program, *call.argv)),
    )


def _environment(
    call: Call, wishes: Wishes, job: Job, ntasks: int, *, is_inside: bool
) -> dict[str, str]:
    """Return the tasks' environment: what is exported of the caller's, and what srun adds."""
    found = {
        "SRUN_DEBUG": "3",
        **exported(call.environment, wishes.export, call.owner, with_login=False),
        **_told_by_srun(wishes, job, ntasks, is_inside=is_inside),
    }
    if is_partial(wishes.export):
        found.pop("SRUN_DEBUG")
    found.setdefault("SLURM_SUBMIT_DIR", call.work_dir or "/")
    return found


def _told_by_srun(wishes: Wishes, job: Job, ntasks: int, *, is_inside: bool) -> dict[str, str]:
    """Return what srun itself puts into the tasks' environment."""
    shown = wishes.shown
    shares = job.allocation.shares if job.allocation else ()
    found: dict[str, str] = {}
    if "label" in shown:
        found["SLURM_LABELIO"] = "1"
    if "overcommit" in shown:
        found["SLURM_OVERCOMMIT"] = "1"
    found |= binding_variables(wishes)
    if is_inside:
        cpus = repeated(len(share.cpus) for share in shares)
        found["SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0"] = cpus
    if is_inside or not shown.keys().isdisjoint(("mem", "mem-per-cpu", "distribution")):
        usual = "cyclic" if ntasks <= len(shares) else "block"
        found["SLURM_DISTRIBUTION"] = shown.get("distribution", usual)
    return found


def _nodes(wishes: Wishes, job: Job) -> int | None:
    """Return the number of nodes asked for; None: as many as the tasks need."""
    wanted = _number(wishes.spec.get("min_nodes"), 0)
    held = len(job.allocation.shares) if job.allocation else 1
    if wanted > held:
        wishes.fail(f"error: Only allocated {held} nodes asked for {wanted}")
    return wanted or None


def _tasks(wishes: Wishes, job: Job, nodes: int | None) -> int:
    """Return the number of tasks: as asked for, else one for each node."""
    held = nodes or (len(job.allocation.shares) if job.allocation else 1)
    per_node = _number(wishes.spec.get("ntasks_per_node"), 1)
    return _number(wishes.spec.get("ntasks"), 0) or held * per_node


def _node_names(wishes: Wishes, job: Job, nodes: int | None) -> tuple[str, ...]:
    """Return the nodes of the allocation that will do; () for any."""
    held = [share.node for share in job.allocation.shares] if job.allocation else []
    listed = _hosts(wishes.spec.get("node_list"))
    excluded = _hosts(wishes.spec.get("exclude"))
    first = int(wishes.shown.get("relative", "0"))
    if "relative" in wishes.shown and first + (nodes or 1) > len(held):
        wishes.fail(
            "error: --relative and --nodes option incompatible with count of allocated nodes "
            f"({first}+{nodes or 1}>{len(held)})"
        )
    if not set(listed) <= set(held):
        wishes.fail(_refused(job, "Requested node configuration is not available"))
    fit = [node for node in held[first:] if node not in excluded]
    fit = [node for node in fit if not listed or node in listed]
    return tuple(fit) if len(fit) < len(held) else ()


def _hosts(text: object) -> list[str]:
    return expand_hosts(text) if isinstance(text, str) and text else []


def _check_memory(wishes: Wishes, job: Job) -> None:
    wanted = wishes.spec.get("mem_per_node_mib")
    shares = job.allocation.shares if job.allocation else ()
    held = min((share.memory_mib for share in shares), default=0)
    if "mem" in wishes.shown and isinstance(wanted, int) and held and wanted > held:
        wishes.fail(_refused(job, "Memory required by task is not available"))


def _memory(wishes: Wishes, job: Job) -> int:
    """Return the memory of each node that a step keeps from others.

    If the job was given an amount of each node, a step that asks for none takes all of it.
    """
    if "mem" in wishes.shown:
        return _number(wishes.spec.get("mem_per_node_mib"), 0)
    if "mem-per-cpu" in wishes.shown or not job.spec.mem_per_node_mib or job.allocation is None:
        return 0
    return min(share.memory_mib for share in job.allocation.shares)


def _refused(job: Job, why: str) -> str:
    return f"error: Unable to create step for job {job.job_id}: {why}"


def _lone_task(path: str | None, ntasks: int) -> int | None:
    """Return the one task that a stream is for, if a task is what its name says."""
    if path is None or not (path.isdecimal() and path.isascii()):
        return None
    task = int(path[:9])
    return task if task < ntasks else None


def _lone_tasks(wishes: Wishes, ntasks: int) -> tuple[int | None, int | None, int | None]:
    """Return for each stream the one task that it is for; a terminal is the first task's alone."""
    if "pty" in wishes.shown:
        return (0, 0, 0)
    return (
        _lone_task(wishes.stdin, ntasks),
        _lone_task(wishes.stdout, ntasks),
        _lone_task(wishes.stderr, ntasks),
    )


def _stream(path: str | None, work_dir: str, ntasks: int) -> str:
    """Return a file name pattern; "" for the caller's own descriptor."""
    if path is None or path == "all" or _lone_task(path, ntasks) is not None:
        return ""
    return absolute(path, work_dir)


def _stderr(wishes: Wishes, work_dir: str, ntasks: int) -> str | None:
    """Return where errors go; None: where the output goes."""
    if wishes.stderr is None and wishes.stdout not in (None, "all"):
        return None
    return _stream(wishes.stderr, work_dir, ntasks)


def _command(word: str, work_dir: str) -> str:
    """Return the command as the task sees it: what begins with a dot is made absolute."""
    return posixpath.join(work_dir, word) if word.startswith(".") else word


def _plane(distribution: str) -> int:
    """Return how many tasks in a row a node gets by ``plane=N``; 0 if they are not dealt out so."""
    match = re.match(r"plane=(\d{1,9})(?![^,:])", distribution, re.ASCII)
    return int(match[1]) if match else 0


def _time_limit(value: object) -> float | None:
    return value if isinstance(value, float) and value != FOREVER else None


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def _refuse_mpi(wishes: Wishes, name: str) -> NoReturn:
    wishes.fail(
        f"error: Couldn't find the specified plugin name for mpi/{name} looking at all files\n"
        f"srun: error: cannot find mpi plugin for mpi/{name}\n"
        f"srun: error: MPI: Cannot create context for mpi/{name}\n"
        "srun: error: MPI: Unable to load any plugin\n"
        f"srun: error: Invalid MPI type '{name}', --mpi=list for acceptable types"
    )
