"""How srun tells of the ends of tasks, and what it returns.

One line for each node and outcome; the exit code is 128 and the signal's number if a signal ended
any task, else the highest code.

Source: srun(1) "RETURN VALUE"; messages are recorded.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from signal import SIGKILL, SIGTERM, Signals, strsignal
from typing import Final, NamedTuple

from stoker.core.enums import JobState
from stoker.core.models import Job, Step, TaskEnd

_FATAL_OFFSET: Final = 128
_LEFT, _TIMEOUT, _MEMORY = "leader", "timeout", "memory"
"""Why the engine ends the tasks of a step with its job."""
_STREAMS: Final = ("stdin", "stdout", "stderr")


class _Outcome(NamedTuple):
    node: str
    code: int
    signal: int


def ends_of(step: Step) -> Sequence[TaskEnd]:
    """Return how every task ended; those of which nothing is known were ended with the job."""
    known = {end.task for end in step.ends}
    lost = (TaskEnd(task, 0, SIGTERM) for task in range(step.ntasks) if task not in known)
    return (*step.ends, *lost)


def exit_status(ends: Iterable[TaskEnd]) -> tuple[int, int]:
    """Return the exit code and signal that stand for all tasks; one of them is 0."""
    ends = list(ends)
    signal = max((end.signal for end in ends), default=0)
    return (0, signal) if signal else (max(map(_code, ends), default=0), 0)


def return_code(ends: Iterable[TaskEnd]) -> int:
    """Return srun's exit code."""
    code, signal = exit_status(ends)
    return _FATAL_OFFSET + signal if signal else code & 0xFF


def end_lines(step: Step, ends: Sequence[TaskEnd], command: str, *, forced: bool = False) -> str:
    """Return what is said of the tasks that did not end well.

    *command* is what could not be executed, where that was it. *forced* says that srun itself ended
    the step: then that needs no line of its own.
    """
    lines = "".join(dict.fromkeys(_failure_line(end, command) for end in ends if end.failed))
    if _was_ended(step, _MEMORY):
        lines += "slurmstepd: error: Exceeded job memory limit\n"
    for outcome, tasks in _grouped(step, ends).items():
        lines += f"srun: error: {outcome.node}: {tasks_named(tasks)}: {_described(outcome)}\n"
    if not forced and any(end.signal in (SIGKILL, SIGTERM) for end in ends):
        lines += f"srun: Force Terminated StepId={step.job_id}.{step.step_id}\n"
    return lines


def aborted_lines(kill_wait_s: int) -> str:
    """Return what is said when a step is ended from outside."""
    wait_s = kill_wait_s + 2
    return f"srun: Job step aborted: Waiting up to {wait_s} seconds for job step to finish.\n"


def cancelled_line(step: Step, job: Job, zone: tzinfo, now: float) -> str:
    """Return the line that the step's own supervisor leaves when it is ended."""
    at = datetime.fromtimestamp(step.end_at or now, zone).strftime("%Y-%m-%dT%H:%M:%S")
    is_late = JobState.TIMEOUT in (job.state, job.ending, step.state) or was_timed_out(step)
    due = " DUE TO TIME LIMIT" if is_late else ""
    name = f"{step.job_id}.{step.step_id}"
    return f"slurmstepd: error: *** STEP {name} ON {step.nodes[0]} CANCELLED AT {at}{due} ***\n"


def was_left(step: Step) -> bool:
    """Whether a step was ended since the script of its job had ended."""
    return _was_ended(step, _LEFT)


def was_timed_out(step: Step) -> bool:
    """Whether a step was ended since the time of its job was over."""
    return _was_ended(step, _TIMEOUT)


def _was_ended(step: Step, why: str) -> bool:
    return any(end.why == why for end in step.ends)


def status_line(step: Step) -> str:
    """Return which tasks run and which have ended, as an interrupt shows it."""
    ended = {end.task for end in step.ends}
    running = [task for task in range(step.ntasks) if task not in ended]
    states = {"running": running, "exited": sorted(ended)}
    return "".join(
        f"srun: StepId={step.job_id}.{step.step_id} {tasks_named(tasks)}: {state}\n"
        for state, tasks in states.items()
        if tasks
    )


def _code(end: TaskEnd) -> int:
    """Return a task's exit code; one without its files fails with 1, not with an errno."""
    return 1 if end.message in _STREAMS else end.code


def _failure_line(end: TaskEnd, command: str) -> str:
    text = os.strerror(end.code)
    if end.message in _STREAMS:
        return f"srun: error: Could not open {end.message} file: {text}\n"
    return f"slurmstepd: error: execve(): {command}: {text}\n"


def _grouped(step: Step, ends: Iterable[TaskEnd]) -> dict[_Outcome, list[int]]:
    """Return the tasks that ended badly, by node and outcome, in the order of their ends."""
    found: dict[_Outcome, list[int]] = {}
    for end in ends:
        if (end.code or end.signal) and end.message not in _STREAMS:
            outcome = _Outcome(step.node_of(end.task), end.code, end.signal)
            found.setdefault(outcome, []).append(end.task)
    return found


def tasks_named(tasks: Sequence[int]) -> str:
    """Return ``task 3`` or ``tasks 0-1,4``."""
    return f"task {tasks[0]}" if len(tasks) == 1 else f"tasks {ranges(tasks)}"


def ranges(tasks: Sequence[int]) -> str:
    """Return numbers of tasks as ``0-1,4``."""
    runs = itertools.groupby(enumerate(sorted(tasks)), key=lambda pair: pair[1] - pair[0])
    return ",".join(_run([task for _, task in run]) for _, run in runs)


def _run(tasks: Sequence[int]) -> str:
    return f"{tasks[0]}-{tasks[-1]}" if len(tasks) > 1 else str(tasks[0])


def _described(outcome: _Outcome) -> str:
    if not outcome.signal:
        return f"Exited with exit code {outcome.code}"
    if outcome.signal in set(Signals):
        return strsignal(outcome.signal) or f"signal {outcome.signal}"
    return f"signal {outcome.signal}"
