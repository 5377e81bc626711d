r"""What a command is given, what it may ask for, and what it answers.

A command is a function of a `Call` and the `Controller`: no printing, no exit, no global state, so
that it is tested without a process and can do no harm to the daemon. One that needs something from
the caller's side (a script's text) or has to wait is a generator: it yields a request, is sent the
result, and returns its `Answer`.

    def sbatch(call: Call, controller: Controller) -> Conversation:
        text = yield ReadFile(path)      # OSError is raised here if the caller could not read it
        ...
        return Answer(out="Submitted batch job 42\n")

It stands below `commands`, which speaks it, since `worker.server` conducts the conversations.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from stoker.core.models import Owner


class Call(msgspec.Struct, frozen=True):
    """One invocation: who calls what, from where, with what environment.

    ``argv`` excludes the program's name. ``work_dir`` is "" where the caller's directory is gone.
    """

    program: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    work_dir: str
    owner: Owner
    now: float
    umask: int = 0o022
    rlimits: Mapping[str, tuple[int, int]] = {}
    key: str = ""
    """The submission key: the same key is the same submission."""
    pid: int = 0
    """The caller's process; 0 if it is not visible from here."""


class Answer(msgspec.Struct):
    """Text for standard output and standard error, and the exit status.

    ``out`` may be an iterable of chunks. They are pulled as the caller reads them, outside any turn
    of the service: it must not look at what a turn changes.
    """

    out: str | Iterable[str] = ""
    err: str = ""
    code: int = 0


class ReadFile(msgspec.Struct, frozen=True):
    """Ask the caller to read a file as itself; ``"-"`` is its standard input. Gives bytes."""

    path: str
    size_max: int = 4 << 20


def next_input(number: int) -> ReadFile:
    """Ask for a part of standard input, from 1: a line of a terminal, what there is of others.

    Gives ``t`` for a terminal or ``p``, then the part: nothing at the end of the input. A part that
    was asked for is the same when it is asked for again.
    """
    return ReadFile(f"-\n{number}")


class Say(msgspec.Struct, frozen=True):
    """Show text now, before the answer; ``out`` may be chunks, as in an `Answer`."""

    out: str | Iterable[str] = ""
    err: str = ""


class Follow(msgspec.Struct, frozen=True):
    """From now on, and to the end of the call, show what is written to files of the caller's.

    Each is a path, the offset to begin at, and what to put before each line.
    """

    files: tuple[tuple[str, int, str], ...]


class UntilEnded(msgspec.Struct, frozen=True):
    """Wait until all of these jobs (an array's id: all its tasks) have ended. Gives the jobs."""

    job_ids: tuple[int, ...]
    within_s: float | None = None


class UntilStarted(msgspec.Struct, frozen=True):
    """Wait until this job runs, or has ended without. Gives the job."""

    job_id: int
    within_s: float | None = None

    @property
    def job_ids(self) -> tuple[int, ...]:
        """Return the jobs that are waited for."""
        return (self.job_id,)


class UntilStepFree(msgspec.Struct, frozen=True):
    """Wait until a step of this job has ended, or the job has. Gives the job."""

    job_id: int
    steps_ended: int
    """Steps that had ended when the caller last looked."""
    within_s: float | None = None

    @property
    def job_ids(self) -> tuple[int, ...]:
        """Return the jobs that are waited for."""
        return (self.job_id,)


class UntilStepEnded(msgspec.Struct, frozen=True):
    """Wait until a step has ended, or something has happened to it meanwhile. Gives the step."""

    job_id: int
    step_id: str
    ends: int | None = None
    """If given: until more tasks than that have ended."""
    heeds_job: bool = False
    """Until the step's job is being ended."""
    heeds_ending: bool = False
    """Until the step is told to end."""
    within_s: float | None = None

    @property
    def job_ids(self) -> tuple[int, ...]:
        """Return the jobs that are waited for."""
        return (self.job_id,)


class Attach(msgspec.Struct, frozen=True):
    """Ask the caller for descriptors for tasks of a step of this job. Gives a handle.

    They are its own 0, 1 and 2; then, for each of *tasks* and each of *pumped*, the task's end of a
    pipe whose other end the caller serves: it copies its standard input into those of ``i``, and
    shows what comes out of those of ``o`` and ``e`` in whole lines, of ``O`` and ``E`` with the
    task's number before each.
    """

    job_id: int
    pumped: str = ""
    """Some of the letters ``i``, ``o`` or ``O``, ``e`` or ``E``, in this order."""
    tasks: tuple[int, int] = (0, 1)
    """The first of the tasks that get descriptors, and the one after the last."""
    ntasks: int = 1
    """Of the step: the highest number says how wide labels are."""
    in_pieces: bool = False
    """Whether what comes out of pipes is shown at once instead."""

    @property
    def count(self) -> int:
        """Return how many descriptors must come."""
        first, end = self.tasks
        return 3 + len(self.pumped) * (end - first)

    def of_task(self, task: int, descriptors: Sequence[int]) -> tuple[int, ...]:
        """Return what becomes 0, 1 and 2 of a task; what is not pumped is the caller's own."""
        own = dict(zip("ioe", descriptors, strict=False))
        start = 3 + len(self.pumped) * (task - self.tasks[0])
        own |= zip(self.pumped.lower(), descriptors[start:], strict=False)
        return tuple(own.values())


class RunProgram(msgspec.Struct, frozen=True):
    """Ask the caller to run a program as its own child, and wait for it. Gives a `ProgramEnd`.

    It gets the caller's environment with these ``NAME=VALUE`` entries on top. Meanwhile signals do
    not end the caller. Once the job ``ends_with`` (0: none) is being ended, or has, the program
    gets ``kill_signal``.
    """

    argv: tuple[str, ...]
    work_dir: str
    environment: tuple[str, ...] = ()
    ends_with: int = 0
    kill_signal: int = 0


class ProgramEnd(msgspec.Struct, frozen=True):
    """How a program that the caller ran has ended; with ``errno`` it never began.

    ``interrupt`` is the last signal that the caller itself got meanwhile, or 0.
    """

    code: int
    signal: int = 0
    errno: int = 0
    interrupt: int = 0


class CopyFile(msgspec.Struct, frozen=True):
    """Ask the caller to copy a file as itself. Gives nothing; OSError is raised if it could not.

    With ``replaces`` it may be over another file, with ``preserves`` its times are kept, too.
    """

    source: str
    target: str
    replaces: bool = False
    preserves: bool = False


class WriteFile(msgspec.Struct, frozen=True):
    """Ask the caller to write a file as itself. Gives nothing; OSError is raised if it could not.

    A file that is there is written anew, and keeps its mode.
    """

    path: str
    content: bytes
    mode: int = 0o600


class Interrupted(Exception):
    """Raised where a command waits: its caller got this signal. It may catch it and wait on."""

    def __init__(self, signal: int) -> None:
        super().__init__(f"interrupted by signal {signal}")
        self.signal = signal


class Expired(Exception):
    """Raised where a command waits: what it waits for has not come within ``within_s``."""


Until: TypeAlias = UntilEnded | UntilStarted | UntilStepFree | UntilStepEnded
"""Requests for which the conversation is parked; ``job_ids`` says whose changes wake it.

With ``within_s`` it is woken after that many seconds at the latest, by `Expired`.
"""
Request: TypeAlias = ReadFile | Say | Follow | Attach | RunProgram | CopyFile | WriteFile | Until
Conversation: TypeAlias = Generator[Request, Any, Answer]
