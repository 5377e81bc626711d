"""sbatch: read a script and what is asked for, queue it, print its id, and wait if asked to.

Directives are overruled by ``SBATCH_*`` variables, these by options; a wrong value is an error
wherever it stands.

Source: sbatch(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Iterator, Mapping, Sequence
from errno import EFBIG
from typing import Any, Final

import msgspec

from stoker.commands import joboptions, variables
from stoker.commands.demands import check_demands, gres_options, refused
from stoker.commands.directives import SCRIPT_MAX, ScriptError, check_script, no_script
from stoker.commands.errors import refusal
from stoker.commands.exports import is_partial, read_export_file
from stoker.commands.jobcalls import (
    answered,
    check_cluster,
    exit_error,
    notes_of,
    owner_of,
    read_buffer_file,
    read_node_file,
    tested,
)
from stoker.commands.options import Parsed, parse
from stoker.commands.readers import take_all, take_variables
from stoker.commands.submission import (
    Program,
    submission_of,
    take_directives,
    wishes_of,
)
from stoker.commands.wishes import Wishes
from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec, StokerError
from stoker.core.models import Job, Owner
from stoker.worker.call import Answer, Call, Conversation, ReadFile, Request, Say, UntilEnded
from stoker.worker.controller import Controller

_WRAPPED: Final = "#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{}\n"
_FAILED: Final = "Batch job submission failed"


def sbatch(call: Call, controller: Controller) -> Conversation:
    """Queue a batch script."""
    try:
        return (yield from answered(_submission(call, controller)))
    except ScriptError as error:
        lines = "".join(f"sbatch: {line}\n" for line in error.lines)
        return Answer(err=lines, code=exit_error(call))
    except StokerError as error:
        return Answer(err=refusal("sbatch", _FAILED, error), code=exit_error(call))


def _submission(call: Call, controller: Controller) -> Conversation:
    parsed = parse("sbatch", joboptions.SBATCH, call.argv, stop_at_operand=True)
    if ("gres", "help") in parsed.values:
        return Answer(out=gres_options(controller))
    # What is wrong with an option is said before the script is read; it counts after it.
    take_all(wishes_of(call), parsed.values)
    if parsed.operands[:1] == [":"]:
        raise refused("ESLURM_NOT_SUPPORTED")
    program = yield from _program(call, parsed)
    wishes = wishes_of(call)
    if not parsed.has("wrap"):
        foreign = not (parsed.has("ignore-pbs") or "SBATCH_IGNORE_PBS" in call.environment)
        take_directives(wishes, program.script, _shown_name(parsed), foreign=foreign)
    take_variables(wishes, variables.chosen(variables.SBATCH, call.environment))
    take_all(wishes, parsed.values)
    check_cluster(wishes, controller)
    owner = owner_of(wishes, call, controller)
    if is_partial(wishes.export) or wishes.user_environment:
        wishes.names = controller.names_directory
    yield from read_node_file(wishes)
    yield from read_buffer_file(wishes)
    export_file = yield from _export_file(wishes)
    submission = submission_of(
        _as_by(owner, call, wishes, controller), wishes, program, export_file
    )
    check_demands(submission, wishes.layout, controller)
    if "test-only" in wishes.shown:
        return tested(wishes, submission, controller)
    job = controller.submit(submission)
    return (yield from _told(wishes, job, controller))


def _as_by(owner: Owner, call: Call, wishes: Wishes, controller: Controller) -> Call:
    """Return the call as if the job's owner had made it, with what a login would tell them."""
    if owner == call.owner:
        return call
    environment = dict(call.environment)
    if is_partial(wishes.export) or wishes.user_environment:
        name = owner.user_name
        environment |= {"HOME": controller.home_of(name) or "/", "USER": name, "LOGNAME": name}
    return msgspec.structs.replace(call, owner=owner, environment=environment)


def _program(call: Call, parsed: Parsed) -> Generator[ReadFile, bytes, Program]:
    """Return the script: wrapped, named, or from standard input."""
    if parsed.has("wrap"):
        if parsed.operands:
            raise ScriptError("error: Script arguments not permitted with --wrap option")
        script = _WRAPPED.format(parsed.last("wrap")).encode("utf-8", "surrogateescape")
        return Program(name="wrap", script=script)
    name, *arguments = parsed.operands or ["-"]
    path, script = yield from _read_script(call, name)
    check_script(script)
    return Program(
        name=posixpath.basename(name) if path else "sbatch",
        script=script,
        argv=tuple(arguments),
        path=path,
    )


def _read_script(call: Call, name: str) -> Generator[ReadFile, bytes, tuple[str, bytes]]:
    """Return a script's absolute path ("" for standard input) and its text."""
    if name == "-":
        return "", (yield from _standard_input())
    first_error: OSError | None = None
    for path in _candidates(call, name):
        try:
            return posixpath.join(call.work_dir, path), (yield ReadFile(path, SCRIPT_MAX))
        except OSError as error:
            if error.errno == EFBIG:
                raise InvalidSpec(
                    f"Batch script exceeds the limit of {SCRIPT_MAX} bytes",
                    "ESLURM_PATHNAME_TOO_LONG",
                ) from None
            first_error = first_error or error
    if isinstance(first_error, IsADirectoryError):
        raise no_script()
    raise ScriptError(f"error: Unable to open file {name}")


def _standard_input() -> Generator[ReadFile, bytes, bytes]:
    try:
        return (yield ReadFile("-", SCRIPT_MAX))
    except OSError as error:
        raise ScriptError(f"error: Unable to read standard input: {error.strerror}") from None


def _candidates(call: Call, name: str) -> Iterator[str]:
    """Yield where a script may be: here, and for a bare name in the directories of PATH."""
    yield name
    if "/" not in name:
        for directory in call.environment.get("PATH", "").split(":"):
            if directory:
                yield posixpath.join(directory, name)


def _shown_name(parsed: Parsed) -> str:
    return parsed.operands[0] if parsed.operands else "sbatch"


def _export_file(wishes: Wishes) -> Generator[ReadFile, bytes, Mapping[str, str] | None]:
    if not wishes.export_file:
        return None
    try:
        return read_export_file((yield ReadFile(wishes.export_file)))
    except OSError:
        wishes.fail(f"error: Could not open user environment file {wishes.export_file}")


def _told(wishes: Wishes, job: Job, controller: Controller) -> Generator[Request, Any, Answer]:
    """Print the job's id; with ``--wait`` return when it has ended, with its exit code."""
    job_id = job.array_job_id or job.job_id
    out = _receipt(wishes, job_id, controller.cluster_name)
    if notes := notes_of(wishes):
        # They are said before the receipt, also where both go to one file.
        yield Say(err=notes)
    if "wait" not in wishes.shown:
        return Answer(out=out)
    yield Say(out=out)
    ended: Sequence[Job] = yield UntilEnded((job_id,))
    return Answer(code=max(map(_exit_code, ended), default=1))


def _receipt(wishes: Wishes, job_id: int, cluster_name: str) -> str:
    if "parsable" in wishes.shown:
        return f"{job_id};{cluster_name}\n" if wishes.clusters else f"{job_id}\n"
    if wishes.quiet:
        return ""
    place = f" on cluster {cluster_name}" if wishes.clusters else ""
    return f"Submitted batch job {job_id}{place}\n"


def _exit_code(job: Job) -> int:
    """Return what ``--wait`` makes of an ended job: its code, or 1 if it did not end by itself."""
    if job.exit_signal or (job.state is not JobState.COMPLETED and not job.exit_code):
        return 1
    return job.exit_code & 0xFF
