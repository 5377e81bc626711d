"""What alice, bob and root may do with one Stoker, by its real commands and their real ids.

Refusals are in Slurm's words; where no case is recorded they follow its source.
"""

from __future__ import annotations

import json
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.shared_stoker import USERS, SharedStoker, timed
from support.world import ALICE, BOB, in_a_world

DENIED = "Access/permission denied"
INVALID = "Invalid user id"


@contextmanager
def with_a_job() -> Iterator[tuple[SharedStoker, str]]:
    """Have alice run a job with a step whose output is a file; give its id."""
    with SharedStoker() as stoker:
        text = "srun -o step.out sh -c 'echo step; sleep 600'\n"
        job_id = str(stoker.sbatch("alice", text, "--comment=alices"))
        stoker.wait_text(Path("/home/alice/step.out"), "step")
        yield stoker, job_id


def refused(stoker: SharedStoker, said: str, code: int, *argv: str, user: str = "bob") -> None:
    done = stoker.run(user, *argv)
    assert said in done.stderr, (argv, done)
    assert done.returncode == code, (argv, done)


# Others' jobs.


@in_a_world
def test_bob_does_nothing_to_alices_job_in_any_way() -> None:
    with with_a_job() as (stoker, job_id):
        waiting = str(stoker.sbatch("alice", "true", "-H"))
        step = f"{job_id}.0"
        error = f"scancel: error: Kill job error on job id {job_id}: {DENIED}\n"
        refused(stoker, error, 210, "scancel", job_id)
        refused(stoker, error, 210, "scancel", "-s", "USR1", job_id)
        refused(stoker, INVALID, 218, "scancel", step)
        refused(stoker, f"{INVALID} for job {waiting}", 1, "scontrol", "release", waiting)
        refused(stoker, f"{INVALID} for job {waiting}", 1, "scontrol", "hold", waiting)
        refused(stoker, f"{DENIED} for job {job_id}", 1, "scontrol", "requeue", job_id)
        refused(stoker, f"{DENIED} for job {job_id}", 1, "scontrol", "suspend", job_id)
        update = ("scontrol", "update", f"JobId={waiting}", "Comment=bobs")
        refused(stoker, INVALID, 1, *update)
        refused(stoker, DENIED, 1, "srun", f"--jobid={job_id}", "id")
        refused(stoker, DENIED, 1, "sattach", step)
        refused(stoker, DENIED, 1, "sbcast", "-j", job_id, "/etc/hostname", "/home/bob/x")
        refused(stoker, DENIED, 1, "strigger", "--set", f"--jobid={job_id}", "--fini", "-p", "/x")
        refused(stoker, "it belongs to alice", 1, "stoker", "cancel", job_id)
        refused(stoker, "it belongs to alice", 1, "stoker", "hold", waiting)
        assert stoker.accounting(int(job_id))[0] == "RUNNING"
        assert stoker.run("alice", "squeue", "-h", "-o", "%k", "-j", waiting).stdout == "(null)\n"


@in_a_world
def test_bob_reads_neither_script_nor_environment_of_alices_job_and_sees_all_else() -> None:
    with with_a_job() as (stoker, job_id):
        refused(stoker, INVALID, 0, "scontrol", "write", "batch_script", job_id, "-")
        assert stoker.ok("bob", "sacct", "-a", "-B", "-j", job_id) == ""
        assert stoker.ok("bob", "sacct", "-a", "--env-vars", "-j", job_id) == ""
        assert "step.out" in stoker.ok("alice", "sacct", "-B", "-j", job_id)
        assert "LOGNAME=alice" in stoker.ok("root", "sacct", "-a", "--env-vars", "-j", job_id)
        mine = stoker.sbatch("bob", "sleep 600")
        listed = stoker.ok("bob", "squeue", "-h", "-o", "%u").split()
        assert sorted(listed) == ["alice", "bob"]
        assert stoker.ok("bob", "squeue", "-h", "--me", "-o", "%A") == f"{mine}\n"
        assert "UserId=alice(2001)" in stoker.ok("bob", "scontrol", "show", "job", job_id)
        people = json.loads(stoker.ok("bob", "stoker", "list", "--json"))
        assert {each["user"] for each in people} == {"alice", "bob"}
        assert stoker.ok("bob", "sacct", "-n", "-X", "-o", "user").split() == ["bob"]


