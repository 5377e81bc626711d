"""What stokerd has a command do beyond showing text and giving a file.

Signals are passed on while a call waits; the standard descriptors are given to tasks, or pipes that
`cli.pump` stands between; a program is run, a file copied or written, by `cli.errands`. `cli.thin`
turns to it with the first such frame: most commands never do. Like `thin` it imports nothing but
what the interpreter has built in and `_socket`, for srun begins with it.

Always holds: what is to be done once is done once, however often the call is sent again; signals
that nobody answers end the command after all.
"""

import _signal  # type: ignore[import-not-found]  # builtin, as in `thin`
import _socket
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Protocol

    from stoker.cli.errands import Child
    from stoker.cli.pump import Follower, Pump

    class Caller(Protocol):
        """What is wanted of the command, as it stands in `cli.thin`."""

        program: str
        connection: _socket.socket
        is_sending: bool

        def answer(self, kind: bytes, payload: bytes) -> None:
            """Send stokerd a frame."""

        def receive(self) -> bool:
            """Take what has come and do what it says."""

        def beside(self, name: str) -> ModuleType:
            """Import what is seldom needed."""


_PATIENCE = 2
"""Signals that may go unanswered before one ends the command after all."""
_INSISTING = (1, 2, 3, 15)
"""SIGHUP, SIGINT, SIGQUIT, SIGTERM: who sends these again and again wants us gone."""
_OF_SHELLS = (2, 3)
"""SIGINT, SIGQUIT: shells let background commands ignore them; ours take them all the same."""
_INTERACTIVE = ("srun", "salloc")
_DESCRIPTORS = b"D\0\0\0\0"
"""The frame that carries descriptors: it has no payload."""


class Duties:
    """What one call has had us do so far.

    Args:
        caller: Whose call it is, and whose connection the answers go back by.
        show: Shows bytes on descriptor 1 or 2.
    """

    def __init__(self, caller: "Caller", show: "Callable[[int, bytes], None]") -> None:
        self._caller = caller
        self._show = show
        self._signals: list[int] = []
        self._forwarded: list[int] = []
        self._unanswered = 0
        self._done: dict[bytes, bytes] = {}
        self._child: Child | None = None
        self._pump: Pump | Follower | None = None

    def obey(self, kind: bytes, payload: bytes) -> None:
        """Do what a frame says; one of a kind that we do not know asks for nothing."""
        if do := self._ORDERS.get(kind):
            do(self, payload)

    def attend(self) -> None:
        """Serve the pipes until stokerd has something to say."""
        if self._pump is not None:
            self._pump.run_until(self._caller.connection.fileno())

    def drain(self) -> None:
        """Show what tasks have written so far: it was written before what comes now."""
        if self._pump is not None:
            self._pump.drain()

    def finish(self) -> None:
        """Show the last of what tasks have written: the call is at its end."""
        if self._pump is not None:
            self._pump.finish()

    # Signals.

    def note_answer(self) -> None:
        """Take it that stokerd still listens."""
        self._unanswered = 0

    def send_signals(self) -> None:
        """Pass on the signals that came while something else was being sent."""
        while self._signals:
            self._caller.answer(b"I", b"%d" % self._signals.pop(0))

    def stop_forwarding(self) -> None:
        """Let signals do to us what they do to any command."""
        while self._forwarded:
            _signal.signal(self._forwarded.pop(), _signal.SIG_DFL)

    def _start_forwarding(self, numbers: bytes) -> None:
        """Pass signals on from now on, but for those that we were started to ignore."""
        taken = _OF_SHELLS if self._caller.program in _INTERACTIVE else ()
        for number in map(int, numbers.split()):
            if number in taken or _signal.getsignal(number) == _signal.SIG_DFL:
                _signal.signal(number, self._forward)
                self._forwarded.append(number)

    def _forward(self, number: int, _: object) -> None:
        self._unanswered += number in _INSISTING
        if self._unanswered > _PATIENCE:
            posix._exit(128 + number)  # noqa: SLF001 - nobody listens, and the user insists
        self._signals.append(number)
        if not self._caller.is_sending:
            self.send_signals()

    # Streams.

    def _give_descriptors(self, request: bytes) -> None:
        """Send our standard descriptors and the tasks' ends of the pipes that are asked for."""
        ends = self._pipes(request)
        rights = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2, *ends))
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
        try:
            self._caller.connection.sendmsg([_DESCRIPTORS], ancillary, _socket.MSG_NOSIGNAL)
        except OSError:
            return  # The connection is gone: the next receive says so.
        finally:
            for number in ends:
                if number:
                    posix.close(number)

    def _pipes(self, request: bytes) -> list[int]:
        streams, *numbers = request.decode().split(" ")
        first, end, ntasks, *pieces = map(int, numbers)
        if streams == "-" or (streams == "i" and _is_device(0, alone=ntasks == 1)):
            return [0] * (end - first) if streams == "i" else []
        if self._pump is None:
            pump = self._caller.beside("pump")
            self._pump = pump.Pump(self._show, ntasks, in_pieces=pieces == [1])
        ends: list[int] = self._pump.open(streams, range(first, end))  # type: ignore[union-attr]
        return ends

    def _follow(self, request: bytes) -> None:
        """Show what is written to files; what was shown in an earlier attempt is passed over."""
        if self._pump is None:
            self._pump = self._caller.beside("pump").Follower(self._show, request)

    # Errands.

    def _run_program(self, request: bytes) -> None:
        """Run a program once: another attempt finds how it ended, and does not run it again."""
        if request not in self._done:
            caller = self._caller
            self._child = caller.beside("errands").Child(request, self._forwarded)
            self._done[request] = self._child.wait(caller.connection.fileno(), caller.receive)
            self._child = None
        self._caller.answer(b"S", self._done[request])

    def _signal_program(self, number: bytes) -> None:
        if self._child is not None:
            self._child.signal(int(number))

    def _copy_file(self, request: bytes) -> None:
        """Copy a file once: another attempt must not meet the first one's copy."""
        if request not in self._done:
            self._done[request] = self._caller.beside("errands").copied(request)
        self._caller.answer(b"S", self._done[request])

    def _write_file(self, request: bytes) -> None:
        self._caller.answer(b"S", self._caller.beside("errands").written(request))

    _ORDERS = {  # noqa: RUF012 - nobody changes it, and `typing` costs too much
        b"A": _give_descriptors,
        b"P": _run_program,
        b"K": _signal_program,
        b"T": _copy_file,
        b"L": _write_file,
        b"Y": _follow,
        b"W": _start_forwarding,
    }


def _is_device(descriptor: int, *, alone: bool) -> bool:
    """Whether what reads it needs no copy: nothing comes, or a terminal that one task has alone."""
    try:
        is_device = posix.fstat(descriptor).st_mode & 0o170000 == 0o020000
    except OSError:
        return False
    return is_device and (alone or not posix.isatty(descriptor))
