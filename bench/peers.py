"""The same work through other programs, as far as they are installed here; none is installed.

Each runs short commands, as many at a time as there are CPUs, from the first hand-in until all have
ended. Every command adds a byte to a file: that they ran, and none twice, is counted there. Who
keeps no record (GNU parallel, xargs) is measured for comparison, and said to keep none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.house import compiled, figure, keep, options_of, private_stoker, say, timed

_LIMIT_S: Final = 120.0
_PACKAGES: Final = ("huey", "hyperqueue")
"""Peers that are Python packages, and no programs."""


class Work(NamedTuple):
    """So many runs of a command, so many at a time; files may stand in the directory."""

    command: Sequence[str]
    jobs: int
    parallel: int
    directory: Path


class Peer(NamedTuple):
    """Somebody who runs commands: who is needed for it, and what does the work and times it."""

    name: str
    program: str
    run: Callable[[Work], float]
    is_slow: bool = False
    """Whether it takes ten times as long as the others: it gets a tenth of the work."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000, help="commands (default 2000)")
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="an interpreter that has huey and hyperqueue, if ours has not",
    )
    options = options_of(parser, arguments, quick={"jobs": 200})
    os.environ["PEERS_PYTHON"] = options.python
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        mark = _mark(Path(name))
        for peer in PEERS:
            if not _is_installed(peer.program):
                say(f"{peer.name}: skipped, it is not installed here")
                continue
            jobs = max(1, options.jobs // (10 if peer.is_slow else 1))
            try:
                rate = _measure(peer, mark, jobs, Path(name) / peer.name.split()[0])
            except (OSError, subprocess.SubprocessError) as error:
                say(f"{peer.name}: skipped, it does not work here: {error}")
                continue
            say(f"{peer.name}: {rate:.0f} commands a second")
            figures.append(figure(f"{peer.name}: short commands", rate, "jobs/s"))
    keep("peers", figures, options)
    return 0


def _mark(directory: Path) -> list[str]:
    """Return the command, to which a file's name is to be added."""
    program = compiled("mark", directory)
    return [str(program)] if program else ["sh", "-c", 'printf x >> "$0"']


def _measure(peer: Peer, mark: Sequence[str], jobs: int, directory: Path) -> float:
    directory.mkdir()
    marks = directory / "marks"
    work = Work([*mark, str(marks)], jobs, len(os.sched_getaffinity(0)), directory)
    seconds = peer.run(work)
    ran = marks.stat().st_size if marks.exists() else 0
    if ran != jobs:
        raise SystemExit(f"cannot trust the run: {peer.name} ran {ran} of {jobs} commands")
    return jobs / seconds


def _is_installed(program: str) -> bool:
    if program in _PACKAGES:
        words = [os.environ["PEERS_PYTHON"], "-c", f"import {program}"]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    return not program or shutil.which(program) is not None


def _stoker(work: Work) -> float:
    with private_stoker(total_cpus=work.parallel) as client:
        words = (f"--array=1-{work.jobs}", "--output=/dev/null", "--", *work.command)
        return timed(lambda: client.wait(client.submit(*words), timeout_s=_LIMIT_S))


def _xargs(work: Work) -> float:
    return _fed(["xargs", "-P", str(work.parallel), "-n", "1", *work.command], work.jobs)


def _gnu_parallel(work: Work) -> float:
    return _fed(["parallel", "--will-cite", "-j", str(work.parallel), *work.command], work.jobs)


def _fed(command: Sequence[str], jobs: int) -> float:
    """Give a program a line for each job; the command gets it as one more word, and ignores it."""
    lines = "".join(f"{number}\n" for number in range(jobs))
    return timed(lambda: subprocess.run(command, input=lines, text=True, check=True))


def _task_spooler(work: Work) -> float:
    environment = os.environ | {
        "TS_SOCKET": str(work.directory / "ts"),
        "TS_MAXFINISHED": str(work.jobs + 1),
        "TMPDIR": str(work.directory),
    }

    def ask(*words: str) -> str:
        done = subprocess.run(
            ["tsp", *words], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    def run() -> None:
        for _ in range(work.jobs):
            ask("-n", *work.command)
        deadline = time.monotonic() + _LIMIT_S
        while any(state in ask("-l") for state in (" queued ", " running ")):
            if time.monotonic() > deadline:
                raise SystemExit("cannot trust the run: task-spooler has not come to an end")
            time.sleep(0.02)

    ask("-S", str(work.parallel))
    try:
        return timed(run)
    finally:
        ask("-K")


_HUEY: Final = """
import subprocess, sys
from huey import SqliteHuey
path, jobs, parallel, *command = sys.argv[1:]
huey = SqliteHuey(filename=path)
@huey.task()
def run(): return subprocess.call(command)
consumer = huey.create_consumer(workers=int(parallel), initial_delay=0.01, max_delay=0.05)
consumer._set_signal_handlers = lambda: None
results = [run() for _ in range(int(jobs))]
consumer.start()
assert [each.get(blocking=True, max_delay=0.05) for each in results] == [0] * int(jobs)
consumer.stop()
"""


def _huey(work: Work) -> float:
    numbers = [str(work.directory / "huey.db"), str(work.jobs), str(work.parallel)]
    command = [os.environ["PEERS_PYTHON"], "-c", _HUEY, *numbers, *work.command]
    return timed(lambda: subprocess.run(command, check=True, timeout=_LIMIT_S))


_HYPERQUEUE: Final = """
import os, sys, time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
directory, marks, jobs, parallel, *command = sys.argv[1:]
with LocalCluster(directory, WorkerConfig(cores=int(parallel))) as cluster:
    begun = time.monotonic()
    job = Job()
    for _ in range(int(jobs)): job.program(command, stdout=None, stderr=None)
    cluster.client().submit(job)
    # Its own wait looks once in a second.
    while not os.path.exists(marks) or os.stat(marks).st_size < int(jobs): time.sleep(0.005)
    print(time.monotonic() - begun, file=sys.stderr)
"""


def _hyperqueue(work: Work) -> float:
    """Run a server and a worker in one process, by HyperQueue's own Python package."""
    marks = work.command[-1]
    numbers = [str(work.directory / "hq"), marks, str(work.jobs), str(work.parallel)]
    command = [os.environ["PEERS_PYTHON"], "-c", _HYPERQUEUE, *numbers, *work.command]
    done = subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT_S)
    return float(done.stderr.split()[-1])


def _slurm(work: Work) -> float:
    wrapped = f"--wrap={' '.join(work.command)}"
    words = ["sbatch", "--wait", f"--array=1-{work.jobs}", "--output=/dev/null", wrapped]
    subprocess.run(["scontrol", "ping"], check=True, capture_output=True, timeout=_LIMIT_S)
    return timed(lambda: subprocess.run(words, check=True, cwd=work.directory))


PEERS: Final = (
    Peer("Stoker", "", _stoker),
    Peer("xargs -P (keeps no record)", "xargs", _xargs),
    Peer("GNU parallel (keeps no record)", "parallel", _gnu_parallel),
    Peer("task-spooler", "tsp", _task_spooler),
    Peer("huey with SQLite", "huey", _huey),
    Peer("HyperQueue (no journal)", "hyperqueue", _hyperqueue),
    Peer("Slurm", "slurmctld", _slurm, is_slow=True),
)


if __name__ == "__main__":
    sys.exit(main())
