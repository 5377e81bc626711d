"""srun: run a command's tasks in an allocation, one of its own if it is not inside one.

How the step begins in its allocation stands in `stepstart`, what becomes of it in `steprun`.

Source: srun(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from stoker.commands import joboptions, variables
from stoker.commands.allocating import Manners, allocate, interactive_submission
from stoker.commands.bindings import check_cpu_binding
from stoker.commands.errors import describe, strerror
from stoker.commands.jobcalls import (
    answered,
    as_it_stands,
    check_cluster,
    exit_error,
    job_of,
    notes_of,
    owner_of,
    read_buffer_file,
    read_node_file,
    tested,
)
from stoker.commands.options import Parsed, parse
from stoker.commands.readers import take_all, take_variables
from stoker.commands.stepnotes import allocation_note
from stoker.commands.steprequest import check_step_options
from stoker.commands.steprun import StepRun
from stoker.commands.submission import Program, wishes_of, work_dir_of
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.errors import StokerError
from stoker.core.models import Job
from stoker.worker.call import Answer, Call, Conversation, Say
from stoker.worker.controller import Controller

_REFUSED: Final = "Unable to allocate resources"
_NO_BINDING: Final = "task/none"

_OF_THE_JOB: Final = frozenset(
    {"account", "constraint", "dependency", "gres", "mem", "mem-per-cpu", "mem-per-gpu"}
    | {"partition", "qos", "reservation", "job-name", "gpus", "gpus-per-node", "gpus-per-task"}
)
"""Variables that describe the job around a step: the step does not ask for them again."""


def srun(call: Call, controller: Controller) -> Conversation:
    """Run a command's tasks."""
    return answered(_run(call, controller))


def _run(call: Call, controller: Controller) -> Conversation:
    parsed = parse("srun", joboptions.SRUN, call.argv, stop_at_operand=True)
    job_id = _job_id(call, parsed)
    wishes = wishes_of(call)
    take_variables(wishes, _variables(call, is_inside=job_id is not None))
    take_all(wishes, parsed.values)
    check_step_options(wishes)
    check_cluster(wishes, controller)
    owner_of(wishes, call, controller)
    if not parsed.operands:
        wishes.fail("fatal: No command given to execute.")
    check_cpu_binding(wishes, binds=controller.configuration().get("TaskPlugin") != _NO_BINDING)
    work_dir_of(call, wishes)
    yield from read_node_file(wishes)
    yield from read_buffer_file(wishes)
    is_trial = job_id is None and parsed.has("test-only")  # Which tells the notes itself.
    if (notes := notes_of(wishes)) and not is_trial:
        yield Say(err=notes)
    if job_id is not None:
        job = _surrounding_job(call, controller, job_id)
        run = StepRun(call, wishes, controller, is_inside=True)
        return (yield from run.step(job, parsed.operands))
    return (yield from _run_alone(call, wishes, controller, parsed))


def _run_alone(call: Call, wishes: Wishes, controller: Controller, parsed: Parsed) -> Conversation:
    """Run the command in a job of its own."""
    if parsed.has("relative"):
        wishes.fail("fatal: --relative option invalid for job allocation request")
    words = parsed.operands
    name = words[0].rpartition("/")[2] or words[0]
    program = Program(name=name, path=words[0], is_interactive=True)
    wanted = _of_the_job(wishes)
    if parsed.has("test-only"):
        return _tested(call, wanted, program, controller)
    manners = Manners("srun", _REFUSED, exit_error(call))
    job = yield from allocate(call, wanted, program, controller, manners)
    if wishes.verbose:
        yield Say(err=allocation_note(job))
    run = StepRun(call, wishes, controller, is_inside=False)
    try:
        answer = yield from run.step(job, words)
    except Exception:
        controller.finish_allocation(job, 1, 0)
        raise
    controller.finish_allocation(as_it_stands(controller, job), *run.status)
    return answer


def _tested(call: Call, wishes: Wishes, program: Program, controller: Controller) -> Answer:
    try:
        submission = interactive_submission(call, wishes, program, controller)
    except StokerError as error:
        return Answer(err=f"allocation failure: {describe(error)}\n", code=1)
    return tested(wishes, submission, controller)


def _of_the_job(wishes: Wishes) -> Wishes:
    """Return what the job needs: with ``--overcommit`` a CPU on each node, for any tasks."""
    if "overcommit" not in wishes.shown:
        return wishes
    ignored = ("ntasks", "ntasks_per_node", "cpus_per_task")
    spec = {field: value for field, value in wishes.spec.items() if field not in ignored}
    return msgspec.structs.replace(wishes, spec=spec)


def _job_id(call: Call, parsed: Parsed) -> int | None:
    """Return the job that srun is to run in, if there is one."""
    text = parsed.last("jobid") or call.environment.get("SLURM_JOB_ID")
    if not text:
        return None
    if re.fullmatch(r"\d{1,10}", text, re.ASCII) is None:
        raise OptionError("srun: error: Invalid --jobid specification\n", 255)
    return int(text)


def _variables(call: Call, *, is_inside: bool) -> Iterable[tuple[str, str]]:
    for option, value in variables.chosen(variables.SRUN, call.environment):
        if option != "jobid" and not (is_inside and option in _OF_THE_JOB):
            yield option, value


def _surrounding_job(call: Call, controller: Controller, job_id: int) -> Job:
    """Return the running job of that id."""
    hint = f"srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {job_id}\n"
    unconfirmed = f"srun: error: Unable to confirm allocation for job {job_id}"
    job = job_of(controller, job_id)
    if job is None:
        text = strerror("ESLURM_INVALID_JOB_ID")
        raise OptionError(f"{unconfirmed}: {text}\n{hint}", exit_error(call))
    if job.state.has_ended:
        raise OptionError(f"srun: error: Slurm job {job_id} has expired\n{hint}", exit_error(call))
    if job.allocation is None:
        text = strerror("ESLURM_JOB_PENDING")
        raise OptionError(f"{unconfirmed}: {text}\n{hint}", exit_error(call))
    if job.owner.user_id != call.owner.user_id:
        text = strerror("ESLURM_ACCESS_DENIED")
        raise OptionError(
            f"srun: error: Unable to create step for job {job_id}: {text}\n", exit_error(call)
        )
    return job