@in_a_world
def test_scancel_of_all_and_of_a_user_touches_ones_own_only() -> None:
    with SharedStoker() as stoker:
        hers, his = stoker.sbatch("alice", "sleep 600"), stoker.sbatch("bob", "sleep 600")
        for job_id in (hers, his):
            stoker.wait_for(job_id, "RUNNING")
        refused(stoker, DENIED, 210, "scancel", "-u", "alice")
        stoker.ok("bob", "scancel", "--state=RUNNING")
        stoker.wait_for(his, "CANCELLED")
        assert stoker.accounting(hers)[0] == "RUNNING"
        stoker.ok("root", "scancel", "-u", "alice")
        assert stoker.wait_for(hers, "CANCELLED")[0] == "CANCELLED by 0"


@in_a_world
def test_operators_and_coordinators_of_the_book_are_what_they_are_in_slurm() -> None:
    with SharedStoker() as stoker:
        for words in (
            "add account phys",
            "add user alice account=phys",
            "add user bob account=root",
            "add coordinator account=phys names=bob",
        ):
            stoker.ok("root", "sacctmgr", "-i", *words.split())
        job_id = str(stoker.sbatch("alice", "true", "-H", "-A", "phys"))
        other = str(stoker.sbatch("root", "true", "-H"))
        stoker.ok("bob", "scontrol", "update", f"JobId={job_id}", "Comment=x")
        refused(stoker, INVALID, 1, "scontrol", "update", f"JobId={other}", "Comment=x")
        refused(stoker, DENIED, 1, "scontrol", "update", f"JobId={job_id}", "Nice=-5")
        stoker.ok("root", "sacctmgr", "-i", "modify", "user", "bob", "set", "adminlevel=operator")
        stoker.ok("bob", "scontrol", "update", f"JobId={job_id}", "Nice=-5")
        stoker.ok("bob", "scancel", other)
        node = stoker.ok("bob", "sinfo", "-h", "-N", "-o", "%N").split()[0]
        refused(stoker, INVALID, 1, "scontrol", "update", f"nodename={node}", "state=drain",
                "reason=x")  # fmt: skip


# The daemon.


def stoker_database(stoker: SharedStoker) -> bytes:
    """Return a whole copy of the records."""
    stoker.ok("root", "stoker", "backup", "/root/copy.db")
    return Path("/root/copy.db").read_bytes()


@in_a_world
def test_the_daemon_is_roots() -> None:
    with SharedStoker() as stoker:
        stoker.sbatch("alice", "sleep 600")
        for argv in (("down",), ("down", "--cancel"), ("doctor",)):
            refused(stoker, "only root and who runs stokerd may", 1, "stoker", *argv)
        target = "/home/bob/copy.db"
        refused(stoker, "only root and who runs stokerd may", 1, "stoker", "backup", target)
        refused(stoker, "only root and who runs stokerd may", 1, "stoker", "backup")
        Path("/tmp/other.db").write_bytes(stoker_database(stoker))
        Path("/tmp/other.db").chmod(0o644)
        for argv in (
            ("restore",),
            ("restore", "/tmp/other.db"),
            ("restore", "not-there.db"),
            ("up", "--foreground"),
            ("service", "install"),
        ):
            refused(stoker, "it is another user's", 1, "stoker", *argv)
        assert not Path(target).exists()
        node = stoker.ok("bob", "sinfo", "-h", "-N", "-o", "%N").split()[0]
        refused(stoker, INVALID, 1, "scontrol", "update", f"nodename={node}", "state=down",
                "reason=x")  # fmt: skip
        refused(stoker, INVALID, 1, "scontrol", "update", "partitionname=debug", "state=down")
        refused(stoker, INVALID, 1, "scontrol", "token", "username=alice")
        refused(stoker, "Only root may", 1, "scrontab", "-u", "alice", "-l")
        assert "up for" in stoker.ok("bob", "stoker", "status")
        checked = stoker.ok("root", "stoker", "doctor")
        assert "WRONG" not in checked, checked


@in_a_world
def test_a_user_never_starts_the_daemon_and_is_told_who_does() -> None:
    with SharedStoker() as stoker:
        stoker.ok("root", "stoker", "down")
        took_s = timed(lambda: refused(stoker, "root starts it", 1, "squeue", user="alice"))
        assert took_s > 5, "it may be about to come back"
        assert not (stoker.home / "run" / "stokerd.sock").exists()


