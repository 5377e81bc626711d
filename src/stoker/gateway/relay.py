"""Brings a request to stokerd, as a call, and its answer back; tries again while that does no harm.

A call carries a key: whatever happens to a connection, the same submission is made once. Of a long
answer the first part is waited for; the rest comes as it is read, and is held by nobody.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from stoker.client.channel import connect
from stoker.client.daemon import keep_trying
from stoker.client.surroundings import look_around
from stoker.core.errands import encode_file
from stoker.core.errors import DaemonUnavailable, StokerError
from stoker.core.wire import DAEMON_LIMITS, CallMessage, Frame, FrameReader, encode_call, to_text

WHOLE_MAX: Final = 1 << 20
"""Bytes of an answer that is waited for; of a longer one the rest comes as it is read."""
_RECEIVE_SIZE = 1 << 16
_PROGRAM = "slurmrestd"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came: headers that matter are entries of ``facts``."""

    method: str
    target: str
    facts: dict[str, str]
    body: bytes = b""
    key: str = ""


class Rest:
    """What follows the first part of a long answer, to be gone through once, and closed."""

    def __init__(self, frames: Iterator[Frame], opened: ExitStack) -> None:
        """Go on with *frames*, which come through what is *opened*."""
        self._frames = frames
        self.close = opened.close

    def __iter__(self) -> Iterator[bytes]:
        """Yield it as it comes.

        Raises:
            ConnectionError: It broke off.
        """
        for frame in self._frames:
            if frame.kind == b"O":
                yield frame.payload
            elif frame.kind == b"X" and frame.payload == b"0":
                return
            elif frame.kind == b"X":
                break
        raise ConnectionError("the answer of stokerd broke off")


class Answer(msgspec.Struct, frozen=True):
    """What is to be answered; a long one has a ``rest``."""

    status: int
    content_type: str = ""
    body: bytes = b""
    rest: Rest | None = None


UNREACHABLE = Answer(500, "text/plain", b"Unable to contact slurm controller (connect failure)")
"""stokerd could not be reached, or went away and did not come back."""


class Relay:
    """Asks the stokerd of *home*."""

    def __init__(self, home: Path) -> None:
        self._home = home
        around = look_around()
        self._umask, self._rlimits = around.umask, around.rlimits

    def answer(self, request: Request) -> Answer:
        """Return what stokerd answers, or that it cannot be reached."""
        message = CallMessage(
            program=_PROGRAM,
            argv=(request.method, request.target),
            work_dir="/",
            environment=request.facts,
            umask=self._umask,
            rlimits=self._rlimits,
            key=request.key or secrets.token_hex(16),
        )
        attempt = _Attempt(self._home, encode_call(message), request.body)
        try:
            return attempt.attempt() or keep_trying(attempt, self._home) or UNREACHABLE
        except DaemonUnavailable:
            return UNREACHABLE


class _Attempt:
    """One call, however often it has to be made: a `client.daemon.Caller`."""

    def __init__(self, home: Path, call: bytes, body: bytes) -> None:
        self._home = home
        self._call = call
        self._body = body
        self.absence: OSError | None = None
        self.reason = ""
        self.may_try_again = True

    def attempt(self) -> Answer | None:
        """Ask once; None if no whole answer came."""
        self.absence, self.reason = None, ""
        with ExitStack() as opened:
            connection = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            try:
                connect(connection, self._home)
            except OSError as error:
                self.absence = error
                return None
            try:
                connection.sendall(self._call)
                return self._hear(connection, opened)
            except (OSError, StokerError):
                return None

    def _hear(self, connection: socket.socket, opened: ExitStack) -> Answer | None:
        out, err = bytearray(), bytearray()
        frames = _frames(connection)
        for frame in frames:
            match frame:
                case Frame(b"O", payload):
                    out += payload
                    if err and len(out) > WHOLE_MAX:
                        return _answer(bytes(err), bytes(out), Rest(frames, opened.pop_all()))
                case Frame(b"E", payload):
                    err += payload
                case Frame(b"R", _):
                    connection.sendall(encode_file(self._body))
                case Frame(b"B", payload):
                    self.reason = to_text(payload)
                    return None
                case Frame(b"X", b"0"):
                    return _answer(bytes(err), bytes(out))
                case Frame(b"X", _):
                    return Answer(500, "text/plain", bytes(err.strip().rpartition(b"\n")[2]))
        return None


def _frames(connection: socket.socket) -> Iterator[Frame]:
    reader = FrameReader(DAEMON_LIMITS)
    while data := connection.recv(_RECEIVE_SIZE):
        yield from reader.feed(data)


def _answer(head: bytes, body: bytes, rest: Rest | None = None) -> Answer:
    """Return the answer whose first line says status and kind of content."""
    status, _, kind = head.decode("utf-8", "replace").strip().partition(" ")
    if not status.isdecimal() or len(status) != 3:
        return Answer(500, "text/plain", head.strip())
    return Answer(int(status), kind, body, rest)
