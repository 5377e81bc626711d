"""One conversation on a connection: from the frame that began it to its answer.

Two kinds differ in how they speak: a command's call answers with text and an exit status, a typed
request with a result or an error. Whatever they say is held back until the turn in which it was
said has been committed; `Server` lets go of it then.
"""

from __future__ import annotations

import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from stoker.core.errands import (
    encode_attach,
    encode_copy,
    encode_follow,
    encode_program,
    encode_read,
    encode_write,
)
from stoker.core.errors import StokerError, StoreError
from stoker.core.models import Job, Owner
from stoker.core.rpcwire import encode_failure, encode_result
from stoker.core.wire import encode, encode_text
from stoker.worker.call import (
    Answer,
    Attach,
    Call,
    Conversation,
    CopyFile,
    Follow,
    Interrupted,
    ReadFile,
    Request,
    RunProgram,
    Say,
    Until,
    UntilEnded,
    WriteFile,
)
from stoker.worker.connection import Connection, Outgoing
from stoker.worker.handed import Handed

RpcConversation: TypeAlias = Generator[UntilEnded, Sequence[Job], bytes]

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that a waiting caller passes on instead of dying of them."""

_ALSO_TO_SRUN = (signal.SIGCONT, signal.SIGALRM)
_log = logging.getLogger(__name__)


class Service(Protocol):
    """What the server drives: the daemon's side of every conversation."""

    def serves(self, user_id: int) -> bool:
        """Return whether this user may ask anything at all."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Enclose one round of calls; leaving it commits and syncs, or raises `StoreError`."""
        ...

    def replied(self) -> None:
        """Learn that all that was said in the last turn is on its way to the callers."""
        ...

    def begin(self, call: Call) -> Answer | Conversation:
        """Run a command; a conversation is driven by the server."""
        ...

    def failed(self, call: Call, error: StoreError) -> Answer | None:
        """Return the answer to a call whose turn was not committed; None: what it said holds."""
        ...

    def outcome(self, request: Until) -> object | None:
        """Return what the request waits for, if it has come: what the request says it gives."""
        ...

    def is_ending(self, job_id: int) -> bool:
        """Return whether a job is being ended, or has ended."""
        ...

    def awaited(self, request: Until) -> Sequence[int]:
        """Return the jobs whose changes can bring the outcome, as things stand."""
        ...

    def attach(self, request: Attach, descriptors: Handed) -> int:
        """Take a caller's descriptors for the tasks of a step, and close them in time.

        Returns:
            A handle for `StepRequest.descriptors`.
        """
        ...

    def hung_up(self, call: Call) -> None:
        """Learn that the caller of a waiting call went away."""
        ...

    def rpc(self, method: str, params: bytes, owner: Owner) -> bytes | RpcConversation:
        """Do a typed request; *params* and the result are msgpack."""
        ...


