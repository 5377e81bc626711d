"""Conducts the conversations: one turn of the service for all that is due, replies held back.

A conversation is on one of three paths: its frame is due, it waits for its caller (a file,
descriptors), or it is parked until jobs start or end and found again by their ids. Whatever a turn
could not commit is revoked, and what must not be forgotten (jobs that ended, callers that left) is
taken up again a while later.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from errno import EBADF
from functools import partial
from typing import Final

from stoker.core.errands import decode_ending, decode_file
from stoker.core.errors import StoreRefused
from stoker.core.rpcwire import decode_request
from stoker.core.wire import Frame, WireError, decode_call, decode_number
from stoker.worker.call import (
    Attach,
    Call,
    CopyFile,
    Expired,
    Follow,
    Interrupted,
    ProgramEnd,
    ReadFile,
    Request,
    RunProgram,
    Say,
    Until,
    UntilEnded,
    UntilStarted,
    UntilStepEnded,
    UntilStepFree,
    WriteFile,
)
from stoker.worker.connection import Connection
from stoker.worker.parking import Parking
from stoker.worker.shares import Shares
from stoker.worker.talk import CallTalk, RpcTalk, Service, Talk

_WAITS: Final = object()
_FRAMES_PER_TURN = 32
_log = logging.getLogger(__name__)


class Conductor:
    """Drives the conversations of all connections with *service*.

    What a failed turn left undone is taken up at ``_retry_at``, on the monotonic clock; 0: never.
    """

    def __init__(
        self,
        service: Service,
        shares: Shares,
        clock: Callable[[], float],
        *,
        retry_s: float,
        turn_s: float,
    ) -> None:
        self._retry_at = 0.0
        self._service = service
        self._shares = shares
        self._clock = clock
        self._retry_s = retry_s
        self._turn_s = turn_s
        self._talks: dict[Connection, Talk] = {}
        self._parking = Parking()
        self._woken: dict[Talk, None] = {}
        self._left: list[Talk] = []
        self._postponed: tuple[list[Talk], list[Talk]] = ([], [])
        self._touched: dict[Talk, None] = {}

    @property
    def next_at(self) -> float:
        """Return when something is to be taken up, on the monotonic clock; 0: nothing is."""
        times = [self._retry_at, *self._parking.deadlines()]
        return min(filter(None, times), default=0.0)

    @property
    def has_work(self) -> bool:
        """Whether a turn is needed even if no frame is due."""
        return bool(self._woken or self._left)

    def is_talking(self, connection: Connection) -> bool:
        """Whether a conversation is under way on *connection*."""
        return connection in self._talks

    def awaited(self, job_ids: Iterable[int]) -> list[int]:
        """Return those of these jobs for which anybody waits; may be asked from any thread."""
        return self._parking.awaited(job_ids)

    def wake(self, job_id: int) -> None:
        """Look again, in the next turn, at those who wait for this job."""
        self._woken |= dict.fromkeys(self._parking.waiting_for(job_id))

    def leave(self, connection: Connection) -> None:
        """Clean up, in the next turn, what a client that went away has left."""
        if talk := self._talks.get(connection):
            self._forget(talk)
            self._left.append(talk)

    def take_up(self, now: float) -> None:
        """Take up what was put off, and those who have waited long enough, if it is time."""
        self._woken |= dict.fromkeys(self._parking.over(now))
        if not self._retry_at or now < self._retry_at:
            return
        self._retry_at = 0.0
        woken, left = self._postponed
        self._postponed = ([], [])
        self._woken |= dict.fromkeys(talk for talk in woken if not talk.is_over)
        self._left += left

    def close(self) -> list[Connection]:
        """Give up all conversations; return the connections on which one was under way."""
        connections = list(self._talks)
        for talk in [*self._talks.values(), *self._left]:
            talk.close()
        self._talks.clear()
        self._parking.clear()
        return connections

    # --- A turn.

    def conduct(self, due: Iterable[Connection]) -> Iterable[Talk]:
        """Handle what is due in one turn; return the conversations that have something to say.

        Of many calls those that there is no time for are left for the next turn; `Shares` says who
        comes first, so that a submission does not stand behind ten long lists.
        """
        self._touched = {}
        woken, self._woken = list(self._woken), {}
        left, self._left = self._left, []
        unserved = self._shares.in_turn(due)[::-1]
        late: set[Connection] = set()
        try:
            with self._service.turn():
                for talk in left:
                    self._clean_up(talk)
                for talk in woken:
                    self._look_again(talk)
                until = time.monotonic() + self._turn_s
                while unserved:
                    self._serve(unserved.pop(), until)
                    if time.monotonic() > until:
                        late = set(unserved)
                        break
        except Exception as error:  # noqa: BLE001 - the top of a turn
            text = "a turn with %d calls was not committed: %s"
            has_trace = not isinstance(error, StoreRefused)
            _log.error(text, len(self._touched), error, exc_info=has_trace)
            for connection in unserved:
                if connection not in late:
                    self._open_in_vain(connection)
            self._revoke_all(error)
            self._postpone(woken, left)
        return self._touched

    def _clean_up(self, talk: Talk) -> None:
        talk.close()
        try:
            talk.hang_up(self._service)
        except Exception:  # noqa: BLE001 - nobody is left to tell
            _log.exception("a call whose caller went away could not be cleaned up")

    def _open_in_vain(self, connection: Connection) -> None:
        """Take up what a client sent, only to say that it was not done."""
        if talk := self._talks.get(connection):
            self._touched[talk] = None
        elif connection.frames:
            with self._blaming(connection):
                self._touched[self._talk_for(connection, connection.frames.popleft())] = None

    def _revoke_all(self, error: Exception) -> None:
        for talk in self._touched:
            talk.close()
            talk.revoke(self._service, error)
            self._forget(talk)

    def _postpone(self, woken: Iterable[Talk], left: Iterable[Talk]) -> None:
        self._postponed[0].extend(woken)
        self._postponed[1].extend(left)
        if any(self._postponed):
            self._retry_at = time.monotonic() + self._retry_s

    # --- Frames.

    @staticmethod
    @contextmanager
    def _blaming(connection: Connection) -> Iterator[None]:
        """Let a client pay alone for what cannot be read."""
        try:
            yield
        except WireError as error:
            connection.fault = str(error)

    def _serve(self, connection: Connection, until: float) -> None:
        """Handle the frames of one connection, up to the end of a call, or of the time."""
        began = time.monotonic()
        with self._blaming(connection):
            for _ in range(_FRAMES_PER_TURN):
                if not connection.frames or not self._take(connection, connection.frames[0]):
                    break
                if time.monotonic() > until:
                    break
        self._shares.note(connection, time.monotonic() - began)

    def _take(self, connection: Connection, frame: Frame) -> bool:
        """Handle the first frame; return whether the next may be handled in this turn, too."""
        talk = self._talks.get(connection)
        if frame.kind in (b"C", b"J"):
            if talk is not None:
                return self._must_wait(talk)
            connection.frames.popleft()
            self._begin(self._talk_for(connection, frame))
            return frame.kind == b"J"
        connection.frames.popleft()
        if talk is not None:
            self._touched[talk] = None
            self._hear(talk, frame)
        return True

    @staticmethod
    def _must_wait(talk: Talk) -> bool:
        """Leave a call for later; it must not stand before what the call in hand needs."""
        if isinstance(talk.request, ReadFile | Attach | RunProgram | CopyFile | WriteFile):
            raise WireError("cannot begin a call: the one before waits for its caller")
        return False

    def _talk_for(self, connection: Connection, frame: Frame) -> Talk:
        if frame.kind == b"J":
            request = decode_request(frame.payload)
            return RpcTalk(connection, request.method, bytes(request.params))
        if frame.kind != b"C":
            raise WireError(f"cannot take a frame of type {frame.kind!r} outside a call")
        message = decode_call(frame.payload)
        return CallTalk(
            connection,
            Call(
                program=message.program,
                argv=message.argv,
                environment=message.environment,
                work_dir=message.work_dir,
                owner=connection.owner,
                now=self._clock(),
                umask=message.umask,
                rlimits=message.rlimits,
                key=message.key,
                pid=connection.pid,
            ),
        )

    def _hear(self, talk: Talk, frame: Frame) -> None:
        """Give a conversation what its caller sent; what comes too late is passed over."""
        match frame.kind, talk.request:
            case b"F", ReadFile() as request:
                self._drive(talk, partial(_give_file, talk, request, frame.payload))
            case b"D", Attach() as request:
                self._drive(talk, partial(self._give_descriptors, talk, request))
            case b"S", RunProgram():
                end = ProgramEnd(*decode_ending(frame.payload))
                self._parking.take(talk)
                self._drive(talk, lambda: talk.send(end))
            case b"S", (CopyFile() | WriteFile()) as request:
                errno = decode_ending(frame.payload)[2]
                self._drive(talk, partial(_say_written, talk, request, errno))
            case b"I", UntilEnded() | UntilStarted() | UntilStepFree() | UntilStepEnded():
                signal = decode_number(frame.payload)
                self._parking.take(talk)
                self._drive(talk, lambda: talk.throw(Interrupted(signal)))
            case ((b"F" | b"D" | b"S"), _):
                raise WireError(f"cannot take a frame of type {frame.kind!r}: nobody asked for it")

    # --- Conversations.

    def _begin(self, talk: Talk) -> None:
        self._talks[talk.connection] = talk
        self._touched[talk] = None
        self._drive(talk, lambda: talk.start(self._service))

    def _look_again(self, talk: Talk) -> None:
        """Go on with a parked conversation if what it waits for has come."""
        if talk.is_over:
            return
        if isinstance(talk.request, RunProgram):
            self._look_at_program(talk, talk.request)
        if not isinstance(talk.request, Until):
            return
        outcome = self._outcome_or_error(talk.request)
        deadline = self._parking.deadline_of(talk)
        if outcome is None and deadline is not None and deadline <= time.monotonic():
            outcome = Expired()
        self._parking.take(talk)
        if outcome is None:
            self._parking.put(talk, self._service.awaited(talk.request), deadline)
            return
        self._touched[talk] = None
        if isinstance(outcome, Exception):
            self._drive(talk, lambda: talk.throw(outcome))
        else:
            self._drive(talk, lambda: talk.send(outcome))

    def _look_at_program(self, talk: Talk, request: RunProgram) -> None:
        """Have the caller signal its program, once, if the job is over with which it is to end."""
        if talk.awaited and self._service.is_ending(request.ends_with):
            self._parking.take(talk)
            self._touched[talk] = None
            talk.signal_program(request.kill_signal)

    def _outcome_or_error(self, request: Until) -> object:
        """Ask for the outcome; a defect there belongs to whoever waits, not to the whole turn."""
        try:
            return self._service.outcome(request)
        except Exception as error:  # noqa: BLE001 - thrown into the conversation
            return error

    def _drive(self, talk: Talk, step: Callable[[], Request | None]) -> None:
        """Go on with a conversation until it waits or is over."""
        try:
            self._drive_on(talk, step)
        except WireError:
            raise
        except Exception as error:  # noqa: BLE001 - the conversation logs and tells it
            talk.fail(error)
        if talk.is_over:
            self._forget(talk)

    def _drive_on(self, talk: Talk, step: Callable[[], Request | None]) -> None:
        try:
            request = step()
            while request is not None and (value := self._grant(talk, request)) is not _WAITS:
                request = talk.send(value)
        except StopIteration as stop:
            talk.answer(stop.value)

    def _grant(self, talk: Talk, request: Request) -> object:
        """Do what a conversation asks for; return the value, or `_WAITS`."""
        if isinstance(request, Say):
            talk.say(request)
            return None
        if isinstance(request, Follow):
            talk.follow(request)
            return None
        if isinstance(request, Until):
            outcome = self._service.outcome(request)
            if outcome is not None:
                return outcome
            within_s = request.within_s
            deadline = None if within_s is None else time.monotonic() + within_s
            self._parking.put(talk, self._service.awaited(request), deadline)
        talk.wait(request)
        if isinstance(request, RunProgram) and request.kill_signal:
            self._parking.put(talk, [request.ends_with], None)
            self._look_at_program(talk, request)
        return _WAITS

    def _give_descriptors(self, talk: Talk, request: Attach) -> Request:
        talk.connection.awaited_descriptors = 0
        descriptors = talk.connection.take_descriptors()
        try:
            _check_count(request, descriptors)
            handle = self._service.attach(request, descriptors)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
            descriptors.let_go()
            return talk.throw(error)
        return talk.send(handle)

    def _forget(self, talk: Talk) -> None:
        self._parking.take(talk)
        self._woken.pop(talk, None)
        if self._talks.get(talk.connection) is talk:
            del self._talks[talk.connection]


def _give_file(talk: Talk, request: ReadFile, payload: bytes) -> Request:
    try:
        content = decode_file(payload, request.path, request.size_max)
    except OSError as error:
        return talk.throw(error)
    return talk.send(content)


def _say_written(talk: Talk, request: CopyFile | WriteFile, errno: int) -> Request:
    if errno:
        path = request.target if isinstance(request, CopyFile) else request.path
        return talk.throw(OSError(errno, os.strerror(errno), path))
    return talk.send(None)


def _check_count(request: Attach, descriptors: tuple[int, ...]) -> None:
    if len(descriptors) != request.count:
        raise OSError(EBADF, "the caller's descriptors did not come")
