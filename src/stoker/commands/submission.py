"""From wishes to what the controller is asked: one `Submission`, shared by sbatch, srun, salloc.

File names become absolute patterns, GPUs become generic resources, ``--export`` becomes an
environment. `read_draft` is the same for submissions that come without a command line of their own.

Always holds: what cannot be submitted raises `InvalidSpec` with Slurm's code, or `OptionError`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stoker.commands import joboptions
from stoker.commands.demands import refused
from stoker.commands.directives import ScriptError, check_script, is_heterogeneous, read_directives
from stoker.commands.exports import entries, exported, is_partial, login_environment
from stoker.commands.gpus import gpu_fields, settle_tasks
from stoker.commands.options import EarlyAnswer, parse
from stoker.commands.readers import take_all
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.errors import InvalidSpec
from stoker.core.models import FOREVER, JobSpec
from stoker.core.units import (
    ArraySpec,
    Dependency,
    NotationError,
    TaskSet,
    expand_hosts,
    parse_array,
    parse_dependency,
    zone_of,
)
from stoker.worker.call import Call
from stoker.worker.requests import Submission

INDEX_MAX: Final = 1 << 32
"""Array indices that the notation knows; the machine's own bound is the controller's to check."""

_UNSUPPORTED: Final = ("container", "x11")
_DEPENDENCY_ON_BUFFER: Final = re.compile(r"\bafterburstbuffer\b", re.IGNORECASE)


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run: a script with its arguments, a command without a shell, or nothing yet."""

    name: str
    """The job's name unless it is given one."""
    script: bytes = b""
    argv: tuple[str, ...] = ()
    path: str = ""
    """The script's absolute path; "" if it has none."""
    is_interactive: bool = False
    is_detached: bool = False
    """Whether an interactive job stays when its caller has gone."""


def wishes_of(call: Call) -> Wishes:
    """Return a caller's wishes before any option was read."""
    return Wishes(
        program=call.program,
        now=call.now,
        zone=zone_of(call.environment.get("TZ", "")),
        is_root=call.owner.user_id == 0,
    )


def submission_of(
    call: Call, wishes: Wishes, program: Program, export_file: Mapping[str, str] | None = None
) -> Submission:
    """Return what to ask of the controller.

    Raises:
        InvalidSpec: The wishes contradict one another or are refused.
        OptionError: The same, in words of the command's own.
    """
    if wishes.verbose and wishes.quiet:
        wishes.fail("error: don't specify both --verbose (-v) and --quiet (-Q)")
    wishes.settle_memory()
    settle_tasks(wishes)
    _fit_nodes(wishes)
    _refuse_unsupported(wishes)
    _check_batch_features(wishes)
    _check_preferred_features(wishes)
    _check_nice(wishes)
    array = _array(wishes)
    spec = _spec(call, wishes, program, is_array=array is not None)
    _check_times(spec, call.now)
    return Submission(
        spec=spec,
        owner=call.owner,
        script=program.script,
        environment=(
            ()
            if program.is_interactive
            else entries(_environment(call, wishes, array, export_file))
        ),
        array=array,
        dependency=_dependency(wishes),
        hold=wishes.hold,
        begin_at=wishes.begin_at,
        priority=wishes.priority,
        key=call.key,
        caller_pid=call.pid if program.is_interactive and not program.is_detached else 0,
    )


def read_draft(call: Call, script: bytes) -> Submission:
    """Return the submission that a draft means: sbatch's options, then a command or arguments.

    With a *script* its directives count, as they do for sbatch.

    Raises:
        InvalidSpec: Something is wrong with it; the text is what sbatch would say.
    """
    wishes = wishes_of(call)
    try:
        parsed = parse("sbatch", joboptions.SBATCH, call.argv, stop_at_operand=True)
        if script:
            check_script(script)
            take_directives(wishes, script, "script", foreign=not parsed.has("ignore-pbs"))
        take_all(wishes, parsed.values)
        for option in ("uid", "gid"):
            if option in wishes.shown:
                wishes.fail(f"error: cannot use --{option} here: call sbatch")
        if script:
            program = Program(name="sbatch", script=script, argv=tuple(parsed.operands))
        elif parsed.operands:
            program = command_program(parsed.operands)
        else:
            raise InvalidSpec(
                "cannot submit nothing: give a command after the options, or a script",
                "ESLURM_JOB_SCRIPT_MISSING",
            )
        return submission_of(call, wishes, program)
    except EarlyAnswer as early:
        raise InvalidSpec(_sentence(early.answer.err or "it asks for help only")) from None
    except OptionError as error:
        raise InvalidSpec(_sentence(error.text)) from None
    except ScriptError as error:
        raise InvalidSpec(_sentence("\n".join(error.lines))) from None


