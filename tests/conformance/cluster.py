"""A private Stoker that looks like the recorded cluster, and what a replay does to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.sandbox import ALICE, BOB
from stoker.cli.names import ensure_names
from stoker.core.database import Database
from stoker.core.repository import NEXT_JOB_ID, Repository
from stoker.worker.idmark import NAME as MARK

PARTITIONS = """\
cluster_name = "test"
default_mem_per_cpu = "1000M"
affinity = false
priority_type = "multifactor"
priority_weight_age = 1000
priority_weight_fairshare = 1000
priority_weight_job_size = 1000
priority_weight_partition = 1000
priority_weight_qos = 1000

[[partitions]]
name = "debug"
default = true

[[partitions]]
name = "short"
max_time = "10"
default_time = "5"
priority_tier = 10

[[partitions]]
name = "long"
nodes = "node1"
max_time = "7-0"
default_time = "1-0"
"""
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "jobenv": {"gres": "gpu:2", "job_acct_gather_frequency_s": "1"},
    "scontrol": {
        "gres": "gpu:2",
        "administrators": "root",
        "nodes": "node[1-3]",
        "total_cpus": "24",
        "total_memory": "48000M",
    },
    "sacct": {
        "kill_wait_s": "3",
        "min_job_age_s": "10",
        "over_memory_kill": "true",
        "job_acct_gather_frequency_s": "1",
        "requeue_delay_s": "121",
    },
    "more": {"kill_wait_s": "5", "min_job_age_s": "10", "batch_sched_delay_s": "1"},
    "limits": {
        "max_job_count": "50",
        "max_array_size": "101",
        "administrators": "root",
        "accounting_storage_enforce": "associations,limits,qos",
    },
    "misc": {"administrators": "root", "licenses": "matlab:4,ansys:2"},
    "misc2": {"administrators": "root"},
    "oom": {"nodes": "node1", "total_cpus": "8", "total_memory": "16000M"},
    "rest": {"administrators": "root"},
    "rest2": {"administrators": "root", "licenses": "matlab:4"},
}
"""What is said of each file's cluster in the recordings' index."""

DATABASE = "stoker.db"
HTTP_FILES = ("rest", "rest2")
"""Files whose cases ask over HTTP, at the places where the recorded slurmrestd listened."""
TOKEN_PLACES = ("unix:/tmp/rest-jwt.sock", "127.0.0.1:26890")
"""Where the recorded slurmrestd asked for tokens."""

USERS: Mapping[str, int] = {"alice": ALICE, "bob": BOB}
COMMAND_LIMIT_S = 60.0
SETTLE_LIMIT_S = 12.0
TIMEOUT_LIMIT_S = 120.0


class Ran(dict[str, Any]):
    """What a command did: ``stdout``, ``stderr``, ``rc``."""


class Cluster:
    """One home, its commands, and a working directory; `close` ends what it started."""

    def __init__(self, file: str, first_id: int, token_places: Sequence[str] = ()) -> None:
        self.in_world = os.environ.get("CONFORMANCE_WORLD") == "1"
        self.has_second_user = os.geteuid() == 0 and self.in_world
        self.place, self.directory = self._places(file)
        self.home = self.place / "stoker"
        self.home.mkdir()
        mailer = self._make_mailer()
        shared = "shared = true\n" if self.has_second_user else ""
        settings = f'{_settings_text(file)}{shared}mail_prog = "{mailer}"\n'
        (self.home / "stoker.toml").write_text(settings + PARTITIONS)
        self._first_id = max(1, first_id)
        self._begin_ids_at(self._first_id)
        self.bin = ensure_names(self.home)
        self._token_places = token_places
        self._gateways: list[subprocess.Popen[bytes]] = []
        self.environment = {
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.directory.parent),
            "USER": "alice",
            "LOGNAME": "alice",
            "SHELL": "/bin/bash",
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "SLURM_CONF": f"/srv/slurm/{file}/etc/slurm.conf",
            "STOKER_HOME": str(self.home),
        }

    def _make_mailer(self) -> Path:
        """Make a program that records the mail that it is to send, as that of the recording."""
        self._mail = self.place / "log" / "mail"
        self._mail.parent.mkdir(exist_ok=True)
        self.forget_mail()
        self._mail.chmod(0o666)
        mailer = self.place / "mailer"
        mailer.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{self._mail}\ncat >>{self._mail}\n')
        mailer.chmod(0o755)
        return mailer

    def forget_mail(self) -> None:
        """Begin the record of mail anew, as the recording did for each case."""
        self._mail.write_text("")

    def _places(self, file: str) -> tuple[Path, Path]:
        """Return where the cluster's own files stand, and where alice works."""
        if self.in_world:
            place, directory = Path("/srv/slurm") / file, Path("/home/alice") / file
        else:
            root = Path(tempfile.mkdtemp(prefix="stoker-"))
            place, directory = root / "srv", root / "home" / "alice" / file
        gateway = place / "rest"
        for path in (place, directory, gateway):
            path.mkdir(parents=True, exist_ok=True)
        if self.has_second_user:
            for path in (directory, gateway):
                os.chown(path, ALICE, ALICE)
            # Bob's jobs wrote their output there, too.
            directory.chmod(0o777)
        return place, directory

    def _begin_ids_at(self, first_id: int) -> None:
        """Let ids begin where they did in the recording: they stand in the cases' commands."""
        with Database.at(self.home / DATABASE) as database, database.transaction() as connection:
            Repository(database).set_counter(connection, NEXT_JOB_ID, first_id)

    def run(
        self,
        command: str | list[str],
        *,
        user: str = "alice",
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        limit_s: float = COMMAND_LIMIT_S,
    ) -> Ran:
        """Run a command as a user, in the working directory.

        Where there is no second user, all is done by whoever replays.
        """
        argv = ["sh", "-c", command] if isinstance(command, str) else command
        who = self._ids_of(user)
        # Not as text: that would make one line end of the two characters that a terminal writes.
        given = {"input": stdin.encode()} if stdin is not None else {"stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(
                argv,
                cwd=self.directory,
                env={**self.environment, **self._names_of(user), **self._found_by(env or {})},
                check=False,
                capture_output=True,
                timeout=limit_s,
                **given,
                **who,
            )
        except subprocess.TimeoutExpired as late:
            return Ran(
                stdout=_text(late.stdout),
                stderr=_text(late.stderr),
                rc=f"still running after {limit_s:.0f} s, killed",
            )
        except OSError as error:
            return Ran(stdout="", stderr=f"{argv[0]}: {error.strerror}\n", rc=127)
        return Ran(stdout=_text(done.stdout), stderr=_text(done.stderr), rc=done.returncode)

    def _found_by(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Return a case's own variables; its PATH finds Slurm's names, as the recorded one did."""
        return {**env, "PATH": f"{self.bin}:{env['PATH']}"} if "PATH" in env else env

    def _names_of(self, user: str) -> Mapping[str, str]:
        """Return the variables in which a user differs from alice."""
        if not self.has_second_user or user == "alice":
            return {}
        home = "/root" if user == "root" else f"/home/{user}"
        return {"HOME": home, "USER": user, "LOGNAME": user}

    def _ids_of(self, user: str) -> Mapping[str, Any]:
        if not self.has_second_user or user == "root":
            return {}
        return {"user": USERS[user], "group": USERS[user], "extra_groups": []}

    @property
    def socket(self) -> Path:
        """Return where slurmrestd listens for those whom the kernel knows."""
        return self.place / "rest" / "slurmrestd.sock"

    def start(self) -> None:
        """Start the daemon, and what asks it over HTTP."""
        up = self.run([sys.executable, "-m", "stoker.cli.people", "up"], user="root")
        if up["rc"]:
            raise RuntimeError(f"no daemon: {up['stderr']}")
        if self.speaks_http:
            self._start_gateway(f"unix:{self.socket}", "rest_auth/local")
            if self.has_second_user:
                self.socket.chmod(0o666)
            for place in self._token_places:
                self._start_gateway(place, "rest_auth/jwt")

    @property
    def speaks_http(self) -> bool:
        """Whether the cases ask over HTTP."""
        return self.directory.name in HTTP_FILES

    def _start_gateway(self, place: str, types: str) -> None:
        """Start a slurmrestd, and wait until it listens."""
        gateway = subprocess.Popen(
            [sys.executable, "-m", "stoker.gateway", "-a", types, place],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **self._ids_of("alice"),
        )
        assert gateway.stderr is not None
        said = gateway.stderr.readline().decode()
        if "listening" not in said:
            raise RuntimeError(f"no slurmrestd at {place}: it said {said!r}")
        self._gateways.append(gateway)

    def states(self) -> dict[str, str]:
        """Return the states of all jobs that squeue knows."""
        text = self.run(["squeue", "-h", "-t", "all", "-o", "%i %T"])["stdout"]
        return dict(line.split(None, 1) for line in text.splitlines() if " " in line)

    def wait_until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait for a condition; say whether it came to be."""
        deadline = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def wait_for_job(self, job_id: int, state: str) -> bool:
        """Wait until a job is in a state; ``done``: until it has ended."""

        def holds() -> bool:
            found = {
                text
                for name, text in self.states().items()
                if re.split(r"[_.]", name)[0] == str(job_id)
            }
            if state == "done":
                return not found & {"PENDING", "RUNNING", "COMPLETING", "SUSPENDED"}
            return state in found

        return self.wait_until(holds, COMMAND_LIMIT_S) or (
            self._waits_for_another_run(job_id) and self.wait_until(holds, TIMEOUT_LIMIT_S)
        )

    def _waits_for_another_run(self, job_id: int) -> bool:
        """Whether a job was requeued and waits for its next run, which has a delay before it."""
        shown = self.run(["scontrol", "show", "job", str(job_id)])["stdout"]
        return "JobState=PENDING Reason=BeginTime" in shown and "Restarts=0" not in shown

    def settle(self, *, limits: bool = False) -> None:
        """Wait until nothing changes any more; with *limits*, until short limits have struck."""
        if limits:

            def over() -> bool:
                text = self.run("squeue -h -t R,CG -o '%l %T'")["stdout"]
                return "1:00 " not in text

            self.wait_until(over, TIMEOUT_LIMIT_S)
        seen: list[dict[str, str]] = []

        def calm() -> bool:
            seen.append(self.states())
            return (
                len(seen) > 8
                and all(each == seen[-1] for each in seen[-9:])
                and "COMPLETING" not in seen[-1].values()
                and not self._has_untried()
            )

        self.wait_until(calm, SETTLE_LIMIT_S)

    def _has_untried(self) -> bool:
        """Whether a job waits of which nobody has said yet why: it is about to start."""
        reasons = self.run(["squeue", "-h", "-t", "PENDING", "-o", "%r"])["stdout"]
        return "None" in reasons.split()

    def clear(self, keep: set[int]) -> None:
        """Cancel every job but those of the set-up, and wait until they are gone."""

        def left() -> list[str]:
            text = self.run(["squeue", "-h", "-o", "%F"])["stdout"]
            return [word for word in text.split() if word.isdecimal() and int(word) not in keep]

        if found := left():
            self.run(["scancel", *found], user="root")
            self.wait_until(lambda: not left(), 10.0)

    def next_id(self) -> int:
        """Return the id that is given out next: Stoker marks it beside its record."""
        try:
            return int((self.home / MARK).read_text())
        except FileNotFoundError:
            return self._first_id

    def close(self) -> None:
        """End the daemon and what runs; where there is a world of its own, it ends with us."""
        for gateway in self._gateways:
            gateway.terminate()
            gateway.communicate(timeout=COMMAND_LIMIT_S)
        down = [sys.executable, "-m", "stoker.cli.people", "down", "--cancel"]
        self.run(down, user="root", limit_s=20.0)


def _settings_text(file: str) -> str:
    """Return the settings of a file's cluster: not as variables, which its jobs would show."""
    settings = {
        "nodes": "node[1-2]",
        "total_cpus": "16",
        "total_memory": "32000M",
        "tmp_disk": "0",
        "max_array_size": "1001",
        "requeue_delay_s": "121",
        **SETTINGS.get(file, {}),
    }
    return "".join(f'{name} = "{value}"\n' for name, value in settings.items())


def _text(data: bytes | str | None) -> str:
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""
