"""The unix socket: accepts clients, reads their frames, drives their conversations, sends replies.

One loop, in a thread of its own or any other. What is ready in one round is handled inside one
``service.turn()``; leaving it commits and syncs once for all (group commit), and only then are the
round's replies sent. If that fails, each of them is replaced by an error: nobody is told of what
did not happen.

Always holds:
- nothing here blocks on a client; a slow one costs its own buffers and nobody's time;
- who asks is what the kernel says, not what the call says;
- a command that raises, a frame that says nothing, a client that goes away harm only themselves;
- without work there are no wake-ups.

Only `Server.stop` and `Server.jobs_changed` may be called from other threads.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from stoker.core.wire import WireError, encode, encode_text
from stoker.worker.conductor import Conductor
from stoker.worker.connection import Connection
from stoker.worker.handed import Cloakroom
from stoker.worker.listener import EXHAUSTED, Listener, send_away
from stoker.worker.peers import owner_of, user_id_of
from stoker.worker.shares import Shares
from stoker.worker.talk import Service

_log = logging.getLogger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what the server allows."""

    connections_max: int = 4096
    half_frame_s: float = 10.0
    """From a frame's first byte, or from the connection, until the frame is whole."""
    half_frames_max: int = 256 << 20
    """Bytes that came and were not taken up, over all connections."""
    turn_s: float = 0.003
    """Time in each turn for taking in calls; who came too late for it has the next one."""
    make_s: float = 0.0005
    """Time in each round for making more of long answers."""
    pause_s: float = 0.2
    """How long nobody is accepted after descriptors ran out and none was in reserve."""
    retry_s: float = 1.0
    """How long after a failed turn the jobs that others wait for are looked at again."""
    farewell_s: float = 1.0
    """How long stopping waits for clients to read what they were sent."""


_ACCEPTS_PER_ROUND = 256
_PAUSE_AFTER_DEFECT_S = 0.1
_BUSY = "stokerd serves as many clients as it can"
_STOPPING = "stokerd is stopping"


