"""How srun and salloc come by an allocation: submit an interactive job and wait until it runs.

Nothing is said if it starts at once. Who is interrupted while waiting takes the job back.

Source: srun(1), salloc(1); messages are recorded.
"""

from __future__ import annotations

from collections.abc import Generator
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM
from typing import Any, Final, NoReturn

import msgspec

from stoker.commands.demands import check_demands, refused
from stoker.commands.errors import refusal, strerror
from stoker.commands.jobcalls import exit_immediate, immediate_s
from stoker.commands.submission import Program, submission_of
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.enums import Hold, JobState
from stoker.core.errors import StokerError
from stoker.core.models import Job
from stoker.core.units import JobRef, expand_hosts
from stoker.worker.call import Call, Expired, Interrupted, Request, Say, UntilStarted
from stoker.worker.controller import Controller
from stoker.worker.requests import Submission

_WAITS: Final = {
    "PartitionConfig": "Requested partition configuration not available now",
    "PartitionNodeLimit": "Requested partition configuration not available now",
    "PartitionTimeLimit": "Requested partition configuration not available now",
    "PartitionDown": "Partition in DOWN state",
}
"""What is said of a job that cannot start, by the reason why."""

ENDING_SIGNALS: Final = frozenset({SIGHUP, SIGINT, SIGQUIT, SIGTERM})
"""Signals by which a caller says that it has had enough; others are for the tasks."""

_NEVER_AT_ONCE: Final = ("PartitionDown", "PartitionTimeLimit")


class Manners(msgspec.Struct, frozen=True):
    """What srun and salloc say differently."""

    program: str
    refusal: str
    """What failed if the submission did."""
    exit_error: int
    is_salloc: bool = False


def interactive_submission(
    call: Call, wishes: Wishes, program: Program, controller: Controller
) -> Submission:
    """Return the submission of an allocation, checked against the machine.

    Raises:
        InvalidSpec: The wishes are refused.
        Infeasible: No node could ever do it.
    """
    if wishes.shown.get("nodes") == "0":
        raise refused("ESLURM_INVALID_NODE_COUNT")
    _fit_node_list(wishes)
    submission = submission_of(call, wishes, program)
    check_demands(submission, wishes.layout, controller)
    return submission


def _fit_node_list(wishes: Wishes) -> None:
    """Name no more nodes than may be used, and say so."""
    listed, most = wishes.spec.get("node_list"), wishes.spec.get("max_nodes")
    if not isinstance(listed, str) or not isinstance(most, int):
        return
    names = expand_hosts(listed)
    if len(names) > most:
        wishes.notes.append(
            "error: Required nodelist includes more nodes than permitted by max-node count "
            f"({len(names)} > {most}). Eliminating nodes from the nodelist."
        )
        wishes.spec["node_list"] = ",".join(names[:most])


def allocate(
    call: Call, wishes: Wishes, program: Program, controller: Controller, manners: Manners
) -> Generator[Request, Any, Job]:
    """Return the job once it runs.

    Raises:
        OptionError: There is no allocation; the text says why, the code is the exit status.
    """
    told = len(wishes.notes)
    try:
        submission = interactive_submission(call, wishes, program, controller)
        job = controller.submit(submission)
    except StokerError as error:
        text = refusal(manners.program, manners.refusal, error)
        raise OptionError(text, manners.exit_error) from None
    if notes := wishes.notes[told:]:
        yield Say(err="".join(f"{manners.program}: {note}\n" for note in notes))
    if job.state is JobState.PENDING:
        if immediate_s(wishes) == 0:
            never = controller.reason(job) in _NEVER_AT_ONCE
            code = "ESLURM_NOT_TOP_PRIORITY" if never else "ESLURM_NODES_BUSY"
            _give_up(call, job, controller, manners, code)
        job = yield from _wait(call, wishes, job, controller, manners)
    return job


def _give_up(call: Call, job: Job, controller: Controller, manners: Manners, code: str) -> NoReturn:
    """Take back what did not start in time."""
    controller.cancel(JobRef(job.job_id), call.owner)
    text = f"{manners.program}: error: Unable to allocate resources: {strerror(code)}\n"
    if manners.is_salloc:
        text += f"salloc: Job allocation {job.job_id} has been revoked.\n"
    raise OptionError(text, exit_immediate(call))


def _wait(
    call: Call, wishes: Wishes, job: Job, controller: Controller, manners: Manners
) -> Generator[Request, Any, Job]:
    name, job_id = manners.program, job.job_id
    within_s = immediate_s(wishes)
    give_up_at = controller.now() + (within_s or 0.0)
    if not wishes.quiet:
        yield Say(err=_waiting_lines(job, controller, manners))
    while job.state is JobState.PENDING:
        left_s = None if within_s is None else max(0.0, give_up_at - controller.now())
        try:
            job = yield UntilStarted(job_id, left_s)
        except Expired:
            _give_up(call, job, controller, manners, "ESLURM_NODES_BUSY")
        except Interrupted as interrupted:
            if interrupted.signal in ENDING_SIGNALS:
                controller.cancel(JobRef(job_id), call.owner)
                raise OptionError(_interrupted_lines(wishes, job_id, manners), 1) from None
    if job.state.has_ended:
        raise OptionError(_cancelled_lines(job_id, manners), manners.exit_error)
    if not wishes.quiet:
        yield Say(err=f"{name}: job {job_id} has been allocated resources\n")
    return job


def _waiting_lines(job: Job, controller: Controller, manners: Manners) -> str:
    lines = []
    if job.hold is not Hold.NONE:
        lines.append(strerror("ESLURM_JOB_HELD"))
    elif why := _WAITS.get(controller.reason(job)):
        lines.append(why)
    if manners.is_salloc:
        lines.append(f"Pending job allocation {job.job_id}")
    lines.append(f"job {job.job_id} queued and waiting for resources")
    return "".join(f"{manners.program}: {line}\n" for line in lines)


def _interrupted_lines(wishes: Wishes, job_id: int, manners: Manners) -> str:
    if wishes.quiet:
        return ""
    if manners.is_salloc:
        return "salloc: Job aborted due to signal\n"
    return (
        f"srun: Job allocation {job_id} has been revoked\nsrun: Force Terminated JobId={job_id}\n"
    )


def _cancelled_lines(job_id: int, manners: Manners) -> str:
    name = manners.program
    revoked = f"salloc: Job allocation {job_id} has been revoked.\n" if manners.is_salloc else ""
    return (
        f"{name}: Job has been cancelled\n{revoked}"
        f"{name}: error: {manners.refusal}: {strerror('ESLURM_ALREADY_DONE')}\n"
    )
