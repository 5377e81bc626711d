"""One turn after the other: what is ready, who has ended, what is due, one sync, reports.

The order within a turn is that of the promises: children first, so that a lane's next unit runs
before anything is synced or told; new intents are synced before they start; ends are told last.
Nothing here waits but for `epoll`, and for runners to stand.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from contextlib import suppress
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from functools import partial
from time import monotonic

from stoker.shepherd.connection import Connection, ProtocolError
from stoker.shepherd.log import say
from stoker.shepherd.orders import Order
from stoker.shepherd.processes import open_process
from stoker.shepherd.timers import WHEN
from stoker.shepherd.units import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from stoker.shepherd.births import Births
    from stoker.shepherd.deaths import Deaths
    from stoker.shepherd.endings import Endings
    from stoker.shepherd.herd import Herd
    from stoker.shepherd.journal import Journal
    from stoker.shepherd.reports import Reports
    from stoker.shepherd.requests import Requests
    from stoker.shepherd.rlimits import Rlimits
    from stoker.shepherd.runners import Runners
    from stoker.shepherd.timers import Timers
    from stoker.shepherd.units import Unit

IDLE_S = 60.0
_CONNECTIONS_MAX = 64
_PAUSE_S = 0.5
_REAP_PAUSE_S, _REAP_PAUSE_S_MAX = 0.01, 0.1
"""While there are runners, the kernel signals the ends of their processes, too; the longer pause is
for when the first thread has no children."""
_SIGNAL = struct.Struct("=I124x")
"""What signalfd(2) tells of a signal: its number, and much else."""


class Loop:
    """Everything that is waited for, and what is done in a turn.

    Attributes:
        wants_to_go: Whether we were asked to go as soon as nothing runs.
    """

    def __init__(
        self,
        *,
        listener: socket.socket,
        masters: set[int],
        wake_fd: int,
        herd: Herd,
        journal: Journal,
        rlimits: Rlimits,
        births: Births,
        deaths: Deaths,
        endings: Endings,
        timers: Timers,
        reports: Reports,
        requests: Requests,
        runners: Runners,
    ) -> None:
        """Wait for connections of *masters* at *listener*, and for signals at *wake_fd*."""
        self.wants_to_go = False
        self.reap_is_due = True
        self._listener = listener
        self._masters = masters
        self._wake_fd = wake_fd
        self._herd = herd
        self._journal = journal
        self._rlimits = rlimits
        self._births = births
        self._deaths = deaths
        self._endings = endings
        self._timers = timers
        self._reports = reports
        self._requests = requests
        self._runners = runners
        self._connections: dict[int, Connection] = {}
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._unneeded_since = 0.0
        self._signal_timer: list[Any] | None = None
        self._watch(listener.fileno(), self._accept)
        self._watch(wake_fd, self._take_signals)
        self._watch(runners.wake_fd, lambda _: runners.hear())
        self._watch(journal.done_fd, lambda _: reports.end_commit())
        reports.on_break = self._drop
        requests.on_shutdown = self._go_if_unneeded

    def close(self) -> None:
        """Let go of all that was waited for."""
        for connection in list(self._connections.values()):
            self._drop(connection, "")
        self._epoll.close()

    def watch_unit(self, unit: Unit) -> None:
        """Have the end of an adopted process noticed, as soon as there is a descriptor for it."""
        if unit.state != RUNNING:
            return
        try:
            unit.pidfd = open_process(unit.pid, unit.ticks)
        except ProcessLookupError:
            self._deaths.lose_sight(unit)
        except OSError:
            self._timers.at(monotonic() + _PAUSE_S, partial(self.watch_unit, unit))
        else:
            self._watch(unit.pidfd, lambda _: self._lose_sight(unit))

    def run(self) -> None:
        """Turn until there is no reason to stay.

        Raises:
            Exception: A defect of ours ended a turn: what is in memory need not hold any more.
        """
        wait_s: float | None = 0.0
        while True:
            ready = self._epoll.poll(wait_s)
            for descriptor, events in ready:
                if events & ~select.EPOLLOUT and descriptor in self._connections:
                    self._hear(self._connections[descriptor])
            self._runners.stop()
            for descriptor, events in ready:
                # A handler before this one may have let go of it.
                if handler := self._handlers.get(descriptor):
                    handler(events)
            self._turn()
            if self._is_over():
                return
            wait_s = self._timers.wait_s()
            self._runners.go_on(self._timers.next_at)

    def _turn(self) -> None:
        self._reap()
        self._deaths.settle_bereft()
        self._timers.run()
        self._reap()
        if self._endings.active and self._endings.is_due():
            self._endings.act()
        if not self._journal.is_committing:
            self._put_on_record()
        self._births.start_ready()
        self._expect_signals()
        if self._reports.is_due():
            self._reports.flush()
        self._wait_for_takers()

    def _reap(self) -> None:
        if self.reap_is_due:
            self.reap_is_due = False
            self._deaths.reap()
            self._births.start_ready()

    def _put_on_record(self) -> None:
        """Sync new intents and ends if they are due; one sync serves both.

        Where somebody will be spawned as soon as another has gone, we do not wait for the disk.
        Who stands far behind in a lane can wait until there is news.
        """
        has_news = self._reports.is_due()
        has_followers = self._births.has_followers
        if self._births.arrivals and (has_news or self._births.are_pressing):
            self._births.commit_arrivals(is_beside_us=has_followers)
        elif has_news and has_followers and self._reports.needs_sync:
            self._reports.begin_commit()

    # --- When to go.

    @property
    def _is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._herd.groups

    def _is_over(self) -> bool:
        if not self._is_idle or self._journal.is_committing:
            self._unneeded_since = 0.0
            return False
        if self.wants_to_go and (self._reports.is_safe or not self._herd.units):
            return True
        if not self._connections and self._reports.is_unheard:
            return True
        if self._connections or not self._reports.is_safe:
            self._unneeded_since = 0.0
            return False
        now = monotonic()
        if not self._unneeded_since:
            self._unneeded_since = now
            self._timers.at(now + IDLE_S, lambda: None)
        return now >= self._unneeded_since + IDLE_S

    def _go_if_unneeded(self) -> None:
        self.wants_to_go = self._is_idle and not self._herd.units

    # --- What is ready.

    def _watch(self, descriptor: int, handler: Callable[[int], None]) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, select.EPOLLIN)

    def _unwatch(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    def _take_signals(self, _: int = 0) -> None:
        """Take in what the kernel signals; while there are runners, seldom: it is mostly theirs."""
        told = b""
        with suppress(BlockingIOError):
            told = os.read(self._wake_fd, 32 * _SIGNAL.size)
        self.reap_is_due = self.reap_is_due or bool(told)
        is_watched = self._wake_fd in self._handlers
        self._signal_timer = None
        if told and self._runners:
            if is_watched:
                self._unwatch(self._wake_fd)
            self._signal_timer = self._timers.at(
                monotonic() + _REAP_PAUSE_S_MAX, self._take_signals
            )
        elif not is_watched:
            self._watch(self._wake_fd, self._take_signals)
        if any(number != signal.SIGCHLD for (number,) in _SIGNAL.iter_unpack(told)):
            self.wants_to_go = True
            if not self._is_idle:
                say("asked to go; jobs are running: will go when they have ended")

    def _expect_signals(self) -> None:
        """Take in sooner what the kernel signals if the first thread has a child that may end."""
        if self._signal_timer is None or not self._deaths.expects_any:
            return
        soon = monotonic() + _REAP_PAUSE_S
        if self._signal_timer[WHEN] > soon:
            self._timers.cancel(self._signal_timer)
            self._signal_timer = self._timers.at(soon, self._take_signals)

    def _lose_sight(self, unit: Unit) -> None:
        self._unwatch(unit.pidfd)
        os.close(unit.pidfd)
        unit.pidfd = -1
        self._deaths.lose_sight(unit)

    def _accept(self, _: int) -> None:
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (EMFILE, ENFILE, ENOMEM, ENOBUFS):
                self._look_away()
            return
        connection = Connection(peer)
        if connection.user_id not in self._masters or len(self._connections) >= _CONNECTIONS_MAX:
            connection.close()
            return
        self._connections[connection.fileno()] = connection
        self._watch(connection.fileno(), lambda events: self._converse(connection, events))

    def _look_away(self) -> None:
        """Let those who connect wait a while: there is no descriptor, and it is no use to ask."""
        self._unwatch(self._listener.fileno())
        self._timers.at(
            monotonic() + _PAUSE_S, lambda: self._watch(self._listener.fileno(), self._accept)
        )

    def _hear(self, connection: Connection) -> None:
        """Take in what a peer says, and what of it concerns nobody who runs: runners go on."""
        try:
            with self._rlimits.are_lowered:
                connection.read()
            for message, text, descriptors in connection.messages():
                order = self._requests.begin(connection, message, text, descriptors)
                connection.orders.append(order)
        except ProtocolError as error:
            connection.orders.append(Order(partial(self._drop, connection, str(error)), []))

    def _converse(self, connection: Connection, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                connection.flush()
            while connection.orders:
                connection.orders.pop(0).carry_out()
        except ProtocolError as error:
            self._drop(connection, str(error))

    def _wait_for_takers(self) -> None:
        """Wait until peers can take what they have not taken."""
        for connection in self._connections.values():
            if connection.has_unsent != connection.is_awaited:
                connection.is_awaited = connection.has_unsent
                wanted = select.EPOLLIN | (select.EPOLLOUT if connection.has_unsent else 0)
                self._epoll.modify(connection.fileno(), wanted)

    def _drop(self, connection: Connection, why: str) -> None:
        if self._connections.pop(connection.fileno(), None) is None:
            return
        if why:
            say(f"dropped a connection: {why}")
        if self._reports.peer is connection:
            self._reports.peer = None
            self._reports.clear()
        self._unwatch(connection.fileno())
        connection.close()
