"""A home deleted or moved under a running daemon, and ids that a restore must not repeat."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import PrivateStoker, until, wait_gone

NOTICED_S = 5.0


@pytest.fixture
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(total_cpus=2, total_memory="2000M") as private:
        yield private


def outside(stoker: PrivateStoker, tmp_path: Path) -> Path:
    """Return a fifo out of the home, for the job to read from."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_deleted_home_is_noticed_and_when_the_last_job_ends_nobody_stays(stoker, tmp_path):
    """R33: intake stops, jobs live."""
    fifo, witness = outside(stoker, tmp_path), tmp_path / "witness"
    job = stoker.sbatch(script=f"cd /; read -r _ < {fifo}; echo end >> {witness}\n")
    stoker.wait_running(job)
    daemon, shepherd = stoker.stokerd, stoker.shepherd
    shutil.rmtree(stoker.home)
    wait_gone(daemon, NOTICED_S)
    assert Path(f"/proc/{shepherd}").exists(), "the shepherd left its job alone"
    fifo.write_text("go\n")
    until(witness.exists, lambda: "the job did not live on")
    wait_gone(shepherd)


def test_a_moved_home_is_noticed_and_served_again_where_it_is_now(stoker, tmp_path):
    """R33."""
    fifo = outside(stoker, tmp_path)
    job = stoker.sbatch(script=f"read -r _ < {fifo}; exit 6\n")
    stoker.wait_running(job)
    daemon = stoker.stokerd
    moved = stoker.home.with_name(stoker.home.name + "-moved")
    stoker.home.rename(moved)
    wait_gone(daemon, NOTICED_S)
    moved.rename(stoker.home)
    assert stoker.state(job) == "RUNNING"
    fifo.write_text("go\n")
    assert stoker.wait_for(job) == "FAILED"
    assert stoker.accounting(job) == ["FAILED", "6:0"]


def test_ids_that_a_restored_backup_has_forgotten_are_not_given_again(stoker):
    """R2, R7: nor are they after a restore."""
    stoker.sbatch("--wrap=true")
    backup = stoker.ok("stoker", "backup").strip()
    later = [stoker.sbatch("--wrap=true") for _ in range(3)]
    stoker.ok("stoker", "down")
    stoker.ok("stoker", "restore", backup)
    assert stoker.sbatch("--wrap=true") > max(later)


def test_a_backup_copied_by_hand_repeats_no_id_either(stoker):
    stoker.sbatch("--wrap=true")
    backup = stoker.ok("stoker", "backup").strip()
    later = [stoker.sbatch("--wrap=true") for _ in range(3)]
    stoker.kill_daemon()
    for suffix in ("-wal", "-shm"):
        (stoker.home / f"stoker.db{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, stoker.home / "stoker.db")
    assert stoker.sbatch("--wrap=true") == max(later) + 1


def test_ids_do_not_jump_when_the_daemon_is_killed(stoker):
    first = stoker.sbatch("--wrap=true")
    stoker.kill_daemon()
    assert stoker.sbatch("--wrap=true") == first + 1


def test_backups_are_made_by_themselves_and_only_the_last_are_kept():
    """R7."""
    with PrivateStoker(
        total_cpus=2, total_memory="2000M", backup_interval_hours=0.0003, backup_keep=2
    ) as stoker:
        mine = Path(stoker.ok("stoker", "backup").strip())
        seen: set[str] = set()

        def autos() -> set[str]:
            found = {path.name for path in mine.parent.glob("auto-*.db")}
            seen.update(found)
            return found

        until(lambda: autos() and len(seen) >= 4, lambda: f"{seen}")
        until(lambda: len(autos()) <= 2, lambda: f"{autos()} are kept")
        assert mine.exists(), "a backup that a user made was removed"
        newest = max(mine.parent.glob("auto-*.db"))
        stoker.ok("stoker", "down")
        stoker.ok("stoker", "restore", str(newest))
        stoker.ok("stoker", "doctor", "--check")
