"""Starting the daemon: once, by whoever comes first, and with a sentence where it is in vain."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.client import daemon
from stoker.core.errors import DaemonUnavailable
from support.stub_home import STUB, StubHome, until

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}


class Started:
    """A home in which the stub daemon is what gets started; all of them are ended at the end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.said: list[str] = []
        self.pids: list[int] = []

    def ensure(self, **environment: str) -> int:
        pid = daemon.ensure_daemon(self.home, ENVIRONMENT | environment, self.said.append)
        if pid:
            self.pids.append(pid)
        return pid

    def end_all(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pids.clear()


@pytest.fixture
def started(tmp_path, monkeypatch) -> Iterator[Started]:
    home = tmp_path / "home"
    monkeypatch.setattr(daemon, "COMMAND", (STUB, str(home)))
    found = Started(home)
    yield found
    found.end_all()


def stub_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have this program started in the daemon's place; its last argument is the pipe's number."""
    program = tmp_path / "program.py"
    program.write_text(f"import os, sys\nready = int(sys.argv[-1])\n{text}\n")
    monkeypatch.setattr(daemon, "COMMAND", (str(program),))


def test_it_is_started_once_and_said_once(started):
    pid = started.ensure()
    assert pid > 0
    assert daemon.is_answering(started.home)
    assert started.ensure() == 0
    assert started.said == [f"stoker: started the daemon (stokerd, pid {pid}) for {started.home}"]


def test_of_many_that_come_at_once_one_starts_it(started):
    """R9."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(started.ensure())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert sorted(map(bool, found)) == [False] * 7 + [True]


def test_a_socket_that_a_dead_daemon_left_does_not_count_as_an_answer(started):
    started.ensure()
    started.end_all()
    assert (started.home / "run" / "stokerd.sock").exists()
    assert not daemon.is_answering(started.home)
    assert started.ensure() > 0


def test_a_lock_file_that_was_left_behind_stops_nobody(started):
    """R9: the lock ends with whoever held it."""
    (started.home / "run").mkdir(mode=0o700, parents=True)
    (started.home / "run" / "start.lock").touch()
    assert started.ensure() > 0


def test_the_daemon_has_a_session_of_its_own_and_no_terminal(started):
    pid = started.ensure()
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")


def test_what_belongs_to_a_job_around_us_does_not_reach_the_daemon(started):
    pid = started.ensure(SLURM_JOB_ID="7", SBATCH_PARTITION="x", STOKER_TOKEN="t", LANG="C")
    names = {
        entry.split(b"=")[0] for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    }
    assert not names & {b"SLURM_JOB_ID", b"SBATCH_PARTITION", b"STOKER_TOKEN"}
    assert names >= {b"LANG", b"STOKER_HOME"}


def test_the_home_is_its_owners_alone(started):
    started.ensure()
    for directory in (started.home, started.home / "run", started.home / "log"):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_what_the_daemon_says_is_the_error(tmp_path, monkeypatch):
    stub_program(tmp_path, monkeypatch, "os.write(ready, b'cannot use the database: it is torn')")
    with pytest.raises(DaemonUnavailable, match=r"^cannot use the database: it is torn$"):
        daemon.ensure_daemon(tmp_path / "home", ENVIRONMENT)


def test_of_a_daemon_that_dies_silently_the_end_of_the_log_is_told(tmp_path, monkeypatch):
    stub_program(tmp_path, monkeypatch, "sys.exit('ImportError: no module named sqlite3')")
    with pytest.raises(DaemonUnavailable, match="ends with: ImportError: no module") as caught:
        daemon.ensure_daemon(tmp_path / "home", ENVIRONMENT)
    assert str(tmp_path / "home" / "log" / "stokerd.log") in str(caught.value)


def test_a_daemon_that_says_nothing_is_not_waited_for_without_end(tmp_path, monkeypatch):
    stub_program(tmp_path, monkeypatch, "import signal; signal.pause()")
    monkeypatch.setattr(daemon, "_START_S", 0.2)
    pids = []
    popen = daemon.subprocess.Popen

    def noting(*arguments, **options):
        process = popen(*arguments, **options)
        pids.append(process.pid)
        return process

    monkeypatch.setattr(daemon.subprocess, "Popen", noting)
    with pytest.raises(DaemonUnavailable, match="said nothing"):
        daemon.ensure_daemon(tmp_path / "home", ENVIRONMENT)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_home_that_cannot_be_made_is_named_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DaemonUnavailable, match="Not a directory; set STOKER_HOME to a directory"):
        daemon.ensure_daemon(tmp_path / "file" / "home", ENVIRONMENT)


