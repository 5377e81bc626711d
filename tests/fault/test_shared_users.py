"""Two users of one Stoker, with real processes: each runs as who they are, whatever dies.

What a user can do to their own shepherd is done here by processes of that user.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.shared_stoker import USERS, SharedStoker, timed, until
from support.world import ALICE, BOB, STAFF, in_a_world

WHO = """\
id -u; id -g; id -G; whoami; echo "$HOME"
grep -E 'Cap(Prm|Eff)|NoNewPrivs' /proc/self/status | sort -u
ls /proc/self/fd | tr '\\n' ' '
touch made
"""
UNTIL_TOLD = """\
#!/bin/bash
echo on >>"$1"; while [ ! -e "$2" ]; do sleep 0.02; done; exit "$3"
"""


class Waiting:
    """A job that runs until it is told to go, and ends with its exit code."""

    def __init__(self, stoker: SharedStoker, user: str, code: int, *options: str) -> None:
        directory = Path("/home") / user
        self.stoker, self.code = stoker, code
        self.started, self.go = directory / f"on-{code}", directory / f"go-{code}"
        program = directory / "wait.sh"
        program.write_text(UNTIL_TOLD)
        program.chmod(0o755)
        self.job_id = stoker.sbatch(user, f"{program} {self.started} {self.go} {code}\n", *options)
        stoker.wait_for(self.job_id, "RUNNING")
        stoker.wait_text(self.started, "on\n")

    def end(self) -> None:
        """Let it end, and see that its code is on record, after one run."""
        self.let_go()
        self.ended()

    def let_go(self) -> None:
        self.go.touch()

    def ended(self) -> None:
        row = self.stoker.wait_for(self.job_id, "COMPLETED", "FAILED", "NODE_FAIL", "CANCELLED")
        assert row == ["FAILED", f"{self.code}:0"]
        assert self.started.read_text() == "on\n"


def running(stoker: SharedStoker, *jobs: Waiting) -> None:
    """See that jobs run, and go on doing so."""
    for job in jobs:
        assert stoker.accounting(job.job_id)[0] == "RUNNING"


# Who they are.


@in_a_world
def test_jobs_run_as_their_users_with_their_groups_and_make_files_that_are_theirs() -> None:
    with SharedStoker() as stoker:
        jobs = {"alice": stoker.sbatch("alice", WHO), "bob": stoker.sbatch("bob", WHO)}
        for name, user_id, groups in (
            ("alice", ALICE, f"{ALICE} {STAFF}"),
            ("bob", BOB, f"{BOB}"),
        ):
            assert stoker.wait_for(jobs[name], "COMPLETED", "FAILED") == ["COMPLETED", "0:0"]
            home = Path("/home") / name
            output = home / f"slurm-{jobs[name]}.out"
            told = output.read_text().splitlines()
            assert told[:5] == [str(user_id), str(user_id), groups, name, str(home)]
            nothing = "0" * 16
            assert told[5:8] == [f"CapEff:\t{nothing}", f"CapPrm:\t{nothing}", "NoNewPrivs:\t0"]
            # The last is that of ls itself, on the directory that it lists.
            assert told[8].split() == ["0", "1", "2", "3"]
            assert {path.stat().st_uid for path in (output, home / "made")} == {user_id}


@in_a_world
def test_a_job_of_root_runs_as_root() -> None:
    with SharedStoker() as stoker:
        job_id = stoker.sbatch("root", "id -u")
        stoker.wait_for(job_id, "COMPLETED")
        assert Path(f"/root/slurm-{job_id}.out").read_text() == "0\n"


@in_a_world
def test_steps_run_as_the_user_with_the_callers_files() -> None:
    with SharedStoker() as stoker:
        text = stoker.ok("bob", "srun", "--ntasks=2", "sh", "-c", "id -u; cat", stdin="said\n")
        assert sorted(text.split()) == [str(BOB), str(BOB), "said", "said"]


@in_a_world
def test_nobody_sees_more_of_a_shared_home_than_they_need() -> None:
    with SharedStoker() as stoker:
        job_id = stoker.sbatch("bob", "echo secret")
        stoker.wait_for(job_id, "COMPLETED")
        seen = stoker.run("alice", "find", str(stoker.home), "-readable", "!", "-type", "l").stdout
        roots = stoker.home
        allowed = {str(roots), str(roots / "run"), str(roots / "run" / "stokerd.sock")}
        found = {line for line in seen.splitlines() if not line.startswith(str(roots / "bin"))}
        assert found == allowed
        writable = stoker.run("alice", "find", str(roots), "-writable").stdout.split()
        assert writable == [str(roots / "run" / "stokerd.sock")]
        scripts = list((roots / "spool" / "scripts").glob("*/*/slurm_script"))
        assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in scripts] == [
            (BOB, 0o700)
        ]


@in_a_world
def test_a_user_whom_the_machine_does_not_know_has_a_job_that_waits_and_says_why() -> None:
    with SharedStoker() as stoker:
        Path("/home/carol").mkdir()
        os.chown("/home/carol", 2003, 2003)
        passwd = Path("/tmp/passwd")
        known = passwd.read_text()
        carol = "carol:x:2003:2003::/home/carol:/bin/bash\n"
        passwd.write_text(known + carol)
        USERS["carol"] = (2003, 2003, [])
        blocker = stoker.sbatch("alice", "sleep 60", "--exclusive")
        stoker.wait_for(blocker, "RUNNING")
        job_id = stoker.sbatch("carol", "id -u")
        passwd.write_text(known)
        stoker.ok("alice", "scancel", str(blocker))
        until(
            lambda: "no user of that number" in stoker.job(job_id)["message"],
            lambda: f"{stoker.job(job_id)}\n{stoker.log}",
        )
        assert stoker.ok("root", "squeue", "-h", "-o", "%T %r").strip() == (
            "PENDING JobLaunchFailure"
        )
        others = stoker.sbatch("alice", "true")
        stoker.wait_for(others, "COMPLETED")
        passwd.write_text(known + carol)
        stoker.wait_for(job_id, "COMPLETED")
        assert stoker.job(job_id)["message"] == ""


# Who dies.


@in_a_world
def test_stokerd_dies_while_both_run_and_while_one_ends() -> None:
    with SharedStoker() as stoker:
        alices, bobs = Waiting(stoker, "alice", 7), Waiting(stoker, "bob", 9)
        stoker.kill_daemon()
        bobs.let_go()
        stoker.up()
        bobs.ended()
        running(stoker, alices)
        alices.end()


@in_a_world
def test_the_shepherd_of_one_user_dies_and_the_other_users_job_does_not_notice() -> None:
    with SharedStoker() as stoker:
        alices, bobs = Waiting(stoker, "alice", 7), Waiting(stoker, "bob", 9)
        before, others = stoker.kill_shepherd(ALICE), stoker.shepherd(BOB)
        next_job = stoker.sbatch("alice", "true")
        assert timed(lambda: stoker.wait_for(next_job, "COMPLETED")) < 8
        assert stoker.shepherd(ALICE) not in (0, before)
        running(stoker, alices, bobs)
        # stokerd is the parent of what is left, and asks the kernel how it ended.
        alices.end()
        assert stoker.shepherd(BOB) == others
        bobs.end()


@in_a_world
def test_both_die_and_only_the_job_whose_shepherd_died_is_lost() -> None:
    with SharedStoker() as stoker:
        alices, bobs = Waiting(stoker, "alice", 7, "--no-requeue"), Waiting(stoker, "bob", 9)
        os.kill(stoker.shepherd(ALICE), signal.SIGSTOP)
        stoker.kill_daemon()
        stoker.kill_shepherd(ALICE)
        stoker.up()
        running(stoker, alices, bobs)
        alices.let_go()
        row = stoker.wait_for(alices.job_id, "FAILED", "COMPLETED")
        assert row == ["FAILED", "-999:0"]
        bobs.end()


@in_a_world
def test_all_shepherds_and_stokerd_die_and_nobody_runs_twice() -> None:
    with SharedStoker() as stoker:
        jobs = [Waiting(stoker, user, code) for user, code in (("alice", 3), ("bob", 4))]
        stoker.kill_daemon()
        for user_id in (ALICE, BOB):
            stoker.kill_shepherd(user_id)
        stoker.up()
        running(stoker, *jobs)
        for job in jobs:
            assert job.started.read_text() == "on\n"


@in_a_world
def test_a_shepherd_with_a_defect_begins_anew_as_its_user() -> None:
    stoker = SharedStoker()
    stoker.variables = {"STOKER_TEST_MODE": "1", "STOKER_FAILPOINTS": "start=error:EIO@1"}
    with stoker:
        job = Waiting(stoker, "alice", 7)
        log = stoker.home / "log" / f"shepherd-{ALICE}.log"
        stoker.wait_text(log, "a defect of ours")
        until(lambda: log.read_text().count("looks after") == 2, log.read_text)
        status = Path(f"/proc/{stoker.shepherd(ALICE)}/status").read_text()
        assert f"Uid:\t{ALICE}\t{ALICE}\t{ALICE}\t{ALICE}" in status
        assert f"Groups:\t{ALICE} {STAFF}" in status
        job.end()


# Who is hostile.


@in_a_world
def test_a_link_to_another_users_socket_is_not_followed() -> None:
    with SharedStoker() as stoker:
        bobs = Waiting(stoker, "bob", 9)
        job_id = stoker.sbatch("alice", "true")
        stoker.wait_for(job_id, "COMPLETED")
        pid = stoker.shepherd(ALICE)
        os.kill(pid, signal.SIGSTOP)
        run = stoker.users_home(ALICE) / "run"
        stoker.ok("alice", "mv", str(run), f"{run}.away")
        stoker.ok("alice", "ln", "-s", str(stoker.users_home(BOB) / "run"), str(run))
        os.kill(pid, signal.SIGKILL)
        job_id = stoker.sbatch("alice", "true")
        until(lambda: stoker.job(job_id)["message"], lambda: f"{stoker.job(job_id)}\n{stoker.log}")
        running(stoker, bobs)
        assert stoker.accounting(job_id)[0] == "PENDING"
        stoker.ok("alice", "rm", str(run))
        stoker.ok("alice", "mv", f"{run}.away", str(run))
        stoker.wait_for(job_id, "COMPLETED")
        bobs.end()


LIAR = """
import json, os, socket, struct, sys
home, mode, *keys = sys.argv[1:]
path = home + "/run/shepherd.sock"
if os.path.lexists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(8)
end = dict(event="ended", exit_code=0, signal=0, status_known=True, at=1.0)
def frame(message):
    body = json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body
