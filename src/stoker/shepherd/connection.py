r"""Frames and descriptors on the private socket.

A frame is its length (four bytes, big-endian) and JSON; bytes of a path or variable that
are no UTF-8 travel as ``\udcXX``. A frame may say ``"descriptors": n``: they come by SCM_RIGHTS
with its first byte, and belong to it in order; -1 stands for one that the kernel could not give us.
Nothing a peer sends costs more than its own connection.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from stoker.shepherd.orders import Order

FRAME_MAX = 64 << 20
UNSENT_MAX = 256 << 20
DESCRIPTORS_MAX = 253
"""What the kernel passes at a time (SCM_MAX_FD)."""

_HEAD = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")
_READ_SIZE = 1 << 18
_ROOM = socket.CMSG_SPACE(DESCRIPTORS_MAX * 4)


class ProtocolError(Exception):
    """The peer sent what is no frame, or broke off."""


class Connection:
    """One peer: what it has sent, what it has yet to take.

    Attributes:
        is_primary: Whether it is the stokerd that is told and may give orders.
        is_awaited: Whether somebody waits until it can take more.
        orders: What it has asked for and nobody has carried out.
    """

    def __init__(self, peer: socket.socket) -> None:
        """Take over a connected socket."""
        peer.settimeout(0.0)
        self.socket = peer
        self.is_primary = False
        self.is_awaited = False
        self.orders: list[Order] = []
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._were_cut = False
        self._is_open = True
        self._unsent = bytearray()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.socket.fileno()

    @property
    def user_id(self) -> int:
        """Return whose process connected, as the kernel says."""
        content = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(content)[1])

    @property
    def has_unsent(self) -> bool:
        """Whether the peer has yet to take something."""
        return bool(self._unsent)

    def close(self) -> None:
        """Close the socket and whatever descriptors nobody has asked for."""
        for order in self.orders:
            order.drop()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self.socket.close()

    def messages(self) -> Iterator[tuple[dict[str, Any], str, list[int]]]:
        """Yield the messages that have come in whole, each with its text and its descriptors.

        Raises:
            ProtocolError: The peer broke off after them, or sent what cannot be read.
        """
        start = 0
        while (end := self._frame_end(start)) > 0:
            message, text = _decode(self._received[start + _HEAD.size : end])
            start = end
            yield message, text, self._take_descriptors(message)
        del self._received[:start]
        if not self._received and self._descriptors:
            raise ProtocolError("descriptors came with no frame that names them")
        if not self._is_open:
            raise ProtocolError("")

    def read(self) -> None:
        """Read what there is.

        Raises:
            ProtocolError: The peer broke off, or sent too much.
        """
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(
                _READ_SIZE, _ROOM, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError as error:
            raise ProtocolError(str(error)) from None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                self._descriptors += numbers
        self._were_cut = self._were_cut or bool(flags & socket.MSG_CTRUNC)
        if len(self._descriptors) > 4 * DESCRIPTORS_MAX:
            raise ProtocolError("too many descriptors came")
        self._received += data
        self._is_open = bool(data)

    def _frame_end(self, start: int) -> int:
        """Return where the frame that begins at *start* ends, or 0 if more must come."""
        if len(self._received) < start + _HEAD.size:
            return 0
        (length,) = _HEAD.unpack_from(self._received, start)
        if length > FRAME_MAX:
            raise ProtocolError(f"a frame of {length} bytes; {FRAME_MAX} are allowed")
        end = start + _HEAD.size + int(length)
        return end if len(self._received) >= end else 0

    def _take_descriptors(self, message: dict[str, Any]) -> list[int]:
        count = message.get("descriptors", 0)
        if not isinstance(count, int) or not 0 <= count <= DESCRIPTORS_MAX:
            raise ProtocolError("a frame names descriptors that cannot be")
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        missing = count - len(taken)
        if missing and not self._were_cut:
            for descriptor in taken:
                os.close(descriptor)
            raise ProtocolError("a frame names descriptors that did not come")
        if missing:
            self._were_cut = False
        return taken + [-1] * missing

    def send(self, text: str) -> None:
        """Send one frame of JSON, now or as soon as the peer takes it.

        Raises:
            ProtocolError: The peer broke off, or takes nothing any more.
        """
        body = text.encode("ascii")
        self._unsent += _HEAD.pack(len(body))
        self._unsent += body
        if len(self._unsent) > UNSENT_MAX:
            raise ProtocolError("it takes nothing any more")
        self.flush()

    def flush(self) -> None:
        """Send what the peer takes.

        Raises:
            ProtocolError: The peer broke off.
        """
        try:
            while self._unsent:
                sent = self.socket.send(self._unsent, socket.MSG_NOSIGNAL)
                del self._unsent[:sent]
        except BlockingIOError:
            return
        except OSError as error:
            raise ProtocolError(str(error)) from None


def _decode(body: bytearray) -> tuple[dict[str, Any], str]:
    try:
        text = body.decode()
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame that is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("a frame that is no message")
    return message, text
