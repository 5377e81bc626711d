"""One step of srun's: from its request to the end of its tasks.

The tasks use the caller's descriptors, so that nothing stands between them and its terminal. Who
waits for them may be interrupted: the signal is for srun (INT, TERM, HUP, QUIT) or passed on.

Source: srun(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Generator, Iterator, Sequence
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2
from typing import Any, Final, NoReturn

import msgspec

from stoker.commands.allocating import ENDING_SIGNALS
from stoker.commands.errors import refusal, strerror
from stoker.commands.jobcalls import exit_error, immediate_s
from stoker.commands.multiprog import programs_of
from stoker.commands.stepnotes import end_notes, launch_notes
from stoker.commands.steprequest import pumped_streams, step_request
from stoker.commands.submission import absolute
from stoker.commands.taskends import (
    aborted_lines,
    cancelled_line,
    end_lines,
    ends_of,
    exit_status,
    return_code,
    status_line,
    was_left,
    was_timed_out,
)
from stoker.commands.wishes import OptionError, Wishes
from stoker.core.enums import JobState
from stoker.core.errors import StokerError, UnknownJob
from stoker.core.models import Job, Step, TaskEnd
from stoker.core.processes import TOKEN_VARIABLE
from stoker.core.units import JobRef
from stoker.worker.call import (
    Answer,
    Attach,
    Call,
    Conversation,
    CopyFile,
    Expired,
    Interrupted,
    ReadFile,
    Request,
    Say,
    UntilEnded,
    UntilStepEnded,
    UntilStepFree,
)
from stoker.worker.controller import Controller, StepRequest

_DESCRIPTORS_MAX: Final = 240
"""Of pipes in one message."""
_ABORT_WITHIN_S: Final = 1.0
"""A second interrupt within this time ends the step."""

_NO_TERMINAL: Final = (
    "srun: error: ioctl(TIOCGWINSZ): Inappropriate ioctl for device\n"
    "srun: error: Not using a pseudo-terminal, disregarding --pty option\n"
)
_SILENT_S: Final = 60.0
"""How long a step waits for others before anything is said of it."""

_SENT_TO_ALL: Final = frozenset({SIGCONT, SIGTERM})
"""What each process of a batch job gets that is ended."""
_SIGNALS_S: Final = 0.5
"""How long they are waited for: they are sent at once."""
_SIGNAL_S: Final = 0.1

_ENDED_FROM_OUTSIDE: Final = (JobState.CANCELLED, JobState.TIMEOUT)


class StepRun:
    """One step from its request to its end. ``status`` is the code and signal it ended with."""

    def __init__(
        self, call: Call, wishes: Wishes, controller: Controller, *, is_inside: bool
    ) -> None:
        self.is_inside = is_inside
        self.call = call
        self.wishes = wishes
        self.controller = controller
        self.status = (0, 0)
        self._interrupted_at = float("-inf")
        self._forced_by = 0
        self._kills_on_bad_exit = wishes.shown.get("kill-on-bad-exit", "0") != "0"
        self._wait_s = int(wishes.shown.get("wait") or 0)
        self._first_end_at = 0.0
        self._is_ending = self._was_aborted = self._is_announced = False
        self._told: set[int] = set()
        self._heard: set[int] = set()

    def step(self, job: Job, words: Sequence[str]) -> Conversation:
        """Run *words* in a job that runs, and return what is to be said at the end."""
        request = step_request(self.call, self.wishes, words, job, is_inside=self.is_inside)
        if "multi-prog" in self.wishes.shown:
            request = yield from self._with_programs(request, words)
        elif "bcast" in self.wishes.shown:
            request = yield from self._with_copy(job, request)
        request = yield from self._attached(job, request)
        if "pty" in self.wishes.shown and not self.controller.is_terminal(request.descriptors[0]):
            request = yield from self._without_terminal(job, request, words)
        step = yield from self._created(job, request)
        if self.wishes.verbose:
            yield Say(err=launch_notes(step))
        step = yield from self._ended(job, step)
        yield from self._hear_signals(job, step)
        ends = ends_of(step)
        self.status = exit_status(ends)
        notes = end_notes(step, ends) if self.wishes.verbose else ""
        lines = self._last_lines(job, step, ends, request)
        return Answer(err=notes + lines, code=return_code(ends))

    def _without_terminal(
        self, job: Job, request: StepRequest, words: Sequence[str]
    ) -> Generator[Request, Any, StepRequest]:
        """Return the request for a caller who has no terminal to give to the first task."""
        self.controller.detach(request.descriptors)
        yield Say(err=_NO_TERMINAL)
        del self.wishes.shown["pty"]
        plain = step_request(self.call, self.wishes, words, job, is_inside=self.is_inside)
        plain = msgspec.structs.replace(plain, argv=request.argv, programs=request.programs)
        return (yield from self._attached(job, plain))

    def _with_programs(
        self, request: StepRequest, words: Sequence[str]
    ) -> Generator[Request, Any, StepRequest]:
        """Return the request with what the file in place of a command says."""
        path = words[0]
        try:
            content: bytes = yield ReadFile(absolute(path, request.work_dir))
        except OSError:
            self.wishes.fail(f"error: Could not open multi_prog config file {path}")
        text = content.decode("utf-8", "surrogateescape")
        programs = programs_of(text, path, words[1:], request.ntasks, self.wishes)
        return msgspec.structs.replace(request, programs=programs)

    def _with_copy(self, job: Job, request: StepRequest) -> Generator[Request, Any, StepRequest]:
        """Return the request to run a copy of the program; one that is not there is left to it."""
        assert job.allocation is not None, f"job {job.job_id} does not run"
        node = job.allocation.nodes[0]
        target = self.wishes.shown["bcast"]
        if target == "set":
            number = len(self.controller.steps(job))
            target = f"slurm_bcast_{job.job_id}.{number}_{node}"
        target = posixpath.join(request.work_dir, target)
        for source in _candidates(self.call, request):
            try:
                yield CopyFile(source, target, replaces=True, preserves=True)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as error:
                self.wishes.fail(
                    f"error: REQUEST_FILE_BCAST({node}): {error.strerror}\nsrun: error: "
                    f"Failed to broadcast '{request.argv[0]}'. Step launch aborted."
                )
            return msgspec.structs.replace(request, argv=(target, *request.argv[1:]))
        return request

    def job(self, job: Job) -> Job:
        """Return the job as it stands now."""
        try:
            found = self.controller.find(JobRef(job.job_id))
        except UnknownJob:
            found = ()
        return next((each for each in found if each.job_id == job.job_id), job)

    def _attached(self, job: Job, request: StepRequest) -> Generator[Request, Any, StepRequest]:
        """Return the request with the caller's descriptors: the kernel passes not all at once."""
        pumped = pumped_streams(self.wishes, request)
        in_pieces = "unbuffered" in self.wishes.shown
        share = _DESCRIPTORS_MAX // len(pumped) if pumped else request.ntasks
        handles = []
        try:
            for first in range(0, request.ntasks, share):
                tasks = first, min(first + share, request.ntasks)
                attach = Attach(job.job_id, pumped, tasks, request.ntasks, in_pieces=in_pieces)
                handles.append((yield attach))
        except OSError as error:
            self.wishes.fail(f"error: cannot pass on the standard streams: {error}")
        return msgspec.structs.replace(request, descriptors=tuple(handles))

    def _created(self, job: Job, request: StepRequest) -> Generator[Request, Any, Step]:
        """Return the step once it has begun; if it never does, let go of its descriptors."""
        try:
            return (yield from self._begun(job, request))
        except BaseException:
            self.controller.detach(request.descriptors)
            raise

    def _begun(self, job: Job, request: StepRequest) -> Generator[Request, Any, Step]:
        """Return the step once it has begun: other steps may have to end first."""
        has_waited = False
        within_s = immediate_s(self.wishes)
        until = None if within_s is None else self.controller.now() + within_s
        while (step := self._create(job, request)) is None:
            left_s = None if until is None else until - self.controller.now()
            if left_s is not None and left_s <= 0:
                self._fail_step(job.job_id, "ESLURM_NODES_BUSY")
            silent_s = None if has_waited else _SILENT_S
            yield from self._wait_for_cpus(job, silent_s if left_s is None else left_s)
            if left_s is None and not has_waited and not self.wishes.quiet:
                yield Say(
                    err=f"srun: Job {job.job_id} step creation temporarily disabled, "
                    "retrying (Requested nodes are busy)\n"
                )
            has_waited = True
        if has_waited and not self.wishes.quiet:
            yield Say(err=f"srun: Step created for job {job.job_id}\n")
        return step

    def _create(self, job: Job, request: StepRequest) -> Step | None:
        try:
            return self.controller.create_step(self.job(job), self.call.owner, request)
        except StokerError as error:
            what = f"Unable to create step for job {job.job_id}"
            raise OptionError(refusal("srun", what, error), exit_error(self.call)) from None

    def _wait_for_cpus(self, job: Job, within_s: float | None) -> Generator[Request, Any, None]:
        ended = sum(1 for step in self.controller.steps(self.job(job)) if step.end_at)
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
        raise OptionError(text, exit_error(self.call))

    def _ended(self, job: Job, step: Step) -> Generator[Request, Any, Step]:
        """Return the step when all its tasks have ended; what happens meanwhile is acted on."""
        while True:
            try:
                step = yield self._wait(step)
            except Interrupted as interrupted:
                text = self._heed(job, step, interrupted.signal)
            except Expired:
                text = self._end_late(job, step)
            else:
                if step.end_at:
                    return step
                text = self._look(job, step)
            if text:
                yield Say(err=text)

    def _hear_signals(self, job: Job, step: Step) -> Generator[Request, Any, None]:
        """Hear the signals that are on their way: of all that end a batch job, if srun is of it.

        The end of its step may be told before them; what is said of them belongs before its own.
        Who sends TERM often sends CONT behind it, as timeout(1) does.
        """
        job = self.job(job)
        token = job.allocation.token if job.allocation is not None else ""
        is_part = self.call.environment.get(TOKEN_VARIABLE, "") == token
        is_ended = is_part and (job.ending is not None or was_timed_out(step))
        if not is_ended and self._forced_by != SIGKILL:
            return
        to_come, within_s = (_SENT_TO_ALL, _SIGNALS_S) if is_ended else ({SIGCONT}, _SIGNAL_S)
        while not self._heard >= to_come:
            try:
                yield UntilEnded((job.job_id,), within_s)
            except Interrupted as interrupted:
                if text := self._heed(job, step, interrupted.signal):
                    yield Say(err=text)
            except Expired:
                return
            else:
                return

    def _wait(self, step: Step) -> UntilStepEnded:
        """Return what to wait for: the end, or what comes before it and matters here."""
        is_watched = not self._is_ending and (self._kills_on_bad_exit or self._wait_s)
        within_s = None
        if step.ends and self._wait_s and not self._is_ending:
            within_s = max(0.0, self._first_end_at + self._wait_s - self.controller.now())
        return UntilStepEnded(
            step.job_id,
            step.step_id,
            ends=len(step.ends) if is_watched else None,
            heeds_job=not self._was_aborted,
            heeds_ending=not self._is_announced,
            within_s=within_s,
        )

    def _look(self, job: Job, step: Step) -> str:
        """Act on the ends of some tasks, or on the job's own; return what is to be said."""
        if not self._first_end_at and step.ends:
            self._first_end_at = self.controller.now()
        if text := self._what_ends_it(job, step):
            return text
        bad = [end for end in step.ends if end.code or end.signal]
        if self._kills_on_bad_exit and bad and not self._is_ending:
            said = end_lines(step, bad, "", forced=True)
            self._told = {end.task for end in bad}
            return said + self._terminate(job, step, SIGTERM)
        return ""

    def _end_late(self, job: Job, step: Step) -> str:
        """End the tasks that have outlasted the first for too long."""
        text = f"srun: First task exited {self._wait_s}s ago\n{status_line(step)}"
        text += self._terminate(job, step, SIGKILL)
        return text + self._abort()

    def _terminate(self, job: Job, step: Step, signal: int) -> str:
        self._is_ending = True
        self._send(job, step, signal)
        name = f"{step.job_id}.{step.step_id}"
        line = self._announce(job, step)
        return f"srun: launch/slurm: _step_signal: Terminating StepId={name}\n{line}"

    # What is said of an end that comes from outside, each line once.

    def _what_ends_it(self, job: Job, step: Step) -> str:
        """Return what is said of what ends the step, as far as it is known."""
        job = self.job(job)
        is_ended = job.ending is not None or job.state in _ENDED_FROM_OUTSIDE
        if is_ended or was_left(step) or was_timed_out(step):
            return self._abort() + self._announce(job, step)
        if step.ended_by >= 0:
            return self._announce(job, step) + self._abort()
        if step.is_ending or step.state is JobState.TIMEOUT:
            return self._announce(job, step)
        return ""

    def _abort(self) -> str:
        """Say that the end of the step is waited for."""
        text = "" if self._was_aborted else aborted_lines(self._kill_wait_s())
        self._was_aborted = True
        return text

    def _announce(self, job: Job, step: Step) -> str:
        """Say what the step's own supervisor says when it is ended."""
        if self._is_announced:
            return ""
        self._is_announced = True
        return cancelled_line(step, job, self.wishes.zone, self.controller.now())

    def _heed(self, job: Job, step: Step, signal: int) -> str:
        """Act on a signal; return what is to be said of it."""
        self._heard.add(signal)
        # With --pty, Ctrl-C at our terminal is meant for the task.
        if signal in (SIGUSR1, SIGUSR2) or (signal == SIGINT and "pty" in self.wishes.shown):
            self._send(job, step, signal)
            return ""
        if signal == SIGINT:
            return self._heed_interrupt(job, step)
        if signal == SIGCONT:
            return "srun: got SIGCONT\n"
        if signal not in ENDING_SIGNALS:
            return ""
        quitting = "srun: Quit\n" if signal == SIGQUIT else ""
        return quitting + self._force(job, step, SIGKILL)

    def _heed_interrupt(self, job: Job, step: Step) -> str:
        """Show how the tasks stand; a second interrupt at once ends them."""
        now = self.controller.now()
        is_second = now - self._interrupted_at <= _ABORT_WITHIN_S
        self._interrupted_at = now
        name = f"{step.job_id}.{step.step_id}"
        if "disable-status" in self.wishes.shown:
            self._send(job, step, SIGINT)
            return f"srun: sending Ctrl-C to StepId={name}\n"
        if is_second or "quit-on-interrupt" in self.wishes.shown:
            return f"srun: sending Ctrl-C to StepId={name}\n" + self._force(job, step, SIGINT)
        return f"srun: interrupt (one more within 1 sec to abort)\n{status_line(step)}"

    def _force(self, job: Job, step: Step, signal: int) -> str:
        self._forced_by = signal
        self._send(job, step, signal)
        # What is behind it, a time limit maybe, is not yet known: the supervisor's line waits.
        return "srun: forcing job termination\n" + self._abort()

    def _send(self, job: Job, step: Step, signal: int) -> None:
        try:
            self.controller.signal_step(job, step.step_id, self.call.owner, signal)
        except StokerError:
            return  # It ended in the meantime, which is what we wait for.

    def _last_lines(
        self, job: Job, step: Step, ends: Sequence[TaskEnd], request: StepRequest
    ) -> str:
        """Return what is said of a step that has ended, and of one that did not end by itself."""
        lines = self._what_ends_it(job, step)
        if self._forced_by:
            lines += self._announce(self.job(job), step)
        if self._forced_by == SIGINT:
            return lines
        untold = [end for end in ends if end.task not in self._told]
        return lines + end_lines(step, untold, request.argv[0], forced=self._was_aborted)

    def _kill_wait_s(self) -> int:
        match = re.match(r"\d+", self.controller.configuration().get("KillWait", ""))
        return int(match[0]) if match else 30


def _candidates(call: Call, request: StepRequest) -> Iterator[str]:
    """Yield where the program may be: here, and for a bare name in the directories of PATH."""
    name = request.argv[0]
    yield posixpath.join(request.work_dir, name)
    if "/" not in name:
        for directory in filter(None, call.environment.get("PATH", "").split(":")):
            yield posixpath.join(request.work_dir, directory, name)
