"""What sbatch, squeue, scancel and the like are: ship the call to stokerd, print what comes back.

A command costs little more than starting Python: this module imports nothing but what the
interpreter has built in and `_socket`, is run from its cached code by the launchers of `cli.names`,
handles arguments, environment and answers as bytes, and ends with `posix._exit`. Frames are
those of `core.wire`: change both together. What is seldom needed stands in `cli.start` (starting
stokerd, trying again, giving up), `cli.pump` (pipes between srun and its tasks) and `cli.errands`
(what stokerd asks its caller to do: run a program, copy a file).

Each invocation draws a submission key. If the connection breaks before the exit status has come,
the same call is sent again with the same key, which makes it the same submission.

Always holds: what was shown is not shown again when a call is sent again; control characters do not
reach a terminal; SIGPIPE and SIGINT end a command as they end one written in C, but once stokerd
says that the call waits (``W``), signals are passed on to it.
"""

import _signal  # type: ignore[import-not-found]  # builtin; `signal` costs an `enum`
import _socket
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import NoReturn

    from stoker.cli.errands import Child
    from stoker.cli.pump import Follower, Pump

_RLIMITS = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
]
_SUBMITTERS = ("sbatch", "srun", "salloc")
_PATIENCE = 2
"""Signals that may go unanswered before one ends the command after all."""
_INSISTING = (1, 2, 3, 15)
"""SIGHUP, SIGINT, SIGQUIT, SIGTERM: who sends these again and again wants us gone."""
_SELF_ENDING = ("scancel", "scontrol")
"""By which a job may end or requeue itself: they are of those that are told to end for it."""
_TERM = 15
_OF_SHELLS = (2, 3)
"""SIGINT, SIGQUIT: shells let background commands ignore them; ours take them all the same."""
_INTERACTIVE = ("srun", "salloc")
_BADF, _AGAIN = 9, 11
_SHARED_HOME = b"/var/lib/stoker"
_OF_TRUST = (b"R", b"A", b"P", b"T", b"L", b"Y")
"""Orders to do something in our name: only our own stokerd, or root's, gives them."""
_SO_PEERCRED = 17


def main() -> "NoReturn":
    """Run the command that this process was started as."""
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    caller = Caller(sys.argv)
    status = caller.attempt()
    if status is None:
        status = _try_harder(caller)
    posix._exit(status)  # noqa: SLF001 - the interpreter's farewell would cost a millisecond


def _try_harder(caller: "Caller") -> int:
    """Do the same with the whole library at hand; the launcher ran us without site-packages."""
    import site  # noqa: PLC0415 - most commands never come here

    folder, package, _ = __file__.rsplit("/", 2)
    sys.path[:] = [entry for entry in sys.path if entry != f"{folder}/{package}"]
    site.main()
    sys.path.append(folder.rsplit("/", 1)[0])
    from stoker.cli.start import try_harder  # noqa: PLC0415 - likewise

    return try_harder(caller)


