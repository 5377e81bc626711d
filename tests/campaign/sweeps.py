"""System calls that fail, or that kill the caller: the n-th of a kind, one after the other.

strace does it (``-e inject``), attached to the daemon or to the shepherd, as an ordinary user. Each
kind is tried for n = 1, 2, ... until a run meets no such call, or the time is up.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, NamedTuple

from campaign.driver import StokerDriver
from campaign.tally import Row
from campaign.witness import judge, let_all_end, submit_some
from support.daemon import PrivateStoker, until

JOBS: Final = 3
DRAIN_S: Final = 30.0
FIRST_NS: Final = 12
"""So many are tried in order; beyond, only random ones."""


class Sweep(NamedTuple):
    """A kind of system call of one of our processes, and what happens to it."""

    part: str
    call: str
    what: str

    @property
    def name(self) -> str:
        return f"{self.part}: {self.call} {self.what}"


SWEEPS = [
    Sweep("daemon", "pwrite64", "signal=KILL"),
    Sweep("daemon", "pwrite64", "error=ENOSPC"),
    Sweep("daemon", "pwrite64", "error=EIO"),
    Sweep("daemon", "fdatasync", "signal=KILL"),
    Sweep("daemon", "fdatasync", "error=EIO"),
    Sweep("daemon", "openat", "error=EMFILE"),
    Sweep("shepherd", "write", "signal=KILL"),
    Sweep("shepherd", "write", "error=ENOSPC"),
    Sweep("shepherd", "fdatasync", "signal=KILL"),
    Sweep("shepherd", "fdatasync", "error=EIO"),
    Sweep("shepherd", "fsync", "error=EIO"),
    Sweep("shepherd", "clone,clone3,vfork,fork", "error=EAGAIN"),
    Sweep("shepherd", "clone,clone3,vfork,fork", "signal=KILL"),
    Sweep("shepherd", "openat", "error=EMFILE"),
    Sweep("shepherd", "sendto,sendmsg", "signal=KILL"),
]


@cache
def can_trace() -> bool:
    """Whether strace is there, and may attach itself to processes of ours that are not its own."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen(["sleep", "60"]) as other:
        argv = ["strace", "-o", "/dev/null", "-p", str(other.pid)]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            tracer.terminate()
        other.kill()
    return "attached" in said


@contextmanager
def injected(stoker: PrivateStoker, sweep: Sweep, when: int | str) -> Iterator[list[bool]]:
    """Have such calls met inside: the n-th from now, or ``1+``, which is all.

    The list that is given says afterwards whether one was.
    """
    pid = stoker.stokerd if sweep.part == "daemon" else stoker.shepherd_pid
    # The shepherd has one thread, and what it starts shall be left alone.
    follow = ["-f"] if sweep.part == "daemon" else []
    log = stoker.home / "strace"
    rule = f"inject={sweep.call}:{sweep.what}:when={when}"
    argv = ["strace", *follow, "-o", log, "-e", f"trace={sweep.call}", "-e", rule, "-p", str(pid)]
    met: list[bool] = []
    with (stoker.home / "strace.err").open("w") as errors:
        tracer = subprocess.Popen(argv, stderr=errors, stdin=subprocess.DEVNULL)
    try:
        said = stoker.home / "strace.err"
        until(lambda: "attached" in said.read_text() or tracer.poll() is not None, said.read_text)
        yield met
    finally:
        tracer.terminate()
        tracer.wait()
        text = log.read_text(errors="replace") if log.exists() else ""
        met.append("INJECTED" in text or "killed by SIGKILL" in text)


def try_call(sweep: Sweep, n: int) -> tuple[Row, bool]:
    """Submit and run a few jobs while the n-th call fails; return the row, and whether it did."""
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        stoker.ok("stoker", "up")
        driver, witness = StokerDriver(stoker), stoker.directory / "witness"
        with injected(stoker, sweep, n) as met:
            asked = submit_some(driver, witness, JOBS)
            let_all_end(driver, DRAIN_S)
        return judge(driver, asked, witness, f"{sweep.name}, n = {n}"), met[0]


def sweeps(rng: random.Random, seconds: float) -> list[Row]:
    """Try all kinds, each with the next n, round and round until the time is up."""
    if not can_trace():
        return [Row("system calls: skipped, since strace is not here or may not trace")]
    rows = {
        ("daemon", True): Row("daemon killed at a system call"),
        ("daemon", False): Row("daemon's system calls failing (ENOSPC, EIO, EMFILE)"),
        ("shepherd", True): Row("shepherd killed at a system call"),
        ("shepherd", False): Row("shepherd's system calls failing (ENOSPC, EIO, EAGAIN)"),
    }
    give_up_at = time.monotonic() + seconds
    left, n = list(SWEEPS), 1
    while left and time.monotonic() < give_up_at:
        rng.shuffle(left)
        for sweep in list(left):
            if time.monotonic() > give_up_at:
                break
            row, was_met = try_call(sweep, n)
            rows[sweep.part, "KILL" in sweep.what].add(row)
            if not was_met:
                left.remove(sweep)
        n += 1 if n < FIRST_NS else rng.randint(1, 5)
    return list(rows.values())
