"""A private Stoker for tests: its own home, real processes, and nothing of it left afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stoker.cli.names import ensure_names

LIMIT_S = 30.0


class PrivateStoker:
    """A home with its commands; `close` ends all that it started."""

    def __init__(self, **settings: object) -> None:
        # Not pytest's tmp_path: long names would not be what a user has.
        self.home = Path(tempfile.mkdtemp(prefix="stoker-"))
        self.directory = self.home / "work"
        self.directory.mkdir()
        self._started: list[subprocess.Popen[bytes]] = []
        self.bin = ensure_names(self.home)
        self.environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "STOKER_HOME": str(self.home),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "STOKER_KILL_WAIT_S": "2",
            **{f"STOKER_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def __enter__(self) -> PrivateStoker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Commands.

    def run(
        self,
        *argv: str,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        limit_s: float = LIMIT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Slurm's, or ``stoker``, in the work directory."""
        if argv[0] == "stoker":
            argv = (sys.executable, "-m", "stoker.cli.people", *argv[1:])
        return subprocess.run(
            argv,
            input=stdin.decode() if isinstance(stdin, bytes) else stdin,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env={**self.environment, **(env or {})},
            timeout=limit_s,
            check=False,
        )

    def ok(self, *argv: str, **options: Any) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(*argv, **options)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a command, and let it run; `close` ends it, too."""
        if argv[0] == "stoker":
            argv = (sys.executable, "-m", "stoker.cli.people", *argv[1:])
        nowhere = subprocess.DEVNULL
        started = subprocess.Popen(
            argv,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            cwd=self.directory,
            env=self.environment,
        )
        self._started.append(started)
        return started

    def sbatch(self, *argv: str, script: str | None = None, **options: Any) -> int:
        """Submit; return the job's id. *script* is the text behind ``#!/bin/bash``."""
        stdin = f"#!/bin/bash\n{script}" if script is not None else b""
        return int(self.ok("sbatch", "--parsable", *argv, stdin=stdin, **options).split(";")[0])

    def status(self) -> dict[str, Any]:
        """Return what ``stoker status --json`` says."""
        return dict(json.loads(self.ok("stoker", "status", "--json")))

    def job(self, job_id: int | str) -> dict[str, str]:
        """Return the fields of ``scontrol show job -o``."""
        text = self.ok("scontrol", "show", "job", "-o", str(job_id))
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def accounting(self, job_id: int | str, *fields: str) -> list[str]:
        """Return a job's own row of sacct."""
        names = ",".join(fields or ("State", "ExitCode"))
        text = self.ok("sacct", "-X", "-n", "-P", "-a", "-j", str(job_id), "-o", names)
        lines = text.splitlines()
        return lines[0].split("|") if lines else []

    def state(self, job_id: int | str) -> str:
        """Return a job's state, as sacct says it."""
        row = self.accounting(job_id)
        return row[0].split()[0] if row else ""

    # Waiting.

    def wait_for(self, job_id: int | str, *states: str, limit_s: float = LIMIT_S) -> str:
        """Wait until a job is in one of *states*, by default ended; return its state."""
        ended = states or (
            "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE"
        )  # fmt: skip
        until(
            lambda: self.state(job_id) in ended,
            lambda: f"job {job_id} is {self.accounting(job_id)}, not {ended}",
            limit_s,
        )
        return self.state(job_id)

    def wait_running(self, job_id: int | str) -> None:
        """Wait until a job runs."""
        self.wait_for(job_id, "RUNNING")

    # Processes.

    @property
    def log(self) -> str:
        """Return what the daemon has logged."""
        return (self.home / "log" / "stokerd.log").read_text()

    @property
    def stokerd(self) -> int:
        """Return the daemon's pid, 0 if none has the lock."""
        return _pid_in(self.home / "run" / "stokerd.lock")

    @property
    def shepherd_pid(self) -> int:
        """Return the pid of the shepherd, 0 if none has the lock; nobody is asked."""
        return _pid_in(self.home / "run" / "shepherd.lock")

    @property
    def shepherd(self) -> int:
        """Return the shepherd's pid, as the daemon knows it."""
        return int(self.status()["shepherd"]["pid"])

    def kill_daemon(self) -> int:
        """End the daemon as a crash would; return its pid."""
        pid = self.stokerd
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid)
        return pid

    def close(self) -> None:
        """End every process of this home and remove it."""
        deadline = time.monotonic() + LIMIT_S
        while (left := processes_of(self.home)) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in left:
                wait_gone(pid)
        for started in self._started:
            started.wait(LIMIT_S)
        shutil.rmtree(self.home, ignore_errors=True)
        assert not left, f"processes of {self.home} cannot be ended: {left}"


def until(
    condition: Callable[[], object], seen: Callable[[], str], limit_s: float = LIMIT_S
) -> None:
    """Wait until *condition* holds; fail with what was *seen* when the time is up."""
    deadline = time.monotonic() + limit_s
    pause_s = 0.01
    while not condition():
        assert time.monotonic() < deadline, f"gave up after {limit_s:g} s: {seen()}"
        # The condition is asked for over a command line: there is nobody who could tell us.
        time.sleep(pause_s)
        pause_s = min(0.2, pause_s * 1.5)


def processes_of(home: Path) -> list[int]:
    """Return the processes in whose environment or arguments *home* stands; never ourselves."""
    marks = {f"STOKER_HOME={home}".encode(), str(home).encode()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "environ").read_bytes() + b"\0" + (folder / "cmdline").read_bytes()
            if not marks.isdisjoint(words.split(b"\0")):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def wait_gone(pid: int, limit_s: float = LIMIT_S) -> None:
    """Wait until no process has that number."""
    until(lambda: not is_running(pid), lambda: f"{pid} lives", limit_s)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] != "Z"


def _pid_in(path: Path) -> int:
    try:
        return int(path.read_text().strip() or 0)
    except (OSError, ValueError):
        return 0
