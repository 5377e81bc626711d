"""POST job/submit: a script with properties becomes a job, as sbatch would make it.

Where sbatch takes what the caller's shell has, all is said here: the environment is the job's, and
directives in the script do not count. A submission key sent as ``Idempotency-Key`` makes a repeated
request the same job.

Source: openapi v0.0.38; wording, codes and statuses as recorded.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stoker.commands.demands import check_demands, check_names
from stoker.commands.directives import SCRIPT_MAX, ScriptError, check_script
from stoker.commands.documents import Value
from stoker.commands.errors import code_of
from stoker.commands.rest.properties import (
    FAILURE,
    WrongProperty,
    arguments_of,
    environment_of,
    take_properties,
)
from stoker.commands.rest.replies import Reply, controller_reply, submission_error
from stoker.commands.rest.requests import Request
from stoker.commands.submission import Program, submission_of, wishes_of
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.errors import InvalidSpec, StokerError
from stoker.core.models import Job
from stoker.worker.call import Call
from stoker.worker.requests import Submission

_NO_DIRECTORY: Final = "/"
_TEXT_MAX: Final = 1 << 16


def submit(request: Request) -> Reply:
    """Queue the job of the body."""
    body = request.json()
    body = body if isinstance(body, dict) else {}
    script = body.get("script")
    if not isinstance(script, str) or not script:
        return _refused("ESLURM_JOB_SCRIPT_MISSING")
    if body.get("jobs") is not None:
        return _refused("ESLURM_NOT_SUPPORTED")
    properties = body.get("job")
    try:
        return _queued(request, script, properties if isinstance(properties, dict) else {})
    except WrongProperty as wrong:
        return controller_reply({}, [*wrong.errors, FAILURE], 400)
    except OptionError:
        return _refused("SLURM_ERROR")
    except ScriptError:
        return _refused("ESLURM_JOB_SCRIPT_MISSING")
    except StokerError as error:
        return _refused(code_of(error))


def _refused(code: str) -> Reply:
    return controller_reply({}, [submission_error(code)], 500)


def _queued(request: Request, script: str, properties: dict[str, Any]) -> Reply:
    call = _call_of(request, properties)
    wishes = wishes_of(call)
    take_properties(wishes, properties)
    _check_sizes(wishes, script)
    program = Program(name="", script=_script(script), argv=arguments_of(properties))
    submission = _without_line(submission_of(call, wishes, program))
    outgrows = _outgrows_partition(submission, request)
    if outgrows:
        check_names(submission.spec, request.controller)
    else:
        check_demands(submission, wishes.layout, request.controller)
    return _told(request.controller.submit(submission), outgrows=outgrows)


def _call_of(request: Request, properties: dict[str, Any]) -> Call:
    """Return the call that sbatch would have been: with the job's environment and directory."""
    return msgspec.structs.replace(
        request.call,
        program="sbatch",
        argv=(),
        environment=environment_of(properties),
        work_dir=_NO_DIRECTORY,
    )


def _without_line(submission: Submission) -> Submission:
    """Return the submission of which no command line is told: there was none."""
    spec = msgspec.structs.replace(submission.spec, submit_line="")
    return msgspec.structs.replace(submission, spec=spec)


def _script(text: str) -> bytes:
    """Return the script; one that names no interpreter is one for the shell.

    Raises:
        ScriptError: It is no script.
    """
    script = text.encode("utf-8", "surrogatepass")
    script = script if script.startswith(b"#!") else b"#!/bin/sh\n" + script
    check_script(script)
    return script


def _check_sizes(wishes: Wishes, script: str) -> None:
    long = (value for value in wishes.spec.values() if isinstance(value, str))
    if len(script) > SCRIPT_MAX or any(len(value) > _TEXT_MAX for value in long):
        raise InvalidSpec("a value is too long", "ESLURM_PATHNAME_TOO_LONG")


def _outgrows_partition(submission: Submission, request: Request) -> bool:
    """Whether more CPUs are wanted than the partition has: such a job is taken, and waits."""
    spec, controller = submission.spec, request.controller
    known = controller.partitions()
    names = spec.partition.split(",") if spec.partition else []
    chosen = [each for each in known if (each.name in names if names else each.is_default)]
    members = {name for each in chosen for name in each.nodes}
    cpus = sum(each.node.cpus for each in controller.nodes() if each.node.name in members)
    return bool(chosen) and (spec.ntasks or 1) * (spec.cpus_per_task or 1) > cpus


def _told(job: Job, *, outgrows: bool) -> Reply:
    errors: list[Value] = []
    if outgrows:
        errors = [submission_error("ESLURM_REQUESTED_PART_CONFIG_UNAVAILABLE")]
    elif job.hold:
        errors = [submission_error("ESLURM_JOB_HELD")]
    return controller_reply(
        {
            "job_id": job.array_job_id or job.job_id,
            "step_id": "BATCH",
            "job_submit_user_msg": "",
        },
        errors,
    )
