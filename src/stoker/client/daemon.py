"""What a client does when stokerd does not answer: start it, try again, or give up.

One process starts the daemon: it takes a lock, looks again whether somebody answers, starts stokerd
in a session of its own and is told through a pipe that it listens; the others wait for the lock.
``STOKER_AUTOSTART=0`` forbids it.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import ECONNREFUSED, ENOENT
from pathlib import Path
from typing import Protocol, TypeVar

from stoker.core.errors import DaemonUnavailable, UserError
from stoker.core.homes import home_directory

COMMAND = ("-I", "-m", "stoker.stokerd", "--background", "--ready-fd")
"""What follows the interpreter; the number of the pipe to answer on stands last."""

_Answer_co = TypeVar("_Answer_co", covariant=True)
_Answer = TypeVar("_Answer")

PATIENCE_S = 10.0
"""How long a call is tried again after the connection broke."""
_GRACE_S = 2.0
"""How long a daemon that went away may take to come back before we start one."""
_START_S = 60.0
"""How long stokerd may take to listen: it may have a long queue to read."""
_PAUSES_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_SHOWN_TEXT_MAX = 16384
_NEVER = float("inf")
_PRIVATE_PREFIXES = ("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "STOKER_TOKEN")
"""Variables of a job from inside of which the daemon is started, and none of its own."""


class Caller(Protocol[_Answer_co]):
    """Somebody with a call to make, such as a command of `cli.thin`.

    Attributes:
        absence: Why nobody could be reached in the last attempt, or None.
        reason: Why stokerd sent us away in the last attempt, or "".
    """

    absence: OSError | None
    reason: str

    @property
    def may_try_again(self) -> bool:
        """Whether the call can be sent once more without doing or showing anything twice."""
        ...

    def attempt(self) -> _Answer_co | None:
        """Call stokerd; return the answer, or None if none came."""
        ...


def keep_trying(
    caller: Caller[_Answer], home: Path, start: Callable[[Path], object] | None = None
) -> _Answer | None:
    """Bring a call to its end that a first attempt did not; None: nobody answered in time.

    Attempts again, with growing pauses; starts stokerd when it is time, with *start* if given.
    Another user's is left for them to start: it may be about to come back.

    Raises:
        DaemonUnavailable: stokerd could not be started, or is not ours to start.
    """
    start_at, give_up_at = _schedule(caller, home)
    pauses = _pauses()
    while caller.may_try_again and time.monotonic() <= give_up_at:
        began_at = time.monotonic()
        if caller.absence is not None:
            _check_absence(caller.absence, home)
        if caller.absence is not None and began_at >= start_at:
            (start or ensure_daemon)(home)
            give_up_at += time.monotonic() - began_at
        else:
            time.sleep(next(pauses))
        began_at = time.monotonic()
        if (answer := caller.attempt()) is not None:
            return answer
        if time.monotonic() - began_at > PATIENCE_S:
            start_at, give_up_at = _schedule(caller, home)
    if caller.absence is not None and is_anothers(home):
        raise DaemonUnavailable(_not_ours(home))
    return None


def _schedule(caller: Caller[object], home: Path) -> tuple[float, float]:
    """Return when to start stokerd and when to give up.

    One that was never there is started at once; one that broke off may be restarted by somebody
    else; one that sent us away is stopping on purpose, or busy, and is not started, and another
    user's never is.
    """
    now = time.monotonic()
    may_start = os.environ.get("STOKER_AUTOSTART") != "0"
    if is_anothers(home):
        return _NEVER, now + PATIENCE_S
    if caller.absence is not None:
        return (now, now + PATIENCE_S) if may_start else (_NEVER, now - 1)
    return (now + _GRACE_S if may_start and not caller.reason else _NEVER), now + PATIENCE_S


def _pauses() -> Iterator[float]:
    yield from _PAUSES_S
    while True:
        yield _PAUSES_S[-1]


def _check_absence(absence: OSError, home: Path) -> None:
    """Refuse where starting stokerd would not help."""
    if absence.errno not in (ENOENT, ECONNREFUSED):
        raise DaemonUnavailable(f"cannot reach stokerd in {home}: {absence.strerror}")


def is_anothers(home: Path) -> bool:
    """Whether a home belongs to another user: then who starts its daemon is not up to us."""
    try:
        return home.stat().st_uid != os.geteuid()
    except OSError:
        return False


def own_home(what: str) -> Path:
    """Return the home, for *what* only its owner does there.

    Raises:
        UserError: It is another user's, as a shared one is root's.
    """
    home = home_directory()
    if is_anothers(home):
        raise UserError(
            f"cannot {what} {home}: it is another user's; STOKER_HOME can name one of your own"
        )
    return home


def _not_ours(home: Path) -> str:
    owner = home.stat().st_uid
    if owner == 0:
        return (
            f"cannot reach stokerd in {home}: it does not run; root starts it, with `systemctl "
            "start stoker` or `stoker up`"
        )
    return f"cannot start stokerd in {home}: it is user {owner}'s, who starts it with `stoker up`"


def tell(text: str) -> None:
    """Tell a person; who is told must not matter to the call."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode("utf-8", "replace"))