def command_program(words: Sequence[str]) -> Program:
    """Return a command that runs with no shell in between."""
    return Program(name=posixpath.basename(words[0]) or words[0], argv=tuple(words))


def take_directives(wishes: Wishes, script: bytes, name: str, *, foreign: bool) -> None:
    """Take in what the script's own lines ask for.

    Raises:
        ScriptError: A line cannot be read.
        OptionError: A word is no option, or a value is wrong.
        EarlyAnswer: An option does not exist.
    """
    directives = read_directives(script, name)
    if is_heterogeneous(directives.words):
        raise refused("ESLURM_NOT_SUPPORTED")
    parsed = parse("sbatch", joboptions.SBATCH, directives.words, stop_at_operand=True)
    take_all(wishes, (each for each in parsed.values if each[0] != "wrap"))
    if parsed.operands:
        wishes.fail(
            f"error: Invalid directive found in batch script: {parsed.operands[0]}", code=255
        )
    if foreign:
        take_all(wishes, parse("sbatch", joboptions.SBATCH, directives.foreign).values)


def absolute(path: str, work_dir: str) -> str:
    """Return a file name pattern made absolute: ``%`` in the directory stands for itself."""
    if path == "none":
        return "/dev/null"
    return path if path.startswith("/") else posixpath.join(work_dir.replace("%", "%%"), path)


def work_dir_of(call: Call, wishes: Wishes) -> str:
    """Return where the job is to run.

    Raises:
        OptionError: The caller's directory is gone, and no other was given.
    """
    if wishes.chdir.startswith("/"):
        return wishes.chdir
    if not call.work_dir:
        wishes.fail("error: getcwd failed: No such file or directory", code=255)
    return posixpath.join(call.work_dir, wishes.chdir) if wishes.chdir else call.work_dir


def limits_of(call: Call, wishes: Wishes) -> dict[str, tuple[int, int]]:
    """Return the resource limits that ``--propagate`` passes on: all, unless some are named."""
    wanted = wishes.propagate.split(",") if wishes.propagate else ["all"]
    if "none" in wanted:
        return {}
    return {
        name: limits for name, limits in call.rlimits.items() if "all" in wanted or name in wanted
    }


def _fit_nodes(wishes: Wishes) -> None:
    """Ask for no more nodes than there are tasks: none would run on the others.

    Raises:
        OptionError: More nodes are named than there may be.
    """
    most, names = wishes.spec.get("max_nodes"), _named_nodes(wishes)
    if wishes.program != "srun" and isinstance(most, int) and names > most:
        wishes.fail(f"error: invalid number of nodes (-N {names}-{most})")
    tasks, nodes = wishes.spec.get("ntasks"), wishes.spec.get("min_nodes")
    if isinstance(tasks, int) and isinstance(nodes, int) and tasks < nodes:
        wishes.notes.append(
            f"Warning: can't run {tasks} processes on {nodes} nodes, setting nnodes to {tasks}"
        )
        wishes.spec["min_nodes"] = wishes.spec["max_nodes"] = tasks


def _named_nodes(wishes: Wishes) -> int:
    try:
        return len(set(expand_hosts(str(wishes.spec.get("node_list") or ""))))
    except NotationError:
        return 0


def _spec(call: Call, wishes: Wishes, program: Program, *, is_array: bool) -> JobSpec:
    work_dir = work_dir_of(call, wishes)
    default = "slurm-%A_%a.out" if is_array else "slurm-%j.out"
    spec = JobSpec(
        name=program.name,
        argv=program.argv,
        command=" ".join((program.path, *program.argv)) if program.path else "",
        work_dir=work_dir,
        stdin=absolute(wishes.stdin or "/dev/null", work_dir),
        stdout="" if program.is_interactive else absolute(wishes.stdout or default, work_dir),
        stderr=absolute(wishes.stderr, work_dir) if wishes.stderr else "",
        umask=call.umask,
        rlimits=limits_of(call, wishes),
        interactive=program.is_interactive,
        submit_line=" ".join((call.program, *call.argv)),
    )
    spec = msgspec.structs.replace(spec, **wishes.spec)
    changes = gpu_fields(wishes, spec) | _least_time(spec)
    if spec.mail_type and not spec.mail_user:
        changes["mail_user"] = call.owner.user_name
    return msgspec.structs.replace(spec, **changes) if changes else spec


def _least_time(spec: JobSpec) -> dict[str, object]:
    """Return a minute as the least that a job needs before its deadline, if it says no time."""
    says_nothing = spec.time_limit_s is None and spec.time_min_s is None
    return {"time_min_s": 60.0} if spec.deadline_at and says_nothing else {}


