"""What sbatch, squeue, scancel and the like are: ship the call to stokerd, print what comes back.

A command costs little more than starting Python: this module imports nothing but what the
interpreter has built in and `_socket`, is run from its cached code by the launchers of `cli.names`,
handles arguments, environment and answers as bytes, and ends with `posix._exit`. Frames are
those of `core.wire`: change both together. What is seldom needed stands in `cli.start` (starting
stokerd, trying again, giving up) and `cli.duties` (what stokerd asks of a command beyond showing
text and giving a file: signals, pipes, errands).

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

    from stoker.cli.duties import Duties

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
_SELF_ENDING = ("scancel", "scontrol")
"""By which a job may end or requeue itself: they are of those that are told to end for it."""
_TERM = 15
_AGAIN = 11  # EAGAIN
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
        connection: The socket of the last attempt.
        is_sending: Whether a frame is only half sent, so that nothing may come between.
        reason: Why stokerd sent us away in the last attempt, or "".
    """

    def __init__(self, arguments: list[str]) -> None:
        self.program = "_".join(arguments[0].rsplit("/", 1)[-1].split()) or "-"
        self.home = home_directory()
        self.absence: OSError | None = None
        self.reason = ""
        self.is_sending = False
        self._arguments = arguments[1:]
        self._frame = b""
        self._files: dict[bytes, bytes] = {}
        self._shown = self._to_skip = 0
        self._status: int | None = None
        self._buffer = b""
        self._stranger = 0
        self._duties: Duties | None = None

    @property
    def may_try_again(self) -> bool:
        """Whether another answer would go on where what was shown ended."""
        return not self._shown or self.program in _SUBMITTERS

    def attempt(self) -> int | None:
        """Call stokerd; return the exit status, or None if none came."""
        self.absence = None
        self.reason = ""
        self._to_skip = self._shown
        self.connection = _open_socket()
        try:
            _connect(self.connection, self.home)
        except OSError as error:
            self.absence = error
            return None
        self._stranger = _stranger(self.connection)
        self._frame = self._frame or self._call()
        mask = self._defer_end()
        self._send(self._frame)
        self._converse()
        if self._status is None:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        if self._duties is not None:
            self._duties.stop_forwarding()
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
            if self._duties is not None:
                self._duties.attend()
            if not self.receive():
                return

    def receive(self) -> bool:
        """Take what has come and do what whole frames say; return whether the connection stands."""
        try:
            data = self.connection.recv(65536)
        except OSError:
            return False
        if self._duties is not None:
            self._duties.note_answer()
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
        elif kind == b"X":
            if self._duties is not None:
                self._duties.finish()
            self._status = int(payload)
        elif kind == b"B":
            self.reason = payload.decode("utf-8", "replace")
        elif self._stranger and kind in _OF_TRUST:
            self.beside("errands").refuse(self.program, self._stranger)
        elif kind == b"R":
            self._give_file(payload)
        else:
            if self._duties is None:
                self._duties = self.beside("duties").Duties(self, _show)
            self._duties.obey(kind, payload)

    def _show(self, descriptor: int, data: bytes) -> None:
        """Write what has not been shown in an earlier attempt."""
        if self._duties is not None:
            self._duties.drain()
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        self._shown += len(data) - skipped
        _show(descriptor, data[skipped:])

    def _give_file(self, request: bytes) -> None:
        """Read what is asked for once: standard input cannot be read again in another attempt."""
        size_max, _, path = request.partition(b"\n")
        if path not in self._files:
            self._files[path] = _read(path, int(size_max))
        self.answer(b"F", self._files[path])

    def answer(self, kind: bytes, payload: bytes) -> None:
        """Send stokerd a frame."""
        self._send(_frame(kind, payload))

    def _send(self, data: bytes) -> None:
        """Send all of it; if the connection breaks, the next receive says so."""
        self.is_sending = True
        try:
            while data:
                data = data[self.connection.send(data, _socket.MSG_NOSIGNAL) :]
        except OSError:
            return
        finally:
            self.is_sending = False
        if self._duties is not None:
            self._duties.send_signals()

    @staticmethod
    def beside(name: str) -> "ModuleType":
        """Import what is seldom needed: from our folder, or the library once we have it all."""
        if "stoker" in sys.modules:
            return __import__(f"stoker.cli.{name}", fromlist=[name])
        return __import__(name)


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