def ensure_daemon(
    home: Path,
    environment: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = tell,
) -> int:
    """Start stokerd in the background unless somebody answers; say so once.

    Returns:
        Its process id, or 0 if it was there already.

    Raises:
        DaemonUnavailable: It could not be started; the text is its own.
    """
    if is_anothers(home):
        if is_answering(home):
            return 0
        raise DaemonUnavailable(_not_ours(home))
    with _only_one(home):
        if is_answering(home):
            return 0
        pid, problem = _start(home, environment)
        if problem and is_answering(home):
            return 0
    if problem:
        raise DaemonUnavailable(problem)
    say(f"stoker: started the daemon (stokerd, pid {pid}) for {home}")
    return pid


def is_answering(home: Path) -> bool:
    """Whether stokerd takes connections now."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        directory = os.open(home / "run", os.O_PATH | os.O_CLOEXEC)
        try:
            probe.connect(f"/proc/self/fd/{directory}/stokerd.sock")
        finally:
            os.close(directory)
        return True
    return False


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock of whoever starts the daemon; its directory is made if need be."""
    try:
        for directory in (home, home / "run", home / "log"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / "run" / "start.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DaemonUnavailable(
            f"cannot start stokerd: {error.filename}: {error.strerror}; set STOKER_HOME to a "
            "directory of your own"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _start(home: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Start stokerd; return its pid and what went wrong, if anything did."""
    log = _open_log(home)
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, *COMMAND, str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(home, environment),
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        process.returncode = 0  # It outlives us: nobody waits for it.
        return process.pid, _verdict(reading, home)
    finally:
        os.close(log)
        os.close(reading)


def _open_log(home: Path) -> int:
    path = home / "log" / "stokerd.log"
    try:
        return os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DaemonUnavailable(f"cannot start stokerd: {path}: {error.strerror}") from None


def _environment(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the daemon's environment: ours, but for what belongs to a job around us."""
    kept = {
        name: value for name, value in environment.items() if not name.startswith(_PRIVATE_PREFIXES)
    }
    return kept | {"STOKER_HOME": os.path.abspath(home)}  # noqa: PTH100 - resolve() follows links


def _verdict(reading: int, home: Path) -> str:
    """Return "" when the daemon says that it listens, else what it says instead."""
    said = b""
    deadline = time.monotonic() + _START_S
    while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(reading, _SHOWN_TEXT_MAX)
        said += chunk
        if said == b"1":
            return ""
        if not chunk or len(said) > _SHOWN_TEXT_MAX:
            break
    return said.decode("utf-8", "replace").strip() or _silence(home / "log" / "stokerd.log")


def _silence(log: Path) -> str:
    """Return what to say of a daemon that said nothing."""
    lines = log.read_text(errors="replace").split("\n")[-20:]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    ending = f", which ends with: {last}" if last else ""
    return f"cannot start stokerd: it said nothing; look into {log}{ending}"
