"""One of srun's steps while its tasks run, and what is said of its end.

How it begins is `stepstart`'s.

The tasks use the caller's descriptors, so that nothing stands between them and its terminal. Who
waits for them may be interrupted: the signal is for srun (INT, TERM, HUP, QUIT) or passed on.

Always holds: what is said of an end from outside is said once, whoever tells of it first.

Source: srun(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2
from typing import Any, Final

from stoker.commands.allocating import ENDING_SIGNALS
from stoker.commands.jobcalls import as_it_stands
from stoker.commands.stepnotes import end_notes, launch_notes
from stoker.commands.stepstart import StepStart
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
from stoker.commands.wishes import Wishes
from stoker.core.enums import JobState
from stoker.core.errors import StokerError
from stoker.core.models import Job, Step, TaskEnd
from stoker.core.processes import TOKEN_VARIABLE
from stoker.worker.call import (
    Answer,
    Call,
    Conversation,
    Expired,
    Interrupted,
    Request,
    Say,
    UntilEnded,
    UntilStepEnded,
)
from stoker.worker.controller import Controller
from stoker.worker.requests import StepRequest

_ABORT_WITHIN_S: Final = 1.0
"""A second interrupt within this time ends the step."""

_SENT_TO_ALL: Final = frozenset({SIGCONT, SIGTERM})
"""What each process of a batch job gets that is ended."""
_SIGNALS_S: Final = 0.5
"""How long they are waited for: they are sent at once."""
_SIGNAL_S: Final = 0.1

_ENDED_FROM_OUTSIDE: Final = (JobState.CANCELLED, JobState.TIMEOUT)


class StepRun:
    """One step to its end. ``status`` is the code and signal it ended with."""

    def __init__(
        self, call: Call, wishes: Wishes, controller: Controller, *, is_inside: bool
    ) -> None:
        self.status = (0, 0)
        self._start = StepStart(call, wishes, controller, is_inside=is_inside)
        self._call = call
        self._wishes = wishes
        self._controller = controller
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
        request, step = yield from self._start.begin(job, words)
        if self._wishes.verbose:
            yield Say(err=launch_notes(step))
        step = yield from self._ended(job, step)
        yield from self._hear_signals(job, step)
        ends = ends_of(step)
        self.status = exit_status(ends)
        notes = end_notes(step, ends) if self._wishes.verbose else ""
        lines = self._last_lines(job, step, ends, request)
        return Answer(err=notes + lines, code=return_code(ends))

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
        job = as_it_stands(self._controller, job)
        token = job.allocation.token if job.allocation is not None else ""
        is_part = self._call.environment.get(TOKEN_VARIABLE, "") == token
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
            within_s = max(0.0, self._first_end_at + self._wait_s - self._controller.now())
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
            self._first_end_at = self._controller.now()
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
        job = as_it_stands(self._controller, job)
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
        return cancelled_line(step, job, self._wishes.zone, self._controller.now())

    def _heed(self, job: Job, step: Step, signal: int) -> str:
        """Act on a signal; return what is to be said of it."""
        self._heard.add(signal)
        # With --pty, Ctrl-C at our terminal is meant for the task.
        if signal in (SIGUSR1, SIGUSR2) or (signal == SIGINT and "pty" in self._wishes.shown):
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
        now = self._controller.now()
        is_second = now - self._interrupted_at <= _ABORT_WITHIN_S
        self._interrupted_at = now
        name = f"{step.job_id}.{step.step_id}"
        if "disable-status" in self._wishes.shown:
            self._send(job, step, SIGINT)
            return f"srun: sending Ctrl-C to StepId={name}\n"
        if is_second or "quit-on-interrupt" in self._wishes.shown:
            return f"srun: sending Ctrl-C to StepId={name}\n" + self._force(job, step, SIGINT)
        return f"srun: interrupt (one more within 1 sec to abort)\n{status_line(step)}"

    def _force(self, job: Job, step: Step, signal: int) -> str:
        self._forced_by = signal
        self._send(job, step, signal)
        # What is behind it, a time limit maybe, is not yet known: the supervisor's line waits.
        return "srun: forcing job termination\n" + self._abort()

    def _send(self, job: Job, step: Step, signal: int) -> None:
        try:
            self._controller.steps.signal(job, step.step_id, self._call.owner, signal)
        except StokerError:
            return  # It ended in the meantime, which is what we wait for.

    def _last_lines(
        self, job: Job, step: Step, ends: Sequence[TaskEnd], request: StepRequest
    ) -> str:
        """Return what is said of a step that has ended, and of one that did not end by itself."""
        lines = self._what_ends_it(job, step)
        if self._forced_by:
            lines += self._announce(as_it_stands(self._controller, job), step)
        if self._forced_by == SIGINT:
            return lines
        untold = [end for end in ends if end.task not in self._told]
        return lines + end_lines(step, untold, request.argv[0], forced=self._was_aborted)

    def _kill_wait_s(self) -> int:
        match = re.match(r"\d+", self._controller.configuration().get("KillWait", ""))
        return int(match[0]) if match else 30
