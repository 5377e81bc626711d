"""What a command costs: whole processes of sbatch and squeue beside ``python3 -c pass``.

The three take turns, so that whatever else the machine does befalls all of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.house import figure, keep, median, options_of, private_stoker, say, timed
from stoker.cli.names import ensure_names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="runs of each command (default 60)")
    options = options_of(parser, arguments)
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        figures = _measure(Path(name), options.rounds)
    keep("latency", figures, options)
    return 0


def _measure(directory: Path, rounds: int) -> list[dict[str, Any]]:
    script = directory / "job.sh"
    script.write_text("#!/bin/sh\n:\n")
    os.chdir(directory)
    with private_stoker() as client:
        names = ensure_names(client.home)
        job_id = client.submit("--hold", script="#!/bin/sh\n:\n")
        commands = {
            "sbatch": [str(names / "sbatch"), "--hold", str(script)],
            "squeue": [str(names / "squeue")],
            "scancel": [str(names / "scancel"), "999999"],
            "sacct -j": [str(names / "sacct"), "-j", str(job_id)],
        }
        bare = [sys.executable, "-c", "pass"]
        samples: dict[str, list[float]] = {name: [] for name in ("bare", *commands)}
        for number in range(rounds):
            samples["bare"].append(timed(_run, bare))
            for name, command in commands.items():
                samples[name].append(timed(_run, command))
            if number % 20 == 19:
                say(f"{number + 1}/{rounds} rounds")
    base = median(samples["bare"])
    figures = [figure("python3 -c pass", base * 1e3, "ms")]
    for name in commands:
        figures.append(figure(f"{name}: whole process", median(samples[name]) * 1e3, "ms"))
        ratio = median(samples[name]) / base
        figures.append(figure(f"{name} over python3 -c pass", ratio, "", "<= 1.1"))
    return figures


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
