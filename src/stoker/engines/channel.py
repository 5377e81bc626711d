"""A connection to the shepherd: frames out from any thread, frames in on one.

A frame is its length (four bytes, big-endian) and JSON; `stoker.shepherd.connection` is the other
end, with code of its own, since that process imports nothing of ours. Text holds bytes that are no
UTF-8 as surrogates; msgspec writes none, so that frames with such text take the standard library's
way.
"""

from __future__ import annotations

import array
import json
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from stoker.core.errors import EngineError

DESCRIPTORS_MAX = 240
"""Descriptors of one frame; the kernel takes 253."""

_FRAME_MAX = 1 << 30
_HEAD = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")
_TIMEVAL = struct.Struct("ll")
_SENDING = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT
_SEND_TIMEOUT_S = 20.0
"""How long a peer may take nothing."""
_FRAME_TIMEOUT_S = 60.0
"""How long it may take to take one frame."""
_RECEIVE_SIZE = 1 << 18
_ERROR_MAX = 200
"""Letters of what is wrong with a message: that may hold all of it."""

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

T = TypeVar("T")
_Ancillary: TypeAlias = "list[tuple[int, int, array.array[int]]]"


def encode(message: Any) -> bytes:
    """Return a message's JSON."""
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(message)).encode("ascii")


def decode(body: bytes, decoder: msgspec.json.Decoder[T], kind: Any) -> T:
    """Read a message of *kind*, which is also *decoder*'s.

    Raises:
        EngineError: It is none.
    """
    try:
        return decoder.decode(body)
    except _UNREADABLE as error:
        with suppress(*_UNREADABLE):
            found: T = msgspec.convert(json.loads(body), kind)
            return found
        raise EngineError(
            f"cannot read what the shepherd says: {str(error)[:_ERROR_MAX]}; "
            "was Stoker upgraded while jobs ran? They go on; restart once they have ended"
        ) from None


class Flow:
    """How much may come in over time: so much at once, and after that so much a second.

    Who speaks without end is read no faster: what is read has to be understood, by a process that
    serves others as well.
    """

    def __init__(self, burst: int, a_second: int) -> None:
        """Allow *burst* bytes at once, and *a_second* from then on."""
        self._burst = burst
        self._a_second = a_second
        self._left = float(burst)
        self._at = time.monotonic()

    def note(self, size: int) -> None:
        """Count what has come in."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._a_second) - size
        self._at = now

    @property
    def wait_s(self) -> float:
        """Return in how many seconds more may come in."""
        return max(0.0, -self._left / self._a_second - (time.monotonic() - self._at))


class Peer(NamedTuple):
    """The process at the other end, 0 for none that we could see, and its user and group."""

    pid: int
    user_id: int
    group_id: int


class Channel:
    """One connection to a shepherd."""

    def __init__(
        self,
        connected: socket.socket,
        *,
        frame_max: int = _FRAME_MAX,
        flow: Flow | None = None,
    ) -> None:
        """Speak over *connected*, which is ours from now on.

        Args:
            connected: A socket with a shepherd at its other end.
            frame_max: Bytes of the largest frame that we read.
            flow: How much we read over time; None: all that comes.
        """
        self._socket = connected
        self._frame_max = frame_max
        self._flow = flow
        self._received = bytearray()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    @property
    def peer(self) -> Peer:
        """Return who listens at the other end, as the kernel says."""
        content = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return Peer(*_CREDENTIALS.unpack(content))

    def close(self) -> None:
        """Close both ends' conversation; whoever receives must have stopped."""
        self._socket.close()
        os.close(self._wake_fd)

    def wake(self) -> None:
        """Have `receive` return at once, from any thread."""
        os.eventfd_write(self._wake_fd, 1)

    def break_off(self) -> None:
        """Have both sides see the end of the conversation, from any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, body: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a frame; not from two threads at once.

        Raises:
            OSError: The peer is gone, or has not taken it for a long time.
        """
        view = memoryview(_HEAD.pack(len(body)) + body)
        rights = array.array("i", descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        give_up_at = time.monotonic() + _FRAME_TIMEOUT_S
        try:
            while view:
                view = view[self._send_some(view, ancillary, give_up_at) :]
                ancillary = []
        except OSError:
            self.break_off()
            raise

    def _send_some(self, view: memoryview, ancillary: _Ancillary, give_up_at: float) -> int:
        """Send what the peer takes; who takes a little now and then does not keep us for ever."""
        while True:
            try:
                return self._socket.sendmsg([view], ancillary, _SENDING)
            except BlockingIOError:
                wait_s = min(_SEND_TIMEOUT_S, give_up_at - time.monotonic())
                if wait_s <= 0 or not _is_writable(self._socket, wait_s):
                    raise TimeoutError("it does not take what is sent") from None

    def receive(self, timeout_s: float | None = None) -> bytes | None:
        """Return the next frame; None after *timeout_s* seconds or a `wake`.

        Raises:
            EOFError: The peer has gone.
            EngineError: It sent what is no frame.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while (frame := self._next_frame()) is None:
            if give_up_at is not None:
                # Who sends a little now and then is not waited for any longer.
                timeout_s = max(0.0, give_up_at - time.monotonic())
            if self._flow is not None and (wait_s := self._flow.wait_s) > 0:
                if readable([self._wake_fd], wait_s):
                    self._heed_wake()
                    return None
                continue
            ready = readable([self._socket.fileno(), self._wake_fd], timeout_s)
            if self._socket.fileno() not in ready:
                self._heed_wake()
                return None
            try:
                data = self._socket.recv(_RECEIVE_SIZE)
            except OSError as error:
                raise EOFError(str(error)) from None
            if not data:
                raise EOFError
            self._received += data
            if self._flow is not None:
                self._flow.note(len(data))
        return frame

    def _heed_wake(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def receive_all(self, timeout_s: float | None = None) -> list[bytes]:
        """Return the next frame with all that came behind it; nothing after *timeout_s* or `wake`.

        Raises:
            EOFError: The peer has gone.
            EngineError: It sent what is no frame.
        """
        frame = self.receive(timeout_s)
        frames = []
        while frame is not None:
            frames.append(frame)
            frame = self._next_frame()
        return frames

    def _next_frame(self) -> bytes | None:
        if len(self._received) < _HEAD.size:
            return None
        (length,) = _HEAD.unpack_from(self._received)
        if length > self._frame_max:
            raise EngineError(f"cannot read what the shepherd says: a frame of {length} bytes")
        end = _HEAD.size + length
        if len(self._received) < end:
            return None
        frame = bytes(memoryview(self._received)[_HEAD.size : end])
        del self._received[:end]
        return frame


def reach(home: Path) -> Channel:
    """Return a connection to the shepherd of a home.

    Raises:
        OSError: Nobody answers.
    """
    connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The address may hold 107 bytes; a home's path may be longer.
        directory = os.open(home / "run", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connecting.connect(f"/proc/self/fd/{directory}/shepherd.sock")
        finally:
            os.close(directory)
    except OSError:
        connecting.close()
        raise
    return Channel(connecting)


def readable(descriptors: Sequence[int], timeout_s: float | None) -> list[int]:
    """Wait for some of these, which may have any number: select(2) knows but a thousand."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    timeout_ms = None if timeout_s is None else max(0.0, timeout_s) * 1000
    return [descriptor for descriptor, _ in poll.poll(timeout_ms)]


def _is_writable(connected: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(connected, select.POLLOUT)
    return bool(poll.poll(timeout_s * 1000))


def give_up_after(connecting: socket.socket, seconds: int) -> None:
    """Have a socket wait no longer than that to be accepted."""
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(seconds, 0))
