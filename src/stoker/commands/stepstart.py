"""The beginning of one of srun's steps: from the words of its command until its tasks run.

What the step needs of its caller is got here: its standard streams, a program file
(``--multi-prog``), a copy of the program where it is to run (``--bcast``). If the CPUs are held by
other steps of the job, their ends are waited for.

Always holds: a step whose CPUs never come lets go of its caller's descriptors.

Source: srun(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final, NoReturn

import msgspec

from stoker.commands.allocating import ENDING_SIGNALS
from stoker.commands.errors import refusal, strerror
from stoker.commands.jobcalls import as_it_stands, exit_error, immediate_s
from stoker.commands.multiprog import programs_of
from stoker.commands.steprequest import pumped_streams, step_request
from stoker.commands.submission import absolute
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.errors import StokerError
from stoker.core.models import Job, Step
from stoker.worker.call import (
    Attach,
    Call,
    CopyFile,
    Expired,
    Interrupted,
    ReadFile,
    Request,
    Say,
    UntilStepFree,
)
from stoker.worker.controller import Controller
from stoker.worker.requests import StepRequest

_DESCRIPTORS_MAX: Final = 240
"""Of pipes in one message."""
_NO_TERMINAL: Final = (
    "srun: error: ioctl(TIOCGWINSZ): Inappropriate ioctl for device\n"
    "srun: error: Not using a pseudo-terminal, disregarding --pty option\n"
)
_SILENT_S: Final = 60.0
"""How long a step waits for others before anything is said of it."""


class StepStart:
    """One step until it has begun."""

    def __init__(
        self, call: Call, wishes: Wishes, controller: Controller, *, is_inside: bool
    ) -> None:
        self._call = call
        self._wishes = wishes
        self._controller = controller
        self._is_inside = is_inside

    def begin(
        self, job: Job, words: Sequence[str]
    ) -> Generator[Request, Any, tuple[StepRequest, Step]]:
        """Start *words* in a job that runs; return what was asked for, and the step.

        Raises:
            OptionError: It does not begin, and why.
        """
        request = step_request(self._call, self._wishes, words, job, is_inside=self._is_inside)
        if "multi-prog" in self._wishes.shown:
            request = yield from self._with_programs(request, words)
        elif "bcast" in self._wishes.shown:
            request = yield from self._with_copy(job, request)
        request = yield from self._attached(job, request)
        desk = self._controller.steps
        if "pty" in self._wishes.shown and not desk.is_terminal(request.descriptors[0]):
            request = yield from self._without_terminal(job, request, words)
        return request, (yield from self._created(job, request))

    def _with_programs(
        self, request: StepRequest, words: Sequence[str]
    ) -> Generator[Request, Any, StepRequest]:
        """Return the request with what the file in place of a command says."""
        path = words[0]
        try:
            content: bytes = yield ReadFile(absolute(path, request.work_dir))
        except OSError:
            self._wishes.fail(f"error: Could not open multi_prog config file {path}")
        text = content.decode("utf-8", "surrogateescape")
        programs = programs_of(text, path, words[1:], request.ntasks, self._wishes)
        return msgspec.structs.replace(request, programs=programs)

    def _with_copy(self, job: Job, request: StepRequest) -> Generator[Request, Any, StepRequest]:
        """Return the request to run a copy of the program; one that is not there is left to it."""
        assert job.allocation is not None, f"job {job.job_id} does not run"
        node = job.allocation.nodes[0]
        target = self._wishes.shown["bcast"]
        if target == "set":
            number = len(self._controller.steps.of(job))
            target = f"slurm_bcast_{job.job_id}.{number}_{node}"
        target = posixpath.join(request.work_dir, target)
        for source in _candidates(self._call, request):
            try:
                yield CopyFile(source, target, replaces=True, preserves=True)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as error:
                self._wishes.fail(
                    f"error: REQUEST_FILE_BCAST({node}): {error.strerror}\nsrun: error: "
                    f"Failed to broadcast '{request.argv[0]}'. Step launch aborted."
                )
            return msgspec.structs.replace(request, argv=(target, *request.argv[1:]))
        return request

    def _attached(self, job: Job, request: StepRequest) -> Generator[Request, Any, StepRequest]:
        """Return the request with the caller's descriptors: the kernel passes not all at once."""
        pumped = pumped_streams(self._wishes, request)
        in_pieces = "unbuffered" in self._wishes.shown
        share = _DESCRIPTORS_MAX // len(pumped) if pumped else request.ntasks
        handles = []
        try:
            for first in range(0, request.ntasks, share):
                tasks = first, min(first + share, request.ntasks)
                attach = Attach(job.job_id, pumped, tasks, request.ntasks, in_pieces=in_pieces)
                handles.append((yield attach))
        except OSError as error:
            self._wishes.fail(f"error: cannot pass on the standard streams: {error}")
        return msgspec.structs.replace(request, descriptors=tuple(handles))

    def _without_terminal(
        self, job: Job, request: StepRequest, words: Sequence[str]
    ) -> Generator[Request, Any, StepRequest]:
        """Return the request for a caller who has no terminal to give to the first task."""
        self._controller.steps.detach(request.descriptors)
        yield Say(err=_NO_TERMINAL)
        del self._wishes.shown["pty"]
        plain = step_request(self._call, self._wishes, words, job, is_inside=self._is_inside)
        plain = msgspec.structs.replace(plain, argv=request.argv, programs=request.programs)
        return (yield from self._attached(job, plain))

    def _created(self, job: Job, request: StepRequest) -> Generator[Request, Any, Step]:
        """Return the step once it has begun; if it never does, let go of its descriptors."""
        try:
            return (yield from self._begun(job, request))
        except BaseException:
            self._controller.steps.detach(request.descriptors)
            raise

    def _begun(self, job: Job, request: StepRequest) -> Generator[Request, Any, Step]:
        """Return the step once it has begun: other steps may have to end first."""
        has_waited = False
        within_s = immediate_s(self._wishes)
        until = None if within_s is None else self._controller.now() + within_s
        while (step := self._create(job, request)) is None:
            left_s = None if until is None else until - self._controller.now()
            if left_s is not None and left_s <= 0:
                self._fail_step(job.job_id, "ESLURM_NODES_BUSY")
            silent_s = None if has_waited else _SILENT_S
            yield from self._wait_for_cpus(job, silent_s if left_s is None else left_s)
            if left_s is None and not has_waited and not self._wishes.quiet:
                yield Say(
                    err=f"srun: Job {job.job_id} step creation temporarily disabled, "
                    "retrying (Requested nodes are busy)\n"
                )
            has_waited = True
        if has_waited and not self._wishes.quiet:
            yield Say(err=f"srun: Step created for job {job.job_id}\n")
        return step

    def _create(self, job: Job, request: StepRequest) -> Step | None:
        try:
            return self._controller.steps.create(
                as_it_stands(self._controller, job), self._call.owner, request
            )
        except StokerError as error:
            what = f"Unable to create step for job {job.job_id}"
            raise OptionError(refusal("srun", what, error), exit_error(self._call)) from None

    def _wait_for_cpus(self, job: Job, within_s: float | None) -> Generator[Request, Any, None]:
        steps = self._controller.steps.of(as_it_stands(self._controller, job))
        ended = sum(1 for step in steps if step.end_at)
        try:
            yield UntilStepFree(job.job_id, ended, within_s)
        except Expired:
            return
        except Interrupted as interrupted:
            if interrupted.signal in ENDING_SIGNALS:
                yield Say(
                    err=f"srun: Cancelled pending job step with signal {interrupted.signal}\n"
                )
                self._fail_step(job.job_id, "ESLURM_ALREADY_DONE")

    def _fail_step(self, job_id: int, code: str) -> NoReturn:
        text = f"srun: error: Unable to create step for job {job_id}: {strerror(code)}\n"
        raise OptionError(text, exit_error(self._call))


def _candidates(call: Call, request: StepRequest) -> Iterator[str]:
    """Yield where the program may be: here, and for a bare name in the directories of PATH."""
    name = request.argv[0]
    yield posixpath.join(request.work_dir, name)
    if "/" not in name:
        for directory in filter(None, call.environment.get("PATH", "").split(":")):
            yield posixpath.join(request.work_dir, directory, name)