@in_a_world
def test_without_a_word_in_the_environment_all_find_the_stoker_of_root() -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", "/var/lib"], check=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/root"}
    install = [sys.executable, "-B", "-m", "stoker.cli.people", "service", "install"]
    done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done
    home = Path("/var/lib/stoker")
    assert (home / "stoker.toml").read_text() == "shared = true\n"
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    up = [sys.executable, "-B", "-m", "stoker.cli.people", "up"]
    subprocess.run(up, env={**environment, "STOKER_HOME": str(home)}, check=True)

    def asked(user: str, *argv: str) -> str:
        user_id, group_id, groups = USERS[user]
        found = {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": f"/home/{user}"}
        done = subprocess.run(
            argv, user=user_id, group=group_id, extra_groups=groups, env=found,
            cwd=found["HOME"], capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done
        return done.stdout

    assert asked("alice", "sbatch", "--wait", "--wrap", "id -u; squeue -h -o %u") == (
        "Submitted batch job 1\n"
    )
    assert Path("/home/alice/slurm-1.out").read_text() == f"{ALICE}\nalice\n"
    assert asked("bob", "squeue", "-h", "-t", "all", "-o", "%A %u %T") == "1 alice COMPLETED\n"
    environ = asked("bob", sys.executable, "-B", "-m", "stoker.cli.people", "env")
    assert environ == f"export PATH={home}/bin:$PATH\n"


# What users do all day.


@in_a_world
def test_a_users_day() -> None:
    with SharedStoker() as stoker:
        assert stoker.ok("alice", "srun", "id", "-u") == f"{ALICE}\n"
        held = stoker.ok("bob", "salloc", "-n1", "sh", "-c", "id -u; srun id -u; squeue -h -o %u")
        assert held.split() == [str(BOB), str(BOB), "bob"]
        stoker.ok("alice", "scrontab", "-", stdin="@hourly id -u > /home/alice/cron\n")
        assert "@hourly" in stoker.ok("alice", "scrontab", "-l")
        assert stoker.run("bob", "scrontab", "-l").returncode == 1
        assert "@hourly" in stoker.ok("root", "scrontab", "-u", "alice", "-l")
        stoker.ok("root", "scrontab", "-u", "bob", "-", stdin="@hourly true\n")
        rows = stoker.ok("root", "squeue", "-h", "-o", "%u %G %Z").splitlines()
        assert sorted(rows) == [f"alice {ALICE} /home/alice", f"bob {BOB} /home/bob"]
        job_id = stoker.ok("alice", "stoker", "submit", "--", "echo", "hello").strip()
        stoker.ok("alice", "stoker", "wait", "-q", job_id)
        assert stoker.ok("alice", "stoker", "logs", job_id) == "hello\n"
        token = stoker.ok("alice", "scontrol", "token")
        assert token.startswith("SLURM_JWT=")


@in_a_world
def test_mail_and_triggers_run_as_whom_they_concern() -> None:
    told = Path("/tmp/told")
    told.mkdir()
    told.chmod(0o777)
    mailer = Path("/srv/mailer")
    mailer.write_text("#!/bin/sh\nid -u >/tmp/told/mail.$(id -u)\n")
    mailer.chmod(0o755)
    program = Path("/home/bob/program")
    program.write_text("#!/bin/sh\nid -u >/tmp/told/trigger; id -G >>/tmp/told/trigger\n")
    program.chmod(0o755)
    with SharedStoker(mail_prog=str(mailer)) as stoker:
        stoker.sbatch("alice", "true", "--mail-type=END", "--mail-user=-oQ/tmp/x")
        stoker.sbatch("alice", "true", "--mail-type=END")
        job_id = stoker.sbatch("bob", "sleep 0.5", "-H")
        stoker.ok("bob", "strigger", "--set", f"--jobid={job_id}", "--fini", f"-p{program}")
        stoker.ok("bob", "scontrol", "release", str(job_id))
        assert stoker.wait_text(told / f"mail.{ALICE}", f"{ALICE}\n") == f"{ALICE}\n"
        assert stoker.wait_text(told / "trigger", f"{BOB}\n{BOB}\n") == f"{BOB}\n{BOB}\n"
        assert {path.name for path in told.iterdir()} == {f"mail.{ALICE}", "trigger"}


@in_a_world
def test_another_users_thousand_connections_keep_nobody_out() -> None:
    with SharedStoker() as stoker, ExitStack() as stack:
        crowd = """if True:
            import socket, sys
            kept = []
            for _ in range(1100):
                kept.append(socket.socket(socket.AF_UNIX))
                kept[-1].connect(sys.argv[1])
                kept[-1].send(b"C\\0\\1\\0\\0x")
            print("all", flush=True)
            sys.stdin.read()
        """
        hanging = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", crowd, str(stoker.home / "run" / "stokerd.sock")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                user=ALICE,
                group=ALICE,
                extra_groups=[],
                preexec_fn=_take_descriptors,  # noqa: PLW1509 - no threads here
            )
        )
        stack.callback(hanging.kill)
        assert hanging.stdout is not None
        assert hanging.stdout.readline() == b"all\n"
        took_s = timed(lambda: stoker.ok("bob", "squeue"))
        assert took_s < 3
        with socket.socket(socket.AF_UNIX) as roots:
            roots.connect(str(stoker.home / "run" / "stokerd.sock"))


def _take_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
