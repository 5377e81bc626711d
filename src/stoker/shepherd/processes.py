"""What the kernel says of processes, and signals that cannot reach a stranger.

A process is its pid and its start time in ticks after boot: pids are used again. The name in
``/proc/PID/stat`` may hold anything, so fields are counted after its last parenthesis.
Source: proc(5).
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from errno import ESRCH
from time import CLOCK_BOOTTIME, clock_gettime_ns, monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "STOKER_TOKEN"  # noqa: S105 - the variable's name, not a secret
"""The variable that carries a unit's token."""

_STAT_MAX = 1024
_ENVIRONMENT_MAX = 8 << 20
_DEAD = b"ZX"
_MEMORY_FIELD, _ENVIRONMENT_END_FIELD = 20, 48
_EXEC_PAUSE_S = 0.0005
_LOOKS = 2
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_LIST_READ, _LIST_SHORT = 4096, 4000
"""A list that is shorter than a page, but for one more number, came whole in one read."""


class Process:
    """One process at one moment."""

    __slots__ = ("group_id", "is_dead", "parent", "pid", "session", "ticks")

    def __init__(self, pid: int, stat: bytes) -> None:
        """Read what ``/proc/PID/stat`` says."""
        fields = stat[stat.rindex(b")") + 2 :].split(b" ", 20)
        self.pid = pid
        self.is_dead = fields[0] in _DEAD
        self.parent = int(fields[1])
        self.group_id = int(fields[2])
        self.session = int(fields[3])
        self.ticks = int(fields[19])


def look(pid: int) -> Process | None:
    """Return the process with that pid, or None if there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    try:
        return Process(pid, os.read(descriptor, _STAT_MAX))
    except ProcessLookupError:
        return None
    finally:
        os.close(descriptor)


class Birth:
    """Tells when a child was born, in ticks, mostly without asking: it was between two moments."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        """Look at the clock before the child is made."""
        self._before = clock_gettime_ns(CLOCK_BOOTTIME) // _TICK_NS

    def ticks(self, pid: int) -> int:
        """Return the start of the child that has been made since; never fails, for it runs."""
        if clock_gettime_ns(CLOCK_BOOTTIME) // _TICK_NS == self._before:
            return self._before
        for _ in range(_LOOKS):
            # Without a descriptor to look with: it was most likely born at once.
            with suppress(OSError):
                process = look(pid)
                return process.ticks if process is not None else self._before
        return self._before


def census() -> dict[int, Process]:
    """Return all processes that can be seen, by pid."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (process := look(int(name))):
            found[process.pid] = process
    return found


def token_of(pid: int, patience_s: float = 0.0) -> str:
    """Return the token in a process's environment as it was when it was started, or "".

    A process in the middle of an exec has none yet: that is waited for, up to *patience_s*.
    """
    prefix = TOKEN.encode() + b"="
    give_up_at = monotonic() + patience_s
    with suppress(OSError):
        while not (environment := _read_all(f"/proc/{pid}/environ")):
            if monotonic() >= give_up_at or not _is_in_exec(pid):
                return ""
            sleep(_EXEC_PAUSE_S)
        for entry in environment.split(b"\0"):
            if entry.startswith(prefix):
                return os.fsdecode(entry[len(prefix) :])
    return ""


def _is_in_exec(pid: int) -> bool:
    """Whether a process has its new memory, but not yet its new environment."""
    stat = _read_all(f"/proc/{pid}/stat")
    fields = stat[stat.rindex(b")") + 2 :].split(b" ")
    return fields[_MEMORY_FIELD] != b"0" and fields[_ENVIRONMENT_END_FIELD] == b"0"


def _read_all(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = list(_chunks(descriptor, _ENVIRONMENT_MAX))
    finally:
        os.close(descriptor)
    return b"".join(chunks)


def _chunks(descriptor: int, most: int) -> Iterator[bytes]:
    while most > 0 and (chunk := os.read(descriptor, 65536)):
        most -= len(chunk)
        yield chunk


def boot_id() -> str:
    """Return what names this boot of the machine."""
    return _read_all("/proc/sys/kernel/random/boot_id").decode("ascii").strip()


def send(process: Process, number: int, own_pid: int) -> None:
    """Send a signal to that very process; if it has gone, nobody gets it.

    A child of our own keeps its pid until we reap it; any other is held by a descriptor while its
    identity is looked at again.

    Raises:
        PermissionError: The kernel says that we may not.
    """
    with suppress(ProcessLookupError):
        if process.parent == own_pid:
            os.kill(process.pid, number)
            return
        descriptor = open_process(process.pid, process.ticks)
        try:
            signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def open_process(pid: int, ticks: int) -> int:
    """Return a descriptor of that very process.

    Raises:
        ProcessLookupError: It has gone; its pid may be a stranger's now.
        OSError: There is no descriptor to be had.
    """
    descriptor = os.pidfd_open(pid)
    try:
        present = look(pid)
        if present is None or present.ticks != ticks:
            raise ProcessLookupError(ESRCH, os.strerror(ESRCH))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Children:
    """The children of our first thread, as the kernel lists them.

    The list is exact because only we reap: none can leave it while it is read. It costs a few
    microseconds, where a look at all of /proc costs milliseconds. Kernels without
    ``CONFIG_PROC_CHILDREN`` do not have it.
    """

    def __init__(self) -> None:
        """Open the list, which stays open."""
        pid = os.getpid()
        try:
            path = f"/proc/{pid}/task/{pid}/children"
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._descriptor = -1
        self._pid = pid

    @property
    def are_listed(self) -> bool:
        """Whether the kernel has such a list."""
        return self._descriptor >= 0

    def close(self) -> None:
        """Close the list."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def strangers(self, known: dict[int, object]) -> list[int]:
        """Return the children that are not *known*, all of whose pids are children of ours."""
        if self._descriptor < 0:
            everybody = census().values()
            return [each.pid for each in everybody if self._is_new(each, known)]
        listed = os.pread(self._descriptor, _LIST_READ, 0)
        if len(listed) > _LIST_SHORT:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            listed = b"".join(_chunks(self._descriptor, 1 << 30))
        if listed.count(b" ") == len(known):
            return []
        return [pid for pid in map(int, listed.split()) if pid not in known]

    def _is_new(self, process: Process, known: dict[int, object]) -> bool:
        return process.parent == self._pid and process.pid not in known
