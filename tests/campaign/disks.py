"""The disk that a home is on fills up, or takes no more writes, and is relieved again.

A full one is a small file system in a mount namespace of its own, which needs no root. One that
takes no writes any more is made by strace: what is open for writing keeps a file system from being
remounted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from campaign.sweeps import Sweep, can_trace, injected
from campaign.tally import Row
from support.daemon import PrivateStoker, until

RELIEF_S: Final = 5.0
DISK: Final = "8m"
_INSIDE: Final = "STOKER_CAMPAIGN_DISK"
_SCRIPT: Final = 'mount -t tmpfs -o size="$1" none "$2" && exec "$3" -m "$4"'


def inside_a_disk(module: str, size: str = DISK) -> tuple[str, str]:
    """Run a module of ours where a small file system is; return what failed, and why none was made.

    The module finds the file system's directory in `_INSIDE`.
    """
    argv = ["unshare", "-rm", "sh", "-c", _SCRIPT, "sh", size]
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {
            _INSIDE: directory,
            "TMPDIR": directory,
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        }
        argv += [directory, sys.executable, module]
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=120.0, check=False
        )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        return "", done.stderr.strip()
    return (done.stdout + done.stderr)[-1000:] if done.returncode else "", ""


def full_disk() -> Row:
    """Fill the disk that the home is on."""
    trouble, obstacle = inside_a_disk("campaign.disks")
    if obstacle:
        return Row(f"disk full: skipped, since no disk can be made here ({obstacle})")
    row = Row(f"disk full ({DISK} tmpfs): refused in words, jobs unharmed, well after relief")
    row.held(not trouble, trouble)
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
        _is_well(stoker, running, "4:0")


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def _is_well(stoker: PrivateStoker, running: int, code: str) -> None:
    """Submissions are taken again soon, and a job that ran meanwhile ended as it should."""
    until(
        lambda: stoker.run("sbatch", "--output=/dev/null", "--wrap=true").returncode == 0,
        lambda: "no submission is taken after relief",
        RELIEF_S,
    )
    assert stoker.wait_for(running) == "FAILED"
    assert stoker.accounting(running) == ["FAILED", code], f"{stoker.accounting(running)}"


def read_only_disk() -> Row:
    """Let each write of the daemon's to its disk fail as on a file system that is read-only."""
    row = Row("disk read-only: refused in words, looks and jobs go on, well after relief")
    if not can_trace():
        return Row("disk read-only: skipped, since strace is not here or may not trace")
    with PrivateStoker(total_cpus=2, total_memory="2000M") as stoker:
        fifo = stoker.directory / "fifo"
        os.mkfifo(fifo)
        running = stoker.sbatch("--output=/dev/null", script=f"read -r _ < {fifo}; exit 4\n")
        stoker.wait_running(running)
        daemon = stoker.stokerd
        stoker.environment["STOKER_AUTOSTART"] = "0"
        with injected(stoker, Sweep("daemon", "pwrite64,ftruncate", "error=EROFS"), "1+"):
            refused = stoker.run("sbatch", "--output=/dev/null", "--wrap=true")
            row.held(refused.returncode, "a submission was taken")
            row.held("cannot" in refused.stderr, f"refused, not in words: {refused.stderr}")
            row.held(str(running) in stoker.ok("squeue"), "the queue cannot be looked at")
            with fifo.open("w") as pipe:
                pipe.write("go\n")
        _is_well(stoker, running, "4:0")
        row.held(stoker.stokerd == daemon, "the daemon did not survive it")
    return row


if __name__ == "__main__":
    _inside(Path(os.environ[_INSIDE]))
