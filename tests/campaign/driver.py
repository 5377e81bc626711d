"""A scheduler as the campaign sees it: Slurm's commands on PATH, and processes that may be killed.

`SlurmDriver` needs nothing but the commands; what it kills are the processes that it is told of. So
the crash loop can be pointed at any scheduler that answers to Slurm's names:

    python -m campaign --only crash-loop --daemon-pid-file /run/slurmctld.pid --start slurmctld
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from support.daemon import PrivateStoker

COMMAND_LIMIT_S = 60.0


class Row(NamedTuple):
    """What sacct says of a job."""

    state: str
    exit_code: str


class Driver(Protocol):
    """What the crash loop needs."""

    directory: Path
    parts: Sequence[str]
    revives_itself: bool
    """Whether its commands start again what was killed."""
    drain_s: float
    """How long its queue may take to drain when nothing more is done to it."""

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands."""
        ...

    def kill(self, part: str) -> bool:
        """Kill a part as a crash would; return whether there was one."""
        ...

    def revive(self) -> None:
        """See to it that the scheduler serves."""
        ...

    def agrees(self) -> str:
        """Return what the scheduler's own check complains of, "" for nothing."""
        ...


class SlurmDriver:
    """Whatever answers to Slurm's names on PATH."""

    revives_itself = False
    drain_s = 300.0
    """A job that was requeued waits for two minutes in Slurm."""

    def __init__(self, directory: Path, pid_files: Mapping[str, Path], start: str) -> None:
        """Kill the processes in *pid_files* by name; the shell command *start* starts them."""
        self.directory = directory
        self.parts = tuple(pid_files)
        self._pid_files = pid_files
        self._start = start

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return _run(argv, self.directory, os.environ)

    def kill(self, part: str) -> bool:
        return _kill_in(self._pid_files[part], "")

    def revive(self) -> None:
        subprocess.run(self._start, shell=True, check=False, timeout=COMMAND_LIMIT_S)

    def agrees(self) -> str:
        return ""


class StokerDriver:
    """A private Stoker, whose commands revive it by themselves."""

    parts = ("daemon", "shepherd")
    revives_itself = True
    drain_s = 60.0

    def __init__(self, stoker: PrivateStoker) -> None:
        """Drive *stoker*, which somebody else closes."""
        self.stoker = stoker
        self.directory = stoker.directory

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return _run(argv, self.directory, self.stoker.environment)

    def kill(self, part: str) -> bool:
        name = {"daemon": "stokerd", "shepherd": "shepherd"}[part]
        return _kill_in(self.stoker.home / "run" / f"{name}.lock", "stoker")

    def revive(self) -> None:
        self.stoker.run("stoker", "up")

    def agrees(self) -> str:
        done = self.stoker.run("stoker", "doctor", "--check")
        return "" if done.returncode == 0 else done.stdout + done.stderr


def _run(
    argv: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=directory,
            env=environment,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"no answer from {shlex.join(argv)} in {COMMAND_LIMIT_S:g} s"
        return subprocess.CompletedProcess(argv, 124, "", text)


def _kill_in(path: Path, word: str) -> bool:
    """Kill whom the file names, if it is who we think."""
    with suppress(OSError, ValueError, IndexError):
        pid = int(path.read_text().split()[0])
        if word in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
            return True
    return False
