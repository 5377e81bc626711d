"""salloc: obtain an allocation, run a command of the caller's beside it, and give it back.

The command is the caller's own child and knows of the allocation by its environment, where srun
finds it. Without a command it is the caller's shell; with ``--no-shell`` the allocation stays. If
the allocation ends first the command goes on, unless ``--kill-command`` names a signal for it.

Source: salloc(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from errno import EISDIR, ENOTDIR
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM
from typing import Any, Final

from stoker.commands import joboptions, variables
from stoker.commands.allocating import Manners, allocate
from stoker.commands.jobcalls import (
    answered,
    as_it_stands,
    check_cluster,
    exit_error,
    notes_of,
    owner_of,
    read_buffer_file,
    read_node_file,
)
from stoker.commands.options import parse
from stoker.commands.readers import take_all, take_variables
from stoker.commands.submission import Program, wishes_of, work_dir_of
from stoker.commands.wishes import Wishes
from stoker.core.enums import JobState
from stoker.core.models import Job
from stoker.core.units import NotationError, parse_signal
from stoker.worker.call import (
    Answer,
    Call,
    Conversation,
    ProgramEnd,
    ReadFile,
    RunProgram,
    Say,
)
from stoker.worker.controller import Controller
from stoker.worker.environment import salloc_variables

_REFUSED: Final = "Job submit/allocate failed"
_SHELL: Final = "/bin/sh"
_SIGNALS_OF_USERS: Final = frozenset({SIGHUP, SIGINT, SIGQUIT, SIGKILL})
"""Who ends a command by these has had enough of it: that is no failure."""


def salloc(call: Call, controller: Controller) -> Conversation:
    """Obtain an allocation and run a command in it."""
    return answered(_run(call, controller))


def _run(call: Call, controller: Controller) -> Conversation:
    parsed = parse("salloc", joboptions.SALLOC, call.argv, stop_at_operand=True)
    wishes = wishes_of(call)
    take_variables(wishes, variables.chosen(variables.SALLOC, call.environment))
    take_all(wishes, parsed.values)
    check_cluster(wishes, controller)
    owner_of(wishes, call, controller)
    work_dir = work_dir_of(call, wishes)
    kill_signal = _kill_signal(wishes)
    yield from _check_directory(wishes)
    yield from read_node_file(wishes)
    yield from read_buffer_file(wishes)
    if notes := notes_of(wishes):
        yield Say(err=notes)
    stays = parsed.has("no-shell")
    name = "no-shell" if stays else "interactive"
    program = Program(name=name, is_interactive=True, is_detached=stays)
    manners = Manners("salloc", _REFUSED, exit_error(call), is_salloc=True)
    job = yield from allocate(call, wishes, program, controller, manners)
    granted = "" if wishes.quiet else f"salloc: Granted job allocation {job.job_id}\n"
    if stays:
        return Answer(err=granted)
    yield Say(err=granted)
    words = tuple(parsed.operands) or (call.environment.get("SHELL") or _SHELL,)
    end: ProgramEnd = yield RunProgram(
        words,
        work_dir,
        _environment(call, job, controller),
        ends_with=job.job_id,
        kill_signal=kill_signal,
    )
    return _ended(call, wishes, job, controller, words[0], end)


def _kill_signal(wishes: Wishes) -> int:
    """Return the signal for a command whose allocation is gone; 0 for none."""
    text = wishes.shown.get("kill-command")
    if text is None:
        return 0
    try:
        return SIGTERM if text == "set" else parse_signal(text)
    except NotationError:
        wishes.fail("error: Invalid --kill-command specification", 255)


def _check_directory(wishes: Wishes) -> Generator[ReadFile, Any, None]:
    """See to it that the command's directory is there before anything is allocated for it."""
    if not wishes.chdir:
        return
    try:
        yield ReadFile(wishes.chdir, 1)
    except OSError as error:
        if error.errno == EISDIR:
            return
        wishes.fail(f"error: chdir({wishes.chdir}): {os.strerror(error.errno or 0)}")
    wishes.fail(f"error: chdir({wishes.chdir}): {os.strerror(ENOTDIR)}")


def _environment(call: Call, job: Job, controller: Controller) -> tuple[str, ...]:
    assert job.allocation is not None, f"job {job.job_id} runs without an allocation"
    found = salloc_variables(
        job,
        job.allocation,
        controller.shape(job),
        controller.cluster_name,
        controller.host().name,
    )
    found["SLURM_SUBMIT_DIR"] = call.work_dir or "/"
    return tuple(f"{name}={value}" for name, value in found.items())


def _ended(
    call: Call,
    wishes: Wishes,
    job: Job,
    controller: Controller,
    command: str,
    end: ProgramEnd,
) -> Answer:
    """Give the allocation back, and say how the command ended."""
    job = as_it_stands(controller, job)
    code = end.code
    err = "" if wishes.quiet else _farewell(job, is_interrupted=bool(end.interrupt))
    if end.errno:
        code = exit_error(call)
        text = os.strerror(end.errno)
        err = f'salloc: error: Unable to exec command "{command}": {text}\n' + err
    controller.finish_allocation(job, code, end.signal)
    if end.signal:
        code = 0 if end.signal in _SIGNALS_OF_USERS else 1
    return Answer(err=err, code=code)


def _farewell(job: Job, *, is_interrupted: bool) -> str:
    if job.state is JobState.TIMEOUT:
        return (
            f"salloc: Job {job.job_id} has exceeded its time limit and its allocation has been "
            "revoked.\n"
        )
    if job.state.has_ended or job.ending is not None or is_interrupted:
        return f"salloc: Job allocation {job.job_id} has been revoked.\n"
    return f"salloc: Relinquishing job allocation {job.job_id}\n"
