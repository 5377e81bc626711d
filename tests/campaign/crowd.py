"""Many at once: processes to be ended, clients, jobs to be adopted, lines that must not be lost."""

from __future__ import annotations

import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from campaign.endurance import JOBS, memory
from campaign.tally import Row
from stoker.core.wire import CallMessage, encode_call
from support.daemon import PrivateStoker, is_running, processes_of, until, wait_gone
from support.raw_client import RawClient

TREE: Final = 1000
LINES: Final = 120
HALF_OPEN: Final = 500
CLIENTS: Final = 1000
ADOPTED: Final = 1000
DEATHS: Final = 10
ADOPTION_S: Final = 5.0
TREE_GONE_S: Final = 1.0

_TREE_SCRIPT: Final = f"""trap '' TERM
for i in $(seq {TREE}); do setsid sh -c 'trap "" TERM; exec sleep 600' & done
touch grown; wait; sleep 600
"""


def tree(size: int = TREE) -> Row:
    """End a job that started many processes in sessions of their own, which ignore SIGTERM."""
    row = Row(f"cancel of a job with {size} processes, each its own session, deaf to SIGTERM")
    grace_s = 0.2
    script = _TREE_SCRIPT.replace(str(TREE), str(size))
    with PrivateStoker(total_cpus=2, total_memory="2000M", kill_wait_s=grace_s) as stoker:
        job_id = stoker.sbatch(script=script)
        until((stoker.directory / "grown").exists, lambda: "the tree does not grow", 60.0)
        grown = set(processes_of(stoker.home)) - {stoker.stokerd, stoker.shepherd_pid}
        stoker.ok("scancel", str(job_id))
        began = time.monotonic()
        until(lambda: not any(map(is_running, grown)), lambda: "some live")
        took_s = time.monotonic() - began - grace_s
        row.fault += f": gone {took_s:.1f} s after the grace"
        row.held(len(grown) >= size, f"only {len(grown)} processes have been there")
        row.held(took_s < TREE_GONE_S, f"they were gone after {took_s:.1f} s")
    return row


def numbered_lines() -> Row:
    """Kill the daemon ten times while a job prints."""
    row = Row(f"{DEATHS} deaths of the daemon while a job prints {LINES} numbered lines")
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        job_id = stoker.sbatch(
            "--output=lines", script=f"for i in $(seq {LINES}); do echo $i; sleep 0.05; done\n"
        )
        for _ in range(DEATHS):
            stoker.kill_daemon()
            stoker.ok("squeue")
        stoker.wait_for(job_id)
        lines = (stoker.directory / "lines").read_text().split()
        row.held(lines == [str(n + 1) for n in range(LINES)], f"{len(lines)} lines: {lines[-3:]}")
        row.held(stoker.accounting(job_id) == ["COMPLETED", "0:0"], f"{stoker.state(job_id)}")
    return row


def clients(slow: int = HALF_OPEN, count: int = CLIENTS) -> Row:
    """Ask many times at once beside clients that say half a word and no more."""
    row = Row(f"{count} clients at once beside {slow} half-open ones: all are answered")
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker, ExitStack() as stack:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with _descriptors(1024):
            stoker.ok("stoker", "up")
        stack.enter_context(_descriptors(min(hard, slow + count + 64)))
        path = stoker.home / "run" / "stokerd.sock"
        for _ in range(slow):
            half = stack.enter_context(socket.socket(socket.AF_UNIX))
            half.settimeout(20.0)
            half.connect(str(path))
            half.send(b"\0\0")
        # All of them are there before the first asks.
        present = [stack.enter_context(RawClient(path)) for _ in range(count)]
        for client in present:
            client.send(encode_call(CallMessage("squeue", argv=("-h",), work_dir="/")))
        for client in present:
            problem = _hear(client)
            row.held(not problem, problem)
    return row


@contextmanager
def _descriptors(count: int) -> Iterator[None]:
    """Let us, and whom we start, have so many descriptors, which may be more than the usual."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _hear(client: RawClient) -> str:
    try:
        code = int(client.hear(b"X"))
    except (OSError, AssertionError) as error:
        return f"not answered: {error}"
    return "" if code == 0 else f"status {code}"


def adoption(count: int = ADOPTED) -> Row:
    """Kill the daemon while many jobs run, let them end meanwhile, and look at the ends."""
    row = Row(f"{count} running jobs adopted within {ADOPTION_S:g} s, exit codes right")
    with PrivateStoker(
        total_cpus=count, total_memory=f"{count * 10}M", affinity="no", kill_wait_s=1
    ) as stoker:
        ready = stoker.directory / "ready"
        script = f"echo >> {ready}; while [ ! -e {stoker.directory}/go ]; do sleep 1; done; exit 3"
        stoker.ok(
            "sbatch", f"--array=0-{count - 1}", "--mem=1", "--output=/dev/null", f"--wrap={script}",
            limit_s=60.0,
        )  # fmt: skip
        until(
            lambda: ready.exists() and len(ready.read_bytes()) >= count,
            lambda: f"{len(ready.read_bytes()) if ready.exists() else 0} run",
            120.0,
        )
        stoker.kill_daemon()
        began = time.monotonic()
        stoker.ok("stoker", "up")
        running = stoker.ok("squeue", "-h", "-r", "-t", "R", "-o", "%i").split()
        took_s = time.monotonic() - began
        row.held(len(running) == count, f"{len(running)} are running after the restart")
        row.held(took_s < ADOPTION_S, f"it took {took_s:.1f} s")
        pid = stoker.kill_daemon()
        (stoker.directory / "go").touch()
        wait_gone(pid)
        until(lambda: not stoker.ok("squeue", "-h"), lambda: "some do not end", 120.0)
        ends = stoker.ok("sacct", "-X", "-n", "-P", "-a", "-o", "State,ExitCode").splitlines()
        for end in ends:
            row.held(end == "FAILED|3:0", end)
    return row


def crowd(_: random.Random, seconds: float, jobs: int = JOBS) -> list[Row]:
    """Run all, smaller where there is little time; memory is measured over so many *jobs*."""
    if seconds < 20:
        return [tree(100), clients(50, 100), adoption(20), memory(1000)]
    return [tree(), numbered_lines(), clients(), adoption(), memory(jobs)]
