"""Many jobs, one after the other: the memory of daemon and shepherd stays what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from campaign.tally import Row
from support.daemon import PrivateStoker, until

JOBS: Final = 10_000
PART: Final = 1000
GROWTH_KIB_MAX: Final = 2048
"""What each may grow by while the second half of the jobs runs."""


def memory(jobs: int = JOBS) -> Row:
    """Run jobs part by part, and compare the memory in the middle with that in the end."""
    row = Row(f"memory of daemon and shepherd over {jobs} jobs")
    with PrivateStoker(total_cpus=8, total_memory="4000M", affinity="no") as stoker:
        parts = max(4, jobs // PART)
        middle: list[int] = []
        for number in range(parts):
            _run_part(stoker, jobs // parts)
            if number == parts // 2 - 1:
                middle = _sizes_kib(stoker)
        grown = [now - before for now, before in zip(_sizes_kib(stoker), middle, strict=True)]
        row.fault += f": {middle[0] >> 10} and {middle[1] >> 10} MiB, in the second half "
        row.fault += f"{grown[0]:+} and {grown[1]:+} KiB"
        row.held(max(grown) < GROWTH_KIB_MAX, f"they have grown by {grown} KiB from {middle}")
        ended = stoker.ok("sacct", "-X", "-n", "-a", "-o", "State", limit_s=60.0)
        row.held(ended.count("COMPLETED") == jobs // parts * parts, "not all have completed")
    return row


def _run_part(stoker: PrivateStoker, count: int) -> None:
    """Run an array of jobs that do nothing, to its end."""
    stoker.ok("sbatch", f"--array=1-{count}", "--mem=1", "--output=/dev/null", "--wrap=:")
    until(lambda: not stoker.ok("squeue", "-h"), lambda: stoker.ok("squeue", "-h"), 300.0)


def _sizes_kib(stoker: PrivateStoker) -> list[int]:
    return [rss_kib(pid) for pid in (stoker.stokerd, stoker.shepherd_pid)]


def rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory")
