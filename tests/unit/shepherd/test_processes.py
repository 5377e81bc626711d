from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.shepherd.processes import Birth, Children, Process, boot_id, look, send


@given(st.binary(max_size=15))
def test_the_name_of_a_process_may_hold_anything(name: bytes) -> None:
    fields = b"S 7 8 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 5 6"
    process = Process(42, b"42 (" + name + b") " + fields)
    assert (process.pid, process.parent, process.group_id) == (42, 7, 8)
    assert (process.session, process.ticks, process.is_dead) == (9, 4711, False)


def test_a_process_is_known_by_its_pid_and_its_start() -> None:
    own = look(os.getpid())
    assert own is not None
    assert own.parent == os.getppid()
    assert look(2**22 + 1) is None
    assert len(boot_id()) == 36


def spawn(*argv: str) -> int:
    return os.posix_spawnp(argv[0], argv, os.environ)


def test_a_zombie_is_dead() -> None:
    pid = spawn("true")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    found = look(pid)
    assert found is not None
    assert found.is_dead
    os.waitpid(pid, 0)


@pytest.mark.parametrize("is_child", [True, False])
def test_a_signal_reaches_the_process_it_is_meant_for(is_child: bool) -> None:
    pid = spawn("sleep", "60")
    process = look(pid)
    assert process is not None
    send(process, signal.SIGTERM, os.getpid() if is_child else 1)
    assert os.waitpid(pid, 0)[1] == signal.SIGTERM


def test_a_signal_never_reaches_who_has_the_pid_now() -> None:
    pid = spawn("sleep", "60")
    earlier = look(pid)
    assert earlier is not None
    earlier.ticks -= 1
    send(earlier, signal.SIGKILL, 1)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    send(earlier, signal.SIGKILL, 1)


def test_a_birth_told_by_the_clock_is_what_the_kernel_says() -> None:
    for _ in range(50):
        birth = Birth()
        pid = spawn("true")
        ticks = birth.ticks(pid)
        found = look(pid)
        assert found is not None
        assert found.ticks == ticks
        os.waitpid(pid, 0)


def test_children_that_are_not_known_are_found_however_many_there_are() -> None:
    children = Children()
    before = dict.fromkeys(children.strangers({}))
    pids = [spawn("sleep", "60") for _ in range(700)]
    try:
        known: dict[int, object] = {**before, **dict.fromkeys(pids[:-2])}
        assert children.strangers(known) == pids[-2:]
        known |= dict.fromkeys(pids)
        assert children.strangers(known) == []
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        children.close()
