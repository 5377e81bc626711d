"""The same work through other programs, as far as they are installed here; none is installed.

Each runs no-op commands, as many at a time as there are CPUs, from the first hand-in until all have
ended. Who keeps no record (GNU parallel, xargs) is measured for comparison, and said to keep none.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.house import figure, keep, private_stoker, say, timed
from bench.throughput import array_of_commands, await_all, check


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="no-op commands (default 1000)")
    options = parser.parse_args()
    figures = []
    for name, program, run in _PEERS:
        if not _is_installed(program):
            say(f"{name}: skipped, it is not installed here")
            continue
        with tempfile.TemporaryDirectory(prefix="stoker-bench-") as directory:
            seconds = run(options.jobs, len(os.sched_getaffinity(0)), Path(directory))
        figures.append(figure(f"{name}: no-op commands", options.jobs / seconds, "jobs/s"))
    keep("peers", figures)
    return 0


def _is_installed(program: str) -> bool:
    if program.startswith("python:"):
        return importlib.util.find_spec(program.removeprefix("python:")) is not None
    return not program or shutil.which(program) is not None


def _stoker(jobs: int, parallel: int, directory: Path) -> float:
    os.chdir(directory)
    with private_stoker(total_cpus=parallel, affinity="false") as client:
        job_ids: list[int] = []
        seconds = timed(lambda: await_all(client, job_ids, array_of_commands(client, jobs)))
        check(client, job_ids, jobs)
        return seconds


def _xargs(jobs: int, parallel: int, _: Path) -> float:
    return _fed(["xargs", "-P", str(parallel), "-n", "1", "true"], jobs)


def _gnu_parallel(jobs: int, parallel: int, _: Path) -> float:
    return _fed(["parallel", "--will-cite", "-j", str(parallel), "true"], jobs)


def _fed(command: list[str], jobs: int) -> float:
    lines = "".join(f"{number}\n" for number in range(jobs))
    return timed(lambda: subprocess.run(command, input=lines, text=True, check=True))


def _task_spooler(jobs: int, parallel: int, directory: Path) -> float:
    environment = os.environ | {"TS_SOCKET": str(directory / "ts"), "TMPDIR": str(directory)}

    def ask(*words: str) -> None:
        subprocess.run(["tsp", *words], env=environment, check=True, stdout=subprocess.DEVNULL)

    def work() -> None:
        for _ in range(jobs):
            ask("-n", "true")
        ask("-w")

    ask("-S", str(parallel))
    seconds = timed(work)
    ask("-K")
    return seconds


_HUEY = """
import subprocess, sys, threading, time
from huey import SqliteHuey
huey = SqliteHuey(filename=sys.argv[1])
@huey.task()
def run(): return subprocess.call(["true"])
jobs, parallel = int(sys.argv[2]), int(sys.argv[3])
consumer = huey.create_consumer(workers=parallel)
consumer._set_signal_handlers = lambda: None
results = [run() for _ in range(jobs)]
consumer.start()
assert [each.get(blocking=True, max_delay=0.05) for each in results] == [0] * jobs
consumer.stop()
"""


def _huey(jobs: int, parallel: int, directory: Path) -> float:
    command = [sys.executable, "-c", _HUEY, str(directory / "h.db"), str(jobs), str(parallel)]
    return timed(lambda: subprocess.run(command, check=True))


def _hyperqueue(jobs: int, parallel: int, directory: Path) -> float:
    server = ["hq", "--server-dir", str(directory)]
    daemons = [
        subprocess.Popen(
            [*server, "server", "start"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ),
        subprocess.Popen(
            [
                "sh",
                "-c",
                'until "$@"; do sleep 0.2; done',
                "sh",
                *server,
                "worker",
                "start",
                f"--cpus={parallel}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ),
    ]
    words = [*server, "submit", "--wait", f"--array=1-{jobs}", "--stdout=none", "--stderr=none"]
    try:
        return timed(
            lambda: subprocess.run(
                [*words, "true"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
    finally:
        subprocess.run(
            [*server, "server", "stop"],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for daemon in daemons:
            daemon.terminate()
            daemon.wait()


def _slurm(jobs: int, _: int, directory: Path) -> float:
    words = ["sbatch", "--wait", f"--array=1-{jobs}", "--output=/dev/null", "--wrap=true"]
    return timed(lambda: subprocess.run(words, check=True, cwd=directory))


_PEERS: tuple[tuple[str, str, Callable[[int, int, Path], float]], ...] = (
    ("Stoker", "", _stoker),
    ("xargs -P (keeps no record)", "xargs", _xargs),
    ("GNU parallel (keeps no record)", "parallel", _gnu_parallel),
    ("task-spooler", "tsp", _task_spooler),
    ("huey with SQLite", "python:huey", _huey),
    ("HyperQueue", "hq", _hyperqueue),
    ("Slurm", "slurmctld", _slurm),
)


if __name__ == "__main__":
    sys.exit(main())
