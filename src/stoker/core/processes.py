"""Which process is meant: identity, life, end and signals, safe against reused numbers.

A pid alone proves nothing, since the kernel gives it to the next one: a process is known by its
pid, its start (field 22 of /proc/PID/stat) and the boot in which it lived. Whatever is done to one
is done through a pidfd that was opened first and compared with the identity afterwards; it goes on
meaning the same process, so that a stranger is never signalled. "Permission denied" means that
somebody is there.

Source: proc(5), pidfd_open(2), pidfd_send_signal(2).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

TOKEN_VARIABLE = "STOKER_TOKEN"  # noqa: S105 - the name of a variable
"""Stands in the environment of every process of an attempt; its value is the attempt's token."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# EINVAL and ENOENT: the number is now that of a thread that leads no process.
_NOBODY = frozenset({errno.ESRCH, errno.EINVAL, errno.ENOENT})
_FIELD_STATE = 3
_FIELD_SESSION = 6
_FIELD_START = 22
_FIELD_MEMORY = 23
_FIELD_ENVIRONMENT_END = 51
_EXEC_MAX_S = 1.0
"""How long an exec may take before we take the process for one without environment."""
_EXEC_PAUSE_S = 0.0005


class ProcessIdentity(NamedTuple):
    """One process of one boot: what tells it from all others, before and after."""

    pid: int
    start_ticks: int
    boot_id: str


class Stat(NamedTuple):
    """What is wanted of /proc/PID/stat."""

    session: int
    start_ticks: int
    is_in_exec: bool = False
    """Whether it has got its new memory, but not yet its new environment."""


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return _BOOT_ID.read_text().strip()


def parse_stat(text: bytes) -> Stat:
    """Read a /proc/PID/stat; the process's own name may hold spaces, brackets and newlines."""
    # Numbered as in proc(5), from 1.
    fields = [b""] * _FIELD_STATE + text[text.rindex(b")") + 1 :].split()
    return Stat(
        session=int(fields[_FIELD_SESSION]),
        start_ticks=int(fields[_FIELD_START]),
        # Kernel threads and zombies have no memory at all.
        is_in_exec=fields[_FIELD_MEMORY] != b"0" and fields[_FIELD_ENVIRONMENT_END] == b"0",
    )


def identify(pid: int) -> ProcessIdentity | None:
    """Return who *pid* is now; None if nobody, or if we may not look."""
    stat = _stat(pid)
    return ProcessIdentity(pid, stat.start_ticks, boot_id()) if stat is not None else None


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process has not exited; in doubt it has not."""
    with _opened(identity) as pidfd:
        return pidfd is not None and _matches(identity) is not False


def send_signal(identity: ProcessIdentity, number: int) -> bool:
    """Signal that very process; return whether it was there to get it.

    Raises:
        PermissionError: It is there, but not ours to signal.
    """
    with _opened(identity) as pidfd:
        # Whom we cannot look at we do not signal: it may be a stranger.
        if pidfd is None or not _matches(identity):
            return False
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        return True


def wait_gone(identity: ProcessIdentity, timeout_s: float | None = None) -> bool:
    """Wait until that very process has exited; return whether it has within the time."""
    with _opened(identity) as pidfd:
        if pidfd is None or _matches(identity) is False:
            return True
        return _has_exited(pidfd, timeout_s)


def open_pidfd(identity: ProcessIdentity) -> int | None:
    """Return a descriptor that turns readable when that very process exits; None if it has.

    The caller closes it.
    """
    with _opened(identity) as pidfd:
        if pidfd is None or _matches(identity) is False:
            return None
        return os.dup(pidfd)


def exit_status(pidfd: int) -> tuple[int, int] | None:
    """Return (exit code, signal) of an exited child and reap it; None if it is not our child."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return result.si_status, 0
    return 0, result.si_status


def age_s(identity: ProcessIdentity) -> float:
    """Return for how long a process of this boot has been there; no clock change touches it."""
    started_s = identity.start_ticks / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)