class Talk(ABC):
    """A conversation under way.

    Attributes:
        held: What it said in this turn, in order.
        request: What it waits for, or None.
        awaited: The jobs whose changes wake it.
        has_waited: Whether the caller was ever left waiting for jobs.
        is_over: Whether the answer was given.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.held: list[Outgoing] = []
        self.request: Request | None = None
        self.awaited: Sequence[int] = ()
        self.has_waited = False
        self.is_over = False
        self._generator: Generator[Request, Any, Any] | None = None

    @abstractmethod
    def begin(self, service: Service) -> Generator[Request, Any, Any] | None:
        """Ask the service; return the generator to drive, or None if the answer was given."""

    @abstractmethod
    def answer(self, result: Any) -> None:
        """Say the result: the conversation is over."""

    @abstractmethod
    def fail(self, error: Exception) -> None:
        """Say that it broke: the conversation is over."""

    @abstractmethod
    def revoke(self, service: Service, error: Exception) -> None:
        """Say that this turn was not committed, in place of all that it said."""

    @abstractmethod
    def hang_up(self, service: Service) -> None:
        """Tell the service that nobody waits any more."""

    def start(self, service: Service) -> Request | None:
        """Begin; return the first request, or None if the answer was given."""
        self._generator = self.begin(service)
        return None if self._generator is None else next(self._generator)

    def send(self, value: object) -> Request:
        """Give what was asked for; return the next request. StopIteration brings the answer."""
        assert self._generator is not None
        self.request = None
        return self._generator.send(value)

    def throw(self, error: Exception) -> Request:
        """Say that what was asked for cannot be had; return the next request."""
        assert self._generator is not None
        self.request = None
        return self._generator.throw(error)

    def wait(self, request: Request) -> None:
        """Note what the conversation waits for, and tell its caller."""
        self.request = request
        self.connection.awaited_descriptors = request.count if isinstance(request, Attach) else 0
        if isinstance(request, ReadFile):
            self.held.append(encode_read(request.path, request.size_max))
        elif not self.has_waited:
            self.has_waited = True
            self.announce_wait()
        if isinstance(request, Attach):
            first, end = request.tasks
            self.held.append(
                encode_attach(
                    request.pumped, first, end, request.ntasks, in_pieces=request.in_pieces
                )
            )
        elif isinstance(request, RunProgram):
            self.held.append(encode_program(request.work_dir, request.argv, request.environment))
        elif isinstance(request, CopyFile):
            self.held.append(
                encode_copy(
                    request.source,
                    request.target,
                    replaces=request.replaces,
                    preserves=request.preserves,
                )
            )

        elif isinstance(request, WriteFile):
            self.held.append(encode_write(request.path, request.content, request.mode))

    def signal_program(self, number: int) -> None:
        """Have the caller signal the program that it runs."""
        self.held.append(encode(b"K", b"%d" % number))

    def announce_wait(self) -> None:  # noqa: B027 - most callers need not know
        """Tell the caller that it waits from now on."""

    def say(self, said: Say) -> None:
        """Show text now."""
        self.held += [_shown(said.out), encode_text(b"E", said.err)]

    def follow(self, request: Follow) -> None:
        """Have the caller show what is written to its files."""
        self.held.append(encode_follow(request.files))

    def close(self) -> None:
        """Let the command clean up; what goes wrong there is only logged."""
        self.is_over = True
        if self._generator is not None:
            try:
                self._generator.close()
            except Exception:  # noqa: BLE001 - nobody is left to tell
                _log.exception("a command failed while it was being given up")

    def _end(self, pieces: Iterable[Outgoing]) -> None:
        self.held += pieces
        self.request = None
        self.is_over = True


class CallTalk(Talk):
    """A command's call."""

    def __init__(self, connection: Connection, call: Call) -> None:
        super().__init__(connection)
        self.call = call

    def begin(self, service: Service) -> Conversation | None:
        """Run the command."""
        outcome = service.begin(self.call)
        if isinstance(outcome, Generator):
            return outcome
        self.answer(outcome)
        return None

    def answer(self, result: Answer) -> None:
        """Say text and exit status."""
        code = encode(b"X", b"%d" % (result.code & 0xFF))
        self._end([_shown(result.out), encode_text(b"E", result.err), code])

    def fail(self, error: Exception) -> None:
        """Say that the command was interrupted, or is defective."""
        if isinstance(error, Interrupted):
            self.answer(Answer(code=128 + error.signal))
            return
        _log.error("%r broke", self.call.program, exc_info=error)
        text = (
            f"{self.call.program}: error: internal error: {type(error).__name__}; "
            "the daemon's log says more\n"
        )
        self.answer(Answer(err=text, code=1))

    def revoke(self, service: Service, error: Exception) -> None:
        """Answer as the service puts it."""
        if not isinstance(error, StoreError):
            self._replace(None, error)
            return
        try:
            answer = service.failed(self.call, error)
        except Exception as second:  # noqa: BLE001 - it is logged and answered
            self._replace(None, second)
            return
        if answer is not None:
            self._replace(answer, error)

    def _replace(self, answer: Answer | None, error: Exception) -> None:
        self.held.clear()
        if answer is None:
            self.fail(error)
        else:
            self.answer(answer)

    def announce_wait(self) -> None:
        """Ask the caller to pass its signals on."""
        also = _ALSO_TO_SRUN if self.call.program == "srun" else ()
        numbers = " ".join(str(int(number)) for number in (*FORWARDED, *also))
        self.held.append(encode(b"W", numbers.encode()))

    def hang_up(self, service: Service) -> None:
        """Tell the service whose caller went."""
        if self.has_waited:
            service.hung_up(self.call)


def _shown(text: str | Iterable[str]) -> Outgoing:
    return encode_text(b"O", text) if isinstance(text, str) else iter(text)


class RpcTalk(Talk):
    """A typed request."""

    def __init__(self, connection: Connection, method: str, params: bytes) -> None:
        super().__init__(connection)
        self._method = method
        self._params = params

    def begin(self, service: Service) -> RpcConversation | None:
        """Do what is asked."""
        outcome = service.rpc(self._method, self._params, self.connection.owner)
        if isinstance(outcome, Generator):
            return outcome
        self.answer(outcome)
        return None

    def answer(self, result: bytes) -> None:
        """Say the result."""
        self._end([encode_result(result)])

    def fail(self, error: Exception) -> None:
        """Say the error; what is not ours was not meant for the caller's eyes."""
        if not isinstance(error, StokerError):
            _log.error("the request %r broke", self._method, exc_info=error)
            error = StokerError(
                f"cannot answer {self._method}: internal error: {type(error).__name__}; "
                "the daemon's log says more"
            )
        self._end([encode_failure(error)])

    def revoke(self, service: Service, error: Exception) -> None:  # noqa: ARG002 - a Talk's
        """Say the error in place of the result."""
        self.held.clear()
        self.fail(error)

    def hang_up(self, service: Service) -> None:
        """Nobody needs to know: a request holds nothing for its caller."""
