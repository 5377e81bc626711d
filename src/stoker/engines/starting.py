"""Starts a shepherd, and takes in what falls to this process when one dies.

The shepherd is a child of ours, in a session of its own, with nothing of ours open and an
environment that holds nothing of a job's. We are a subreaper: when it dies, the jobs' processes are
our children, and the kernel tells us, and nobody else, how they end. Other code of this process may
have children, too: we wait for no process but those that are known to come from a unit.

Source: prctl(2), PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import stoker
from stoker.core.errors import EngineError
from stoker.core.processes import ProcessIdentity, identify, real_user_of
from stoker.engines.base import UnitUsage
from stoker.engines.channel import readable

START_TIMEOUT_S = 15.0
_PR_SET_CHILD_SUBREAPER = 36
_PROGRAM = Path(stoker.__file__).parent / "shepherd" / "__main__.py"
_KEPT = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"}
)
_TEST_VARIABLES = frozenset({"STOKER_TEST_MODE", "STOKER_FAILPOINTS"})
_SAID_MAX = 16384
_SESSION_FIELD, _STATE_FIELD = 3, 0


def start_shepherd(
    home: Path,
    *,
    cgroup: str,
    environment: Mapping[str, str],
    with_failpoints: bool,
    user_id: int | None = None,
    log: Path | None = None,
) -> int:
    """Start a shepherd for *home* and return its pid once it listens.

    Args:
        home: Where its socket and its journal are.
        cgroup: Where control groups may be made: ``auto``, ``off`` or a directory.
        environment: What it may know of ours.
        with_failpoints: Whether tests may make it fail.
        user_id: Whom it serves and becomes, if we are root; None: us.
        log: Where it writes its log; None: in its home.

    Raises:
        EngineError: It does not start; the text is its own.
    """
    kept = _KEPT | _TEST_VARIABLES if with_failpoints else _KEPT
    log = log or home / "log" / "shepherd.log"
    with _opened(log) as log_fd, _pipe() as (reading, writing):
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-X", "utf8", str(_PROGRAM), str(home)),
                *("--ready-fd", str(writing), "--cgroup", cgroup),
                *(() if user_id is None else ("--user", str(user_id))),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=log_fd,
            cwd="/",
            env={name: value for name, value in environment.items() if name in kept},
            pass_fds=(writing,),
            start_new_session=True,
        )
        process.returncode = 0  # We wait for it by its number, when it has gone.
        os.close(writing)
        said = _read_verdict(reading)
    if said != "1":
        reap(process.pid, wait_s=1.0)
        raise EngineError(said or f"cannot start the shepherd; {log} may tell why")
    return process.pid


@contextmanager
def _opened(log: Path) -> Iterator[int]:
    """Give a descriptor that appends to a log, which is its owner's alone."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
    descriptor = os.open(log, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe; the writing end is closed by whoever has passed it on."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)


def _read_verdict(reading: int) -> str:
    """Return what the shepherd says of its start: ``1``, or why not."""
    said = b""
    deadline = time.monotonic() + START_TIMEOUT_S
    while readable([reading], deadline - time.monotonic()):
        chunk = os.read(reading, _SAID_MAX)
        said += chunk
        if not chunk or len(said) > _SAID_MAX:
            break
    return said.decode("utf-8", "replace").strip()


def become_subreaper(*, wanted: bool) -> None:
    """Have orphans below this process become its children, or not any more."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


class Death(NamedTuple):
    """How a process ended, as only its parent is told."""

    exit_code: int
    signal: int
    usage: UnitUsage


def reap(pid: int, wait_s: float = 0.0) -> Death | None:
    """Wait for a child of ours; None if it is none, or lives on."""
    deadline = time.monotonic() + wait_s
    while True:
        with suppress(ChildProcessError, OverflowError):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                return _death(status, usage)
            if _await_end(pid, deadline - time.monotonic()):
                continue
        return None


def _await_end(pid: int, timeout_s: float) -> bool:
    """Wait until a process can be reaped; False if it lives on."""
    if timeout_s <= 0:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return bool(readable([descriptor], timeout_s))
    finally:
        os.close(descriptor)


def _death(status: int, usage: object) -> Death:
    code = os.waitstatus_to_exitcode(status)
    figures = UnitUsage(
        utime_s=getattr(usage, "ru_utime", 0.0),
        stime_s=getattr(usage, "ru_stime", 0.0),
        maxrss_kib=getattr(usage, "ru_maxrss", 0),
        minflt=getattr(usage, "ru_minflt", 0),
        majflt=getattr(usage, "ru_majflt", 0),
        inblock=getattr(usage, "ru_inblock", 0),
        oublock=getattr(usage, "ru_oublock", 0),
    )
    return Death(max(code, 0), max(-code, 0), figures)


class Orphans:
    """Processes of jobs that fell to us when their shepherd died.

    Which they are the shepherd has said. One of a user among many is believed that of the user's
    own processes only: the end of another's must stay for whoever waits for it.
    """

    def __init__(self, user_id: int | None = None) -> None:
        """Expect none; of all users' if *user_id* is None."""
        self._user_id = user_id
        self._sessions: set[int] = set()
        self._deaths: dict[int, Death] = {}

    def __bool__(self) -> bool:
        """Whether some may be left."""
        return bool(self._sessions)

    def expect(self, pids: set[int]) -> None:
        """Know the processes of units: each leads a session, by which all of a job are known."""
        self._sessions |= pids

    def death_of(self, pid: int) -> Death | None:
        """Return how a unit's process ended, if that was told to us."""
        return self._deaths.pop(pid, None) or (reap(pid) if self._is_theirs(pid) else None)

    def _is_theirs(self, pid: int) -> bool:
        return self._user_id is None or real_user_of(pid) == self._user_id

    def look(self) -> None:
        """Reap those that have ended; forget sessions of which nobody is left."""
        present = set()
        for pid, state, session in _children():
            if session not in self._sessions or not self._is_theirs(pid):
                continue
            present.add(session)
            if state == "Z" and (death := reap(pid)) and pid in self._sessions:
                self._deaths[pid] = death
        self._sessions &= present


class Strays:
    """Processes of users that left their job's session, fell to us, and are nobody's concern.

    Dead they would stay for as long as we run. Who starts a program waits for its end at once: so
    for one that was dead at the last look already, and that no engine asks for, nobody waits.
    """

    def __init__(self) -> None:
        """Know of none."""
        self._dead: set[ProcessIdentity | None] = set()

    def reap(self, is_awaited: Callable[[int, int], bool]) -> None:
        """Reap those that are not *is_awaited*, by pid and user; to be done now and then."""
        dead = {identify(pid) for pid, state, _ in _children() if state == "Z"}
        for each in dead & self._dead:
            user_id = real_user_of(each.pid) if each is not None else None
            if each is None or user_id is None or user_id == os.getuid():
                continue
            if not is_awaited(each.pid, user_id):
                reap(each.pid)
        self._dead = dead


def _children() -> Iterator[tuple[int, str, int]]:
    """Yield pid, state and session of each child of ours, whichever thread is its parent."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for word in (task / "children").read_text().split():
                with suppress(OSError):
                    stat = Path(f"/proc/{word}/stat").read_bytes()
                    fields = stat[stat.rindex(b")") + 2 :].split()
                    yield int(word), fields[_STATE_FIELD].decode(), int(fields[_SESSION_FIELD])
