"""What sbatch, srun and salloc do alike around a submission, and with the job it makes."""

from __future__ import annotations

import re
from collections.abc import Generator
from datetime import datetime
from errno import EFBIG

from stoker.commands.errors import describe
from stoker.commands.options import EarlyAnswer
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.errors import Infeasible, InvalidSpec, UnknownJob
from stoker.core.models import Job, Owner
from stoker.core.units import JobRef, compress_hosts
from stoker.worker.call import Answer, Call, Conversation, ReadFile
from stoker.worker.controller import Controller
from stoker.worker.requests import Submission

_ALL_CLUSTERS = "all"
_EXIT_MAX = 9
"""Digits of an exit status in a variable that are looked at."""


def answered(conversation: Conversation) -> Conversation:
    """Hold *conversation* to its end; a refusal, or a wish for help, is its answer."""
    try:
        return (yield from conversation)
    except EarlyAnswer as early:
        return early.answer
    except OptionError as error:
        return Answer(out=error.out, err=error.text, code=error.code)


def job_of(controller: Controller, job_id: int) -> Job | None:
    """Return the job of just that id: of an array no other task."""
    try:
        found = controller.find(JobRef(job_id))
    except UnknownJob:
        return None
    return next((job for job in found if job.job_id == job_id), None)


def as_it_stands(controller: Controller, job: Job) -> Job:
    """Return what has become of *job*; as it was, if nobody knows it any more."""
    return job_of(controller, job.job_id) or job


def exit_error(call: Call) -> int:
    """Return the exit status of an error of Slurm's own: SLURM_EXIT_ERROR, or 1."""
    return _status(call.environment.get("SLURM_EXIT_ERROR", ""))


def exit_immediate(call: Call) -> int:
    """Return the exit status where nothing starts at once: SLURM_EXIT_IMMEDIATE, or 1."""
    return _status(call.environment.get("SLURM_EXIT_IMMEDIATE", ""))


def _status(text: str) -> int:
    is_number = text.isdecimal() and text.isascii() and len(text) <= _EXIT_MAX
    return int(text) & 0xFF if is_number else 1


def immediate_s(wishes: Wishes) -> float | None:
    """Return within how many seconds something is to start; 0: at once; None: whenever it can.

    One second, as where no number is given, is at once in Slurm.
    """
    text = wishes.shown.get("immediate", "0")
    seconds = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 1
    return None if seconds == 0 else 0.0 if seconds == 1 else float(seconds)


def check_cluster(wishes: Wishes, controller: Controller) -> None:
    """Refuse every cluster but this one.

    Raises:
        OptionError: Another is wanted.
    """
    for name in wishes.clusters.split(",") if wishes.clusters else ():
        if name not in (controller.cluster_name, _ALL_CLUSTERS):
            raise OptionError(
                f"{wishes.program}: error: No cluster '{name}' known by database.\n"
                f"{wishes.program}: error: '{name}' can't be reached now, or it is an invalid "
                "entry for --cluster.  Use 'sacctmgr list clusters' to see available clusters.\n",
                1,
            )


def owner_of(wishes: Wishes, call: Call, controller: Controller) -> Owner:
    """Return whose job it is to be: the caller's, or that of whom root names to sbatch.

    Raises:
        OptionError: There is no such user or group, or their job it cannot be.
    """
    own, name, group = call.owner, wishes.shown.get("uid"), wishes.shown.get("gid")
    owner = own if name is None else controller.owner_named(name)
    if owner is None:
        wishes.refuse("uid")
    group_id = owner.group_id if group is None else controller.group_id(group)
    if group_id is None:
        wishes.refuse("gid")
    if group_id != owner.group_id:
        wishes.fail("error: cannot use --gid: the first group of a job is its user's own")
    if owner.user_id == own.user_id:
        return own
    if wishes.program != "sbatch" or not controller.rights.may_submit_for(owner, own):
        wishes.fail(f"error: cannot use --uid: call {wishes.program} as that user instead")
    return owner


def read_buffer_file(wishes: Wishes) -> Generator[ReadFile, bytes, None]:
    """See to it that the file is there that describes a burst buffer; what it says is let go.

    Raises:
        OptionError: It cannot be read.
    """
    if "bbf" in wishes.shown:
        try:
            yield ReadFile(wishes.shown["bbf"], 1)
        except OSError as error:
            if error.errno != EFBIG:
                wishes.fail("error: Invalid --bbf specification")


def notes_of(wishes: Wishes) -> str:
    """Return what is to be said of the options before anything is done."""
    shown = _options_shown(wishes) if wishes.verbose else ""
    return shown + "".join(f"{wishes.program}: {note}\n" for note in wishes.notes)


def read_node_file(wishes: Wishes) -> Generator[ReadFile, bytes, None]:
    """Fill in the nodes that ``--nodefile`` names."""
    if wishes.node_file:
        try:
            content = yield ReadFile(wishes.node_file)
        except OSError:
            wishes.fail(
                f"error: slurm_allocate_resources error opening file {wishes.node_file}, "
                "No such file or directory\n"
                f"{wishes.program}: error: Invalid --nodefile node file",
                255,
            )
        names = content.decode("utf-8", "surrogateescape").replace(",", " ").split()
        wishes.spec["node_list"] = ",".join(names)


def tested(wishes: Wishes, submission: Submission, controller: Controller) -> Answer:
    """Say when the job would start (``--test-only``)."""
    try:
        trial = controller.try_submit(submission)
    except (InvalidSpec, Infeasible) as error:
        return Answer(err=f"allocation failure: {describe(error)}\n", code=1)
    at = datetime.fromtimestamp(trial.at, wishes.zone).strftime("%Y-%m-%dT%H:%M:%S")
    return Answer(
        err=f"{notes_of(wishes)}{wishes.program}: Job {trial.job_id} to start at {at} using "
        f"{trial.cpus} processors on nodes {compress_hosts(trial.nodes)} "
        f"in partition {trial.partition}\n"
    )


def _options_shown(wishes: Wishes) -> str:
    """Return what ``-v`` prints first: the options that were set."""
    rule = f"{wishes.program}: {'-' * 20} {'-' * 20}\n"
    rows = "".join(
        f"{wishes.program}: {name:<20}: {value}\n" for name, value in sorted(wishes.shown.items())
    )
    return (
        f"{wishes.program}: defined options\n{rule}{rows}{rule}"
        f"{wishes.program}: end of defined options\n"
    )
