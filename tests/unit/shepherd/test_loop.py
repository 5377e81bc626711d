"""What is waited for, and for how long, when nothing but the loop itself is real."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from time import monotonic
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from stoker.shepherd.loop import Loop
from stoker.shepherd.processes import look
from stoker.shepherd.timers import Timers
from stoker.shepherd.units import ENDED, RUNNING


class Stage:
    """A loop with a runner, whose signals come through a pipe."""

    def __init__(self) -> None:
        self.lost: list[Any] = []
        self.listener = socket.socketpair()
        self.signals, self.told = os.pipe()
        os.set_blocking(self.signals, False)
        self.wake_fd, self.done_fd = os.eventfd(0), os.eventfd(0)
        self.deaths = SimpleNamespace(
            expects_any=False,
            reap=lambda: None,
            settle_bereft=lambda: None,
            lose_sight=self.lost.append,
        )
        self.timers = Timers()
        everything: dict[str, Any] = {
            "listener": self.listener[0],
            "masters": set(),
            "wake_fd": self.signals,
            "herd": SimpleNamespace(groups={"1.0": None}, units={}),
            "journal": SimpleNamespace(done_fd=self.done_fd, is_committing=True),
            "rlimits": None,
            "births": SimpleNamespace(start_ready=lambda: None),
            "deaths": self.deaths,
            "endings": SimpleNamespace(active={}),
            "timers": self.timers,
            "reports": SimpleNamespace(is_due=lambda: False),
            "requests": SimpleNamespace(),
            "runners": _Runners(self.wake_fd),
        }
        self.loop = Loop(**everything)

    def close(self) -> None:
        self.loop.close()
        for end in self.listener:
            end.close()
        for descriptor in (self.signals, self.told, self.wake_fd, self.done_fd):
            os.close(descriptor)

    def turn(self) -> float:
        """Have a child's end signalled, and a turn; return how long there would be none."""
        os.write(self.told, struct.pack("=I124x", signal.SIGCHLD))
        self.loop._take_signals()
        self.loop._turn()
        wait_s = self.timers.wait_s()
        assert wait_s is not None
        return wait_s


class _Runners(list[None]):
    """One that goes along a lane."""

    def __init__(self, wake_fd: int) -> None:
        super().__init__([None])
        self.wake_fd = wake_fd


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_the_ends_of_what_runners_have_made_wake_the_first_thread_seldom(stage: Stage) -> None:
    assert 0.05 < stage.turn() <= 0.1


def test_the_end_of_its_own_child_is_noticed_soon_even_if_it_was_made_in_a_pause(
    stage: Stage,
) -> None:
    stage.turn()
    stage.deaths.expects_any = True
    stage.loop._turn()
    wait_s = stage.timers.wait_s()
    assert wait_s is not None
    assert wait_s <= 0.01


@pytest.fixture
def adopted() -> Iterator[Any]:
    """Give a unit whose process runs."""
    with subprocess.Popen(["sleep", "60"]) as process:
        present = look(process.pid)
        assert present is not None
        yield SimpleNamespace(pid=process.pid, ticks=present.ticks, state=RUNNING, pidfd=-1)
        process.kill()


def test_an_adopted_process_for_which_there_is_no_descriptor_is_watched_when_there_is_one(
    stage: Stage, adopted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        stage.loop.watch_unit(adopted)
    assert adopted.pidfd == -1
    assert not stage.lost
    monkeypatch.setattr("stoker.shepherd.timers.monotonic", lambda: monotonic() + 1.0)
    stage.timers.run()
    assert adopted.pidfd >= 0
    assert not stage.lost
    os.kill(adopted.pid, signal.SIGKILL)
    assert (adopted.pidfd, select.EPOLLIN) in stage.loop._epoll.poll(10)
    stage.loop._handlers[adopted.pidfd](select.EPOLLIN)
    assert stage.lost == [adopted]


def test_a_stranger_with_the_pid_of_an_adopted_process_is_not_taken_for_it(
    stage: Stage, adopted: Any
) -> None:
    adopted.ticks -= 1
    stage.loop.watch_unit(adopted)
    assert stage.lost == [adopted]
    assert adopted.pidfd == -1


def test_who_has_ended_meanwhile_is_not_watched_any_more(stage: Stage, adopted: Any) -> None:
    adopted.state = ENDED
    stage.loop.watch_unit(adopted)
    assert adopted.pidfd == -1
    assert not stage.lost
