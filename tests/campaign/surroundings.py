"""What may be done to a live daemon: no descriptors, signals, no home; and to its machine."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from campaign.disks import RELIEF_S, full_disk, read_only_disk
from campaign.machine import machine
from campaign.tally import Row
from support.daemon import PrivateStoker, until, wait_gone

NOTICED_S: Final = 5.0
SIGNALS: Final = 1000
WITHOUT_S: Final = 2.0
"""For how long the daemon has no descriptors."""
_STORM: Final = (
    signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT,
    signal.SIGPIPE, signal.SIGURG, signal.SIGALRM, signal.SIGCHLD, signal.SIGIO,
)  # fmt: skip


def no_descriptors() -> Row:
    """Take all descriptors from the live daemon, and give them back."""
    row = Row("descriptors exhausted (16 for the live daemon): service back at once")
    with _with_job() as (stoker, job_id):
        pid = stoker.stokerd
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (16, before[1]))
        stoker.environment["STOKER_AUTOSTART"] = "0"
        waiting = [stoker.start("squeue") for _ in range(5)]
        # How long a client waits before it gives up is longer.
        with suppress(subprocess.TimeoutExpired):
            waiting[0].wait(WITHOUT_S)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        codes = [each.wait(RELIEF_S) for each in waiting]
        row.held(codes == [0] * 5, f"who asked meanwhile got {codes}")
        row.held(stoker.run("squeue").returncode == 0, "no answer")
        row.held(stoker.stokerd == pid, "the daemon did not survive it")
        _ends_well(row, stoker, job_id)
    return row


def signal_storm(rng: random.Random) -> Row:
    """Send many signals to daemon and shepherd that mean nothing to them."""
    row = Row(f"{SIGNALS} random signals to the daemon, as many of the same kind to the shepherd")
    with _with_job() as (stoker, job_id):
        pids = stoker.stokerd, stoker.shepherd
        for _ in range(SIGNALS):
            for pid in pids:
                os.kill(pid, rng.choice(_STORM))
        stoker.ok("squeue")
        row.held((stoker.stokerd, stoker.shepherd) == pids, "one did not survive it")
        _ends_well(row, stoker, job_id)
    return row


def home_deleted() -> Row:
    """Delete the home under the daemon."""
    row = Row(f"state directory deleted: noticed in {NOTICED_S:g} s, jobs live")
    with _with_job() as (stoker, _), tempfile.TemporaryDirectory() as elsewhere:
        witness = Path(elsewhere) / "witness"
        other = stoker.sbatch(script=f"cd /; sleep 3; echo done > {witness}\n")
        stoker.wait_running(other)
        daemon = stoker.stokerd
        shutil.rmtree(stoker.home)
        wait_gone(daemon, NOTICED_S)
        until(witness.exists, lambda: "the job did not live on")
        row.held(witness.read_text() == "done\n", "the job did not end as it should")
    return row


@contextmanager
def _with_job() -> Iterator[tuple[PrivateStoker, int]]:
    """Give a Stoker with a job that runs until `_ends_well`."""
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        os.mkfifo(stoker.directory / "fifo")
        job_id = stoker.sbatch(script=f"read -r _ < {stoker.directory}/fifo; exit 5\n")
        stoker.wait_running(job_id)
        yield stoker, job_id


def _ends_well(row: Row, stoker: PrivateStoker, job_id: int) -> None:
    (stoker.directory / "fifo").write_text("go\n")
    stoker.wait_for(job_id)
    row.held(stoker.accounting(job_id) == ["FAILED", "5:0"], f"{stoker.accounting(job_id)}")
    row.held(stoker.run("stoker", "doctor", "--check").returncode == 0, "the doctor complains")


def surroundings(rng: random.Random, _: float) -> list[Row]:
    """Run all."""
    return [
        full_disk(),
        read_only_disk(),
        no_descriptors(),
        signal_storm(rng),
        home_deleted(),
        *machine(),
    ]
