"""From nothing to a running loop: arguments, lock, signals, socket, what is left to adopt."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import signal
import socket
import stat
import sys
import time
from binascii import crc32
from contextlib import suppress

from stoker.shepherd import anew, failpoints, journal, processes
from stoker.shepherd.adoption import Adoption
from stoker.shepherd.births import Births
from stoker.shepherd.cgroups import AUTO, Cgroups
from stoker.shepherd.deaths import Deaths
from stoker.shepherd.endings import UNKILLABLE_TRIES, Endings
from stoker.shepherd.herd import Herd
from stoker.shepherd.lanes import Lanes
from stoker.shepherd.limits import Limits
from stoker.shepherd.log import Refusal, say, trace_of
from stoker.shepherd.loop import Loop
from stoker.shepherd.memory import Memory
from stoker.shepherd.reports import Reports
from stoker.shepherd.requests import Requests
from stoker.shepherd.runners import Runners
from stoker.shepherd.spawn import Spawner
from stoker.shepherd.timers import Timers
from stoker.shepherd.trees import Trees
from stoker.shepherd.units import QUEUED, RUNNING

_PR_SET_CHILD_SUBREAPER = 36
_LOCK, _SOCKET = "shepherd.lock", "shepherd.sock"
_LOCK_S = 3.0
_LOCK_PAUSE_S = 0.01
_BACKLOG = 64
_GARBAGE_MAX = 20_000
"""Nothing that we make often is in a circle: to look for circles is a waste of time."""
_SWITCH_S = 0.0002
"""For how long a thread that reads orders may keep one from a step that starts somebody."""
_GOING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MASK_SIZE = 128
"""Bytes of a set of signals, in any C library."""
_FATAL = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}
"""Signals that mean a defect, or that nobody can ignore."""


def main(arguments: list[str]) -> int:
    """Run the shepherd of the home named first; return its exit status.

    ``--ready-fd N`` is a pipe that is told ``1`` when we listen, or why we do not;
    ``--cgroup auto|off|DIRECTORY`` says where control groups may be made; ``--user UID`` that root
    has us serve that user, whom we become; ``--anew`` is for us.
    """
    home, *rest = arguments
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    ready_fd = int(options.get("--ready-fd", "-1"))
    try:
        failpoints.arm(os.environ)
        masters = _become(options["--user"]) if "--user" in options else {os.geteuid()}
        kept = options.get(anew.OPTION, "")
        _run(home, options.get("--cgroup", AUTO), ready_fd, kept, masters)
    except (Refusal, OSError, ValueError) as error:
        say(str(error))
        _tell(ready_fd, str(error))
        return 1
    return 0


def _tell(ready_fd: int, text: str) -> None:
    if ready_fd >= 0:
        with suppress(OSError):
            os.write(ready_fd, text.encode("utf-8", "replace"))
            os.close(ready_fd)


def _become(user: str) -> set[int]:
    """Be that user for good; return who may give us orders: they, and root who started us."""
    from stoker.shepherd.privileges import become  # noqa: PLC0415 - who serves one user needs none

    become(int(user))
    return {int(user), 0}


def _run(home: str, cgroup: str, ready_fd: int, kept: str, masters: set[int]) -> None:
    if sys.getfilesystemencoding() != "utf-8":
        raise Refusal("cannot start: paths must be read as UTF-8; start with -X utf8")
    home_fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    run_fd = _private_directory(home)
    if kept:
        lock, listening = anew.kept_descriptors(kept)
        listener = socket.socket(fileno=listening)
        listener.settimeout(0.0)
    else:
        lock = _lock(run_fd, home)
        listener = _listen(run_fd)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_fd = _hear_signals()
    house = _House(home, home_fd, cgroup, listener, wake_fd, masters)
    house.adopt(*journal.read(home_fd))
    gc.freeze()
    gc.set_threshold(_GARBAGE_MAX)
    sys.setswitchinterval(_SWITCH_S)
    _tell(ready_fd, "1")
    say(f"looks after {home}; ends trees by {house.mode}")
    house.run(lock)
    with suppress(OSError):
        os.unlink(_SOCKET, dir_fd=run_fd)
    house.close()
    os.close(lock)
    say("nothing is left to look after")


class _House:
    """All parts, wired."""

    def __init__(
        self,
        home: str,
        home_fd: int,
        cgroup: str,
        listener: socket.socket,
        wake_fd: int,
        masters: set[int],
    ) -> None:
        self._started_at = time.time()
        self._boot_id = processes.boot_id()
        self._listener = listener
        self.timers = Timers()
        self.spawner = Spawner()
        self.trees = Trees()
        self.cgroups = Cgroups(cgroup, f"stoker-{crc32(os.fsencode(home)):08x}")
        self.endings = Endings(self.trees, self.cgroups, self.timers)
        self.journal = journal.Journal(home_fd, self._records)
        self.reports = Reports(self.journal, self.timers)
        self.limits = Limits(self.timers, self.endings)
        self.herd = Herd(self.journal, self.limits, self.reports)
        self.endings.on_pause = self.herd.note_pause
        self.memory = Memory(self.herd, self.trees, self.endings, self.timers)
        lanes = Lanes()
        self.deaths = Deaths(
            herd=self.herd,
            lanes=lanes,
            journal=self.journal,
            trees=self.trees,
            cgroups=self.cgroups,
            endings=self.endings,
            limits=self.limits,
            reports=self.reports,
        )
        births = self._births(lanes)
        self.runners = Runners(
            births=births,
            deaths=self.deaths,
            lanes=lanes,
            reports=self.reports,
            timers=self.timers,
            trees=self.trees,
        )
        self.requests = Requests(
            herd=self.herd,
            births=births,
            deaths=self.deaths,
            endings=self.endings,
            spawner=self.spawner,
            reports=self.reports,
            status=self.status,
            boot_id=self._boot_id,
        )
        self.loop = Loop(
            listener=listener,
            masters=masters,
            wake_fd=wake_fd,
            herd=self.herd,
            journal=self.journal,
            rlimits=self.spawner.rlimits,
            births=births,
            deaths=self.deaths,
            endings=self.endings,
            timers=self.timers,
            reports=self.reports,
            requests=self.requests,
            runners=self.runners,
        )

    def _births(self, lanes: Lanes) -> Births:
        return Births(
            herd=self.herd,
            lanes=lanes,
            journal=self.journal,
            spawner=self.spawner,
            trees=self.trees,
            cgroups=self.cgroups,
            limits=self.limits,
            memory=self.memory,
            reports=self.reports,
            deaths=self.deaths,
        )

    @property
    def mode(self) -> str:
        """Return by what the trees of processes are ended."""
        return "cgroup" if self.cgroups.base else "scan"

    def _records(self) -> list[str]:
        head = ["journal", journal.VERSION, self._boot_id, self.requests.remembers_since]
        return [journal.text_of(head), *self.herd.records()]

    def adopt(self, records: list[journal.Record], damage: list[str]) -> None:
        """Take over what a shepherd before us wrote, and write it anew."""
        adoption = Adoption(self.herd, self.deaths, self.trees, self._boot_id)
        running = adoption.adopt(records)
        for text in damage + adoption.damage:
            say(text)
        if adoption.since is not None and not damage and not adoption.damage:
            self.requests.remembers_since = adoption.since
        if not self.journal.renew():
            self.reports.commit()
        self.cgroups.keep_only({group.cgroup for group in self.herd.groups.values()})
        for unit in running:
            if unit.adopted:
                self.loop.watch_unit(unit)
            self.limits.watch(unit)
            if unit.group.cgroup and unit.recipe.memory_mib and self.cgroups.has_memory:
                unit.group.has_memory_limit = True
            self.memory.expect(unit)
        adoption.settle()

    def run(self, lock: int) -> None:
        """Turn until there is no reason to stay; what broke a turn does not end us."""
        while True:
            try:
                return self.loop.run()
            except Exception as defect:  # noqa: BLE001 - the top of a turn: jobs depend on our going on
                say(f"a defect of ours, which ended a turn: {trace_of(defect)}")
            # It may have come while they went on: what one of them has made or reaped and not yet
            # noted would be lost with it.
            self.runners.halt()
            anew.write_down(self.herd.units.values(), self.journal)
            is_often = time.time() - self._started_at < 2 * anew.PAUSE_S_MAX
            time.sleep(anew.PAUSE_S_MAX if is_often else anew.PAUSE_S)
            try:
                anew.begin_anew([lock, self._listener.fileno()])
            except OSError as error:
                say(f"cannot begin anew: {error}")
                self.runners.defect = None

    def status(self) -> dict[str, object]:
        """Return what `stoker status` shows of us."""
        states = [unit.state for unit in self.herd.units.values()]
        usage = os.times()
        trouble = self.journal.trouble
        return {
            "pid": os.getpid(),
            "started_at": self._started_at,
            "cpu_s": usage.user + usage.system,
            "mode": self.mode,
            "is_attended": self.reports.peer is not None,
            "running": states.count(RUNNING),
            "queued": states.count(QUEUED),
            "units": len(states),
            "journal_bytes": self.journal.size,
            "trouble": str(trouble) if trouble else "",
            "unkillable": [
                ending.group.key
                for ending in self.endings.active.values()
                if ending.tries >= UNKILLABLE_TRIES
            ],
        }

    def close(self) -> None:
        """Let go of everything."""
        self.loop.close()
        self.journal.close()
        self.cgroups.close()
        self.trees.close()
        self.spawner.close()


def _private_directory(home: str) -> int:
    """Return a descriptor of the directory for lock and socket, which must be ours alone."""
    path = f"{home}/run"
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise Refusal(f"cannot use {path}: it must be ours alone; `chmod 700 {path}`")
    return descriptor


def _lock(run_fd: int, home: str) -> int:
    """Take the lock that says who looks after this home; it lets go of us when we die.

    A process between fork and exec still holds the lock of the dead shepherd that made it. We wait
    for it, so that whoever has been started can be found by its environment.

    Raises:
        Refusal: Another shepherd lives.
    """
    lock = os.open(_LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=run_fd)
    give_up_at = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            lives = holder.isdecimal() and processes.look(int(holder))
            if (lives and not lives.is_dead) or time.monotonic() > give_up_at:
                raise Refusal(
                    f"cannot look after {home}: shepherd {holder} does; one is enough"
                ) from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
            return lock


def _listen(run_fd: int) -> socket.socket:
    """Listen at our socket; whoever had it before us is gone, since we hold the lock."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(FileNotFoundError):
        os.unlink(_SOCKET, dir_fd=run_fd)
    before = os.umask(0o177)
    # The address may hold 107 bytes; a home's path may be longer.
    listener.bind(f"/proc/self/fd/{run_fd}/{_SOCKET}")
    os.umask(before)
    listener.listen(_BACKLOG)
    listener.settimeout(0.0)
    return listener


def _hear_signals() -> int:
    """Have the signals that we heed kept for us; return the descriptor that tells of them.

    No signal of a person takes the jobs' parent away, and no stray one ends it. The kernel keeps
    them (signalfd(2)): a handler would cost each job two system calls more.
    """
    for number in signal.valid_signals() - _FATAL:
        with suppress(OSError):
            signal.signal(number, signal.SIG_IGN)
    heeded = {signal.SIGCHLD, *_GOING}
    for number in heeded:
        # Children of who ignores SIGCHLD end without a word.
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, heeded)
    numbers = ctypes.create_string_buffer(_MASK_SIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sigemptyset(numbers)
    for number in heeded:
        libc.sigaddset(numbers, number)
    descriptor = libc.signalfd(-1, numbers, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "cannot hear signals")
    return int(descriptor)
