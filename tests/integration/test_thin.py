"""The thin commands, as whole processes, against a stub daemon that can be killed at each point."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.stub_home import LIMIT_S, StubHome, read_until, until


@pytest.fixture
def stub() -> Iterator[StubHome]:
    with StubHome() as home:
        home.start()
        yield home


def dump(stub: StubHome, *argv: str | bytes, program: str = "sbatch", **options) -> dict:
    done = stub.run(program, "dump", *argv, **options)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def wait_connected(caller: subprocess.Popen[bytes]) -> None:
    """Wait until a command has its connection: from then on it waits for an answer."""

    def open_files() -> list[str]:
        found = []
        for link in Path(f"/proc/{caller.pid}/fd").glob("*"):
            with suppress(OSError):
                found.append(str(link.readlink()))
        return found

    until(
        lambda: any(target.startswith("socket:") for target in open_files()),
        lambda: f"process {caller.pid} has {open_files()}",
    )


def wait_forwarding(caller: subprocess.Popen[bytes]) -> None:
    """Wait until a command passes its signals on instead of dying of them."""

    def caught() -> int:
        return int(status_line(caller.pid, "SigCgt:") or "0", 16)

    mask = 1 << (signal.SIGUSR1 - 1)
    until(lambda: caught() & mask, lambda: f"process {caller.pid} catches {caught():x}")


def status_line(pid: int, name: str) -> str:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return line.split()[1]
    return ""


# --- What a call carries.


def test_a_call_carries_arguments_directory_and_who_asks(stub, tmp_path):
    seen = dump(stub, "a b", "", "--x=1\n", cwd=tmp_path)
    assert seen["program"] == "sbatch"
    assert seen["argv"] == ["dump", "a b", "", "--x=1\n"]
    assert seen["work_dir"] == str(tmp_path)
    assert seen["user"] == os.getuid()


def test_the_environment_arrives_as_it_is_newlines_included(stub):
    seen = dump(stub, env={"TEXT": "one\ntwo", "EMPTY": "", "EQUALS": "a=b"})
    environment = seen["environment"]
    assert environment["TEXT"] == "one\ntwo"
    assert environment["EMPTY"] == ""
    assert environment["EQUALS"] == "a=b"
    assert environment["STOKER_HOME"] == str(stub.home)


def test_bytes_that_are_no_text_come_back_as_they_were(stub):
    seen = dump(stub, b"caf\xe9")
    assert seen["argv"][1].encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_what_python_adds_in_the_c_locale_is_not_the_callers(stub):
    seen = dump(stub, env={"LANG": "C", "LC_ALL": ""})
    assert "LC_CTYPE" not in seen["environment"]


def test_umask_and_limits_are_those_of_the_caller(stub):
    def narrow() -> None:
        os.umask(0o027)
        resource.setrlimit(resource.RLIMIT_NOFILE, (99, 199))

    seen = dump(stub, preexec_fn=narrow)
    assert seen["umask"] == 0o027
    assert seen["rlimits"]["nofile"] == [99, 199]
    assert set(seen["rlimits"]) >= {"cpu", "core", "as", "stack"}


def test_each_submission_draws_a_key_of_its_own(stub):
    keys = {dump(stub)["key"] for _ in range(3)}
    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)


def test_a_directory_that_is_gone_is_said_as_such(stub, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    launcher = stub.bin / "squeue"
    done = subprocess.run(
        ["/bin/sh", "-c", f'cd "{gone}" && rmdir "{gone}" && exec "{launcher}" dump'],
        env=stub.environment,
        capture_output=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert json.loads(done.stdout)["work_dir"] == ""


def test_a_home_may_have_a_longer_path_than_a_socket_may(stub):
    deep = stub.home / "/".join(["x" * 60] * 3)
    deep.parent.mkdir(parents=True)
    deep.symlink_to(stub.home)
    assert len(str(deep)) > 107
    done = stub.run("squeue", "look", env={"STOKER_HOME": str(deep)})
    assert done.stdout == b"seen\n"


# --- Answers.


def test_text_and_status_go_where_they_belong(stub):
    done = stub.run("squeue", "say", "to out\n", "to err\n", "3")
    assert (done.stdout, done.stderr, done.returncode) == (b"to out\n", b"to err\n", 3)


def test_a_script_from_standard_input_is_read_by_the_caller(stub):
    assert stub.run("sbatch", "read", "-", input=b"#!/bin/sh\n").stdout == b"#!/bin/sh\n"


def test_a_file_is_read_with_the_callers_eyes(stub, tmp_path):
    script = tmp_path / "job.sh"
    script.write_bytes(b"#!/bin/sh\ntrue\n")
    assert stub.run("sbatch", "read", "job.sh", cwd=tmp_path).stdout == script.read_bytes()
    missing = stub.run("sbatch", "read", "none.sh", cwd=tmp_path)
    assert (missing.returncode, missing.stderr) == (2, b"2 none.sh\n")


def test_a_file_that_is_too_large_is_not_shipped(stub, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 1000)
    done = stub.run("sbatch", "read", str(tmp_path / "big"))
    assert done.returncode == 2
    assert done.stderr.startswith(b"27 ")


def test_a_step_writes_to_the_callers_own_descriptors(stub):
    caller = stub.begin("srun", "attach", "8")
    assert caller.stdout is not None
    assert read_until(caller.stdout.fileno(), b"from the job\n") == b"from the job\n"


def test_a_defect_of_the_daemon_is_a_sentence_and_no_traceback(stub):
    done = stub.run("squeue", "boom")
    assert done.returncode == 1
    assert b"internal error: KeyError" in done.stderr
    assert b"secret" not in done.stderr
    assert b"Traceback" not in done.stderr


# --- Readers.


def test_a_terminal_gets_no_control_characters(stub):
    leader, follower = pty.openpty()
    try:
        stub.run(
            "squeue", "say", "\x1b[31mred\x07\n", "", "0", stdout=follower, capture_output=False
        )
        shown = read_until(leader, b"\n")
        assert shown.rstrip() == rb"\x1b[31mred\x07"
    finally:
        os.close(leader)
        os.close(follower)


def test_a_pipe_gets_the_bytes_as_they_are(stub):
    assert stub.run("squeue", "say", "\x1b[31mred\n", "", "0").stdout == b"\x1b[31mred\n"


def test_a_slow_reader_gets_every_line(stub):
    caller = stub.begin("squeue", "lines", "3000")
    assert caller.stdout is not None
    lines = 0
    while chunk := os.read(caller.stdout.fileno(), 4096):
        lines += chunk.count(b"\n")
    assert lines == 300_000
    assert caller.wait(LIMIT_S) == 0


def test_a_reader_that_leaves_ends_the_command_as_it_ends_one_in_c(stub):
    caller = stub.begin("squeue", "lines", "3000")
    assert caller.stdout is not None
    read_until(caller.stdout.fileno(), b"\n")
    caller.stdout.close()
    caller.stdout = None
    assert caller.wait(LIMIT_S) == -signal.SIGPIPE


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_do_not_turn_the_connection_into_output(stub, closed):
    command = f'"{stub.bin / "squeue"}" say out err 4 {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=stub.environment,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 4
    assert done.stdout == (b"" if ">&-" in closed.split() else b"out")


def test_a_closed_stdout_does_not_keep_a_submission_from_being_made(stub):
    subprocess.run(
        ["/bin/sh", "-c", f'"{stub.bin / "sbatch"}" submit >&-'],
        env=stub.environment,
        timeout=LIMIT_S,
        check=True,
    )
    assert len(stub.keys()) == 1


# --- The daemon dies.


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
def test_a_submission_whose_daemon_is_killed_is_made_exactly_once(stub, point):
    stub.die_at(point)
    caller = stub.begin("sbatch", "submit")
    stub.wait_dead()
    assert len(stub.keys()) == (point == "after-commit")
    stub.start()
    out, err = caller.communicate(timeout=LIMIT_S)
    assert (out, err, caller.returncode) == (b"Submitted batch job 1\n", b"", 0)
    assert len(stub.keys()) == 1


def test_what_was_shown_is_not_shown_again_by_the_second_attempt(stub):
    caller = stub.begin("sbatch", "submit_and_wait")
    assert caller.stdout is not None
    shown = read_until(caller.stdout.fileno(), b"job 1\n")
    stub.kill()
    (stub.home / "job-7-ended").touch()
    stub.start()
    rest, _ = caller.communicate(timeout=LIMIT_S)
    assert shown + rest == b"Submitted batch job 1\nended\n"
    assert caller.returncode == 3
    assert len(stub.keys()) == 1


def test_a_listing_that_broke_off_is_not_begun_again(stub):
    caller = stub.begin("squeue", "wait", "7")
    assert caller.stdout is not None
    read_until(caller.stdout.fileno(), b"waiting\n")
    stub.kill()
    stub.start()
    out, err = caller.communicate(timeout=LIMIT_S)
    assert (out, caller.returncode) == (b"", 1)
    assert b"Unable to contact slurm controller" in err


def test_standard_input_is_read_once_for_all_attempts(stub):
    stub.die_at("after-read")
    caller = stub.begin("sbatch", "read", "-", stdin=subprocess.PIPE)
    assert caller.stdin is not None
    caller.stdin.write(b"text")
    caller.stdin.close()
    caller.stdin = None
    stub.wait_dead()
    stub.start()
    out, _ = caller.communicate(timeout=LIMIT_S)
    assert out == b"text"


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("sbatch", b"sbatch: error: Batch job submission failed: Unable to contact slurm"),
        ("squeue", b"slurm_load_jobs error: Unable to contact slurm controller"),
        ("sinfo", b"slurm_load_partitions: Unable to contact slurm controller"),
        ("sacct", b"sacct: error: Unable to contact slurm controller"),
    ],
)
def test_without_a_daemon_the_command_says_so_in_slurms_words(program, sentence):
    with StubHome() as home:
        done = home.run(program, "look")
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)


# --- Signals.


def test_ctrl_c_ends_a_command_that_does_not_wait(stub):
    stub.pause()
    caller = stub.begin("squeue", "look")
    wait_connected(caller)
    caller.send_signal(signal.SIGINT)
    assert caller.wait(LIMIT_S) == -signal.SIGINT


def test_a_command_by_which_a_job_ends_itself_hears_the_answer_before_it_ends(stub):
    stub.pause()
    caller = stub.begin("scontrol", "look", env={"SLURM_JOB_ID": "7"})
    bit = 1 << (signal.SIGTERM - 1)
    until(
        lambda: int(status_line(caller.pid, "SigBlk:") or "0", 16) & bit,
        lambda: f"process {caller.pid} defers {status_line(caller.pid, 'SigBlk:')}",
    )
    caller.send_signal(signal.SIGTERM)
    stub.resume()
    out, _ = caller.communicate(timeout=LIMIT_S)
    assert (out, caller.returncode) == (b"seen\n", 0)


def test_term_ends_a_command_outside_of_jobs(stub):
    stub.pause()
    caller = stub.begin("scontrol", "look")
    wait_connected(caller)
    caller.terminate()
    assert caller.wait(LIMIT_S) == -signal.SIGTERM


def test_signals_reach_the_call_that_waits(stub):
    caller = stub.begin("srun", "wait_on")
    assert caller.stderr is not None
    wait_forwarding(caller)
    caller.send_signal(signal.SIGUSR1)
    seen = read_until(caller.stderr.fileno(), b"\n")
    assert seen == b"signal %d\n" % signal.SIGUSR1


def test_a_second_ctrl_c_while_waiting_ends_the_call_in_the_daemon(stub):
    caller = stub.begin("srun", "wait_on")
    wait_forwarding(caller)
    caller.send_signal(signal.SIGINT)
    assert caller.stderr is not None
    read_until(caller.stderr.fileno(), b"signal 2\n")
    caller.send_signal(signal.SIGINT)
    assert caller.wait(LIMIT_S) == 128 + signal.SIGINT


def test_when_nobody_answers_the_user_gets_away_in_the_end(stub):
    caller = stub.begin("srun", "wait_on")
    wait_forwarding(caller)
    stub.pause()

    def has_insisted() -> bool:
        caller.send_signal(signal.SIGINT)
        return caller.poll() is not None

    until(has_insisted, lambda: "the command takes one Ctrl-C after the other")
    assert caller.wait(LIMIT_S) == 128 + signal.SIGINT


def test_a_signal_that_was_ignored_stays_ignored(stub):
    caller = stub.begin(
        "srun", "wait_on", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    wait_forwarding(caller)
    caller.send_signal(signal.SIGHUP)
    caller.send_signal(signal.SIGUSR2)
    assert caller.stderr is not None
    assert read_until(caller.stderr.fileno(), b"\n") == b"signal %d\n" % signal.SIGUSR2


# --- The launchers.


def test_a_launcher_loads_neither_site_packages_nor_the_standard_library(stub):
    done = stub.run("squeue", "look", env={"PYTHONPATH": "/nonexistent", "PYTHONVERBOSE": "1"})
    assert done.stdout == b"seen\n"
    script = (
        "import sys; sys.argv = ['squeue', 'look']; import _signal\n"
        f"sys.path.append({str(Path(sys.modules['stoker'].__file__).parent / 'cli')!r})\n"
        "before = set(sys.modules)\n"
        "import thin\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-IS", "-c", script], capture_output=True, timeout=LIMIT_S, check=True
    )
    assert loaded.stdout.strip() == b"['_socket', 'thin']"
