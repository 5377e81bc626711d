"""A client's end of the socket: what is taken of what it sends."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from stoker.core.models import Owner
from stoker.worker.connection import Connection
from stoker.worker.handed import Cloakroom


def open_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_who_sends_a_call_byte_by_byte_hands_over_descriptors_once() -> None:
    theirs, ours = socket.socketpair()
    reading, writing = os.pipe()
    with theirs, ours:
        connection = Connection(ours, Owner(0, "root", 0, "root"), Cloakroom())
        connection.awaited_descriptors = 3
        before = open_count()
        for byte in b"F\0\0\xff\0......":
            socket.send_fds(theirs, [bytes([byte])], [writing] * 3)
            assert connection.receive()
        assert open_count() == before + 3
        assert len(connection.take_descriptors()) == 3
        connection.close()
    os.close(reading)
    os.close(writing)