class Server:
    """Serves *service* at *socket_path*; ``with`` it, then `run` or `turn`.

    Args:
        is_shared: Whether users other than our own are to find the socket, and to share it.
        clock: Gives epoch seconds, for `Call.now`.
    """

    def __init__(
        self,
        socket_path: Path,
        service: Service,
        *,
        limits: Limits | None = None,
        is_shared: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = socket_path
        self._service = service
        self._limits = limits or Limits()
        self._is_shared = is_shared
        self._cloakroom = Cloakroom(is_shared=is_shared)
        self._shares = Shares(
            self._limits.connections_max, self._limits.half_frames_max, is_shared=is_shared
        )
        self._conductor = Conductor(
            service, self._shares, clock, retry_s=self._limits.retry_s, turn_s=self._limits.turn_s
        )
        self._stopping = False
        self._changed_ids: deque[int] = deque()
        self._listener: Listener | None = None
        self._selector = selectors.DefaultSelector()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ)
        self._connections: set[Connection] = set()
        self._interest: dict[Connection, int] = {}
        self._impatient: dict[Connection, float] = {}
        self._due: dict[Connection, None] = {}
        self._resume_accept_at = 0.0

    # --- From any thread.

    def stop(self) -> None:
        """Make `run` return; also from a signal handler."""
        self._stopping = True
        self._wake()

    def jobs_changed(self, job_ids: Iterable[int]) -> None:
        """Say that these jobs, or steps of theirs, started or ended; an array's id for its tasks.

        Call it when that is on record and the queue's lock is let go: who has looked before will
        have been parked by then, and nobody else needs to be woken.
        """
        if awaited := self._conductor.awaited(job_ids):
            self._changed_ids.extend(awaited)
            self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # Closed already, or so often woken that the counter is full.
            os.eventfd_write(self._wake_fd, 1)

    # --- Start and end.

    def __enter__(self) -> Server:
        """Listen.

        Raises:
            UserError: Another daemon listens there, or others may enter the directory.
        """
        self._listener = Listener(self._path, is_shared=self._is_shared)
        self._selector.register(self._listener, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        """Tell those who wait that they must come again, and let go of everything."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._conductor.close():
            connection.queue([encode(b"B", _STOPPING.encode())])
        self._say_farewell()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._selector.close()
        wake_fd, self._wake_fd = self._wake_fd, -1
        os.close(wake_fd)

    def _say_farewell(self) -> None:
        deadline = time.monotonic() + self._limits.farewell_s
        slow = {connection for connection in self._connections if connection.has_outgoing}
        while slow and time.monotonic() < deadline:
            gone = {one for one in slow if not one.flush(deadline) or not one.has_outgoing}
            slow -= gone
            if not gone:
                time.sleep(0.01)

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopping:
            try:
                self.turn()
            except Exception:  # noqa: BLE001 - the top of the thread
                _log.exception("a round of the server broke; it goes on")
                time.sleep(_PAUSE_AFTER_DEFECT_S)

    # --- One round.

    def turn(self, timeout_s: float | None = None) -> None:
        """Wait until something is ready, and handle all that is.

        Args:
            timeout_s: The longest to wait; None: as long as nothing needs to be done.
        """
        make_until = 0.0
        for key, events in self._selector.select(self._wait_s(timeout_s)):
            make_until = make_until or time.monotonic() + self._limits.make_s
            self._attend(key, events, make_until)
        self._expire()
        while self._changed_ids:
            self._conductor.wake(self._changed_ids.popleft())
        if self._due or self._conductor.has_work:
            self._handle()

    def _wait_s(self, timeout_s: float | None) -> float | None:
        if self._due or self._conductor.has_work:
            return 0.0
        until = [at for at in (self._resume_accept_at, self._conductor.next_at) if at]
        until += islice(self._impatient.values(), 1)
        waits = [max(0.0, at - time.monotonic()) for at in until]
        if timeout_s is not None:
            waits.append(timeout_s)
        return min(waits, default=None)

    def _attend(self, key: selectors.SelectorKey, events: int, make_until: float) -> None:
        if isinstance(key.fileobj, Listener):
            self._accept()
        elif isinstance(key.fileobj, Connection):
            self._attend_client(key.fileobj, events, make_until)
        else:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)

    def _attend_client(self, connection: Connection, events: int, make_until: float) -> None:
        if connection.is_closed:
            return
        if events & selectors.EVENT_WRITE:
            self._flush(connection, make_until)
        if events & selectors.EVENT_READ and not connection.is_closed:
            self._receive(connection)

    def _expire(self) -> None:
        """Do what was put off until now."""
        now = time.monotonic()
        while (oldest := next(iter(self._impatient), None)) and self._impatient[oldest] <= now:
            limit = self._limits.half_frame_s
            self._reject(oldest, f"cannot wait any longer: no whole call came in {limit:g} s")
        if self._resume_accept_at and self._resume_accept_at <= now:
            self._resume_accepting()
        self._conductor.take_up(now)

    # --- Clients come.

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(_ACCEPTS_PER_ROUND):
            try:
                if not self._accept_one(self._listener):
                    return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                if not self._listener.turn_away(_BUSY):
                    self._pause_accepting()
                    return

    def _accept_one(self, listener: Listener) -> bool:
        """Take the next client in or turn it away; return False if nobody waits."""
        client = listener.accept()
        if client is None:
            return False
        if self._shares.may_enter(user_id_of(client)):
            self._welcome(client)
        else:
            send_away(client, _BUSY)
        return True

    def _welcome(self, client: socket.socket) -> None:
        connection = Connection(client, owner_of(client), self._cloakroom)
        self._connections.add(connection)
        self._shares.enter(connection)
        if not self._service.serves(connection.owner.user_id):
            self._reject(connection, "Access/permission denied: this stokerd serves its own user")
            return
        self._impatient[connection] = time.monotonic() + self._limits.half_frame_s
        self._receive(connection)

    def _pause_accepting(self) -> None:
        """Let clients wait in the socket's queue: with no descriptor left we would only spin."""
        assert self._listener is not None
        self._selector.unregister(self._listener)
        self._resume_accept_at = time.monotonic() + self._limits.pause_s

    def _resume_accepting(self) -> None:
        assert self._listener is not None
        self._resume_accept_at = 0.0
        self._listener.keep_reserve()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._accept()

    # --- Bytes come and go.

    def _receive(self, connection: Connection) -> None:
        try:
            is_there = connection.receive()
        except WireError as error:
            self._reject(connection, str(error))
            return
        if not is_there:
            self._drop(connection)
            return
        self._watch_half_frames(connection)
        if not self._shares.weigh(connection):
            connection.queue([encode(b"B", _BUSY.encode())])
            connection.flush()
            self._drop(connection)
            return
        if connection.frames:
            self._due[connection] = None
        self._show_interest(connection)

    def _watch_half_frames(self, connection: Connection) -> None:
        """Keep the clock of an unfinished frame; a new one starts its own."""
        if connection.frames:
            self._impatient.pop(connection, None)
        if connection.half_size:
            self._impatient.setdefault(connection, time.monotonic() + self._limits.half_frame_s)

    def _flush(self, connection: Connection, make_until: float) -> None:
        if not connection.flush(make_until):
            self._drop(connection)
            return
        self._go_on(connection)

    def _is_busy(self, connection: Connection) -> bool:
        """Whether the next frame has to wait: for its turn to be heard, or for the call in hand."""
        begins = connection.frames[0].kind in (b"C", b"J")
        return connection.has_outgoing or (begins and self._conductor.is_talking(connection))

    def _show_interest(self, connection: Connection) -> None:
        """Register for what the connection needs: more frames only when it has none in hand."""
        if connection.is_closed:
            return
        wanted = selectors.EVENT_WRITE if connection.has_outgoing else 0
        wanted |= 0 if connection.frames else selectors.EVENT_READ
        before = self._interest.get(connection, 0)
        if wanted == before:
            return
        self._interest[connection] = wanted
        if not before:
            self._selector.register(connection, wanted)
        elif not wanted:
            self._selector.unregister(connection)
        else:
            self._selector.modify(connection, wanted)

    def _reject(self, connection: Connection, why: str) -> None:
        """Say in a line why this client is not served, and close."""
        connection.queue([encode_text(b"E", f"error: {why}\n"), encode(b"X", b"1")])
        connection.flush()
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        """Forget a client; what it left behind is cleaned up in the next turn."""
        if self._interest.pop(connection, 0):
            self._selector.unregister(connection)
        self._connections.discard(connection)
        self._impatient.pop(connection, None)
        self._due.pop(connection, None)
        self._shares.leave(connection)
        self._conductor.leave(connection)
        connection.close()

    # --- A turn of the service.

    def _handle(self) -> None:
        """Let the conductor handle what is due, and let go of what was said."""
        due, self._due = self._due, {}
        talks = self._conductor.conduct(due)
        make_until = time.monotonic() + self._limits.make_s
        for talk in talks:
            if not talk.connection.is_closed:
                talk.connection.queue([piece for piece in talk.held if piece])
                self._flush(talk.connection, make_until)
            talk.held.clear()
        self._service.replied()
        for connection in due:
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Take up what else a client sent, once its last answer is on its way."""
        self._shares.weigh(connection)
        if connection.fault:
            self._reject(connection, connection.fault)
        elif connection.frames and not self._is_busy(connection):
            self._due[connection] = None
        self._show_interest(connection)
