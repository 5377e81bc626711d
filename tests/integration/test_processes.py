"""Processes are told apart, waited for and signalled; strangers never are."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from stoker.core import processes
from stoker.core.processes import ProcessIdentity, end_all, holders_of, identify, is_alive

LIMIT_S = 20.0
SLEEPER = ("sleep", "600")
IGNORES_SIGTERM = """
import signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
threading.Event().wait()
"""
STUBBORN = (sys.executable, "-c", IGNORES_SIGTERM)

Spawn = Callable[..., subprocess.Popen]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    started: list[subprocess.Popen] = []

    def start(*argv: str, **more: object) -> subprocess.Popen:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, **more)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(LIMIT_S)
        process.stdout.close()


@pytest.fixture
def token() -> Iterator[str]:
    token = secrets.token_hex(8)
    yield token
    assert holders_of(token) == [], "the test left processes"


def with_token(token: str) -> dict[str, str]:
    return {**os.environ, processes.TOKEN_VARIABLE: token}


def identity_of(process: subprocess.Popen) -> ProcessIdentity:
    identity = identify(process.pid)
    assert identity is not None
    return identity


def test_a_process_is_alive_until_it_exits_although_nobody_has_reaped_it(spawn):
    process = spawn(*SLEEPER)
    identity = identity_of(process)
    assert is_alive(identity)
    assert not processes.wait_gone(identity, 0.0)
    process.kill()
    assert processes.wait_gone(identity, LIMIT_S)
    assert not is_alive(identity), "a zombie counts as alive"
    process.wait(LIMIT_S)
    assert not is_alive(identity)
    assert processes.wait_gone(identity)
    assert identify(process.pid) is None


def test_a_reused_pid_is_neither_believed_nor_signalled_nor_waited_for(spawn):
    process = spawn(*SLEEPER)
    before_it = identity_of(process)._replace(start_ticks=1)
    assert not is_alive(before_it)
    assert not processes.send_signal(before_it, signal.SIGKILL)
    assert processes.wait_gone(before_it, 0.0)
    assert processes.open_pidfd(before_it) is None
    assert process.poll() is None, "a stranger was signalled"


def test_a_process_of_another_boot_is_gone_whoever_has_its_number(spawn):
    process = spawn(*SLEEPER)
    identity = identity_of(process)._replace(boot_id="another")
    assert not is_alive(identity)
    assert not processes.send_signal(identity, signal.SIGKILL)
    assert process.poll() is None, "a stranger was signalled"


@pytest.mark.parametrize("pid", [0, -1, 1 << 22])
def test_a_number_that_is_nobodys_is_gone(pid):
    identity = ProcessIdentity(pid, 1, processes.boot_id())
    assert not is_alive(identity)
    assert not processes.send_signal(identity, signal.SIGKILL)


def test_permission_denied_is_not_death(spawn, monkeypatch):
    identity = identity_of(spawn(*SLEEPER))

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with pytest.raises(PermissionError):
        processes.send_signal(identity, signal.SIGTERM)
    assert is_alive(identity)
    assert not end_all(lambda: [identity], grace_s=0.0, limit_s=0.01)


def test_one_whom_we_may_not_look_at_is_alive_but_not_signalled(spawn, monkeypatch):
    process = spawn(*SLEEPER)
    identity = identity_of(process)
    monkeypatch.setattr(processes, "_stat", lambda _: None)
    assert is_alive(identity)
    assert not processes.send_signal(identity, signal.SIGKILL)
    assert process.poll() is None


def test_the_process_of_another_user_is_alive():
    init = identify(1)
    if init is None:
        pytest.skip("process 1 is hidden here")
    assert is_alive(init)


def test_the_exit_status_of_a_child_is_had_once_and_of_a_stranger_never(spawn):
    process = spawn("sh", "-c", "read line; exit 7", stdin=subprocess.PIPE)
    pidfd = processes.open_pidfd(identity_of(process))
    try:
        assert processes.exit_status(pidfd) is None
        process.stdin.close()
        assert processes.wait_gone(identity_of(process), LIMIT_S)
        assert processes.exit_status(pidfd) == (7, 0)
        assert processes.exit_status(pidfd) is None
    finally:
        os.close(pidfd)


def test_a_child_that_was_killed_tells_by_which_signal(spawn):
    process = spawn(*SLEEPER)
    identity = identity_of(process)
    pidfd = processes.open_pidfd(identity)
    try:
        assert processes.send_signal(identity, signal.SIGTERM)
        assert processes.wait_gone(identity, LIMIT_S)
        assert processes.exit_status(pidfd) == (0, signal.SIGTERM)
    finally:
        os.close(pidfd)


def test_its_age_is_counted_from_its_start(spawn):
    identity = identity_of(spawn(*SLEEPER))
    assert 0 <= processes.age_s(identity) < LIMIT_S
    an_hour_ago = identity.start_ticks - 3600 * os.sysconf("SC_CLK_TCK")
    older = identity._replace(start_ticks=an_hour_ago)
    assert 3600 <= processes.age_s(older) < 3600 + LIMIT_S


def test_those_who_carry_a_token_are_found_the_oldest_first(spawn, token):
    shell = spawn("sh", "-c", "setsid sleep 600 & echo $!; wait", env=with_token(token))
    child = int(shell.stdout.readline())
    assert [each.pid for each in holders_of(token)] == [shell.pid, child]
    assert holders_of(token[:-1]) == []
    assert end_all(lambda: holders_of(token), grace_s=LIMIT_S)


def test_ourselves_are_never_found(token, monkeypatch):
    monkeypatch.setattr(processes, "_pids", lambda: [os.getpid()])
    monkeypatch.setenv(processes.TOKEN_VARIABLE, token)
    assert holders_of(token) == []


def test_a_session_is_found_while_its_leader_lives(spawn):
    leader = spawn("sh", "-c", "sleep 600 & echo $!; wait", start_new_session=True)
    child = int(leader.stdout.readline())
    identity = identity_of(leader)
    members = processes.session_of(identity)
    assert [each.pid for each in members] == sorted([leader.pid, child])
    assert processes.session_of(identity._replace(start_ticks=1)) == []
    assert end_all(lambda: members, grace_s=LIMIT_S)
    assert processes.session_of(identity) == []


def test_one_that_ignores_sigterm_is_killed_after_the_grace(spawn, token):
    process = spawn(*STUBBORN, env=with_token(token))
    assert process.stdout.readline() == "ready\n"
    assert end_all(lambda: holders_of(token), grace_s=0.05)
    assert process.wait(LIMIT_S) == -signal.SIGKILL


def test_one_that_is_stopped_gets_sigterm_all_the_same(spawn, token):
    process = spawn(*SLEEPER, env=with_token(token))
    process.send_signal(signal.SIGSTOP)
    assert end_all(lambda: holders_of(token), grace_s=LIMIT_S)
    assert process.wait(LIMIT_S) == -signal.SIGTERM


def test_who_is_born_during_the_grace_is_ended_too(spawn, token):
    """On SIGTERM the shell leaves a child behind that has no part in the first round."""
    script = "trap 'setsid sleep 600 & exit' TERM; echo ready; while :; do sleep 0.01; done"
    process = spawn("sh", "-c", script, env=with_token(token))
    assert process.stdout.readline() == "ready\n"
    assert end_all(lambda: holders_of(token), grace_s=LIMIT_S)
    assert holders_of(token) == []
