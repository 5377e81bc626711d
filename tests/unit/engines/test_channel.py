"""A connection to a shepherd that may be anybody's: what it costs whoever listens."""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from stoker.core.errors import EngineError
from stoker.engines import channel
from stoker.engines.access import UserAccess
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


@contextmanager
def hears(frame: bytes) -> Iterator[Channel]:
    """Give a channel to somebody who says one thing."""
    ours, theirs = socket.socketpair()
    said = struct.pack("!I", len(frame)) + frame
    talker = threading.Thread(target=theirs.sendall, args=(said,), daemon=True)
    talker.start()
    ear = Channel(ours)
    yield ear
    talker.join()
    ear.close()
    theirs.close()


@pytest.mark.parametrize("of", [b'{"type":"status","status":{"x":"%b"}}', b'{"type":"%b"}'])
def test_an_error_does_not_repeat_all_that_was_said(of: bytes) -> None:
    with hears(of % (b"x" * 1_000_000)) as ear, pytest.raises(EngineError) as error:
        expect(ear, Welcome)
    assert len(str(error.value)) < 1_000


def test_who_takes_a_little_now_and_then_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_FRAME_TIMEOUT_S", 0.3)
    ours, theirs = socket.socketpair()
    mouth = Channel(ours)

    def sip() -> None:
        with suppress(OSError):
            while theirs.recv(16384):
                time.sleep(0.05)

    sipping = threading.Thread(target=sip, daemon=True)
    sipping.start()
    begun = time.monotonic()
    with pytest.raises(OSError, match="does not take"):
        mouth.send(bytes(20_000_000))
    assert time.monotonic() - begun < 5.0
    mouth.close()
    sipping.join(10.0)
    theirs.close()


def test_who_connects_anew_may_not_say_more(tmp_path: Path) -> None:
    place = tmp_path / "users" / str(os.getuid()) / "run"
    place.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(place / "shepherd.sock"))
        listening.listen()
        access = UserAccess(tmp_path, os.getuid(), cgroup="off", environment={})
        flows = set()
        for _ in range(2):
            reached = access.reach()
            flows.add(id(reached._flow))
            reached.close()
    assert len(flows) == 1