class Caller:
    """One invocation: what it says, and what it has shown so far.

    Attributes:
        absence: Why nobody could be reached in the last attempt, or None.
        reason: Why stokerd sent us away in the last attempt, or "".
        was_answered: Whether anything came in the last attempt.
    """

    def __init__(self, arguments: list[str]) -> None:
        self.program = "_".join(arguments[0].rsplit("/", 1)[-1].split()) or "-"
        self.home = home_directory()
        self.absence: OSError | None = None
        self.reason = ""
        self._arguments = arguments[1:]
        self._frame = b""
        self._files: dict[bytes, bytes] = {}
        self._shown = self._to_skip = 0
        self._status: int | None = None
        self._is_sending = False
        self._signals: list[int] = []
        self._forwarded: list[int] = []
        self._done: dict[bytes, bytes] = {}
        self._buffer = b""
        self._stranger = 0
        self._child: Child | None = None
        self._unanswered = 0
        self._pump: Pump | Follower | None = None

    @property
    def may_try_again(self) -> bool:
        """Whether another answer would go on where what was shown ended."""
        return not self._shown or self.program in _SUBMITTERS

    def attempt(self) -> int | None:
        """Call stokerd; return the exit status, or None if none came."""
        self.absence = None
        self.reason = ""
        self._to_skip = self._shown
        self._socket = _open_socket()
        try:
            _connect(self._socket, self.home)
        except OSError as error:
            self.absence = error
            return None
        self._stranger = _stranger(self._socket)
        self._frame = self._frame or self._call()
        mask = self._defer_end()
        self._send(self._frame)
        self._converse()
        if self._status is None:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        self._stop_forwarding()
        return self._status

    def _defer_end(self) -> "set[int]":
        """Hear the answer before the end that we may have asked for; return the mask before."""
        is_own_end = self.program in _SELF_ENDING and b"SLURM_JOB_ID" in posix.environ
        mask: set[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, [_TERM] if is_own_end else [])
        return mask

    def _call(self) -> bytes:
        """Return the frame that says who calls what, from where, with what environment."""
        encoding = sys.getfilesystemencoding()
        words = [word.encode(encoding, "surrogateescape") for word in self._arguments]
        entries = _environment()
        try:
            directory = posix.getcwdb()
        except OSError:
            directory = b""
        mask = posix.umask(0o077)
        posix.umask(mask)
        limits = _rlimits() if self.program in _SUBMITTERS else "-"
        key = posix.urandom(16).hex()
        header = f"1 {self.program} {key} {len(words)} {len(entries)} {mask:o} {limits}\n"
        body = b"\0".join([directory, *words, *entries])
        return _frame(b"C", header.encode(encoding, "surrogateescape") + body)

    def _converse(self) -> None:
        """Do what stokerd says until it has said the exit status, or the connection ends."""
        self._buffer = b""
        while self._status is None:
            if self._pump is not None:
                self._pump.run_until(self._socket.fileno())
            if not self._receive():
                return

    def _receive(self) -> bool:
        """Take what has come and do what whole frames say; return whether the connection stands."""
        try:
            data = self._socket.recv(65536)
        except OSError:
            return False
        self._unanswered = 0
        self._buffer += data
        while len(self._buffer) >= 5:
            end = 5 + int.from_bytes(self._buffer[1:5], "big")
            if len(self._buffer) < end:
                break
            kind, payload = self._buffer[:1], self._buffer[5:end]
            # Gone before it is obeyed: what it asks for may have us receive more.
            self._buffer = self._buffer[end:]
            self._obey(kind, payload)
        return bool(data)

    def _obey(self, kind: bytes, payload: bytes) -> None:
        if kind == b"O":
            self._show(1, payload)
        elif kind == b"E":
            self._show(2, payload)
        elif do := self._ORDERS.get(kind):
            if self._stranger and kind in _OF_TRUST:
                _errands().refuse(self.program, self._stranger)
            do(self, payload)

    def _end(self, status: bytes) -> None:
        if self._pump is not None:
            self._pump.finish()
        self._status = int(status)

    def _go_away(self, reason: bytes) -> None:
        self.reason = reason.decode("utf-8", "replace")

    def _signal_program(self, number: bytes) -> None:
        if self._child is not None:
            self._child.signal(int(number))

    def _show(self, descriptor: int, data: bytes) -> None:
        """Write what has not been shown in an earlier attempt."""
        if self._pump is not None:
            self._pump.drain()
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        self._shown += len(data) - skipped
        _show(descriptor, data[skipped:])

    def _give_file(self, request: bytes) -> None:
        """Read what is asked for once: standard input cannot be read again in another attempt."""
        size_max, _, path = request.partition(b"\n")
        if path not in self._files:
            self._files[path] = _read(path, int(size_max))
        self._send(_frame(b"F", self._files[path]))

    def _give_descriptors(self, request: bytes) -> None:
        """Send our standard descriptors and the tasks' ends of the pipes that are asked for."""
        ends = self._pipes(request)
        rights = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2, *ends))
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
        try:
            self._socket.sendmsg([_frame(b"D", b"")], ancillary, _socket.MSG_NOSIGNAL)
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
            self._pump = _pumps().Pump(_show, ntasks, in_pieces=pieces == [1])
        ends: list[int] = self._pump.open(streams, range(first, end))  # type: ignore[union-attr]
        return ends

    def _run_program(self, request: bytes) -> None:
        """Run a program once: another attempt finds how it ended, and does not run it again."""
        if request not in self._done:
            self._child = _errands().Child(request, self._forwarded)
            self._done[request] = self._child.wait(self._socket.fileno(), self._receive)
            self._child = None
        self._send(_frame(b"S", self._done[request]))

    def _copy_file(self, request: bytes) -> None:
        """Copy a file once: another attempt must not meet the first one's copy."""
        if request not in self._done:
            self._done[request] = _errands().copied(request)
        self._send(_frame(b"S", self._done[request]))

    def _follow(self, request: bytes) -> None:
        """Show what is written to files; what was shown in an earlier attempt is passed over."""
        if self._pump is None:
            self._pump = _pumps().Follower(_show, request)

    def _write_file(self, request: bytes) -> None:
        self._send(_frame(b"S", _errands().written(request)))

    def _send(self, data: bytes) -> None:
        """Send all of it; if the connection breaks, the next receive says so."""
        self._is_sending = True
        try:
            while data:
                data = data[self._socket.send(data, _socket.MSG_NOSIGNAL) :]
        except OSError:
            return
        finally:
            self._is_sending = False
        self._send_signals()

    def _start_forwarding(self, numbers: bytes) -> None:
        """Pass signals on from now on, but for those that we were started to ignore."""
        taken = _OF_SHELLS if self.program in _INTERACTIVE else ()
        for number in map(int, numbers.split()):
            if number in taken or _signal.getsignal(number) == _signal.SIG_DFL:
                _signal.signal(number, self._forward)
                self._forwarded.append(number)

    def _stop_forwarding(self) -> None:
        while self._forwarded:
            _signal.signal(self._forwarded.pop(), _signal.SIG_DFL)

    def _forward(self, number: int, _: object) -> None:
        self._unanswered += number in _INSISTING
        if self._unanswered > _PATIENCE:
            posix._exit(128 + number)  # noqa: SLF001 - nobody listens, and the user insists
        self._signals.append(number)
        if not self._is_sending:
            self._send_signals()

    def _send_signals(self) -> None:
        while self._signals:
            self._send(_frame(b"I", b"%d" % self._signals.pop(0)))

    _ORDERS = {  # noqa: RUF012 - nobody changes it, and `typing` costs too much
        b"X": _end,
        b"R": _give_file,
        b"A": _give_descriptors,
        b"P": _run_program,
        b"K": _signal_program,
        b"T": _copy_file,
        b"L": _write_file,
        b"Y": _follow,
        b"W": _start_forwarding,
        b"B": _go_away,
    }
    """What a frame has us do, but for text, which comes most often."""


