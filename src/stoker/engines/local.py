"""The engine of one machine: the shepherd, spoken to over its private socket.

One connection, kept, and a thread that reads it. If it breaks, the shepherd has died (its jobs are
this process's children now, if this process started it): a shepherd is started where none answers,
and the listener gets its evidence as events, just as after a restart of the daemon.

A unit that was handed in is heard of again: what is not settled, `engines.unsettled` knows.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from stoker.core.errors import EngineError
from stoker.engines.access import Access, OwnAccess
from stoker.engines.base import (
    EngineEvent,
    Evidence,
    Listener,
    Unit,
)
from stoker.engines.channel import Channel, encode
from stoker.engines.messages import Event, Events, Replaced, Silence, Status, Welcome, expect, read
from stoker.engines.orders import Orders, batches
from stoker.engines.relay import Relay
from stoker.engines.starting import Orphans, become_subreaper, reap
from stoker.engines.unsettled import Unsettled

log = logging.getLogger(__name__)

VERSION: Final = 2
"""Of the protocol; a shepherd that outlived an upgrade may speak another."""

_CLOSE_TIMEOUT_S = 10.0
_GOING_S = 0.5
_ORPHANS_INTERVAL_S = 2.0
_AGAIN_S = 1.0
"""After how long the listener is told again what it could not take."""
_PAUSES_S = (0.0, 0.1, 0.5, 1.0, 5.0)
_SILENCES_MAX = 3
"""How often in a row a shepherd may say nothing, for ten seconds each time."""
_STEADY_S = 0.5
"""A connection that lasted for less counts as a failed one: the next is not made at once."""

_T = TypeVar("_T")


class _ShepherdDied(EngineError):
    """The shepherd broke off before it had answered."""


class LocalEngine:
    """Runs units on this machine; implements `stoker.engines.base.Engine`."""

    def __init__(
        self,
        home: Path,
        content: Callable[[str], bytes],
        *,
        cgroup: str = "auto",
        environment: Mapping[str, str] = os.environ,
        access: Access | None = None,
    ) -> None:
        """Use the shepherd of *home*.

        Args:
            home: Where socket, journal and log are.
            content: Gives an environment (NUL-joined ``K=V``) by its key.
            cgroup: Where control groups may be made: ``auto``, ``off`` or a directory.
            environment: Of this process; little of it reaches a shepherd.
            access: Another way to the shepherd; with one, whoever opens us is a subreaper already.
        """
        self.on_meeting: Callable[[], None] = lambda: None
        """Called for each shepherd, or the same one again, before it is believed anything."""
        self._access = access or OwnAccess(home, cgroup=cgroup, environment=environment)
        self._is_subreaper = access is None
        self._orders = Orders(content)
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._shepherd_pid = 0
        self._started_pid = 0
        self._has_started = False
        self._is_replaced = False
        self._orphans = Orphans(self._access.user_id)
        self._unsettled = Unsettled()
        self._relay = Relay(self._unsettled, self._orphans, self._lock)
        self._silences = 0
        self._is_connected = threading.Event()

    # --- Open and closed.

    def open(self, listener: Listener) -> Evidence:
        """Connect, start a shepherd if none answers, and return what is known.

        Raises:
            EngineError: No shepherd starts, or the one there is speaks another language.
        """
        self._relay.listener = listener
        # Of its own for each opening: a thread that was not gone in time is to go all the same.
        self._closing = closed = threading.Event()
        if self._is_subreaper:
            become_subreaper(wanted=True)
        with self._lock:
            evidence = self._meet()
            self._unsettled.begin(evidence)
        self._thread = threading.Thread(
            target=self._run, args=(closed,), name="engine", daemon=True
        )
        self._thread.start()
        return evidence

    def _meet(self) -> Evidence:
        """Connect for the first time; a shepherd that dies before it has answered is replaced."""
        try:
            return self._connect().evidence()
        except _ShepherdDied as error:
            log.warning("%s", error)
        if self._started_pid and reap(self._started_pid, wait_s=_GOING_S):
            self._started_pid = 0
        evidence = self._connect().evidence()
        # What the dead one ran has fallen to us.
        self._orphans.expect({started.pid for started in evidence.running.values()})
        return evidence

    def close(self) -> None:
        """Disconnect; what runs goes on, and a shepherd with nothing to look after goes."""
        self._closing.set()
        self._send({"type": "shutdown"})
        thread, self._thread = self._thread, None
        if self._channel is not None:
            is_idle = not self._unsettled
            if is_idle and self._started_pid and reap(self._started_pid, wait_s=_GOING_S):
                self._started_pid = 0
            self._channel.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_TIMEOUT_S)
        with self._lock:
            self._disconnect()
        if self._is_subreaper:
            become_subreaper(wanted=False)

    def _disconnect(self) -> None:
        self._is_connected.clear()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _connect(self) -> Welcome:
        """Connect to a shepherd, started if need be; the lock is held."""
        channel = self._reach()
        try:
            channel.send(encode({"type": "hello", "version": VERSION}))
            welcome = expect(channel, Welcome)
        except (EOFError, OSError) as error:
            channel.close()
            raise _ShepherdDied(
                f"cannot talk to the shepherd: {error or 'it went without an answer'}"
            ) from None
        except EngineError as error:
            self._note_silence(channel, error)
            channel.close()
            raise
        self._silences = 0
        if welcome.version != VERSION:
            channel.close()
            raise EngineError(
                f"cannot talk to shepherd {welcome.pid}: it speaks version {welcome.version}, "
                f"we speak {VERSION}; let its jobs end with the stokerd that started it"
            )
        self._channel = channel
        self._shepherd_pid = welcome.pid
        self._orders.clear()
        self._is_connected.set()
        self.on_meeting()
        return welcome

    def _note_silence(self, channel: Channel, error: EngineError) -> None:
        """Have a shepherd ended that is there and has said nothing for long."""
        self._silences += isinstance(error, Silence)
        if self._silences >= _SILENCES_MAX:
            self._silences = 0
            self._access.end(channel.peer.pid)

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a shepherd that has been met; whether one is there, as far as we know."""
        return self._is_connected.wait(timeout_s)

    def _reach(self) -> Channel:
        with suppress(OSError):
            return self._access.reach()
        if self._started_pid:
            reap(self._started_pid)
        self._started_pid = self._access.start(with_failpoints=not self._has_started)
        self._has_started = True
        try:
            return self._access.reach()
        except OSError as error:
            raise EngineError(f"cannot reach the shepherd: {error}") from None

    # --- What is told.

    def _run(self, closed: threading.Event) -> None:
        """Read until closed; connect anew when the connection breaks."""
        since, pauses = time.monotonic(), iter(_PAUSES_S)
        while not closed.is_set():
            try:
                self._read()
            except (EOFError, EngineError, OSError) as error:
                if closed.is_set():
                    return
                log.warning("lost the shepherd %d: %s", self._shepherd_pid, error or "it is gone")
                if time.monotonic() - since > _STEADY_S:
                    pauses = iter(_PAUSES_S)
                self._recover(closed, pauses)
                since = time.monotonic()

    def _read(self) -> None:
        channel = self._channel
        assert channel is not None, "reading without a connection"
        frames = channel.receive_all(self._patience_s)
        if self._orphans:
            self._orphans.look()
        events: list[Event] = []
        for frame in frames:
            message = read(frame)
            if isinstance(message, Events):
                events += message.events
            elif isinstance(message, Replaced):
                self._is_replaced = True
        if events or self._relay.is_behind:
            self._relay.tell(events)

    @property
    def _patience_s(self) -> float | None:
        """Return how long to wait for what the shepherd says before something else is due."""
        if self._relay.is_behind:
            return _AGAIN_S
        return _ORPHANS_INTERVAL_S if self._orphans else None

    def _recover(self, closed: threading.Event, pauses: Iterator[float]) -> None:
        """Connect anew, however long it takes, and tell what the next shepherd knows."""
        pause_s = next(pauses, _PAUSES_S[-1])
        while not closed.wait(pause_s):
            if self._is_replaced and self.status().get("is_attended"):
                log.error("another process gives orders to the shepherd %s", self._access.name)
                pause_s = next(pauses, _PAUSES_S[-1])
                continue
            self._is_replaced = False
            try:
                events = self._reconnect()
            except (EngineError, OSError) as error:
                # Descriptors, or room for a process, may be there again later.
                log.error("%s", error)  # noqa: TRY400 - the sentence says it all
                pause_s = next(pauses, _PAUSES_S[-1])
            else:
                self._relay.tell(events)
                return

    def _reconnect(self) -> list[EngineEvent]:
        """Connect anew and return what has happened in between."""
        with self._lock:
            self._disconnect()
            if self._started_pid and reap(self._started_pid, wait_s=1.0):
                self._started_pid = 0
                self._orphans.expect(self._unsettled.pids())
            evidence = self._connect().evidence()
            unheard = self._unsettled.go_on(evidence)
        return [*evidence.running.values(), *evidence.events, *unheard]

    # --- What is asked.

    def launch(self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        """Run units; one that is known already is not run again. *descriptors* by unit key."""
        for batch in batches(units, descriptors):
            with self._lock:
                if environments := self._orders.environments(batch):
                    self._put(environments)
                body, passed = self._orders.launch(batch, descriptors)
                self._unsettled.hand_in(unit.key for unit in batch)
                self._put(body, passed)

    def withdraw(self, keys: Sequence[str]) -> None:
        """Take back units that have not been spawned; each answers with Withdrawn or Started."""
        self._send({"type": "withdraw", "keys": list(keys)})

    def end(self, group: str, why: str, kill_wait_s: float) -> None:
        """End every process of a group: TERM, then KILL after *kill_wait_s* seconds."""
        self._send({"type": "end", "group": group, "why": why, "kill_wait_s": kill_wait_s})

    def end_unit(self, key: str, why: str, kill_wait_s: float) -> None:
        """End the processes of one unit; the rest of its group goes on, unless it leads."""
        self._send({"type": "end_unit", "key": key, "why": why, "kill_wait_s": kill_wait_s})

    def signal(self, group: str, signal: int, scope: str) -> None:
        """Send a signal to a group's ``leader``, its ``children``, or ``all``."""
        self._send({"type": "signal", "group": group, "number": signal, "scope": scope})

    def signal_unit(self, key: str, signal: int) -> None:
        """Send a signal to the processes of one unit."""
        self._send({"type": "signal_unit", "key": key, "number": signal})

    def suspend(self, group: str) -> None:
        """Stop a group's processes; the time does not count towards its limit."""
        self._send({"type": "suspend", "group": group})

    def resume(self, group: str) -> None:
        """Continue a group's processes."""
        self._send({"type": "resume", "group": group})

    def limit(self, group: str, time_limit_s: float | None) -> None:
        """Change a group's time limit, counted from its start."""
        self._send({"type": "limit", "group": group, "time_limit_s": time_limit_s})

    def limit_unit(self, key: str, time_limit_s: float | None) -> None:
        """Change the time limit of one unit that does not lead, counted from its start."""
        self._send({"type": "limit", "group": key, "time_limit_s": time_limit_s})

    def acknowledge(self, keys: Sequence[str]) -> None:
        """Say that the ends of these units are on record: they may be forgotten."""
        self._send({"type": "ack", "keys": list(keys)})

    def survey(self) -> Evidence:
        """Return what the engine knows now: queued and running units, unacknowledged events.

        Raises:
            EngineError: The shepherd does not answer.
        """
        return self._ask("survey", Welcome).evidence()

    def status(self) -> Mapping[str, Any]:
        """Return what `stoker status` shows of the engine."""
        try:
            return self._ask("status", Status).status
        except EngineError as error:
            return {"pid": 0, "trouble": str(error)}

    def prod(self) -> None:
        """See to it that a shepherd which does not answer is met anew, or another in its place."""
        channel = self._channel
        if channel is not None and not self.status().get("pid"):
            channel.break_off()

    def awaits(self, pid: int) -> bool:
        """Whether how that process ends is still to be asked of the kernel."""
        return pid == self._started_pid or pid in self._unsettled.pids()

    def _ask(self, kind: str, answer: type[_T]) -> _T:
        """Ask over a connection of its own: the kept one may be busy telling, for a long time."""
        try:
            with closing(self._access.reach()) as channel:
                channel.send(encode({"type": kind}))
                return expect(channel, answer)
        except (OSError, EOFError) as error:
            raise EngineError(f"cannot ask the shepherd: {error}") from None

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            self._put(encode(message))

    def _put(self, body: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send, the lock held. What cannot be sent is heard of when the next shepherd is met."""
        if self._channel is None:
            return
        try:
            self._channel.send(body, descriptors)
        except OSError as error:
            log.warning("cannot reach the shepherd %d: %s", self._shepherd_pid, error)
