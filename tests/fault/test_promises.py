"""Promises that need a whole Stoker, on a machine that is unkind to it: docs/reliability.md."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from campaign.endurance import rss_kib
from campaign.sweeps import can_trace
from support.daemon import PrivateStoker, is_running, until, wait_gone

FREEZER = Path("/sys/fs/cgroup/freezer")
FLOOD_MIB = 64
STOP_S = 5.0


@pytest.fixture
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(total_cpus=2, total_memory="2000M") as private:
        yield private


def test_each_submission_is_synced_before_it_is_answered(stoker) -> None:
    """R1, R5: killing processes cannot show it: the syncs are counted."""
    if not can_trace():
        pytest.skip("strace is not here or may not trace")
    stoker.ok("stoker", "up")
    log, said = stoker.home / "strace", stoker.home / "strace.err"
    argv = [
        "strace",
        "-f",
        "-o",
        str(log),
        "-e",
        "trace=fdatasync,fsync",
        "-p",
        str(stoker.stokerd),
    ]
    with said.open("w") as errors, subprocess.Popen(argv, stderr=errors) as tracer:
        try:
            until(lambda: "attached" in said.read_text(), said.read_text)
            for count in range(1, 6):
                stoker.sbatch("--hold", "--wrap=true")
                synced = re.findall(r"sync\(\d+\) += 0", log.read_text())
                assert len(synced) >= count, f"{len(synced)} syncs for {count} answers"
        finally:
            tracer.terminate()


def test_a_submission_that_is_refused_leaves_no_row_and_no_file(stoker) -> None:
    """R4: it says why on stderr, and gives no id."""
    stoker.wait_for(stoker.sbatch(script="exit 0\n"))
    before = sorted((stoker.home / "spool").rglob("*"))
    done = stoker.run("sbatch", "--ntasks=999", stdin="#!/bin/bash\ntrue # of no other job\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error" in done.stderr
    assert sorted((stoker.home / "spool").rglob("*")) == before
    assert len(stoker.ok("sacct", "-X", "-n", "-a").splitlines()) == 1
    assert stoker.sbatch(script="exit 0\n") == 2


def test_a_job_that_ran_when_the_backup_was_made_is_reconciled_after_the_restore(stoker) -> None:
    """R7: its end is in the records that were swapped out; nothing says RUNNING for ever."""
    os.mkfifo(stoker.directory / "fifo")
    job_id = stoker.sbatch("--no-requeue", script="read -r _ < fifo\n")
    stoker.wait_running(job_id)
    backup = Path(stoker.ok("stoker", "backup").strip())
    (stoker.directory / "fifo").write_text("go\n")
    stoker.wait_for(job_id, "COMPLETED")
    stoker.ok("stoker", "down")
    stoker.ok("stoker", "restore", backup.name)
    stoker.wait_for(job_id)
    # The shepherd may not have forgotten it yet; else nobody knows any more how it ended.
    assert stoker.accounting(job_id) in (["COMPLETED", "0:0"], ["FAILED", "0:0"])
    assert stoker.job(job_id)["ExitCode"] in ("0:0", "-999:0")
    assert stoker.sbatch(script="exit 0\n") > job_id
    stoker.ok("stoker", "doctor", "--check")


def test_a_full_disk_under_its_output_is_the_jobs_trouble_alone(stoker) -> None:
    """R25: the job gets the error, Stoker nothing."""
    job_id = stoker.sbatch("--output=/dev/full", script="echo x || exit 9\n")
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.accounting(job_id) == ["FAILED", "9:0"]
    assert stoker.wait_for(stoker.sbatch(script="exit 0\n")) == "COMPLETED"


def test_a_flood_of_output_costs_the_daemon_no_memory(stoker) -> None:
    """R30: jobs write to their files themselves; endless lines and noise are nothing to us."""
    stoker.ok("stoker", "up")
    before = rss_kib(stoker.stokerd)
    script = f"head -c {FLOOD_MIB}M /dev/urandom; yes | head -c {FLOOD_MIB}M\n"
    job_id = stoker.sbatch("--output=flood", script=script)
    assert stoker.wait_for(job_id) == "COMPLETED"
    assert (stoker.directory / "flood").stat().st_size == 2 * FLOOD_MIB << 20
    assert stoker.ok("stoker", "logs", "--lines", "2", str(job_id)) == "y\ny\n"
    assert rss_kib(stoker.stokerd) - before < 50 << 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_daemon_within_five_seconds_and_jobs_live_on(stoker, number) -> None:
    """R28: also beside clients that have said half a word, or wait for an end."""
    os.mkfifo(stoker.directory / "fifo")
    job_id = stoker.sbatch(script="read -r _ < fifo; exit 3\n")
    stoker.wait_running(job_id)
    daemon, waiting = stoker.stokerd, stoker.start("stoker", "wait", str(job_id))
    with socket.socket(socket.AF_UNIX) as half:
        half.connect(str(stoker.home / "run" / "stokerd.sock"))
        half.send(b"\0\0")
        os.kill(daemon, number)
        wait_gone(daemon, STOP_S)
    assert stoker.state(job_id) == "RUNNING"
    (stoker.directory / "fifo").write_text("go\n")
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.accounting(job_id) == ["FAILED", "3:0"]
    assert waiting.wait(STOP_S) == 3


def test_an_array_of_a_hundred_thousand_tasks_is_taken_in_seconds(stoker) -> None:
    """R32."""
    job_id = stoker.sbatch("--hold", "--array=0-99999", "--wrap=true", limit_s=5.0)
    assert stoker.status()["jobs"] == {"PENDING": 100_000}
    refused = stoker.run("sbatch", "--array=0-1000001", "--wrap=true")
    assert "Invalid job array specification" in refused.stderr
    stoker.ok("scancel", str(job_id), limit_s=5.0)


def test_a_job_that_cannot_be_killed_keeps_its_resources_and_others_go_on() -> None:
    """R18: a process in a frozen control group obeys no signal, SIGKILL included (root)."""
    with (
        frozen() as (freeze, thaw),
        PrivateStoker(total_cpus=2, total_memory="2000M", kill_wait_s=0) as stoker,
    ):
        job_id = stoker.sbatch("--mem=10", script="sleep 600\n")
        stoker.wait_running(job_id)
        pid = json.loads(stoker.ok("stoker", "show", "--json", str(job_id)))[0]["attempts"][0][
            "pid"
        ]
        freeze(int(pid))
        stoker.ok("scancel", str(job_id))
        until(
            lambda: stoker.job(job_id)["JobState"] == "COMPLETING", lambda: str(stoker.job(job_id))
        )
        assert stoker.wait_for(stoker.sbatch("--mem=10", script="exit 0\n")) == "COMPLETED"
        assert stoker.job(job_id)["JobState"] == "COMPLETING"
        assert stoker.status()["cpus"]["allocated"] == 1
        assert is_running(int(pid))
        thaw()
        assert stoker.wait_for(job_id) == "CANCELLED"
        wait_gone(int(pid))
        stoker.ok("stoker", "doctor", "--check")


@contextmanager
def frozen() -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Give what freezes a process, and what thaws it; skip where we may not."""
    group = FREEZER / f"stoker-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"nothing can be frozen here: {error}")

    def set_state(state: str) -> None:
        (group / "freezer.state").write_text(state)
        until(lambda: (group / "freezer.state").read_text().strip() == state, lambda: state)

    def freeze(pid: int) -> None:
        (group / "cgroup.procs").write_text(str(pid))
        set_state("FROZEN")

    try:
        yield freeze, lambda: set_state("THAWED")
    finally:
        set_state("THAWED")
        until(lambda: not (group / "cgroup.procs").read_text(), lambda: "somebody is left")
        with suppress(OSError):
            group.rmdir()
