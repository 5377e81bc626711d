"""What the machine may do to us: no room, no descriptors, signals, a home that goes away."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from campaign.tally import Row
from support.daemon import PrivateStoker, until, wait_gone

RELIEF_S: Final = 5.0
NOTICED_S: Final = 5.0
SIGNALS: Final = 1000
DISK: Final = "8m"
_STORM: Final = (
    signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT,
    signal.SIGPIPE, signal.SIGURG, signal.SIGALRM, signal.SIGCHLD, signal.SIGIO,
)  # fmt: skip
_INSIDE: Final = "STOKER_CAMPAIGN_DISK"


def full_disk() -> Row:
    """Fill the disk that the home is on; it is a small one, in a mount namespace of its own."""
    name = f"disk full ({DISK} tmpfs): refused in words, jobs unharmed, well after relief"
    script = 'mount -t tmpfs -o size="$1" none "$2" && exec "$3" -m campaign.surroundings'
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", DISK]
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {
            _INSIDE: directory,
            "TMPDIR": directory,
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        }
        argv += [directory, sys.executable]
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=120.0, check=False
        )
    if "unshare" in done.stderr or "mount" in done.stderr:
        return Row(f"disk full: skipped, since no disk can be made here ({done.stderr.strip()})")
    row = Row(name, tries=1)
    if done.returncode:
        row.wrong, row.notes = 1, [(done.stdout + done.stderr)[-1000:]]
    return row


def _inside(directory: Path) -> None:
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        fifo = stoker.directory / "fifo"
        os.mkfifo(fifo)
        running = stoker.sbatch("--output=/dev/null", script=f"read -r _ < {fifo}; exit 4\n")
        stoker.wait_running(running)
        filler = directory / "filler"
        _fill(filler)
        refused = stoker.run("sbatch", "--wrap", "# " + "x" * 100_000)
        assert refused.returncode != 0, "a submission was taken with no room for it"
        assert "full" in refused.stderr, f"refused, but not in words: {refused.stderr}"
        assert str(running) in stoker.ok("squeue"), "a look at the queue needs no room"
        with fifo.open("w") as pipe:
            pipe.write("go\n")
        filler.unlink()
        until(
            lambda: stoker.run("sbatch", "--output=/dev/null", "--wrap=true").returncode == 0,
            lambda: "no submission is taken after relief",
            RELIEF_S,
        )
        assert stoker.wait_for(running) == "FAILED"
        assert stoker.accounting(running) == ["FAILED", "4:0"], f"{stoker.accounting(running)}"


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def no_descriptors() -> Row:
    """Take all descriptors from the live daemon, and give them back."""
    row = Row("descriptors exhausted (16 for the live daemon): service back at once")
    with _with_job() as (stoker, job_id):
        pid = stoker.stokerd
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (16, before[1]))
        stoker.environment["STOKER_AUTOSTART"] = "0"
        for _ in range(5):
            stoker.run("squeue")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        until(lambda: stoker.run("squeue").returncode == 0, lambda: "no answer", RELIEF_S)
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
    return [full_disk(), no_descriptors(), signal_storm(rng), home_deleted()]


if __name__ == "__main__":
    _inside(Path(os.environ[_INSIDE]))
