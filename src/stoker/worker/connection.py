"""One client's end of the unix socket: frames in, bytes out, and neither ever blocks.

What goes out is queued and sent as the client reads. A queue may hold an iterator of text: its
chunks are made only when all before them has been sent, so that a long listing for a slow reader
costs no memory, and only while there is time, so that it delays nobody.
"""

from __future__ import annotations

import array
import logging
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from stoker.core.models import Owner
from stoker.core.wire import CLIENT_LIMITS, Frame, FrameReader, encode, encode_text
from stoker.worker.handed import Cloakroom, Handed
from stoker.worker.peers import pid_of

Outgoing: TypeAlias = bytes | Iterator[str]

_RECEIVE_SIZE = 1 << 16
_DESCRIPTOR_SIZE = array.array("i").itemsize
_log = logging.getLogger(__name__)


class Connection:
    """A client's socket with what has arrived and what waits to be sent.

    Attributes:
        frames: Whole frames that nobody has handled yet, in order.
        awaited_descriptors: How many are expected with the next frame; the kernel closes more.
        fault: Why the client must be sent away, once that is known.
        spent_s: How long others were kept waiting by what this client asked for, so far.
    """

    def __init__(self, sock: socket.socket, owner: Owner, cloakroom: Cloakroom) -> None:
        sock.settimeout(0)
        self.owner = owner
        self.pid = pid_of(sock)
        self.frames: deque[Frame] = deque()
        self.awaited_descriptors = 0
        self.is_closed = False
        self.fault = ""
        self.spent_s = 0.0
        self._socket = sock
        self._reader = FrameReader(CLIENT_LIMITS)
        self._outgoing: deque[Outgoing] = deque()
        self._offset = 0
        self._cloakroom = cloakroom
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    @property
    def half_size(self) -> int:
        """Return the bytes of a frame whose rest has not come."""
        return len(self._reader)

    @property
    def held_size(self) -> int:
        """Return the bytes that have come and that nobody has taken up: frames, whole or not."""
        return len(self._reader) + sum(len(frame.payload) for frame in self.frames)

    @property
    def has_outgoing(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._outgoing)

    def receive(self) -> bool:
        """Take what has arrived; return False if the client hung up.

        Raises:
            WireError: The client does not speak our language.
        """
        try:
            data = self._receive()
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        self.frames.extend(self._reader.feed(data))
        return bool(data)

    def _receive(self) -> bytes:
        # Who sends a frame byte by byte, and descriptors with each, has them taken once.
        room = self.awaited_descriptors if not self._descriptors else 0
        if not room or not self._cloakroom.may_take(self.owner.user_id):
            return self._socket.recv(_RECEIVE_SIZE)
        data, ancillary, _, _ = self._socket.recvmsg(
            _RECEIVE_SIZE,
            socket.CMSG_SPACE(room * _DESCRIPTOR_SIZE),
            socket.MSG_CMSG_CLOEXEC,
        )
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors += _descriptors_in(content)
        return data

    def take_descriptors(self) -> Handed:
        """Hand over the descriptors that came; whoever takes them closes them."""
        taken, self._descriptors = self._descriptors, []
        return self._cloakroom.take(self.owner.user_id, taken)

    def queue(self, pieces: Sequence[Outgoing]) -> None:
        """Put *pieces* behind what waits to be sent."""
        self._outgoing.extend(pieces)

    def flush(self, make_until: float = 0.0) -> bool:
        """Send what the client takes now; return False if it hung up.

        Args:
            make_until: On the monotonic clock: no further chunk of a long answer is made then.
        """
        try:
            while self._outgoing and self._send_first(make_until):
                pass
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return True

    def _send_first(self, make_until: float) -> bool:
        """Send from the first piece; return False if there is no time to make more of it."""
        piece = self._outgoing[0]
        if not isinstance(piece, bytes):
            return self._make_chunk(piece, make_until)
        self._offset += self._socket.send(memoryview(piece)[self._offset :])
        if self._offset >= len(piece):
            self._outgoing.popleft()
            self._offset = 0
        return True

    def _make_chunk(self, chunks: Iterator[str], make_until: float) -> bool:
        if time.monotonic() >= make_until:
            return False
        try:
            chunk = next(chunks, None)
        except Exception:  # noqa: BLE001 - the reader is told, the log has the trace
            _log.exception("an answer broke off while it was being made")
            self._outgoing.clear()
            text = "error: internal error: the answer broke off; the daemon's log says why\n"
            self.queue([encode_text(b"E", text), encode(b"X", b"1")])
            return True
        if chunk is None:
            self._outgoing.popleft()
        elif chunk:
            self._outgoing.appendleft(encode_text(b"O", chunk))
        return True

    def close(self) -> None:
        """Let go of the socket and of descriptors that nobody took; twice does no harm."""
        self.is_closed = True
        self._outgoing.clear()
        self.take_descriptors().let_go()
        self._socket.close()


def _descriptors_in(content: bytes) -> list[int]:
    numbers = array.array("i")
    numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return list(numbers)
