"""What stokerd asks its caller to do as itself: run a program beside it, copy or write a file.

`cli.thin` turns to it where that is asked for. Like `thin` it imports nothing of ours, so that it
can be loaded from its folder alone, and handles names as bytes.

Always holds: only our own stokerd, or root's, is obeyed; of a file that could not be copied whole
nothing is left, unless it replaced one; a program's end is told only when it has ended.
"""

import _signal  # type: ignore[import-not-found]  # builtin, as in `thin`
import os
import select
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

_CHUNK = 1 << 20
_UNKNOWN = 5
"""EIO: for errors without a number."""


class Child:
    """A program that runs beside us: salloc's command, an editor.

    Without a terminal it leads a process group of its own, so that signals for us pass it by; with
    one it stays in ours, so that the terminal's keys reach it. Signals that would end us are only
    noted while it runs.
    """

    def __init__(self, request: bytes, noted: "Sequence[int]") -> None:
        """Start what a ``P`` frame asks for; *noted* are the signals that are not to end us."""
        argc, _, body = request.partition(b"\n")
        directory, *words = body.split(b"\0")
        count = int(argc)
        self._interrupt = 0
        self._leads = not os.isatty(0)
        self._handlers = [(number, _signal.signal(number, self._note)) for number in noted]
        reading, writing = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            self._become(directory, words[:count], words[count:], noted, writing)
        os.close(writing)
        self._trouble = os.read(reading, 16)
        os.close(reading)

    def _become(
        self,
        directory: bytes,
        argv: "Sequence[bytes]",
        entries: "Sequence[bytes]",
        noted: "Sequence[int]",
        writing: int,
    ) -> None:
        try:
            for number in noted:
                _signal.signal(number, _signal.SIG_DFL)
            if self._leads:
                os.setpgid(0, 0)
            os.chdir(directory)
            variables = dict(entry.split(b"=", 1) for entry in entries)
            os.execvpe(argv[0], list(argv), {**os.environb, **variables})  # noqa: S606 - asked for
        except OSError as error:
            os.write(writing, b"%d" % (error.errno or _UNKNOWN))
        os._exit(127)

    def wait(self, connection: int, receive: "Callable[[], bool]") -> bytes:
        """Wait for its end and return the payload of an ``S`` frame.

        Args:
            connection: The descriptor on which stokerd may have something to say meanwhile.
            receive: Hears it; false once nothing more can come.
        """
        process = os.pidfd_open(self._pid)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(connection, select.POLLIN)
        while process not in (ready := [number for number, _ in poll.poll()]):
            if connection in ready and not receive():
                poll.unregister(connection)
        os.close(process)
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        for number, handler in self._handlers:
            _signal.signal(number, handler)
        code, number = (0, -status) if status < 0 else (status, 0)
        # A terminal's keys are meant for the program: that we hear of them means nothing.
        interrupt = self._interrupt if self._leads else 0
        return b"%d %d %d %d" % (code, number, int(self._trouble or b"0"), interrupt)

    def signal(self, number: int) -> None:
        """Send it, and where it leads a group all of it, a signal."""
        with suppress(OSError):
            (os.killpg if self._leads else os.kill)(self._pid, number)

    def _note(self, number: int, _: object) -> None:
        self._interrupt = number


def refuse(program: str, stranger: int) -> "NoReturn":
    """Do nothing for another user's stokerd: it could have us do it in our name, or root's."""
    why = f"it is user {stranger}'s, neither yours nor root's"
    os.write(2, f"{program}: error: cannot do what stokerd asks: {why}\n".encode())
    os._exit(1)  # nothing of ours is to be cleaned up


def copied(request: bytes) -> bytes:
    """Copy what a ``T`` frame asks for; return the payload of an ``S`` frame with the errno."""
    flags, _, names = request.partition(b"\n")
    source, target = names.split(b"\0")
    try:
        _copy(source, target, replaces=b"f" in flags, preserves=b"p" in flags)
    except OSError as error:
        return b"0 0 %d" % (error.errno or _UNKNOWN)
    return b"0 0 0"


def written(request: bytes) -> bytes:
    """Write what an ``L`` frame asks for; return the payload of an ``S`` frame with the errno."""
    head, _, content = request.partition(b"\0")
    mode, _, path = head.partition(b"\n")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        writing = os.open(path, flags, int(mode, 8))
        try:
            while content:
                content = content[os.write(writing, content) :]
        finally:
            os.close(writing)
    except OSError as error:
        return b"0 0 %d" % (error.errno or _UNKNOWN)
    return b"0 0 0"


def _copy(source: bytes, target: bytes, *, replaces: bool, preserves: bool) -> None:
    """Copy content and mode, and with *preserves* the times."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(reading)
        exclusive = 0 if replaces else os.O_EXCL
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | exclusive
        writing = os.open(target, flags, status.st_mode & 0o777)
        try:
            while data := os.read(reading, _CHUNK):
                while data:
                    data = data[os.write(writing, data) :]
            os.fchmod(writing, status.st_mode & 0o777)
            if preserves:
                os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            if not replaces:
                os.unlink(target)  # noqa: PTH108 - a path of bytes
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)