def _pumps() -> "ModuleType":
    try:
        import pump  # type: ignore[import-not-found]  # noqa: PLC0415 - seldom needed
    except ImportError:  # We were not run by a launcher, or have turned to the whole library.
        from stoker.cli import pump  # noqa: PLC0415 - likewise
    module: ModuleType = pump
    return module


def _errands() -> "ModuleType":
    try:
        import errands  # type: ignore[import-not-found]  # noqa: PLC0415 - seldom needed
    except ImportError:  # As with the pump.
        from stoker.cli import errands  # noqa: PLC0415 - likewise
    module: ModuleType = errands
    return module


def home_directory() -> bytes:
    """Return the directory that holds everything, as `core.homes` finds it."""
    environment = posix.environ
    if stated := environment.get(b"STOKER_HOME"):
        return stated
    if _is_roots(_SHARED_HOME):
        return _SHARED_HOME
    if state := environment.get(b"XDG_STATE_HOME"):
        return state + b"/stoker"
    home = environment.get(b"HOME") or _home_of_record()
    return home + b"/.local/state/stoker"


def _is_roots(home: bytes) -> bool:
    """Whether root has a Stoker there, as `core.homes.is_shared_home` has it."""
    try:
        is_there = posix.lstat(home + b"/run").st_mode & 0o170000 == 0o040000
        return is_there and posix.lstat(home).st_uid == 0
    except OSError:
        return False


