"""Where commands find their Stoker, and what they may do to one that is not their user's."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from errno import EACCES
from pathlib import Path

import pytest

from stoker.cli import names, thin
from stoker.cli.people import service
from stoker.cli.people.group import run
from stoker.client import daemon
from stoker.core import errands, homes, wire
from stoker.core.errors import DaemonUnavailable, UserError
from stoker.core.homes import SHARED_HOME
from stoker.core.settings import load_settings

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a home for all users")


class Absent:
    """A call that finds nobody, and counts how often it has looked."""

    may_try_again = True
    reason = ""

    def __init__(self, errno: int = 2) -> None:
        self.absence: OSError | None = OSError(errno, os.strerror(errno))
        self.attempts = 0

    def attempt(self) -> int | None:
        self.attempts += 1
        return None


@pytest.fixture
def anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that belongs to somebody else."""
    monkeypatch.setattr(daemon.os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    monkeypatch.setattr(daemon, "PATIENCE_S", 0.05)
    return tmp_path


def test_thin_commands_know_the_same_place_as_all_others():
    assert os.fsencode(SHARED_HOME) == thin._SHARED_HOME
    assert thin._is_roots(b"/")
    assert not thin._is_roots(b"/nowhere")


def test_thin_commands_trust_the_same_homes_as_all_others(tmp_path):
    (tmp_path / "run").mkdir()
    assert thin._is_roots(os.fsencode(tmp_path)) is homes.is_shared_home(tmp_path)
    if os.geteuid() == 0:
        os.chown(tmp_path, 2001, 2001)
        assert not thin._is_roots(os.fsencode(tmp_path))


def test_anothers_daemon_is_waited_for_and_never_started(anothers):
    started: list[Path] = []
    caller = Absent()
    began = time.monotonic()
    with pytest.raises(DaemonUnavailable, match=r"who starts it|root starts it"):
        daemon.keep_trying(caller, anothers, started.append)
    assert started == []
    assert caller.attempts
    assert time.monotonic() - began >= 0.05
    with pytest.raises(DaemonUnavailable):
        daemon.ensure_daemon(anothers)
    assert list(anothers.iterdir()) == []


def test_of_a_home_that_cannot_be_entered_it_is_said_at_once(anothers):
    caller = Absent(EACCES)
    with pytest.raises(DaemonUnavailable, match="Permission denied"):
        daemon.keep_trying(caller, anothers)
    assert caller.attempts == 0


def test_the_names_in_anothers_home_are_used_as_they_are(anothers):
    (anothers / "bin").mkdir()
    assert names.ensure_names(anothers) == anothers / "bin"
    assert list((anothers / "bin").iterdir()) == []


@as_root
def test_the_names_that_root_makes_can_be_run_by_all(tmp_path):
    path = names.ensure_names(tmp_path) / "sbatch"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


# Another user's daemon.

_SERVER = """if True:
    import os, socket, sys
    os.setuid(65534)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    print("listens", flush=True)
    connection = listener.accept()[0]
    connection.recv(65536)
    connection.send(bytes.fromhex(sys.argv[2]))
    connection.recv(65536)
"""


@as_root
@pytest.mark.parametrize(
    ("frame", "out", "err"),
    [
        (wire.encode(b"O", b"shown\n") + wire.encode(b"X", b"0"), b"shown\n", b""),
        (errands.encode_program("/", ("/bin/touch", "MARK"), ()), b"", b"cannot do what stokerd"),
        (errands.encode_write("MARK", b"x", 0o600), b"", b"it is user 65534's"),
        (errands.encode_read("/etc/shadow", 9999), b"", b"neither yours nor root's"),
    ],
)
def test_root_does_nothing_for_another_users_daemon_but_to_show_text(frame, out, err):
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        (home / "run").mkdir()
        os.chown(home / "run", 65534, 65534)
        mark = home / "mark"
        data = frame.replace(b"MARK", os.fsencode(mark))
        data = data[:1] + (len(data) - 5).to_bytes(4, "big") + data[5:] if err else data
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(home / "run" / "stokerd.sock"), data.hex()],
            stdout=subprocess.PIPE,
        )
        assert server.stdout is not None
        assert server.stdout.readline() == b"listens\n"
        done = subprocess.run(
            [names.ensure_names(home) / "squeue"],
            env={"STOKER_HOME": name, "STOKER_AUTOSTART": "0"},
            capture_output=True,
            timeout=20,
            check=False,
        )
        server.kill()
        server.wait()
        server.stdout.close()
        assert not mark.exists()
    assert done.stdout == out
    assert err in done.stderr
    assert done.returncode == (1 if err else 0)


