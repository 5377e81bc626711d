"""srun and salloc with real processes: whose streams, whose signals, whose exit status."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import PrivateStoker, until


@pytest.fixture(scope="module")
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(total_cpus=4, total_memory=4000, nodes="node[1-2]") as private:
        private.ok("sinfo")
        yield private


def started(stoker: PrivateStoker, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv,
        cwd=stoker.directory,
        env=stoker.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def exists(path: Path) -> None:
    until(path.exists, lambda: f"{sorted(path.parent.iterdir())} has no {path.name}")


def test_tasks_use_the_callers_streams(stoker: PrivateStoker) -> None:
    done = stoker.run("srun", "sh", "-c", "cat; echo err >&2; exit 3", stdin="input\n")
    assert done.stdout == "input\n"
    assert done.stderr == "err\nsrun: error: node1: task 0: Exited with exit code 3\n"
    assert done.returncode == 3


def test_tasks_know_their_place(stoker: PrivateStoker) -> None:
    line = 'echo "$SLURM_PROCID $SLURMD_NODENAME $SLURM_LOCALID $SLURM_NTASKS"'
    lines = stoker.ok("srun", "-N2", "-n3", "sh", "-c", line).splitlines()
    assert sorted(lines) == ["0 node1 0 3", "1 node1 1 3", "2 node2 0 3"]


def test_a_command_that_is_not_there_ends_with_enoent(stoker: PrivateStoker) -> None:
    done = stoker.run("srun", "nosuchcommand")
    assert done.stderr == (
        "slurmstepd: error: execve(): nosuchcommand: No such file or directory\n"
        "srun: error: node1: task 0: Exited with exit code 2\n"
    )
    assert done.returncode == 2


def test_an_output_that_cannot_be_opened_ends_with_1(stoker: PrivateStoker) -> None:
    done = stoker.run("srun", "-o", "nodir/o", "true")
    assert done.stderr == "srun: error: Could not open stdout file: No such file or directory\n"
    assert done.returncode == 1


def test_a_batch_script_runs_steps(stoker: PrivateStoker) -> None:
    script = "srun -n1 sh -c 'echo step $SLURM_STEP_ID'\nsrun -n1 false\nexit 7\n"
    job_id = stoker.sbatch("-n2", "-o", "steps.out", script=script)
    assert stoker.wait_for(job_id) == "FAILED"
    assert (stoker.directory / "steps.out").read_text() == (
        "step 0\nsrun: error: node1: task 0: Exited with exit code 1\n"
    )
    assert stoker.accounting(job_id, "ExitCode", "DerivedExitCode") == ["7:0", "1:0"]


ABORTED = "srun: Job step aborted: Waiting up to 4 seconds for job step to finish."
CANCELLED = "slurmstepd: error: *** STEP {}.0 ON node1 CANCELLED AT TIME ***"
TERMINATED = "srun: error: node1: task 0: Terminated"


def said(stoker: PrivateStoker, name: str) -> list[str]:
    text = (stoker.directory / name).read_text()
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "TIME", text).splitlines()


def rows(stoker: PrivateStoker, job_id: int) -> list[str]:
    text = stoker.ok("sacct", "-n", "-P", "-j", str(job_id), "-o", "JobID,State,ExitCode")
    return [
        row.partition(".")[2] or "job" + row.removeprefix(str(job_id)) for row in text.split("\n")
    ]


def running_step(stoker: PrivateStoker, job_id: int) -> None:
    until(
        lambda: f"{job_id}.0" in stoker.ok("squeue", "-h", "-s", "-o", "%i").split(),
        lambda: stoker.ok("squeue", "-s"),
    )


def test_a_step_that_a_script_leaves_is_told_to_end_and_its_srun_says_so(
    stoker: PrivateStoker,
) -> None:
    mark = stoker.directory / "left.go"
    script = f"srun sleep 100 &\nuntil [ -e {mark} ]; do sleep 0.05; done\n"
    job_id = stoker.sbatch("-o", "left.out", script=script)
    running_step(stoker, job_id)
    mark.touch()
    assert stoker.wait_for(job_id) == "COMPLETED"
    assert said(stoker, "left.out") == [ABORTED, CANCELLED.format(job_id), TERMINATED]
    assert rows(stoker, job_id)[:3] == [
        "job|COMPLETED|0:0",
        "batch|COMPLETED|0:0",
        "0|CANCELLED|0:15",
    ]


def test_a_cancelled_job_ends_its_steps_and_their_sruns_tell_of_each_signal(
    stoker: PrivateStoker,
) -> None:
    job_id = stoker.sbatch("-o", "whole.out", script="srun sleep 100\nsleep 100\n")
    running_step(stoker, job_id)
    stoker.ok("scancel", str(job_id))
    assert stoker.wait_for(job_id) == "CANCELLED"
    job_line = f"slurmstepd: error: *** JOB {job_id} ON node1 CANCELLED AT TIME ***"
    signals = ["srun: got SIGCONT", "srun: forcing job termination"]
    wanted = [ABORTED, CANCELLED.format(job_id), job_line, *signals, TERMINATED]
    assert sorted(said(stoker, "whole.out")) == sorted(wanted)
    assert rows(stoker, job_id)[2] == "0|CANCELLED|0:15"


def test_who_cancels_a_step_is_named_and_the_job_goes_on(stoker: PrivateStoker) -> None:
    script = "srun sleep 100\necho rc $?\n"
    job_id = stoker.sbatch("-o", "step.out", script=script)
    running_step(stoker, job_id)
    stoker.ok("scancel", f"{job_id}.0")
    assert stoker.wait_for(job_id) == "COMPLETED"
    killed = "srun: error: node1: task 0: Killed"
    assert said(stoker, "step.out") == [CANCELLED.format(job_id), ABORTED, killed, "rc 137"]
    assert rows(stoker, job_id)[2] == f"0|CANCELLED by {os.geteuid()}|0:9"


def test_a_step_whose_time_is_cut_ends_alone_and_late(stoker: PrivateStoker) -> None:
    script = "srun -t 5 sleep 100\necho rc $?\n"
    job_id = stoker.sbatch("-o", "late.out", script=script)
    running_step(stoker, job_id)
    # A limit is in minutes; one of none is over at once.
    stoker.ok("scontrol", "update", f"StepId={job_id}.0", "TimeLimit=-5")
    assert stoker.wait_for(job_id) == "COMPLETED"
    due = CANCELLED.format(job_id).replace("TIME", "TIME DUE TO TIME LIMIT")
    forced = f"srun: Force Terminated StepId={job_id}.0"
    assert said(stoker, "late.out") == [due, TERMINATED, forced, "rc 143"]
    assert rows(stoker, job_id)[2] == "0|TIMEOUT|0:15"


def test_term_to_srun_kills_its_tasks(stoker: PrivateStoker) -> None:
    mark = stoker.directory / "term.started"
    srun = started(stoker, "srun", "sh", "-c", f"trap '' TERM; : > {mark}; sleep 100")
    exists(mark)
    srun.send_signal(signal.SIGTERM)
    _, err = srun.communicate(timeout=30)
    assert srun.returncode == 137
    assert err.startswith("srun: forcing job termination\n")
    assert err.endswith("srun: error: node1: task 0: Killed\n")


def test_user_signals_reach_the_tasks(stoker: PrivateStoker) -> None:
    mark = stoker.directory / "usr1.started"
    line = f"trap 'echo got; exit 9' USR1; : > {mark}; while :; do sleep 0.05; done"
    srun = started(stoker, "srun", "sh", "-c", line)
    exists(mark)
    srun.send_signal(signal.SIGUSR1)
    out, _ = srun.communicate(timeout=30)
    assert (out, srun.returncode) == ("got\n", 9)


def test_the_job_of_a_killed_srun_ends(stoker: PrivateStoker) -> None:
    mark = stoker.directory / "orphan.pid"
    srun = started(
        stoker, "srun", "sh", "-c", f"echo $$ > {mark}.new; mv {mark}.new {mark}; sleep 100"
    )
    exists(mark)
    task = int(mark.read_text())
    srun.kill()
    srun.communicate(timeout=30)
    until(lambda: not Path(f"/proc/{task}").exists(), lambda: f"task {task} is still there")
    until(
        lambda: not stoker.ok("squeue", "-h"), lambda: f"still queued: {stoker.ok('squeue', '-h')}"
    )


def test_srun_waits_for_its_turn_and_says_so(stoker: PrivateStoker) -> None:
    mark = stoker.directory / "go"
    stoker.sbatch("-N2", "--exclusive", script=f"while ! test -e {mark}; do sleep 0.05; done\n")
    srun = started(stoker, "srun", "echo", "ran")
    assert srun.stderr is not None
    assert "queued and waiting for resources" in srun.stderr.readline()
    mark.touch()
    out, err = srun.communicate(timeout=30)
    assert (out, srun.returncode) == ("ran\n", 0)
    assert "has been allocated resources" in err


def test_a_step_that_is_refused_ends_at_once_though_its_pipes_were_passed_on(
    stoker: PrivateStoker,
) -> None:
    job = stoker.ok("sbatch", "--parsable", "-n1", "--wrap", "sleep 100").strip()
    until(
        lambda: "RUNNING" in stoker.ok("squeue", "-h", "-j", job, "-o", "%T"),
        lambda: stoker.ok("squeue"),
    )
    done = stoker.run("srun", f"--jobid={job}", "-n2", "true", limit_s=4)
    assert "More processors requested than permitted" in done.stderr
    assert done.returncode == 1
    stoker.ok("scancel", job)


def test_a_command_of_salloc_is_the_callers_own(stoker: PrivateStoker) -> None:
    line = "echo $SLURM_NTASKS; srun -n2 echo step < /dev/null; echo $PPID > parent; cat; exit 5"
    done = stoker.run("salloc", "-n2", "sh", "-c", line, stdin="input\n")
    assert done.stdout == "2\nstep\nstep\ninput\n"
    assert [text.split(" ", 2)[1] for text in done.stderr.splitlines()] == [
        "Granted",
        "Relinquishing",
    ]
    assert done.returncode == 5


def test_a_command_that_salloc_cannot_run_gives_the_allocation_back(stoker: PrivateStoker) -> None:
    done = stoker.run("salloc", "nosuchcommand")
    assert 'Unable to exec command "nosuchcommand": No such file or directory' in done.stderr
    assert done.returncode == 1
    assert stoker.ok("squeue", "-h") == ""


def test_term_does_not_end_salloc_before_its_command(stoker: PrivateStoker) -> None:
    mark = stoker.directory / "salloc.started"
    go = stoker.directory / "salloc.go"
    line = f": > {mark}; while ! test -e {go}; do sleep 0.05; done"
    salloc = started(stoker, "salloc", "sh", "-c", line)
    exists(mark)
    for _ in range(4):
        os.kill(salloc.pid, signal.SIGTERM)
    go.touch()
    salloc.communicate(timeout=30)
    assert salloc.returncode == 0


def test_a_command_is_signalled_when_its_allocation_ends_if_it_was_to_be(
    stoker: PrivateStoker,
) -> None:
    mark = stoker.directory / "doomed.started"
    line = f"trap 'exit 4' USR1; : > {mark}; while :; do sleep 0.05; done"
    salloc = started(stoker, "salloc", "-KUSR1", "-J", "doomed", "sh", "-c", line)
    exists(mark)
    stoker.ok("scancel", "-n", "doomed")
    _, err = salloc.communicate(timeout=30)
    assert (salloc.returncode, "has been revoked" in err) == (4, True)


def test_a_command_of_salloc_runs_once_though_the_daemon_dies() -> None:
    with PrivateStoker(total_cpus=2, total_memory=2000, nodes="node1") as private:
        mark = private.directory / "once"
        go = private.directory / "go"
        line = f"echo run >> {mark}; while ! test -e {go}; do sleep 0.05; done; exit 3"
        salloc = started(private, "salloc", "sh", "-c", line)
        exists(mark)
        private.kill_daemon()
        go.touch()
        _, err = salloc.communicate(timeout=60)
        assert salloc.returncode == 3, err
        assert mark.read_text() == "run\n"
        until(lambda: not private.ok("squeue", "-h"), lambda: private.ok("squeue"))
        assert private.accounting(1) == ["FAILED", "3:0"]