def _home_of_record() -> bytes:
    import pwd  # noqa: PLC0415 - HOME is nearly always set

    try:
        home = pwd.getpwuid(posix.getuid()).pw_dir
    except KeyError:
        _write(2, b"cannot find your home directory: you have no entry; set STOKER_HOME\n")
        posix._exit(1)  # noqa: SLF001 - there is nobody to ask
    return home.encode(sys.getfilesystemencoding(), "surrogateescape")


def harmless(data: bytes) -> bytes:
    """Return text for a terminal: control and invisible characters are shown as escapes."""
    text = data.decode("utf-8", "backslashreplace")
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text.encode()
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else _escaped(letter) for letter in text
    ).encode()


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _frame(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


def _open_socket() -> _socket.socket:
    """Return a socket above the standard descriptors, of which some may be closed."""
    while True:
        found = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        if found.fileno() > 2:
            return found
        posix.dup2(posix.open("/dev/null", posix.O_RDWR), found.detach())


def _connect(connecting: _socket.socket, home: bytes) -> None:
    """Go through the directory's descriptor: the path may be longer than a socket's may be."""
    directory = posix.open(home + b"/run", posix.O_PATH | posix.O_CLOEXEC)
    try:
        connecting.connect(b"/proc/self/fd/%d/stokerd.sock" % directory)
    finally:
        posix.close(directory)


def _stranger(connected: _socket.socket) -> int:
    """Return who serves us if that is neither root nor ourselves; else 0."""
    found = connected.getsockopt(_socket.SOL_SOCKET, _SO_PEERCRED, 12)[4:8]
    return (user_id := int.from_bytes(found, sys.byteorder)) * (user_id != posix.geteuid())


def _environment() -> list[bytes]:
    """Return the environment as it was given to us.

    In the C locale Python puts ``LC_CTYPE=C.UTF-8`` into its own environment (PEP 538), which is
    none of the caller's.
    """
    variables = posix.environ
    if variables.get(b"LC_CTYPE") == b"C.UTF-8":
        try:
            return _content(posix.open("/proc/self/environ", posix.O_RDONLY)).split(b"\0")[:-1]
        except OSError:
            pass
    return [name + b"=" + value for name, value in variables.items()]


def _rlimits() -> str:
    """Return our resource limits as ``name:soft:hard``; -1 is none."""
    try:
        lines = _content(posix.open("/proc/self/limits", posix.O_RDONLY)).decode().splitlines()
    except OSError:
        return "-"
    pairs = [line[26:].replace("unlimited", "-1").split() for line in lines[1:]]
    return ",".join(
        f"{name}:{pair[0]}:{pair[1]}" for name, pair in zip(_RLIMITS, pairs, strict=False)
    )


def _read(path: bytes, size_max: int) -> bytes:
    """Return the payload of a file's frame: errno and content, a byte above the limit at most."""
    try:
        if path[:2] == b"-\n":
            # A part of standard input: a line of a terminal, what there is of anything else.
            kind = b"t" if posix.isatty(0) else b"p"
            return b"0\n" + kind + posix.read(0, min(size_max, 65536))
        descriptor = 0 if path == b"-" else posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        return b"0\n" + _content(descriptor, size_max + 1)
    except OSError as error:
        return b"%d\n" % (error.errno or 5)


def _is_device(descriptor: int, *, alone: bool) -> bool:
    """Whether what reads it needs no copy: nothing comes, or a terminal that one task has alone."""
    try:
        is_device = posix.fstat(descriptor).st_mode & 0o170000 == 0o020000
    except OSError:
        return False
    return is_device and (alone or not posix.isatty(descriptor))


def _content(descriptor: int, size_max: int = 1 << 30) -> bytes:
    chunks = []
    try:
        while size_max > 0 and (chunk := posix.read(descriptor, min(size_max, 65536))):
            chunks.append(chunk)
            size_max -= len(chunk)
    finally:
        if descriptor:
            posix.close(descriptor)
    return b"".join(chunks)


def _show(descriptor: int, data: bytes) -> None:
    _write(descriptor, harmless(data) if posix.isatty(descriptor) else data)


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it, also where a terminal was set not to block; nobody may be there to read."""
    while data:
        try:
            data = data[posix.write(descriptor, data) :]
        except OSError as error:
            if error.errno != _AGAIN:
                return
            import time  # noqa: PLC0415 - seldom needed

            time.sleep(0.01)