# --- Trying again.


class Caller:
    """A call that gets the answers it is given, one an attempt; an error is an absence."""

    def __init__(self, *answers: int | OSError | str | None, may_try_again: bool = True) -> None:
        self.absence: OSError | None = None
        self.reason = ""
        self.may_try_again = may_try_again
        self.attempts = 0
        self._answers = list(answers)
        self.attempt()
        self.attempts = 0

    def attempt(self) -> int | None:
        self.attempts += 1
        self.absence, self.reason = None, ""
        match self._answers.pop(0) if self._answers else None:
            case OSError() as error:
                self.absence = error
            case str() as reason:
                self.reason = reason
            case answer:
                return answer
        return None


def absent() -> OSError:
    return FileNotFoundError(2, "No such file or directory")


def test_a_daemon_that_was_never_there_is_started_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("STOKER_AUTOSTART", raising=False)
    homes: list[Path] = []
    caller = Caller(absent(), 0)
    assert daemon.keep_trying(caller, tmp_path, homes.append) == 0
    assert homes == [tmp_path]
    assert caller.attempts == 1


def test_where_starting_is_forbidden_an_absent_daemon_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("STOKER_AUTOSTART", "0")
    homes: list[Path] = []
    caller = Caller(absent(), 0)
    assert daemon.keep_trying(caller, tmp_path, homes.append) is None
    assert homes == []
    assert caller.attempts == 0


def test_one_that_broke_off_is_waited_for_before_another_is_started(tmp_path, monkeypatch):
    monkeypatch.delenv("STOKER_AUTOSTART", raising=False)
    homes: list[Path] = []
    caller = Caller(None, absent(), absent(), 4)
    assert daemon.keep_trying(caller, tmp_path, homes.append) == 4
    assert homes == []


def test_one_that_stays_away_is_started_after_the_grace(tmp_path, monkeypatch):
    monkeypatch.delenv("STOKER_AUTOSTART", raising=False)
    monkeypatch.setattr(daemon, "_GRACE_S", 0.0)
    homes: list[Path] = []
    caller = Caller(None, absent(), absent(), 4)
    assert daemon.keep_trying(caller, tmp_path, homes.append) == 4
    assert homes


def test_one_that_sent_us_away_is_never_started(tmp_path, monkeypatch):
    monkeypatch.delenv("STOKER_AUTOSTART", raising=False)
    monkeypatch.setattr(daemon, "_GRACE_S", 0.0)
    monkeypatch.setattr(daemon, "PATIENCE_S", 0.2)
    homes: list[Path] = []
    caller = Caller("stokerd is stopping", *[absent()] * 100)
    assert daemon.keep_trying(caller, tmp_path, homes.append) is None
    assert homes == []
    assert caller.attempts > 1


def test_what_was_shown_already_is_not_asked_for_again(tmp_path):
    caller = Caller(None, 0, may_try_again=False)
    assert daemon.keep_trying(caller, tmp_path) is None
    assert caller.attempts == 0


def test_an_absence_that_a_start_would_not_end_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("STOKER_AUTOSTART", raising=False)
    caller = Caller(PermissionError(13, "Permission denied"))
    with pytest.raises(DaemonUnavailable, match=f"cannot reach stokerd in {tmp_path}: Permission"):
        daemon.keep_trying(caller, tmp_path)


def test_a_command_outlives_a_daemon_that_restarts_slowly():
    with StubHome() as stub:
        stub.start()
        stub.die_at("before-commit")
        caller = stub.begin("sbatch", "submit")
        stub.wait_dead()
        # It finds nobody a few times: the socket that is left refuses.
        began_at = time.monotonic()
        until(lambda: time.monotonic() - began_at > 0.5, lambda: "the clock stands still")
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="refused"):
            probe.connect(str(stub.home / "run" / "stokerd.sock"))
        stub.start()
        out, _ = caller.communicate(timeout=30)
        assert out == b"Submitted batch job 1\n"
