"""What users of one machine do every day, on one Stoker that serves them all."""

from __future__ import annotations

import json
import time
from pathlib import Path

from support.shared_stoker import SharedStoker, until
from support.world import ALICE, BOB, in_a_world


def output(user: str, job_id: int) -> str:
    return Path(f"/home/{user}/slurm-{job_id}.out").read_text()


@in_a_world
def test_arrays_dependencies_steps_and_limits_work_for_everybody() -> None:
    with SharedStoker() as stoker:
        array = stoker.sbatch("alice", 'echo "$SLURM_ARRAY_TASK_ID"', "--array=0-5", "-o", "%A_%a")
        after = stoker.sbatch("alice", "cat *_? | sort", f"--dependency=afterok:{array}")
        limited = stoker.sbatch("bob", "sleep 60", "--time=0:01")
        steps = stoker.sbatch("bob", "srun -n2 id -u; srun -n1 pwd", "-n2")
        assert stoker.wait_for(after, "COMPLETED", "CANCELLED") == ["COMPLETED", "0:0"]
        assert output("alice", after).split() == ["0", "1", "2", "3", "4", "5"]
        assert stoker.wait_for(steps, "COMPLETED", "FAILED") == ["COMPLETED", "0:0"]
        assert output("bob", steps).split() == [str(BOB), str(BOB), "/home/bob"]
        assert stoker.wait_for(limited, "TIMEOUT", "COMPLETED") == ["TIMEOUT", "0:0"]


@in_a_world
def test_jobs_are_cancelled_suspended_requeued_and_held_by_who_may() -> None:
    with SharedStoker() as stoker:
        job_id = stoker.sbatch("alice", "echo on; sleep 60")
        stoker.wait_for(job_id, "RUNNING")
        stoker.ok("root", "scontrol", "suspend", str(job_id))
        stoker.wait_for(job_id, "SUSPENDED")
        stoker.ok("root", "scontrol", "resume", str(job_id))
        stoker.wait_for(job_id, "RUNNING")
        assert stoker.run("bob", "scancel", str(job_id)).returncode != 0
        stoker.ok("alice", "scontrol", "requeue", str(job_id))
        until(
            lambda: output("alice", job_id).count("on\n") > 1 or stoker.job(job_id)["restarts"],
            lambda: str(stoker.job(job_id)),
        )
        stoker.wait_for(job_id, "RUNNING")
        stoker.ok("alice", "scancel", str(job_id))
        stoker.wait_for(job_id, "CANCELLED")


@in_a_world
def test_an_allocation_is_its_users_and_ends_with_its_command() -> None:
    with SharedStoker() as stoker:
        done = stoker.run("bob", "salloc", "-n1", "srun", "sh", "-c", "id -u; touch here; exit 3")
        assert (done.returncode, done.stdout) == (3, f"{BOB}\n")
        assert Path("/home/bob/here").stat().st_uid == BOB


@in_a_world
def test_root_submits_a_job_that_is_another_users() -> None:
    with SharedStoker() as stoker:
        line = ("--uid=alice", "-D", "/home/alice", "-o", "slurm-%j.out", "--wrap", "id -u; id -g")
        job_id = int(stoker.ok("root", "sbatch", "--parsable", *line).strip())
        assert stoker.wait_for(job_id, "COMPLETED", "FAILED") == ["COMPLETED", "0:0"]
        assert output("alice", job_id).split() == [str(ALICE), str(ALICE)]
        denied = stoker.run("bob", "sbatch", *line)
        assert "--uid only permitted by root user" in denied.stderr


@in_a_world
def test_many_short_jobs_of_two_users_run_side_by_side() -> None:
    with SharedStoker(total_cpus=2) as stoker:
        arrays = {
            user: stoker.sbatch(user, "id -u >>ran", "--array=0-99", "-o", "/dev/null")
            for user in ("alice", "bob")
        }
        for user, user_id in (("alice", ALICE), ("bob", BOB)):
            until(
                lambda user=user: stoker.ok("root", "squeue", "-h", "-u", user) == "",
                lambda: stoker.log[-3000:],
            )
            ran = Path(f"/home/{user}/ran").read_text().split()
            assert ran == [str(user_id)] * 100
            states = stoker.ok(
                "root", "sacct", "-anX", "-P", "-j", str(arrays[user]), "-o", "State"
            )
            assert set(states.split()) == {"COMPLETED"}


@in_a_world
def test_who_has_nothing_to_do_needs_no_shepherd_and_stokerd_sleeps() -> None:
    with SharedStoker() as stoker:
        assert not list((stoker.home / "users").iterdir())
        stoker.wait_for(stoker.sbatch("alice", "true"), "COMPLETED")
        assert [path.name for path in (stoker.home / "users").iterdir()] == [str(ALICE)]
        spent = [_wakeups(stoker.daemon_pid)]
        time.sleep(3)
        spent.append(_wakeups(stoker.daemon_pid))
        assert spent[1] - spent[0] < 30, spent


def _wakeups(pid: int) -> int:
    """Return how often a process has gone to sleep until now."""
    switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        switches += int(text.partition("nonvoluntary")[0].rpartition("switches:")[2] or 0)
    return switches


@in_a_world
def test_the_daemon_says_of_each_users_shepherd_how_it_is() -> None:
    with SharedStoker() as stoker:
        jobs = [stoker.sbatch(user, "sleep 60") for user in ("alice", "bob")]
        for job_id in jobs:
            stoker.wait_for(job_id, "RUNNING")
        text = stoker.ok("root", "stoker", "doctor")
        assert "trouble" not in text.lower()
        status = stoker.ok("alice", "stoker", "status", "--json")
        shepherds = json.loads(status)["shepherd"]["users"]
        assert shepherds[str(ALICE)]["pid"] == stoker.shepherd(ALICE)
        assert shepherds[str(BOB)]["running"] == 1
