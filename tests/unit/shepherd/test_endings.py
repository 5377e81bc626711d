"""Ends that cannot be brought about just now."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from stoker.shepherd.cgroups import OFF, Cgroups
from stoker.shepherd.endings import Endings
from stoker.shepherd.processes import look
from stoker.shepherd.timers import Timers
from stoker.shepherd.units import Group


class Looks:
    """Sees one process, or cannot look."""

    def __init__(self, pid: int) -> None:
        self.own_pid = os.getpid()
        self.trouble: OSError | None = None
        self._pid = pid

    def members(self, groups: set[Group]) -> dict[Group, list[Any]]:
        if self.trouble is not None:
            raise self.trouble
        process = look(self._pid)
        return {group: [(process, None)] for group in groups}


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("kill_wait_s", "number"), [(60.0, signal.SIGTERM), (-1.0, signal.SIGKILL)]
)
def test_without_a_descriptor_to_look_by_an_end_is_tried_again(
    process: subprocess.Popen[bytes], kill_wait_s: float, number: int
) -> None:
    looks, timers = Looks(process.pid), Timers()
    trees: Any = looks
    endings = Endings(trees, Cgroups(OFF, "none"), timers)
    endings.end(Group("1.0"), "cancelled", kill_wait_s)
    looks.trouble = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    for _ in range(3):
        endings.act()
    assert process.poll() is None
    wait_s = timers.wait_s()
    assert wait_s is not None
    assert wait_s <= 1.0
    looks.trouble = None
    assert endings.is_due()
    endings.act()
    assert process.wait(20) == -number


def test_what_else_goes_wrong_with_an_end_is_no_shortage() -> None:
    looks = Looks(0)
    trees: Any = looks
    endings = Endings(trees, Cgroups(OFF, "none"), Timers())
    endings.end(Group("1.0"), "cancelled", 0.0)
    looks.trouble = OSError(errno.EIO, os.strerror(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        endings.act()
