"""A connection to a shepherd that may be anybody's: what it costs whoever listens."""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stoker.core.errors import EngineError
from stoker.engines.channel import Channel
from stoker.engines.messages import Welcome, expect
from stoker.engines.starting import reap

DESCRIPTORS = 1200


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Have the numbers up to 1200 taken, as a daemon with many clients has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * DESCRIPTORS:
        pytest.skip("this machine gives us too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * DESCRIPTORS, hard))
    taken = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(DESCRIPTORS)]
    try:
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_shepherd_is_heard_however_many_descriptors_are_open() -> None:
    with many_descriptors():
        ours, theirs = socket.socketpair()
        ear = Channel(ours)
        assert ours.fileno() > 1024
        assert ear.receive(0.01) is None
        theirs.sendall(b"\0\0\0\2{}")
        assert ear.receive(5.0) == b"{}"
        ear.wake()
        assert ear.receive(5.0) is None
        ear.close()
        theirs.close()


def test_a_child_is_reaped_however_many_descriptors_are_open() -> None:
    child = os.posix_spawn("/bin/sleep", ["sleep", "0.1"], {})
    with many_descriptors():
        death = reap(child, wait_s=10.0)
    assert death is not None
    assert death.exit_code == 0


class Talker:
    """A channel to somebody who says one thing."""

    def __init__(self, frame: bytes) -> None:
        ours, self._theirs = socket.socketpair()
        self.channel = Channel(ours)
        threading.Thread(target=self._say, args=(frame,), daemon=True).start()

    def _say(self, frame: bytes) -> None:
        self._theirs.sendall(struct.pack("!I", len(frame)) + frame)


@pytest.mark.parametrize("of", [b'{"type":"status","status":{"x":"%b"}}', b'{"type":"%b"}'])
def test_an_error_does_not_repeat_all_that_was_said(of: bytes) -> None:
    talker = Talker(of % (b"x" * 1_000_000))
    with pytest.raises(EngineError) as error:
        expect(talker.channel, Welcome)
    assert len(str(error.value)) < 1_000
    talker.channel.close()
