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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stoker.core.errors import EngineError

DESCRIPTORS_MAX = 240
"""Descriptors of one frame; the kernel takes 253."""

_FRAME_MAX = 1 << 30
_HEAD = struct.Struct("!I")
_TIMEVAL = struct.Struct("ll")
_SEND_TIMEOUT_S = 20
_RECEIVE_SIZE = 1 << 18

T = TypeVar("T")


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
    except msgspec.MsgspecError as error:
        with suppress(ValueError, msgspec.MsgspecError):
            found: T = msgspec.convert(json.loads(body), kind)
            return found
        raise EngineError(
            f"cannot read what the shepherd says: {error}; "
            "was Stoker upgraded while jobs ran? They go on; restart once they have ended"
        ) from None


class Channel:
    """One connection to the shepherd of a home."""

    def __init__(self, home: Path) -> None:
        """Connect.

        Raises:
            OSError: Nobody answers.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._received = bytearray()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            # The address may hold 107 bytes; a home's path may be longer.
            directory = os.open(home / "run", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._socket.connect(f"/proc/self/fd/{directory}/shepherd.sock")
            finally:
                os.close(directory)
        except OSError:
            self.close()
            raise
        self._socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(_SEND_TIMEOUT_S, 0)
        )

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
            OSError: The peer is gone, or takes nothing for a long time.
        """
        view = memoryview(_HEAD.pack(len(body)) + body)
        try:
            if descriptors:
                rights = array.array("i", descriptors)
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
                view = view[self._socket.sendmsg([view], ancillary, socket.MSG_NOSIGNAL) :]
            while view:
                view = view[self._socket.send(view, socket.MSG_NOSIGNAL) :]
        except OSError:
            self.break_off()
            raise

    def receive(self, timeout_s: float | None = None) -> bytes | None:
        """Return the next frame; None after *timeout_s* seconds or a `wake`.

        Raises:
            EOFError: The peer has gone.
            EngineError: It sent what is no frame.
        """
        while (frame := self._next_frame()) is None:
            ready, _, _ = select.select([self._socket.fileno(), self._wake_fd], [], [], timeout_s)
            if self._socket.fileno() not in ready:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake_fd)
                return None
            try:
                data = self._socket.recv(_RECEIVE_SIZE)
            except OSError as error:
                raise EOFError(str(error)) from None
            if not data:
                raise EOFError
            self._received += data
        return frame

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
        if length > _FRAME_MAX:
            raise EngineError(f"cannot read what the shepherd says: a frame of {length} bytes")
        end = _HEAD.size + length
        if len(self._received) < end:
            return None
        frame = bytes(memoryview(self._received)[_HEAD.size : end])
        del self._received[:end]
        return frame