ends = [dict(end, key=key) for key in keys]
known = [dict(key=key, state="ended", end=each) for key, each in zip(keys, ends)]
known += [dict(key=key, state="running", pid=1, start_ticks=1, started_at=1.0) for key in keys]
welcome = dict(
    type="welcome", version=2, pid=os.getpid(), boot_id="x", remembers_since=0.0, units=known
)
print("listens", flush=True)
while True:
    peer, _ = listener.accept()
    print("met", flush=True)
    try:
        peer.recv(4 + struct.unpack("!I", peer.recv(4, socket.MSG_PEEK))[0])
        peer.sendall(frame(welcome))
        if mode == "lies":
            peer.sendall(frame(dict(type="events", events=ends)))
        elif mode == "floods":
            event = dict(event="started", key=keys[0], pid=1, start_ticks=1, at=1.0)
            flood = frame(dict(type="events", events=[event] * 2000))
            for _ in range(1000):
                peer.sendall(flood)
        elif mode == "babbles":
            peer.sendall(struct.pack("!I", 1 << 20) + b"[" * (1 << 20))
        stream = peer.makefile("rb")
        while head := stream.read(4):
            message = json.loads(stream.read(struct.unpack("!I", head)[0]))
            if mode == "returns" and message["type"] == "launch":
                back = [dict(event="withdrawn", key=unit["key"]) for unit in message["units"]]
                peer.sendall(frame(dict(type="events", events=back)))
    except OSError as error:
        print(error, flush=True)
