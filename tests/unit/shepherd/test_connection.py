from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.shepherd.connection import FRAME_MAX, Connection, ProtocolError


def frame(message: object) -> bytes:
    body = json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body


def received(connection: Connection) -> Iterator[tuple[dict[str, Any], str, list[int]]]:
    connection.read()
    return connection.messages()


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    with theirs:
        yield connection, theirs
        connection.close()


def test_messages_come_whole_however_they_were_cut(ends) -> None:
    connection, peer = ends
    data = frame({"type": "a"}) + frame({"type": "b", "text": "\udcff"})
    found = []
    for byte in data:
        peer.sendall(bytes([byte]))
        found += [message for message, _, _ in received(connection)]
    assert found == [{"type": "a"}, {"type": "b", "text": "\udcff"}]


def test_descriptors_belong_to_the_frame_that_names_them(ends) -> None:
    connection, peer = ends
    reading, writing = os.pipe()
    socket.send_fds(peer, [frame({"descriptors": 2})], [reading, writing])
    peer.sendall(frame({"type": "next"}))
    messages = list(received(connection)) + list(received(connection))
    (_, _, (got_reading, got_writing)), (_, _, none) = messages
    assert none == []
    os.write(got_writing, b"x")
    assert os.read(reading, 1) == b"x"
    assert not os.get_inheritable(got_reading)
    for descriptor in (reading, writing, got_reading, got_writing):
        os.close(descriptor)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", FRAME_MAX + 1),
        frame([1]),
        frame({"descriptors": 1}),
        frame({"descriptors": "x"}),
        struct.pack("!I", 1) + b"{",
        struct.pack("!I", 2) + b"\xff\xff",
    ],
)
def test_what_is_no_frame_is_refused(ends, data: bytes) -> None:
    connection, peer = ends
    peer.sendall(data)
    with pytest.raises(ProtocolError):
        list(received(connection))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    with theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ProtocolError):
            for _ in range(2 + len(data)):
                list(received(connection))
    connection.close()


def test_what_a_peer_does_not_take_is_kept_and_sent_later(ends) -> None:
    connection, peer = ends
    text = json.dumps({"text": "x" * 3_000_000})
    connection.send(text)
    assert connection.has_unsent
    received = bytearray()
    while len(received) < len(text) + 4:
        received += peer.recv(1 << 20)
        connection.flush()
    assert received[4:].decode() == text
    assert not connection.has_unsent


def test_the_kernel_says_whose_peer_it_is(ends) -> None:
    assert ends[0].user_id == os.geteuid()
