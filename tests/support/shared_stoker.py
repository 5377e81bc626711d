"""A Stoker that serves alice and bob, in a world of its own (`support.world`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stoker.cli.names import ensure_names
from support.daemon import until
from support.world import ALICE, BOB, STAFF

LIMIT_S = 30.0
HOME = Path("/srv/stoker")
USERS: dict[str, tuple[int, int, list[int]]] = {
    "root": (0, 0, []),
    "alice": (ALICE, ALICE, [STAFF]),
    "bob": (BOB, BOB, []),
}


class SharedStoker:
    """stokerd as root, its users' commands, and its parts; use it as a context manager."""

    def __init__(self, **settings: object) -> None:
        self.home = HOME
        self.settings = {"shared": "true", "kill_wait_s": 2, "total_cpus": 8, **settings}
        self.variables: dict[str, str] = {}
        """What stokerd finds in its environment besides root's."""
        self.bin = Path("/nowhere")
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SharedStoker:
        self.up()
        self.bin = ensure_names(self.home)
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()

    # The daemon.

    def up(self) -> None:
        """Start stokerd, and wait until it listens."""
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        flags = [f"--set={name}={value}" for name, value in self.settings.items()]
        ready = ("--background", "--ready-fd", str(writing))
        self._daemon = subprocess.Popen(
            [sys.executable, "-B", "-m", "stoker.stokerd", *ready, *flags],
            env=self.environment("root") | self.variables,
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            said = answer.read()
        assert said == b"1", said.decode()

    @property
    def daemon_pid(self) -> int:
        """Return stokerd's pid."""
        assert self._daemon is not None
        return self._daemon.pid

    def kill_daemon(self) -> None:
        """End stokerd as a crash would."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()

    @property
    def log(self) -> str:
        """Return what the daemon has logged."""
        return (self.home / "log" / "stokerd.log").read_text()

    def shepherd(self, user_id: int) -> int:
        """Return the pid of a user's shepherd, 0 if none has the lock."""
        with suppress(OSError, ValueError):
            return int((self.users_home(user_id) / "run" / "shepherd.lock").read_text())
        return 0

    def users_home(self, user_id: int) -> Path:
        return self.home / "users" / str(user_id)

    def kill_shepherd(self, user_id: int) -> int:
        """End a user's shepherd as a crash would; return its pid."""
        pid = self.shepherd(user_id)
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in _living(), lambda: f"{pid} lives")
        return pid

    # The users.

    def environment(self, user: str) -> dict[str, str]:
        """Return the environment in which a user calls commands."""
        home = f"/home/{user}" if user != "root" else "/root"
        return {
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "USER": user,
            "LOGNAME": user,
            "STOKER_HOME": str(self.home),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
        }

    def run(self, user: str, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as a user, in their home."""
        if argv[0] == "stoker":
            argv = (sys.executable, "-B", "-m", "stoker.cli.people", *argv[1:])
        user_id, group_id, groups = USERS[user]
        environment = self.environment(user)
        return subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            user=user_id,
            group=group_id,
            extra_groups=groups,
            cwd=environment["HOME"],
            env=environment,
            timeout=LIMIT_S,
            check=False,
        )

    def ok(self, user: str, *argv: str, stdin: str = "") -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(user, *argv, stdin=stdin)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def sbatch(self, user: str, script: str, *options: str) -> int:
        """Submit; return the job's id. *script* is the text behind ``#!/bin/bash``."""
        text = self.ok(user, "sbatch", "--parsable", *options, stdin=f"#!/bin/bash\n{script}")
        return int(text.split(";")[0])

    def accounting(self, job_id: int, *fields: str) -> list[str]:
        """Return a job's own row of sacct."""
        names = ",".join(fields or ("State", "ExitCode"))
        text = self.ok("root", "sacct", "-X", "-n", "-P", "-a", "-j", str(job_id), "-o", names)
        return text.splitlines()[0].split("|") if text else []

    def job(self, job_id: int) -> dict[str, Any]:
        """Return what ``stoker show --json`` says of a job."""
        (shown,) = json.loads(self.ok("root", "stoker", "show", "--json", str(job_id)))
        return dict(shown)

    def wait_for(self, job_id: int, *states: str, limit_s: float = LIMIT_S) -> list[str]:
        """Wait until a job is in one of *states*; return its row: state and exit code."""
        until(
            lambda: self.accounting(job_id)[0].split()[0] in states,
            lambda: f"job {job_id} is {self.accounting(job_id)}, not {states}\n{self.log[-3000:]}",
            limit_s,
        )
        return self.accounting(job_id)

    def wait_text(self, path: Path, text: str) -> str:
        """Wait until a file holds a text; return all of it."""

        def read() -> str:
            return path.read_text() if path.exists() else ""

        until(lambda: text in read(), lambda: f"{path} holds {read()!r}\n{self.log[-3000:]}")
        return read()


def timed(deed: Callable[[], object]) -> float:
    """Return how long something took, in seconds."""
    begun = time.monotonic()
    deed()
    return time.monotonic() - begun


def _living() -> set[int]:
    """Return all processes that are no zombies."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (text := (folder / "stat").read_text())[text.rindex(")") + 2] != "Z":
                found.add(int(folder.name))
    return found