"""


@pytest.mark.parametrize("mode", ["lies", "floods", "babbles", "returns"])
@in_a_world
def test_a_shepherd_that_is_none_harms_its_own_user_alone(mode: str) -> None:
    with SharedStoker() as stoker:
        alices, bobs = Waiting(stoker, "alice", 7), Waiting(stoker, "bob", 9)
        os.kill(stoker.shepherd(BOB), signal.SIGSTOP)
        keys = [f"{alices.job_id}.0.batch", f"{bobs.job_id}.1.batch", "9.9.batch"]
        with subprocess.Popen(
            [sys.executable, "-c", LIAR, str(stoker.users_home(BOB)), mode, *keys],
            user=BOB,
            group=BOB,
            extra_groups=[],
            stdout=subprocess.PIPE,
            cwd="/",
        ) as liar:
            try:
                assert liar.stdout is not None
                assert liar.stdout.readline() == b"listens\n"
                stoker.kill_shepherd(BOB)
                assert liar.stdout.readline() == b"met\n"
                bobs_next = stoker.sbatch("bob", "true")
                for _ in range(3):
                    job_id = stoker.sbatch("alice", "true")
                    assert timed(lambda each=job_id: stoker.wait_for(each, "COMPLETED")) < 5
                running(stoker, alices)
                stoker.kill_daemon()
                assert timed(stoker.up) < 10
                running(stoker, alices)
                if mode == "returns":
                    message = stoker.job(bobs_next)["message"]
                    assert message == "the user's shepherd takes back what it is given"
            finally:
                liar.kill()
        alices.end()


@in_a_world
def test_a_hung_shepherd_keeps_its_own_user_waiting_alone() -> None:
    with SharedStoker() as stoker:
        bobs = Waiting(stoker, "bob", 9)
        hung = stoker.shepherd(BOB)
        os.kill(hung, signal.SIGSTOP)
        waiting = stoker.sbatch("bob", "true")
        for _ in range(3):
            job_id = stoker.sbatch("alice", "exit 5")
            assert timed(lambda each=job_id: stoker.wait_for(each, "FAILED")) < 5
        assert timed(lambda: stoker.ok("alice", "stoker", "status")) < 5
        # It hangs on while stokerd starts anew: its jobs stay as they are.
        stoker.kill_daemon()
        assert timed(stoker.up) < 10
        job_id = stoker.sbatch("alice", "exit 6")
        stoker.wait_for(job_id, "FAILED")
        running(stoker, bobs)
        os.kill(hung, signal.SIGCONT)
        stoker.wait_for(waiting, "COMPLETED", limit_s=60)
        bobs.end()


# What they share.


@in_a_world
def test_two_users_together_never_hold_more_than_there_is() -> None:
    with SharedStoker(total_cpus=2) as stoker:
        Path("/tmp/both").mkdir()
        Path("/tmp/both").chmod(0o777)
        text = "cd /tmp/both; touch $SLURM_JOB_ID; ls | wc -l; sleep 0.3; rm $SLURM_JOB_ID"
        jobs = [(user, stoker.sbatch(user, text)) for _ in range(6) for user in ("alice", "bob")]
        time.sleep(0.5)
        stoker.kill_shepherd(BOB)
        for user, job_id in jobs:
            assert stoker.wait_for(job_id, "COMPLETED", "FAILED") == ["COMPLETED", "0:0"]
            output = Path(f"/home/{user}/slurm-{job_id}.out").read_text()
            assert int(output) <= 2
        assert stoker.ok("root", "stoker", "doctor")


# Who does not do what they should.


@in_a_world
def test_a_shepherd_that_hangs_is_replaced_and_its_jobs_end_as_they_do() -> None:
    with SharedStoker() as stoker:
        bobs, long = Waiting(stoker, "bob", 9, "--no-requeue"), stoker.sbatch("bob", "sleep 600")
        stoker.wait_for(long, "RUNNING")
        hung = stoker.shepherd(BOB)
        os.kill(hung, signal.SIGSTOP)
        stoker.kill_daemon()
        stoker.up()
        # It is asked three times, for ten seconds each, and then ended by root.
        until(lambda: stoker.shepherd(BOB) not in (0, hung), lambda: stoker.log, 90)
        running(stoker, bobs)
        bobs.let_go()
        # Of those that live nobody was its parent who could tell how it ended.
        assert stoker.wait_for(bobs.job_id, "FAILED", "COMPLETED") == ["FAILED", "-999:0"]
        stoker.ok("bob", "scancel", str(long))
        stoker.wait_for(long, "CANCELLED")
