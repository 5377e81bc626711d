"""How fast jobs go through: submission to last committed end, beside a bare loop.

The loop (C, or Python where there is no compiler) spawns the same commands with the same
redirections and parallelism in the same run, before and after; the ratio is rate over rate. Output
files are new ones for both, always, and in memory where there is a file system for it: ext4 takes
five times as long for a new file within minutes of thousands having been removed. Each job is
checked to have run once and to be on record as COMPLETED.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench.house import compiled_loop, cpu_s, figure, keep, median, private_stoker, say, timed
from stoker.client.client import Client
from stoker.core.messages import Draft

_SCRIPT = "#!/bin/bash\n:\n"
_MEMORY = "/dev/shm"
_IDS_MAX = 2000
"""Jobs that are asked for in one request."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of a kind (default 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; medians are shown")
    parser.add_argument("--parallel", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--unbound",
        action="store_true",
        help="with the setting affinity = false; the loop binds nobody",
    )
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="stoker-bench-") as name,
        tempfile.TemporaryDirectory(prefix="stoker-bench-", dir=_in_memory()) as outputs,
        chdir(outputs),
    ):
        figures = _measure(Path(name), options)
    keep(f"throughput-{options.jobs}{'-unbound' if options.unbound else ''}", figures)
    return 0


def _measure(directory: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    run_bare = _loop(directory, options.parallel)
    script = directory / "job.sh"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    kinds: list[tuple[str, Callable[[Client, int], list[int]], list[str], float]] = [
        ("no-op commands, an array", array_of_commands, ["true"], 0.6),
        ("no-op commands, one by one", _singles, ["true"], 0.6),
        ("batch scripts, an array", _scripts, [str(script)], 0.75),
    ]
    figures = []
    for label, submit, command, budget in kinds:
        loop = partial(run_bare, writes=submit is _scripts)
        ratios, costs, rates = [], [], []
        for number in range(options.rounds):
            bare_s = timed(loop, options.jobs, command)
            ours_s, stokerd_s, shepherd_s = _run(submit, options)
            bare_s = (bare_s + timed(loop, options.jobs, command)) / 2
            ratios.append(bare_s / ours_s)
            rates.append(options.jobs / ours_s)
            costs.append((stokerd_s * 1e3 / options.jobs, shepherd_s * 1e3 / options.jobs))
            say(
                f"{label}, {number + 1}/{options.rounds}: {rates[-1]:.0f} jobs/s, "
                f"{ratios[-1]:.2f} of the loop, stokerd {costs[-1][0]:.3f} + shepherd "
                f"{costs[-1][1]:.3f} ms of CPU a job"
            )
        figures += [
            figure(f"{label}: rate over the bare loop's", median(ratios), "", f">= {budget}"),
            figure(f"{label}: rate", median(rates), "jobs/s"),
            figure(f"{label}: stokerd", median([cost[0] for cost in costs]), "ms CPU/job"),
            figure(f"{label}: shepherd", median([cost[1] for cost in costs]), "ms CPU/job"),
            figure(
                f"{label}: both", median([sum(cost) for cost in costs]), "ms CPU/job", "<= 0.35"
            ),
        ]
    return figures


def _loop(directory: Path, parallel: int) -> Callable[..., None]:
    """Return what runs a command so many times; where it writes, each time to a new file."""
    program = compiled_loop(directory)
    if program is None:
        say("no C compiler here: the bare loop is Python's, and slower than C's would be")
        return partial(_python_loop, parallel)

    def run(jobs: int, command: list[str], *, writes: bool) -> None:
        out = _new_directory() if writes else "-"
        words = [program, str(jobs), str(parallel), out, *command]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    return run


def _in_memory() -> str | None:
    """Return a directory that is no disk's; None where there is none."""
    return _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None


def _new_directory() -> str:
    """Make a directory for output; it stays until all is over."""
    return tempfile.mkdtemp(prefix="out-", dir=".")


def _python_loop(parallel: int, jobs: int, command: list[str], *, writes: bool) -> None:
    out = _new_directory() if writes else ""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    started = ended = 0
    while ended < jobs:
        while started < jobs and started - ended < parallel:
            path = f"{out}/{started}.out" if out else os.devnull
            opened = [(os.POSIX_SPAWN_OPEN, 1, path, flags, 0o644)]
            os.posix_spawnp(command[0], command, os.environ, file_actions=opened)
            started += 1
        os.wait()
        ended += 1


def _run(
    submit: Callable[[Client, int], list[int]], options: argparse.Namespace
) -> tuple[float, float, float]:
    """Return seconds in all, CPU seconds of stokerd, CPU seconds of the shepherd."""
    jobs, affinity = options.jobs, "false" if options.unbound else "true"
    with private_stoker(
        total_cpus=options.parallel, total_memory="64G", affinity=affinity
    ) as client:
        status = client.status()
        pids = status["stokerd"]["pid"], status["shepherd"]["pid"]
        before = [cpu_s(pid) for pid in pids]
        job_ids: list[int] = []
        seconds = timed(lambda: await_all(client, job_ids, submit(client, jobs)))
        used = [cpu_s(pid) - start for pid, start in zip(pids, before, strict=True)]
        check(client, job_ids, jobs)
        return seconds, used[0], used[1]


def array_of_commands(client: Client, jobs: int) -> list[int]:
    """Submit an array of no-op commands; return its id."""
    return [client.submit(f"--array=0-{jobs - 1}", "--output=/dev/null", "--", "true")]


def _scripts(client: Client, jobs: int) -> list[int]:
    words = (f"--array=0-{jobs - 1}", f"--output={_new_directory()}/%a.out")
    return [client.submit(*words, script=_SCRIPT)]


def _singles(client: Client, jobs: int) -> list[int]:
    return list(client.submit_many(_drafts(jobs)))


def _drafts(jobs: int) -> Iterator[Draft]:
    for _ in range(jobs):
        yield Draft.of(("--output=/dev/null", "--", "true"))


def await_all(client: Client, job_ids: list[int], submitted: list[int]) -> None:
    """Wait until all that was *submitted* has ended, and note it in *job_ids*."""
    job_ids += submitted
    for some in _batches(job_ids):
        with suppress(TimeoutError):
            client.wait(*some, timeout_s=600)


def check(client: Client, job_ids: list[int], jobs: int) -> None:
    """See that each of the jobs has completed, once."""
    completed = sum(client.tally(*some).get("COMPLETED", 0) for some in _batches(job_ids))
    if completed != jobs:
        tally = client.status()["jobs"]
        raise SystemExit(f"cannot trust the run: {completed} of {jobs} jobs completed; {tally}")


def _batches(job_ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(job_ids), _IDS_MAX):
        yield job_ids[start : start + _IDS_MAX]


if __name__ == "__main__":
    sys.exit(main())
