"""What long listings cost everybody else: ten clients list a long queue over and over.

Measured beside it, first alone and then among them: a submission on a kept connection, and how long
the only core lies idle between the end of a job and the start of the next, which is a turn of the
scheduler. The listings are checked: each shows every job that waits. ``--listing`` says which kind
of listing it is; memory is that of stokerd at its largest while they list.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bench.house import figure, keep, median, options_of, peak_mib, private_stoker, say, timed
from stoker.cli.names import ensure_names
from stoker.client.client import Client
from stoker.core.messages import Draft

_QUIET = ("--output=/dev/null", "--")
_SHORT = (*_QUIET, "sleep", "0.1")
_BLOCK = (*_QUIET, "sleep", "600")
_ROUNDS = 40
_JOBS = 20
_LIMIT_S = 120.0
_REST = "curl -s --unix-socket {home}/rest.sock http://localhost/{path}/v0.0.38/jobs"
_LISTINGS: Final = {
    "squeue": "{bin}/squeue -h | wc -l",
    "all": "{bin}/squeue -h -t all | wc -l",
    "tasks": "{bin}/squeue -h -r | wc -l",
    "start": "{bin}/squeue -h --start | wc -l",
    "json": "{bin}/squeue --json | grep -c working_directory",
    "yaml": "{bin}/squeue --yaml | grep -c working_directory",
    "show": "{bin}/scontrol -o show job | wc -l",
    "rest": f"{_REST.replace('{path}', 'slurm')} | grep -c working_directory",
    "restdb": f"{_REST.replace('{path}', 'slurmdb')} | grep -c working_directory",
    "sacct": "{bin}/sacct -a -n -X -S 1970-01-01 -E now | wc -l",
    "sacct-json": "{bin}/sacct -a --json -S 1970-01-01 -E now | grep -c working_directory",
}
"""Kinds of listings: what prints for how many jobs there is a line, or a document."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description=__doc__)
    parser.add_argument("--clients", type=int, default=10, help="who list (default 10)")
    parser.add_argument("--pending", type=int, default=100_000, help="jobs that wait")
    parser.add_argument("--listing", choices=_LISTINGS, default="squeue", help="of which kind")
    options = options_of(parser, arguments, quick={"pending": 5_000})
    with ExitStack() as stack:
        settings = {"total_cpus": 1, "total_memory": "1T", "affinity": "false"}
        client = stack.enter_context(private_stoker(**settings))
        if options.listing.startswith("rest"):
            stack.enter_context(_gateway(client.home))
        figures = _measure(client, options.pending, options.clients, options.listing)
    is_plain = options.listing == "squeue"
    keep("crowd" if is_plain else f"crowd-{options.listing}", figures, options)
    return 0


@contextmanager
def _gateway(home: Path) -> Iterator[None]:
    """Serve HTTP at ``rest.sock`` in *home*."""
    if shutil.which("curl") is None:
        raise SystemExit("cannot list over HTTP: there is no curl on PATH")
    place = home / "rest.sock"
    gateway = subprocess.Popen([sys.executable, "-m", "stoker.gateway", f"unix:{place}"])
    try:
        deadline = time.monotonic() + _LIMIT_S
        while not place.is_socket():
            if gateway.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("cannot list over HTTP: slurmrestd does not listen")
            time.sleep(0.05)
        yield
    finally:
        gateway.terminate()
        gateway.wait()


def _measure(client: Client, pending: int, clients: int, kind: str) -> list[dict[str, Any]]:
    # In the order in which they run: two series of short jobs, each held up by a long one.
    gates, series = [], []
    for _ in range(2):
        gates.append(client.submit(*_BLOCK))
        series.append([client.submit(*_SHORT) for _ in range(_JOBS)])
    last_gate = client.submit(*_BLOCK)
    for _ in client.submit_many(Draft.of((*_QUIET, "true")) for _ in range(pending)):
        pass
    say(f"{pending} jobs wait")
    alone = _submission_ms(client), _gap_ms(client, gates[0], series[0])
    pid = client.status()["stokerd"]["pid"]
    before_mib = peak_mib(pid)
    with _listing(client, clients, pending, kind) as counted:
        among = _submission_ms(client), _gap_ms(client, gates[1], series[1])
        listings = counted()
    grown_mib = peak_mib(pid) - before_mib
    client.cancel(last_gate)
    found = [
        figure(f"listings of {pending} jobs, {clients} clients", listings, "/s"),
        figure(f"memory for listings of {pending} jobs, {clients} clients", grown_mib, "MiB"),
    ]
    for name, before, after in zip(("submission", "turn"), alone, among, strict=True):
        found += [
            figure(f"{name}: alone", before, "ms"),
            figure(f"{name}: among {clients} clients that list", after, "ms"),
            figure(f"{name}: among {clients} clients that list", after / before, "times", "< 3"),
        ]
    return found


def _submission_ms(client: Client) -> float:
    return median([timed(client.submit, *_QUIET, "true") for _ in range(_ROUNDS)]) * 1e3


def _gap_ms(client: Client, gate: int, jobs: Sequence[int]) -> float:
    """Let the series go; return how long the core lay idle between two of its jobs."""
    client.cancel(gate)
    views = client.wait(*jobs, timeout_s=_LIMIT_S)
    ran = sorted((view.start_at or 0.0, view.end_at or 0.0) for view in views)
    if len(ran) != len(jobs) or any(view.state != "COMPLETED" for view in views):
        raise SystemExit(f"cannot trust the run: {views}")
    return median([later[0] - earlier[1] for earlier, later in pairwise(ran)]) * 1e3


@contextmanager
def _listing(client: Client, clients: int, pending: int, kind: str) -> Iterator[Any]:
    """Keep clients listing; give what returns the rate of their listings so far, checked."""
    command = _LISTINGS[kind].format(bin=ensure_names(client.home), home=client.home)
    stop = client.home / "stop"
    loop = f"while ! [ -e {stop} ]; do {command}; done"
    began = time.monotonic()
    shells = [
        subprocess.Popen(["sh", "-c", loop], stdout=subprocess.PIPE, text=True)
        for _ in range(clients)
    ]
    lines: list[int] = []

    def rate() -> float:
        stop.touch()
        for shell in shells:
            lines.extend(int(line) for line in shell.communicate()[0].split())
        seconds = time.monotonic() - began
        if not lines or min(lines) < pending:
            raise SystemExit(f"cannot trust the run: listings of {sorted(lines)[:3]} jobs")
        say(f"{len(lines)} listings in {seconds:.1f} s")
        return len(lines) / seconds

    try:
        time.sleep(1.0)  # Until all of them are at it.
        yield rate
    finally:
        stop.touch()
        for shell in shells:
            shell.wait()


if __name__ == "__main__":
    sys.exit(main())
