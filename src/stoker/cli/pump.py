"""srun's pipes: copies standard input to tasks, and shows what they write in whole lines.

Also what sattach looks at: files to which the tasks of others write.

Streams are named by letters: ``i``, ``o``, ``e``; after ``O`` and ``E`` each line has the number of
its task before it.

`cli.thin` runs it where stokerd asks for pipes; then they stand between the tasks and our caller.
Otherwise tasks have the caller's own descriptors. Like `thin`, it imports nothing of ours, so that
it can be loaded from its folder alone.

Always holds: what tasks wrote before they ended is shown before the command ends; a task that does
not read its input holds up nobody's output.
"""

import _signal  # type: ignore[import-not-found]  # builtin, as in `thin`
import posix
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CHUNK = 65536
_PENDING_MAX = 1 << 20
"""Bytes of input that one task may be behind before no more is read."""
_LOOK_MS = 200
"""Between two looks at files that others write."""
_FAREWELL_MS = 5000
"""How long a pipe may stay open and silent after its tasks have ended."""


class Pump:
    """The pipes of one command.

    Args:
        write: Shows bytes on descriptor 1 or 2.
        ntasks: Of the step: the highest number says how wide labels are.
        in_pieces: Show what comes at once; under a label each piece gets a line of its own.
    """

    def __init__(
        self, write: "Callable[[int, bytes], None]", ntasks: int, *, in_pieces: bool = False
    ) -> None:
        self._write = write
        self._in_pieces = in_pieces
        self._width = len(str(ntasks - 1))
        self._outputs: dict[int, _Lines] = {}
        self._inputs: dict[int, bytes] = {}
        self._reads_input = False

    def open(self, streams: str, tasks: "Iterable[int]") -> list[int]:
        """Make a pipe for each task and stream; return the tasks' ends, which the caller closes."""
        ends = []
        for task in tasks:
            for stream in streams:
                reading, writing = posix.pipe2(posix.O_CLOEXEC)
                if stream == "i":
                    self._inputs[writing] = b""
                    self._reads_input = True
                    posix.set_blocking(writing, False)
                    ends.append(reading)
                else:
                    label = b"%*d: " % (self._width, task) if stream.isupper() else b""
                    self._outputs[reading] = _Lines(
                        "ioe".index(stream.lower()), label, in_pieces=self._in_pieces
                    )
                    posix.set_blocking(reading, False)
                    ends.append(writing)
        return ends

    def run_until(self, descriptor: int) -> None:
        """Serve the pipes until there is something to read on *descriptor*."""
        while descriptor not in self._serve(descriptor, None):
            pass

    def drain(self) -> None:
        """Show what tasks have written so far."""
        for reading in list(self._outputs):
            while self._take(reading):
                pass

    def finish(self) -> None:
        """Show what tasks have written to the last, now that they have ended."""
        self._drop_inputs()
        while self._outputs and self._serve(-1, _FAREWELL_MS):
            pass

    # One round.

    def _serve(self, descriptor: int, limit_ms: "int | None") -> list[int]:
        """Wait until anything can be done, and do it; return the descriptors that were ready."""
        poll = select.poll()
        for number, events in self._wanted(descriptor):
            poll.register(number, events)
        ready = [number for number, _ in poll.poll(limit_ms)]
        for number in ready:
            if number in self._outputs:
                self._take(number)
            elif number in self._inputs:
                self._give(number)
            elif number == 0 and number != descriptor:
                self._read_input()
        return ready

    def _wanted(self, descriptor: int) -> "Iterator[tuple[int, int]]":
        if descriptor >= 0:
            yield descriptor, select.POLLIN
        for number in self._outputs:
            yield number, select.POLLIN
        for number, pending in self._inputs.items():
            # Without an event a pipe that nobody reads any more is still told.
            yield number, select.POLLOUT if pending else 0
        if self._reads_input and max(map(len, self._inputs.values())) < _PENDING_MAX:
            yield 0, select.POLLIN

    def _take(self, reading: int) -> bool:
        """Show what comes from a task; return whether more may be there."""
        lines = self._outputs[reading]
        try:
            data = posix.read(reading, _CHUNK)
        except BlockingIOError:
            return False
        self._write(lines.target, lines.feed(data))
        if not data:
            del self._outputs[reading]
            posix.close(reading)
        return bool(data)

    def _read_input(self) -> None:
        try:
            data = posix.read(0, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._reads_input = False
        for number in list(self._inputs):
            self._inputs[number] += data
            self._give(number)

    def _give(self, writing: int) -> None:
        """Give a task what it takes; its pipe ends with our input, or when nobody reads it."""
        pending = self._inputs[writing]
        try:
            if pending:
                pending = self._inputs[writing] = pending[_written(writing, pending) :]
                is_over = not pending and not self._reads_input
            else:
                is_over = True
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            del self._inputs[writing]
            posix.close(writing)
            self._reads_input = self._reads_input and bool(self._inputs)

    def _drop_inputs(self) -> None:
        self._reads_input = False
        for writing in self._inputs:
            posix.close(writing)
        self._inputs.clear()


def _written(writing: int, data: bytes) -> int:
    """Write to a task's input; one that nobody reads any more must not end us, as our output may.

    Raises:
        OSError: It takes nothing now, or never again.
    """
    before = _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    try:
        return posix.write(writing, data)
    finally:
        _signal.signal(_signal.SIGPIPE, before)


class Follower:
    """Shows what others write to files, as long as the call lasts."""

    def __init__(self, write: "Callable[[int, bytes], None]", request: bytes) -> None:
        """Follow the files of a ``Y`` frame: each with an offset, and a label for its lines."""
        words = request.split(b"\0")
        self._write = write
        self._files = [
            _Followed(path, int(offset), _Lines(1, label))
            for path, offset, label in zip(words[::3], words[1::3], words[2::3], strict=True)
        ]

    def run_until(self, descriptor: int) -> None:
        """Show what comes until there is something to read on *descriptor*."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(_LOOK_MS):
            self.drain()

    def drain(self) -> None:
        """Show what has been written since the last look."""
        for file in self._files:
            self._write(1, b"".join(file.fresh()))

    def finish(self) -> None:
        """Show the rest, also a last line that is not whole."""
        self.drain()
        for file in self._files:
            self._write(1, file.lines.feed(b""))


class _Followed:
    """A file, how far it was shown, and its lines."""

    def __init__(self, path: bytes, offset: int, lines: "_Lines") -> None:
        self.lines = lines
        self._path = path
        self._offset = offset

    def fresh(self) -> "Iterator[bytes]":
        """Yield the whole lines that have come; a file may yet have to be made."""
        try:
            reading = posix.open(self._path, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            return
        try:
            while data := posix.pread(reading, _CHUNK, self._offset):
                self._offset += len(data)
                yield self.lines.feed(data)
        except OSError:
            return  # It is no file any more.
        finally:
            posix.close(reading)


class _Lines:
    """Bytes of a task, cut into lines that carry its label."""

    def __init__(self, target: int, label: bytes, *, in_pieces: bool = False) -> None:
        self.target = target
        self._in_pieces = in_pieces
        self._label = label
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the whole lines there are; at the end, b"", also one that is not whole."""
        if self._in_pieces and not self._label:
            return data
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._in_pieces and self._rest:
            lines.append(self._rest)
            self._rest = b""
        text = b"".join(self._label + line + b"\n" for line in lines)
        if data or not self._rest:
            return text
        return text + self._label + self._rest + (b"\n" if self._label else b"")
