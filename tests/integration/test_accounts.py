"""The account book of a whole daemon: questions at a terminal, limits, restarts."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from support.daemon import PrivateStoker, until

LIMIT_S = 30.0


@pytest.fixture
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(accounting_storage_enforce="all", total_cpus=4) as private:
        private.ok("sacctmgr", "-i", "add", "account", "phys")
        private.ok(
            "sacctmgr",
            "-i",
            "add",
            "user",
            me(),
            "account=phys",
            "defaultaccount=phys",
            "maxjobs=1",
        )
        private.ok("sacctmgr", "-i", "modify", "user", me(), "set", "defaultaccount=phys")
        yield private


def me() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


class Terminal:
    """A command of a private Stoker at a terminal of its own."""

    def __init__(self, private: PrivateStoker, *argv: str) -> None:
        self.master, slave = pty.openpty()
        self.shown = ""
        self.child = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=private.directory,
            env=private.environment,
            executable=private.bin / argv[0],
        )
        os.close(slave)
        os.set_blocking(self.master, False)

    def read_until(self, text: str) -> None:
        def has_come() -> bool:
            with suppress(OSError):
                self.shown += os.read(self.master, 65536).decode().replace("\r", "")
            return text in self.shown

        until(has_come, lambda: f"the terminal shows {self.shown!r}, and not {text!r}")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> None:
        self.child.wait(LIMIT_S)
        os.close(self.master)


def test_a_question_at_a_terminal_takes_a_line(stoker: PrivateStoker) -> None:
    with closing(Terminal(stoker, "sacctmgr", "add", "account", "bio")) as terminal:
        terminal.read_until("Would you like to commit changes? (You have 30 seconds to decide)\n")
        terminal.type("y\n")
    assert "bio|" in stoker.ok("sacctmgr", "-nP", "show", "account", "bio")


def test_a_dialogue_at_a_terminal_shows_each_line_once(stoker: PrivateStoker) -> None:
    with closing(Terminal(stoker, "sacctmgr", "-nP")) as terminal:
        terminal.read_until("sacctmgr: ")
        terminal.type("show account phys\n")
        terminal.read_until("phys|phys|phys\nsacctmgr: ")
        terminal.type("quit\n")
    assert terminal.shown.count("show account phys") == 1


def test_a_limit_holds_after_a_crash_and_frees_when_it_is_raised(stoker: PrivateStoker) -> None:
    first = stoker.sbatch("--wrap", "sleep 60", "-o", "/dev/null")
    second = stoker.sbatch("--wrap", "sleep 60", "-o", "/dev/null")
    stoker.wait_running(first)
    stoker.kill_daemon()
    reason = stoker.ok("squeue", "-h", "-j", str(second), "-o", "%T %r %a")
    assert reason == "PENDING AssocMaxJobsLimit phys\n"
    stoker.ok("sacctmgr", "-i", "modify", "user", me(), "set", "maxjobs=2")
    stoker.wait_running(second)
    refused = stoker.run("sbatch", "-A", "nosuch", "--wrap", "true")
    assert refused.returncode == 1
    assert "Invalid account or account/partition combination" in refused.stderr


def test_jobs_of_a_user_who_may_run_one_never_overlap_however_short(stoker: PrivateStoker) -> None:
    line = "mkdir lock || echo overlap >>bad; sleep 0.01; rmdir lock; echo done >>done"
    stoker.sbatch("-a", "1-40", "--wrap", line, "-o", "/dev/null")
    for _ in range(10):
        stoker.sbatch("--wrap", line, "-o", "/dev/null")
    done = stoker.directory / "done"
    until(
        lambda: done.exists() and len(done.read_text().splitlines()) == 50,
        lambda: f"{stoker.ok('squeue', '-h', '-o', '%i %T %r')}",
        limit_s=60.0,
    )
    assert not (stoker.directory / "bad").exists()