# The service for all users.


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the service would be installed; systemd is told nothing, and all may read our files."""
    monkeypatch.setenv("STOKER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(service, "_unit_path", lambda: tmp_path / "units" / service.UNIT)
    monkeypatch.setattr(service, "_systemctl", lambda *_: None)
    monkeypatch.setattr(service, "_check_reach", lambda _: None)
    return tmp_path


@as_root
def test_roots_service_is_for_all_users(machine, capsys):
    assert run(["service", "install"]) == 0
    home = machine / "home"
    assert load_settings(home).shared
    for path, mode in ((home, 0o755), (home / "bin", 0o755), (home / "stoker.toml", 0o644)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    text = (machine / "units" / service.UNIT).read_text()
    assert f"STOKER_HOME={home}" in text
    assert "WantedBy=multi-user.target" in text
    assert "KillMode=process" in text
    assert "for all users" in capsys.readouterr().out


@as_root
def test_installing_again_changes_no_settings(machine):
    assert run(["service", "install"]) == 0
    path = machine / "home" / "stoker.toml"
    path.write_text("kill_wait_s = 5\n  shared=true\n[[partitions]]\nname = 'x'\n")
    before = path.read_text()
    assert run(["service", "install"]) == 0
    assert path.read_text() == before


@as_root
def test_settings_that_are_there_stay_and_come_after(machine):
    home = machine / "home"
    home.mkdir()
    (home / "stoker.toml").write_text("[[partitions]]\nname = 'batch'\n")
    (home / "stoker.toml").chmod(0o600)
    assert run(["service", "install"]) == 0
    assert stat.S_IMODE((home / "stoker.toml").stat().st_mode) == 0o600
    found = load_settings(home)
    assert found.shared
    assert [each.name for each in found.partitions] == ["batch"]


@as_root
def test_a_home_that_says_that_it_is_roots_own_is_not_made_everybodys(machine, capsys):
    home = machine / "home"
    home.mkdir()
    (home / "stoker.toml").write_text("shared = false\n")
    assert run(["service", "install"]) == 1
    assert "not shared" in capsys.readouterr().err
    assert not (machine / "units").exists()


@as_root
@pytest.mark.parametrize("of_another", [".", "bin"])
def test_a_home_that_is_another_users_stays_as_it_is(machine, of_another, capsys):
    """Else what a link of theirs leads to would be open to all."""
    home, secret = machine / "home", machine / "secret"
    secret.mkdir(mode=0o700)
    home.mkdir(mode=0o700)
    (home / "bin").symlink_to(secret)
    os.chown(home / of_another, 2002, 2002, follow_symlinks=False)
    assert run(["service", "install"]) == 1
    assert "it must be root's" in capsys.readouterr().err
    assert stat.S_IMODE(secret.stat().st_mode) == 0o700


@as_root
def test_roots_own_service_is_like_a_users(machine):
    assert run(["service", "install", "--private"]) == 0
    assert not (machine / "home").exists()


def test_a_user_cannot_serve_all(monkeypatch, capsys):
    monkeypatch.setattr(service.os, "geteuid", lambda: 4711)
    assert run(["service", "install", "--shared"]) == 1
    assert "only root can" in capsys.readouterr().err


def test_what_users_cannot_reach_serves_nobody(tmp_path):
    program = tmp_path / "closed" / "python"
    program.parent.mkdir(mode=0o700)
    program.touch(mode=0o755)
    with pytest.raises(UserError, match="others may not reach"):
        service._check_reach(program)
