"""One kept connection to stokerd, for typed requests: a frame out, a frame back.

The socket is reached through its directory's descriptor, since its path may be longer than a
socket's may be (unix(7)). What stokerd says instead of an answer (that it is busy or stopping, that
it does not serve us) arrives as an exception.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from stoker.core.errors import UserError
from stoker.core.rpcwire import decode_answer, encode_request
from stoker.core.wire import DAEMON_LIMITS, PAYLOAD_MAX, Frame, FrameReader

_RECEIVE_SIZE = 1 << 16


class SentAway(Exception):
    """stokerd said that it cannot answer now, and why."""


class HungUp(Exception):
    """The connection ended before the answer had come."""


class TurnedDown(Exception):
    """stokerd does not serve us, or could not read what we sent; it says why and hangs up."""


class Channel:
    """A connection to the stokerd of *home*.

    Raises:
        OSError: Nobody listens there.
    """

    def __init__(self, home: Path) -> None:
        self._reader = FrameReader(DAEMON_LIMITS)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connect(self._socket, home)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, method: str, params: bytes, timeout_s: float | None = None) -> bytes:
        """Return the result of a typed request, in msgpack.

        Raises:
            StokerError: What the daemon raised.
            SentAway: It has no time, or stops.
            TurnedDown: It does not serve us.
            HungUp: It died.
            TimeoutError: No answer came in time; the connection is of no use any more.
        """
        frame = encode_request(method, params)
        if len(frame) > PAYLOAD_MAX:
            raise UserError(
                f"cannot send {len(frame)} bytes at once: {PAYLOAD_MAX} are allowed; "
                "put less into one script or environment"
            )
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._send(frame)
        return self._receive(deadline)

    def close(self) -> None:
        """Hang up; twice does no harm."""
        self._socket.close()

    def _send(self, frame: bytes) -> None:
        self._socket.settimeout(None)
        try:
            self._socket.sendall(frame, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            # What it said before it hung up is still to be read.
            return

    def _receive(self, deadline: float | None) -> bytes:
        said = ""
        while True:
            for frame in self._reader.feed(self._chunk(deadline)):
                match frame:
                    case Frame(b"J", payload):
                        return decode_answer(payload)
                    case Frame(b"B", payload):
                        raise SentAway(payload.decode("utf-8", "replace"))
                    case Frame(b"E", payload):
                        said += payload.decode("utf-8", "replace")
                    case Frame(b"X", _):
                        raise TurnedDown(said.removeprefix("error: ").strip())

    def _chunk(self, deadline: float | None) -> bytes:
        if deadline is not None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("no answer came in time")
            self._socket.settimeout(left_s)
        try:
            data = self._socket.recv(_RECEIVE_SIZE)
        except ConnectionResetError:
            data = b""
        if not data:
            raise HungUp
        return data


def connect(connecting: socket.socket, home: Path) -> None:
    """Connect a socket to the stokerd of *home*, however long the path is.

    Raises:
        OSError: Nobody listens there.
    """
    directory = os.open(home / "run", os.O_PATH | os.O_CLOEXEC)
    try:
        connecting.connect(f"/proc/self/fd/{directory}/stokerd.sock")
    finally:
        os.close(directory)
