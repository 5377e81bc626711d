"""What an idle Stoker costs: wake-ups a second, and memory of its two processes.

Wake-ups are counted by the kernel: each is a voluntary change of context of one of the threads.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.house import figure, keep, options_of, private_stoker, pss_mib, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long to look (default 20)")
    options = options_of(parser, arguments)
    with private_stoker(total_cpus=2) as client:
        client.wait(client.submit("--output=/dev/null", "--", "true"))
        status = client.status()
        pids = {name: int(status[name]["pid"]) for name in ("stokerd", "shepherd")}
        figures = _measure(pids, options.seconds)
    keep("idle", figures, options)
    return 0


def _measure(pids: dict[str, int], seconds: float) -> list[dict[str, Any]]:
    time.sleep(2)  # Until what the first job brought about is over.
    before = {name: _wakeups(pid) for name, pid in pids.items()}
    say(f"looking for {seconds:g} s")
    time.sleep(seconds)
    rates = {name: (_wakeups(pid) - before[name]) / seconds for name, pid in pids.items()}
    sizes = {name: pss_mib(pid) for name, pid in pids.items()}
    return [
        *(figure(f"idle: wake-ups of {name}", rate, "/s") for name, rate in rates.items()),
        figure("idle: wake-ups", sum(rates.values()), "/s", "<= 1"),
        *(figure(f"idle: memory of {name} (PSS)", size, "MiB") for name, size in sizes.items()),
        figure("idle: memory of both (PSS)", sum(sizes.values()), "MiB", "<= 60"),
    ]


def _wakeups(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    lines = (line for task in tasks for line in (task / "status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


if __name__ == "__main__":
    sys.exit(main())
