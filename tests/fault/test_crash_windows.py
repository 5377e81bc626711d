"""Killed between every two hops of a job's way: nothing lost, no run twice, true outcomes.

Each job appends a line to a witness file when it starts and when it ends: what really happened,
told by nobody of ours. The rows are those of ARCHITECTURE.md, "After a crash".
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import PrivateStoker, until, wait_gone

WITNESS = 'echo "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0} start" >> witness\n'
END = 'echo "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0} end" >> witness\n'


@pytest.fixture
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(total_cpus=2, total_memory="2000M") as private:
        yield private


@pytest.fixture
def at_failpoint() -> Iterator[object]:
    """Give a Stoker whose first daemon dies at a failpoint."""
    opened: list[PrivateStoker] = []

    def make(points: str) -> PrivateStoker:
        private = PrivateStoker(total_cpus=2, total_memory="2000M")
        opened.append(private)
        private.environment |= {"STOKER_TEST_MODE": "1", "STOKER_FAILPOINTS": points}
        return private

    yield make
    for private in opened:
        private.close()


def witnesses(stoker: PrivateStoker) -> list[str]:
    path = stoker.directory / "witness"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def disarm(stoker: PrivateStoker) -> None:
    """Let the next daemon live."""
    stoker.environment.pop("STOKER_FAILPOINTS", None)


def test_killed_before_the_commit_a_retry_makes_one_job(at_failpoint) -> None:
    """R3, R4."""
    stoker = at_failpoint("submit.before-commit=kill@1")
    job_id = submit_through_death(stoker)
    assert stoker.wait_for(job_id) == "COMPLETED"
    assert witnesses(stoker) == [f"{job_id}.0 start"]
    assert len(stoker.ok("sacct", "-X", "-n", "-a").splitlines()) == 1


def test_killed_after_the_commit_a_retry_finds_the_job(at_failpoint) -> None:
    """R1, R3."""
    stoker = at_failpoint("submit.after-commit=kill@1")
    job_id = submit_through_death(stoker)
    assert stoker.wait_for(job_id) == "COMPLETED"
    assert witnesses(stoker) == [f"{job_id}.0 start"]
    assert len(stoker.ok("sacct", "-X", "-n", "-a").splitlines()) == 1


def test_killed_after_the_reply_the_job_is_there(at_failpoint) -> None:
    """R1."""
    stoker = at_failpoint("submit.after-reply=kill@1")
    stoker.ok("stoker", "up")
    disarm(stoker)
    daemon = stoker.stokerd
    job_id = stoker.sbatch(script=WITNESS)
    wait_gone(daemon)
    assert stoker.wait_for(job_id) == "COMPLETED"
    assert witnesses(stoker) == [f"{job_id}.0 start"]


def submit_through_death(stoker: PrivateStoker) -> int:
    """Submit to a daemon that dies of it: the command tries again and starts another one."""
    # The daemon inherits the failpoints when it starts; the one that follows gets none.
    stoker.ok("stoker", "up")
    disarm(stoker)
    return stoker.sbatch(script=WITNESS)


@pytest.mark.parametrize(
    "point",
    [
        "reserve.after-commit",
        "launch.after-send",
        "started.before-commit",
        "started.after-commit",
        "ended.before-commit",
        "ended.after-commit",
        "ack.before",
        "ack.after",
    ],
)
def test_killed_on_the_way_of_a_job_it_runs_once_and_its_end_is_true(at_failpoint, point) -> None:
    """R10, H1: the hops are ours: the shepherd supervises all jobs, the daemon records."""
    stoker = at_failpoint(f"{point}=kill@1")
    stoker.ok("stoker", "up")
    disarm(stoker)
    daemon = stoker.stokerd
    job_id = stoker.sbatch(script=WITNESS + "exit 7\n")
    wait_gone(daemon)
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.accounting(job_id) == ["FAILED", "7:0"]
    assert witnesses(stoker) == [f"{job_id}.0 start"]


@pytest.mark.parametrize(
    # The first look for ended children comes before there are any.
    "point",
    ["intent=kill@1", "begin=kill@1", "spawn=kill@1", "start=kill@1", "reap=kill@2",
     "record=kill@1", "report=kill@1"],
)  # fmt: skip
def test_a_shepherd_killed_at_any_hop_never_runs_a_job_twice_unseen(at_failpoint, point) -> None:
    """R10, H1."""
    stoker = at_failpoint(point)
    stoker.ok("stoker", "up")
    disarm(stoker)
    job_id = stoker.sbatch(script=WITNESS + "exit 7\n")
    state = stoker.wait_for(job_id)
    runs = witnesses(stoker)
    assert len(runs) == len(set(runs)), f"an attempt ran twice: {runs}"
    assert state in ("FAILED", "NODE_FAIL"), stoker.accounting(job_id)


def test_jobs_do_not_notice_that_the_daemon_died(stoker) -> None:
    """R12: same process, which nobody asked for a go."""
    job_id = stoker.sbatch(script=f"{WITNESS}read -r _ < fifo\n{END}exit 3\n", env=fifo(stoker))
    stoker.wait_running(job_id)
    before = process_of(stoker, job_id)
    stoker.kill_daemon()
    assert stoker.state(job_id) == "RUNNING"
    assert process_of(stoker, job_id) == before
    release(stoker)
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.accounting(job_id) == ["FAILED", "3:0"]
    assert witnesses(stoker) == [f"{job_id}.0 start", f"{job_id}.0 end"]


def test_a_job_that_ended_while_the_daemon_was_away_has_its_true_end(stoker) -> None:
    """R13."""
    job_id = stoker.sbatch(
        script=f"{WITNESS}read -r _ < fifo\n{END}kill -SEGV $$\n", env=fifo(stoker)
    )
    stoker.wait_running(job_id)
    process = process_of(stoker, job_id)
    stoker.kill_daemon()
    release(stoker)
    wait_gone(process)
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.accounting(job_id) == ["FAILED", "0:11"]
    assert witnesses(stoker) == [f"{job_id}.0 start", f"{job_id}.0 end"]


def test_a_time_limit_is_kept_while_the_daemon_is_away(stoker) -> None:
    """R13: by the shepherd."""
    job_id = stoker.sbatch("--time=0:02", script=f"{WITNESS}sleep 600\n{END}")
    stoker.wait_running(job_id)
    process = process_of(stoker, job_id)
    stoker.kill_daemon()
    wait_gone(process)
    assert stoker.wait_for(job_id) == "TIMEOUT"
    assert witnesses(stoker) == [f"{job_id}.0 start"]


def test_a_dead_shepherd_leaves_its_job_to_the_daemon_which_knows_its_true_end(stoker) -> None:
    """R14: better than lost: the daemon is the parent then."""
    job_id = stoker.sbatch(script=f"{WITNESS}read -r _ < fifo\n{END}exit 5\n", env=fifo(stoker))
    stoker.wait_running(job_id)
    shepherd = stoker.shepherd
    os.kill(shepherd, signal.SIGKILL)
    wait_gone(shepherd)
    until(lambda: stoker.shepherd != shepherd, lambda: "no new shepherd")
    assert stoker.state(job_id) == "RUNNING"
    release(stoker)
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.accounting(job_id) == ["FAILED", "5:0"]
    assert witnesses(stoker) == [f"{job_id}.0 start", f"{job_id}.0 end"]


def test_daemon_and_shepherd_dead_the_job_is_adopted_and_ends_without_a_status(stoker) -> None:
    """R14: what is left of it is watched, not killed; its end says -999:0."""
    job_id = stoker.sbatch(script=f"{WITNESS}read -r _ < fifo\n{END}", env=fifo(stoker))
    stoker.wait_running(job_id)
    shepherd = stoker.shepherd
    stoker.kill_daemon()
    os.kill(shepherd, signal.SIGKILL)
    wait_gone(shepherd)
    assert stoker.state(job_id) == "RUNNING"
    release(stoker)
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.job(job_id)["ExitCode"] == "-999:0"
    assert witnesses(stoker) == [f"{job_id}.0 start", f"{job_id}.0 end"]


def test_everything_dead_a_job_that_may_is_requeued_and_runs_as_the_next_attempt(stoker) -> None:
    """R10, R14."""
    job_id = stoker.sbatch(
        "--requeue", script=f'{WITNESS}test -n "$SLURM_RESTART_COUNT" || sleep 600\n{END}'
    )
    stoker.wait_running(job_id)
    kill_everything(stoker, job_id)
    assert stoker.wait_for(job_id) == "COMPLETED"
    assert witnesses(stoker) == [f"{job_id}.0 start", f"{job_id}.1 start", f"{job_id}.1 end"]


def test_everything_dead_a_job_that_may_not_be_requeued_failed_with_a_reason(stoker) -> None:
    job_id = stoker.sbatch("--no-requeue", script=f"{WITNESS}sleep 600\n{END}")
    stoker.wait_running(job_id)
    kill_everything(stoker, job_id)
    assert stoker.wait_for(job_id) == "FAILED"
    assert stoker.job(job_id)["ExitCode"] == "-999:0"
    assert witnesses(stoker) == [f"{job_id}.0 start"]


def test_a_reservation_that_a_lost_journal_may_have_known_is_not_run_as_the_same_attempt(
    at_failpoint,
) -> None:
    stoker = at_failpoint("reserve.after-commit=kill@1")
    stoker.ok("stoker", "up")
    disarm(stoker)
    daemon, shepherd = stoker.stokerd, stoker.shepherd
    stoker.environment["STOKER_AUTOSTART"] = "0"
    stoker.run("sbatch", "--parsable", stdin=f"#!/bin/bash\n{WITNESS}")
    wait_gone(daemon)
    os.kill(shepherd, signal.SIGKILL)
    wait_gone(shepherd)
    (stoker.home / "shepherd.journal").unlink()
    del stoker.environment["STOKER_AUTOSTART"]
    assert stoker.wait_for(1) == "COMPLETED"
    assert witnesses(stoker) == ["1.1 start"]


def test_after_all_of_it_the_house_is_in_order(stoker) -> None:
    """R2, H5."""
    first = stoker.sbatch(script="exit 0\n")
    stoker.wait_for(first)
    stoker.kill_daemon()
    second = stoker.sbatch(script="exit 0\n")
    assert second > first, "an id was given twice"
    stoker.wait_for(second)
    assert stoker.status()["cpus"]["allocated"] == 0
    stoker.ok("stoker", "doctor", "--check")


def fifo(stoker: PrivateStoker) -> dict[str, str]:
    os.mkfifo(stoker.directory / "fifo")
    return {}


def release(stoker: PrivateStoker) -> None:
    """Let the job go on that reads from the fifo."""
    with (stoker.directory / "fifo").open("w") as pipe:
        pipe.write("go\n")


def process_of(stoker: PrivateStoker, job_id: int) -> int:
    """Return the pid of the job's script."""
    entry = f"SLURM_JOB_ID={job_id}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if entry in words and f"STOKER_HOME={stoker.home}".encode() in words:
            found.append(int(path.parent.name))
    assert found, f"job {job_id} has no process"
    return min(found)


def kill_everything(stoker: PrivateStoker, job_id: int) -> None:
    """As if the machine had lost its power, but for the boot id."""
    shepherd, process = stoker.shepherd, process_of(stoker, job_id)
    stoker.kill_daemon()
    os.kill(shepherd, signal.SIGKILL)
    wait_gone(shepherd)
    os.killpg(process, signal.SIGKILL)
    wait_gone(process)