def holders_of(token: str, user_id: int | None = None) -> list[ProcessIdentity]:
    """Return the processes that carry an attempt's token, the oldest first; never ourselves.

    With a *user_id* only that user's are looked at: a process may keep who reads its environment
    waiting, and is to keep its own user waiting alone.
    """
    entry = f"{TOKEN_VARIABLE}={token}".encode()
    pids = (pid for pid in _pids() if user_id is None or real_user_of(pid) == user_id)
    carriers = [pid for pid in pids if entry in _environment(pid)]
    found = [identity for pid in carriers if (identity := identify(pid)) is not None]
    return sorted(found, key=lambda each: each.start_ticks)


def session_of(leader: ProcessIdentity) -> list[ProcessIdentity]:
    """Return the processes of the session that *leader* leads; none once it has exited.

    When the leader is gone its number may be that of another session: then nobody can tell.
    """
    stats = [(pid, stat) for pid in _pids() if (stat := _stat(pid)) is not None]
    if not is_alive(leader):
        return []
    return [
        ProcessIdentity(pid, stat.start_ticks, leader.boot_id)
        for pid, stat in stats
        if stat.session == leader.pid
    ]


def real_user_of(pid: int) -> int | None:
    """Return the real user id of a process, a zombie included; None if there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_bytes().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(b"Uid:")), None)


def end_all(
    find: Callable[[], Iterable[ProcessIdentity]], grace_s: float, limit_s: float = 10.0
) -> bool:
    """End all that *find* finds: TERM, after *grace_s* seconds KILL; return whether all are gone.

    What is found once is not lost sight of, and who is born meanwhile is found too.
    """
    known = set(find())
    _signal_all(known, signal.SIGTERM)
    _signal_all(known, signal.SIGCONT)
    wait_all_gone(known, grace_s)
    give_up_at = time.monotonic() + limit_s
    while left := _alive(known := known | set(find())):
        _signal_all(left, signal.SIGKILL)
        if not wait_all_gone(left, give_up_at - time.monotonic()):
            return False
    return True


def wait_all_gone(identities: Iterable[ProcessIdentity], timeout_s: float) -> bool:
    """Wait until all these processes have exited; return whether they have within the time."""
    give_up_at = time.monotonic() + timeout_s
    return all(
        wait_gone(each, max(0.0, give_up_at - time.monotonic())) for each in list(identities)
    )


def _alive(identities: Iterable[ProcessIdentity]) -> set[ProcessIdentity]:
    return {each for each in identities if is_alive(each)}


def _signal_all(identities: Iterable[ProcessIdentity], number: int) -> None:
    for each in identities:
        with suppress(PermissionError):
            send_signal(each, number)


@contextmanager
def _opened(identity: ProcessIdentity) -> Iterator[int | None]:
    """Give a pidfd of whoever has the number now; None if nobody, or nobody who still runs."""
    pidfd = _open(identity)
    try:
        yield None if pidfd is None or _has_exited(pidfd, 0.0) else pidfd
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _open(identity: ProcessIdentity) -> int | None:
    if identity.boot_id != boot_id():
        return None
    try:
        return os.pidfd_open(identity.pid)
    except OSError as error:
        if error.errno in _NOBODY:
            return None
        raise


def _has_exited(pidfd: int, timeout_s: float | None) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000))


def _matches(identity: ProcessIdentity) -> bool | None:
    """Whether the number is that process's; None if we may not look at who has it."""
    stat = _stat(identity.pid)
    return stat.start_ticks == identity.start_ticks if stat is not None else None


def _stat(pid: int) -> Stat | None:
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_bytes())
    except OSError:
        return None


def _pids() -> Sequence[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _environment(pid: int) -> Sequence[bytes]:
    if pid == os.getpid():
        return ()
    path, give_up_at = Path(f"/proc/{pid}/environ"), time.monotonic() + _EXEC_MAX_S
    try:
        # Empty for a moment during exec: who is looked for then must not be missed.
        while not (text := path.read_bytes()) and _is_in_exec(pid):
            if time.monotonic() > give_up_at:
                break
            time.sleep(_EXEC_PAUSE_S)
    except OSError:
        return ()
    return text.split(b"\0")


def _is_in_exec(pid: int) -> bool:
    stat = _stat(pid)
    return stat is not None and stat.is_in_exec
