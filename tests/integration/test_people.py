"""`stoker` on a real daemon: what a person types, from submission to backup."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.client.client import Client
from stoker.core.errors import InvalidSpec
from stoker.core.messages import Draft, JobFilter
from support.daemon import LIMIT_S, PrivateStoker, processes_of, until, wait_gone
from support.stub_home import read_until


@pytest.fixture(scope="module")
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(total_cpus=2) as found:
        found.ok("stoker", "up")
        yield found


def people(stoker: PrivateStoker, *argv: str, **options) -> str:
    return stoker.ok("stoker", *argv, **options)


def test_up_says_what_there_is_and_up_again_that_it_runs(stoker):
    said = people(stoker, "up")
    assert said.startswith(f"stokerd runs already (pid {stoker.stokerd}): 2 CPUs, ")
    assert str(stoker.home) in said


def test_a_command_runs_with_no_shell_in_between(stoker):
    job_id = people(stoker, "submit", "--", "printf", "%s|", "a b", "$HOME", "").strip()
    assert people(stoker, "wait", "-q", job_id) == ""
    assert people(stoker, "logs", job_id) == "a b|$HOME||"


def test_wait_returns_the_jobs_status(stoker):
    job_id = people(stoker, "submit", "--", "sh", "-c", "exit 7").strip()
    done = stoker.run("stoker", "wait", "--json", job_id)
    assert done.returncode == 7
    [job] = json.loads(done.stdout)
    assert (job["state"], job["exit_code"]) == ("FAILED", "7:0")
    assert "exit code 7" in people(stoker, "why", job_id)


def test_a_limit_to_the_second_ends_a_job(stoker):
    job_id = people(stoker, "submit", "--time=0:01", "--", "sleep", "600").strip()
    assert stoker.run("stoker", "wait", "-q", job_id).returncode == 128 + 15
    assert stoker.state(job_id) == "TIMEOUT"


def test_a_job_a_line_prints_an_id_a_line(stoker):
    lines = [
        "echo shell $((1+1))",
        '{"argv": ["echo", "a  b"], "job-name": "words"}',
        '{"script": "#!/bin/sh\\n#SBATCH --comment=hello\\necho script $1", "argv": ["x"]}',
    ]
    ids = people(stoker, "submit", "--from", "-", stdin="\n".join(lines)).split()
    assert len(ids) == 3
    people(stoker, "wait", "-q", *ids)
    logs = [people(stoker, "logs", job_id) for job_id in ids]
    assert logs == ["shell 2\n", "a  b\n", "script x\n"]
    assert json.loads(people(stoker, "show", "--json", ids[2]))[0]["comment"] == "hello"


def test_thousands_of_lines_are_thousands_of_jobs(stoker):
    lines = "".join(f"exit {number % 2}\n" for number in range(2000))
    ids = people(stoker, "submit", "--hold", "--from", "-", stdin=lines).split()
    assert len(set(ids)) == 2000
    listed = json.loads(people(stoker, "list", "--json", "--state", "PENDING"))
    assert {job["id"] for job in listed} >= set(ids)
    people(stoker, "cancel", "--state", "PENDING")
    assert json.loads(people(stoker, "list", "--json", "--state", "PENDING")) == []


def test_ids_come_while_the_lines_still_arrive(stoker):
    caller = subprocess.Popen(
        [sys.executable, "-m", "stoker.cli.people", "submit", "--from", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=stoker.environment,
        cwd=stoker.directory,
    )
    with caller:
        assert caller.stdin is not None
        assert caller.stdout is not None
        for _ in range(2):
            caller.stdin.write(b"true\n")
            caller.stdin.flush()
            assert read_until(caller.stdout.fileno(), b"\n").strip().isdigit()
        caller.stdin.close()
        assert caller.wait(LIMIT_S) == 0


def test_a_bad_line_stops_it_and_what_was_before_it_stays(stoker):
    done = stoker.run("stoker", "submit", "--from", "-", stdin="true\n--\n{no\ntrue\n")
    assert done.returncode == 1
    assert len(done.stdout.split()) == 2
    assert done.stderr.startswith("stoker: line 3: cannot read the JSON object")


def test_options_that_sbatch_refuses_are_refused_in_its_words(stoker):
    done = stoker.run("stoker", "submit", "--frobnicate", "--", "true")
    assert done.returncode == 1
    assert "unrecognized option '--frobnicate'" in done.stderr
    done = stoker.run("stoker", "submit", "--cpus-per-task=9999", "--", "true")
    assert done.returncode == 1
    assert "configuration is not available" in done.stderr


def test_hold_why_release(stoker):
    job_id = people(stoker, "submit", "--hold", "--", "true").strip()
    assert f"`stoker release {job_id}`" in people(stoker, "why", job_id)
    people(stoker, "release", job_id)
    people(stoker, "wait", "-q", job_id)
    assert stoker.state(job_id) == "COMPLETED"


def test_cancel_ends_a_running_job(stoker):
    job_id = people(stoker, "submit", "--", "sleep", "600").strip()
    stoker.wait_running(job_id)
    people(stoker, "cancel", job_id)
    assert stoker.run("stoker", "wait", "-q", job_id).returncode != 0
    assert stoker.state(job_id) == "CANCELLED"


def test_logs_follow_a_job_to_its_end(stoker):
    script = "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two"
    job_id = people(stoker, "submit", "--", "sh", "-c", script).strip()
    follower = subprocess.Popen(
        [sys.executable, "-m", "stoker.cli.people", "logs", "-f", job_id],
        stdout=subprocess.PIPE,
        env=stoker.environment,
    )
    with follower:
        assert follower.stdout is not None
        read_until(follower.stdout.fileno(), b"one\n")
        (stoker.directory / "go").touch()
        assert follower.stdout.read() == b"two\n"
        assert follower.wait(LIMIT_S) == 0


def test_ctrl_c_leaves_no_traceback_and_the_job_goes_on(stoker):
    job_id = people(stoker, "submit", "--", "sleep", "600").strip()
    waiter = subprocess.Popen(
        [sys.executable, "-m", "stoker.cli.people", "wait", job_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=stoker.environment,
    )
    with waiter:
        _await_socket(waiter.pid)
        waiter.send_signal(signal.SIGINT)
        assert waiter.wait(LIMIT_S) == -signal.SIGINT
        assert waiter.stderr is not None
        assert waiter.stderr.read().strip() == b""
    stoker.wait_running(job_id)
    people(stoker, "cancel", job_id)


def _await_socket(pid: int) -> None:
    def sockets() -> list[str]:
        targets = map(_target, Path(f"/proc/{pid}/fd").glob("*"))
        return [target for target in targets if target.startswith("socket:")]

    until(sockets, lambda: f"process {pid} has no connection")


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_on_a_terminal_a_list_is_a_table_and_a_name_does_no_harm(stoker):
    name = "\x1b[31mred"
    job_id = people(stoker, "submit", "--hold", f"--job-name={name}", "--", "true").strip()
    leader, follower = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "stoker.cli.people", "list", job_id],
            stdout=follower,
            env={**stoker.environment, "TERM": "xterm", "COLUMNS": "120"},
            check=True,
            timeout=LIMIT_S,
        )
        shown = read_until(leader, b"JobHeldUser")
        assert rb"\x1b[31mred" in shown
        assert b"\x1b[31mred" not in shown
    finally:
        os.close(leader)
        os.close(follower)
        people(stoker, "cancel", job_id)


def test_a_reader_that_leaves_ends_it_quietly(stoker):
    done = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -m stoker.cli.people settings | head -n 1'],
        env=stoker.environment,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout.startswith(b"NAME")


def test_the_typed_client_from_python(stoker, monkeypatch):
    monkeypatch.chdir(stoker.directory)
    with Client(stoker.home) as client:
        job_id = client.submit("--job-name=typed", "--", "true")
        [job] = client.wait(job_id, timeout_s=LIMIT_S)
        assert job.state == "COMPLETED"
        assert client.job(job_id).job.name == "typed"
        assert [each.job_id for each in client.history(JobFilter(names=("typed",)))] == [job_id]
        script = b"#!/bin/sh\n#SBATCH --array=1-3\nexit 0\n"
        array = client.submit(script=script)
        assert len(client.wait(array, timeout_s=LIMIT_S)) == 3
        assert client.tally(array) == {"COMPLETED": 3}
        assert client.script(array) == script
        with pytest.raises(InvalidSpec):
            client.submit("--time=soon", "--", "true")
        ids = list(client.submit_many(Draft.of(["--", "true"]) for _ in range(600)))
        assert len(set(ids)) == 600
        assert {job.state for job in client.wait(*ids, timeout_s=LIMIT_S)} == {"COMPLETED"}


def test_the_environment_and_the_umask_of_the_caller_reach_the_job(stoker):
    job_id = people(
        stoker, "submit", "--", "sh", "-c", 'printf %s "$TEXT"; umask', env={"TEXT": "one\ntwo"}
    ).strip()
    people(stoker, "wait", "-q", job_id)
    before = os.umask(0)
    os.umask(before)
    assert people(stoker, "logs", job_id) == f"one\ntwo{before:04o}\n"


def test_backup_and_restore_bring_the_records_back():
    with PrivateStoker() as stoker:
        first = people(stoker, "submit", "--", "true").strip()
        people(stoker, "wait", "-q", first)
        backup = Path(people(stoker, "backup").strip())
        second = people(stoker, "submit", "--", "true").strip()
        people(stoker, "wait", "-q", second)
        assert "`stoker down` first" in stoker.run("stoker", "restore", str(backup)).stderr
        people(stoker, "down")
        assert backup.name in people(stoker, "restore")
        assert str(backup) in people(stoker, "restore", backup.name)
        assert stoker.state(first) == "COMPLETED"
        assert stoker.state(second) == ""


def test_a_damaged_backup_changes_nothing(tmp_path):
    with PrivateStoker() as stoker:
        job_id = people(stoker, "submit", "--", "true").strip()
        people(stoker, "wait", "-q", job_id)
        backup = tmp_path / "x.db"
        people(stoker, "backup", str(backup))
        people(stoker, "down")
        backup.write_bytes(backup.read_bytes()[:5000])
        assert stoker.run("stoker", "restore", str(backup)).returncode == 1
        assert stoker.state(job_id) == "COMPLETED"


def test_down_leaves_jobs_running_and_down_with_cancel_leaves_nothing():
    with PrivateStoker() as stoker:
        job_id = people(stoker, "submit", "--", "sleep", "600").strip()
        stoker.wait_running(job_id)
        pid = (
            stoker.job(job_id)["JobState"]
            and json.loads(people(stoker, "show", "--json", job_id))[0]["attempts"][-1]["pid"]
        )
        assert people(stoker, "down") == "stokerd has stopped; 1 job go on\n"
        assert Path(f"/proc/{pid}").exists()
        people(stoker, "up")
        assert stoker.state(job_id) == "RUNNING"
        people(stoker, "down", "--cancel")
        wait_gone(pid)
        until(
            lambda: not processes_of(stoker.home),
            lambda: f"processes are left: {processes_of(stoker.home)}",
        )


def test_down_with_cancel_names_the_jobs_that_do_not_end_in_time_and_does_not_stop():
    with PrivateStoker(kill_wait_s=60) as stoker:
        script = "trap '' TERM; touch ready; sleep 600 & while :; do wait; done\n"
        job_id = stoker.sbatch(script=script)
        until((stoker.directory / "ready").exists, lambda: "the job does not run")
        daemon = stoker.stokerd
        done = stoker.run("stoker", "down", "--cancel", "--timeout", "0.5")
        assert done.returncode == 1
        assert f"1 job had not ended 0.5 s after the cancel: {job_id};" in done.stderr
        assert stoker.job(job_id)["JobState"] == "COMPLETING"
        assert stoker.stokerd == daemon


def test_the_demo_comes_out_as_it_should_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "stoker.cli.people", "demo"],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "TMPDIR": str(tmp_path), "STOKER_HOME": "/nonexistent"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All came out as it should" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert not [pid for pid in _all_pids() if str(tmp_path).encode() in _environ(pid)]


def test_a_demo_that_is_interrupted_leaves_nothing_either(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "stoker.cli.people", "demo"],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as demo:
        assert demo.stdout is not None
        read_until(demo.stdout.fileno(), b"blocks are counted")
        demo.send_signal(signal.SIGTERM)
        demo.stdout.read()
        assert demo.wait(LIMIT_S) == -signal.SIGINT
    assert list(tmp_path.iterdir()) == []
    assert not [pid for pid in _all_pids() if str(tmp_path).encode() in _environ(pid)]


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _environ(pid: int) -> bytes:
    if pid == os.getpid():
        return b""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