def _environment(
    call: Call, wishes: Wishes, array: ArraySpec | None, export_file: Mapping[str, str] | None
) -> dict[str, str]:
    """Return what the job finds: what was exported, and what is fixed now."""
    found = dict(export_file or {})
    found.update(exported(call.environment, wishes.export, call.owner, names=wishes.names))
    if wishes.user_environment:
        found = {**login_environment(call.environment, call.owner, wishes.names), **found}
    if is_partial(wishes.export):
        found["SLURM_EXPORT_ENV"] = wishes.export or ""
    if is_partial(wishes.export) or wishes.user_environment:
        found["SLURM_GET_USER_ENV"] = "1"
    found.setdefault("TMPDIR", "/tmp")  # noqa: S108 - what Slurm gives to jobs
    found["SLURM_SUBMIT_DIR"] = call.work_dir or "/"
    found.update(wishes.variables)
    if wishes.dependency:
        found["SLURM_JOB_DEPENDENCY"] = wishes.dependency
    if array is not None:
        found.update(_array_variables(array))
    return found


def _array_variables(array: ArraySpec) -> dict[str, str]:
    tasks = array.tasks
    return {
        "SLURM_ARRAY_TASK_COUNT": str(len(tasks)),
        "SLURM_ARRAY_TASK_MAX": str(tasks.last),
        "SLURM_ARRAY_TASK_MIN": str(tasks.first),
        "SLURM_ARRAY_TASK_STEP": str(_step(tasks)),
    }


def _step(tasks: TaskSet) -> int:
    """Return the distance between neighbours if it is always the same, else 1."""
    gaps = len(tasks) - 1
    step = (tasks.last - tasks.first) // gaps if gaps else 1
    return step if TaskSet(range(tasks.first, tasks.last + 1, step)) == tasks else 1


def _array(wishes: Wishes) -> ArraySpec | None:
    if not wishes.array:
        return None
    # A limit that is no number is none, as for atoi(3).
    text = re.sub(r"%(?!\d).*", "", wishes.array, flags=re.ASCII)
    try:
        return parse_array(text, INDEX_MAX)
    except NotationError:
        raise refused("ESLURM_INVALID_ARRAY") from None


def _dependency(wishes: Wishes) -> Dependency | None:
    if not wishes.dependency:
        return None
    text = _DEPENDENCY_ON_BUFFER.sub("afterany", wishes.dependency)
    if text.startswith("expand:"):
        raise refused("ESLURM_NOT_SUPPORTED")
    try:
        return parse_dependency(text)
    except NotationError:
        raise refused("ESLURM_DEPENDENCY") from None


def _refuse_unsupported(wishes: Wishes) -> None:
    for name in _UNSUPPORTED:
        if name in wishes.shown:
            raise InvalidSpec(f"--{name} is not supported here", "ESLURM_NOT_SUPPORTED")
    if "reboot" in wishes.shown:
        raise InvalidSpec("rebooting of nodes is only allowed for admins", "ESLURM_ACCESS_DENIED")


def _check_batch_features(wishes: Wishes) -> None:
    """Refuse features for the script's node that are not among those asked for of all nodes."""
    wanted, given = wishes.shown.get("batch", ""), str(wishes.spec.get("features", ""))
    if not set(re.findall(r"[^&|,()\[\]*]+", given)).issuperset(
        re.findall(r"[^&|,()\[\]*]+", wanted)
    ):
        raise refused("ESLURM_BATCH_CONSTRAINT")


def _check_preferred_features(wishes: Wishes) -> None:
    """Refuse features that were preferred: no node has any. Those that are required come first."""
    if wishes.shown.get("prefer") and not wishes.spec.get("features"):
        raise refused("ESLURM_INVALID_PREFER")


def _check_nice(wishes: Wishes) -> None:
    nice = wishes.spec.get("nice", 0)
    if isinstance(nice, int) and nice < 0 and not wishes.is_root:
        raise refused("ESLURM_INVALID_NICE")


def _check_times(spec: JobSpec, now: float) -> None:
    if spec.deadline_at and spec.deadline_at < now:
        raise refused("ESLURM_INVALID_TIME_LIMIT")
    limit = FOREVER if spec.time_limit_s is None else spec.time_limit_s
    if spec.time_min_s is not None and spec.time_min_s > limit:
        raise refused("ESLURM_INVALID_TIME_MIN_LIMIT")


def _sentence(text: str) -> str:
    """Return the first line of what a command would say, without the command's name."""
    line = text.split("\n", 1)[0]
    return re.sub(r"^(?:sbatch: )?(?:error: |fatal: )?", "", line)
