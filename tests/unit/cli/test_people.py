"""The commands for people, with a client that answers from memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from stoker.cli.people import changing, daemon, listing, logs, records, submitting, waiting
from stoker.cli.people.group import SECTIONS, run, stoker
from stoker.core.errors import DaemonUnavailable, InvalidSpec, UnknownJob
from stoker.core.messages import (
    AttemptView,
    Draft,
    Explanation,
    Finding,
    JobDetail,
    JobFilter,
    JobView,
)

STATUS = {
    "home": "/home/x",
    "version": "1.0",
    "stokerd": {"pid": 11},
    "shepherd": {"pid": 12},
    "cpus": {"total": 4, "allocated": 1},
    "memory_mib": {"total": 4096, "allocated": 1024},
    "jobs": {"RUNNING": 1},
}


def view(job_id: int, **fields: Any) -> JobView:
    given = {
        "name": "train", "user": "ada", "partition": "debug", "state": "RUNNING", "reason": "None",
        "cpus": 2, "memory_mib": 2048, "submit_at": 1.0, "start_at": 2.0, "elapsed_s": 61.0,
    }  # fmt: skip
    return JobView(id=str(job_id), job_id=job_id, **(given | fields))


def detail(job: JobView, **fields: Any) -> JobDetail:
    given: dict[str, Any] = {
        "command": "/x/train.sh", "argv": (), "work_dir": "/x", "stdin": "/dev/null",
        "stdout": "/x/out", "stderr": "/x/out", "comment": "", "dependency": "", "priority": 1,
        "restarts": 0, "may_requeue": True, "held_by": "", "begin_at": None, "eligible_at": None,
        "expected_start_at": None, "submit_line": "", "attempts": (), "steps": (),
    }  # fmt: skip
    return JobDetail(job=job, **(given | fields))


class FakeClient:
    """Answers from memory and notes what it is asked to do."""

    jobs_known: list[JobView]
    done: list[tuple[Any, ...]]
    refusals: dict[str, Exception]

    def __call__(self, *_: object, **__: object) -> FakeClient:
        return self

    def __init__(self) -> None:
        self.jobs_known = [view(1), view(2, state="PENDING", reason="Resources", start_at=None)]
        self.done = []
        self.refusals = {}
        self.detail = detail(view(1))
        self.findings = [Finding(subject="database", is_ok=True, text="is intact")]

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.done.append(("closed",))

    def _note(self, *what: Any) -> None:
        self.done.append(what)
        if str(what[1]) in self.refusals:
            raise self.refusals[str(what[1])]

    def jobs(self, wanted: JobFilter) -> Iterator[JobView]:
        self._note("jobs", wanted)
        return iter(self.jobs_known)

    def details(self, job_id: str) -> tuple[JobDetail, ...]:
        self._note("details", job_id)
        return (self.detail,)

    def job(self, job_id: str) -> JobDetail:
        return self.details(job_id)[0]

    def why(self, job_id: str) -> Explanation:
        return Explanation(
            job=self.detail, summary="It waits.", facts=("A fact.",), remedies=("A remedy.",)
        )

    def script(self, job_id: str) -> bytes:
        return b"#!/bin/sh\ntrue\n"

    def wait(self, *job_ids: str, timeout_s: float | None = None) -> tuple[JobView, ...]:
        self._note("wait", job_ids, timeout_s)
        return tuple(self.jobs_known)

    def submit(self, *words: str) -> int:
        self._note("submit", words)
        return 42

    def submit_many(self, drafts: list[Draft], around: object) -> Iterator[int]:
        for draft in drafts:
            self._note("draft", draft.words[-1])
            yield len([entry for entry in self.done if entry[0] == "draft"])

    def change(
        self, how: str, job_ids: Sequence[str], *, hold: bool = False
    ) -> dict[str, Exception]:
        self.done.append((how, tuple(job_ids), hold))
        return {each: why for each, why in self.refusals.items() if each in job_ids}

    def status(self) -> Mapping[str, Any]:
        return STATUS

    def doctor(self) -> list[Finding]:
        return self.findings

    def back_up(self, path: Path) -> None:
        self._note("backup", path)


@pytest.fixture
def client(monkeypatch) -> FakeClient:
    found = FakeClient()
    for module in (changing, daemon, listing, logs, records, submitting, waiting):
        monkeypatch.setattr(module, "Client", found)
    return found


def test_every_command_has_its_help_with_examples(capsys):
    for name in [name for section in SECTIONS.values() for name in section]:
        assert run([name, "--help"]) == 0
        out = capsys.readouterr().out
        assert f"Usage: stoker {name}" in out
        assert "\n  Examples:\n    " in out, f"the examples of {name} are not as they were written"


def test_the_commands_stand_by_section(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert [line[:-1] for line in out.splitlines() if line.endswith(":")][-3:] == list(SECTIONS)
    assert "..." not in out.split("Jobs:")[1], "a summary is too long for its line"


def test_a_command_that_is_misspelled_gets_the_one_that_is_meant(capsys):
    assert run(["lst"]) == 2
    assert "did you mean `stoker list`?" in capsys.readouterr().err
    assert run(["frobnicate"]) == 2
    assert "`stoker --help` lists them" in capsys.readouterr().err


def test_without_a_command_the_help_is_shown_as_it_stands(capsys):
    assert run([]) == 2
    shown = capsys.readouterr()
    assert run(["--help"]) == 0
    assert (shown.out, shown.err) == ("", capsys.readouterr().out)


def test_an_unknown_option_is_one_sentence(capsys):
    assert run(["list", "--frob"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("stoker: No such option '--frob'")
    assert "`stoker list --help`" in err
    assert err.count("\n") == 1


def test_commands_are_loaded_only_when_they_are_asked_for():
    script = (
        "import sys; sys.argv = ['stoker', '--version']\n"
        "from stoker.cli.people import main; main()\n"
        "assert not {'click', 'rich', 'msgspec'} & set(sys.modules), 'too much is loaded'\n"
        "from stoker.cli.people import group\n"
        "group.run(['hold', '--help'])\n"
        "assert 'rich' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stoker ")


# --- Looking.


def test_list_is_a_table_with_the_reason_of_who_waits(client, capsys):
    assert run(["list"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "NAME", "USER", "STATE", "CPUS", "MEMORY", "TIME", "LIMIT", "WHY"]
    assert first.split() == ["1", "train", "ada", "RUNNING", "2", "2G", "1m01s"]
    assert second.split()[-1] == "Resources"


def test_list_as_json_has_every_field(client, capsys):
    assert run(["list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in entries] == ["1", "2"]
    assert set(entries[0]) == set(JobView.__struct_fields__)


def test_list_passes_its_filters_on(client):
    run(["list", "-t", "pd", "-t", "RUNNING", "-u", "ada", "-n", "x", "-p", "debug", "7", "8_1"])
    assert client.done[0] == (
        "jobs",
        JobFilter(
            ids=("7", "8_1"),
            states=("PENDING", "RUNNING"),
            users=("ada",),
            names=("x",),
            partitions=("debug",),
        ),
    )


def test_list_of_states_that_are_over_looks_into_the_past(client):
    run(["list", "--state", "FAILED"])
    assert client.done[0][1].ended


def test_list_refuses_what_is_no_state_and_no_time(client, capsys):
    assert run(["list", "-t", "HAPPY"]) == 2
    assert "HAPPY" in capsys.readouterr().err
    assert run(["list", "--since", "yesteryear"]) == 2
    assert "yesteryear" in capsys.readouterr().err


def test_show_tells_what_there_is_to_know(client, capsys):
    attempt = AttemptView(
        attempt=1, state="released", cores={"vm": (0, 3)}, memory_mib=1, reserved_at=1.0,
        start_at=1.0, end_at=2.0, end_state="FAILED", exit_code="3:0", user_s=1.5, max_rss_kib=2048,
    )  # fmt: skip
    client.detail = detail(view(1, state="FAILED", exit_code="3:0"), attempts=(attempt,))
    assert run(["show", "1"]) == 0
    out = capsys.readouterr().out
    assert "Job         1 (train)" in out
    assert "Exit code   3:0" in out
    assert "FAILED, vm cores 0,3, exit code 3:0, 1.50 s CPU time, 2M memory at most" in out


def test_show_as_json_is_flat(client, capsys):
    assert run(["show", "1", "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)
    assert entry["id"] == "1"
    assert entry["stdout"] == "/x/out"
    assert "job" not in entry


def test_show_prints_the_script_as_it_was_submitted(client, capsys):
    assert run(["show", "1", "--script"]) == 0
    assert capsys.readouterr().out == "#!/bin/sh\ntrue\n"


def test_why_is_a_sentence_with_facts_and_remedies(client, capsys):
    client.detail = detail(view(1, state="PENDING", reason="Resources"), expected_start_at=1e9)
    assert run(["why", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Job 1 (train) is PENDING (Resources). It waits."
    assert lines[1] == "  A fact."
    assert "starts at 2001-09-0" in lines[2]
    assert lines[3] == "  A remedy."
    assert run(["why", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["job"]["id"] == "1"


def test_what_the_daemon_refuses_is_one_sentence_and_status_1(client, capsys):
    client.refusals["7"] = UnknownJob(7)
    assert run(["show", "7"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "stoker: cannot find job 7: no such job; `sacct` lists ended ones\n"


def test_a_daemon_that_cannot_be_reached_is_status_3(client, capsys):
    client.refusals["7"] = DaemonUnavailable("cannot reach stokerd: nobody answers")
    assert run(["show", "7"]) == 3
    assert "nobody answers" in capsys.readouterr().err


# --- Logs.


@pytest.fixture
def output(client, tmp_path) -> Path:
    path = tmp_path / "out"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(20_000)))
    client.detail = detail(
        view(1, state="COMPLETED"), stdout=str(path), stderr=str(tmp_path / "err")
    )
    return path


def test_logs_prints_the_file(output, capfd):
    assert run(["logs", "1"]) == 0
    assert capfd.readouterr().out == output.read_text()


@pytest.mark.parametrize("count", [0, 1, 2, 15_000, 30_000])
def test_logs_prints_the_last_lines(output, capfd, count):
    assert run(["logs", "-n", str(count), "1"]) == 0
    lines = output.read_text().splitlines()
    assert capfd.readouterr().out.splitlines() == (lines[-count:] if count else [])


def test_the_last_line_needs_no_break(output, capfd):
    output.write_bytes(b"one\ntwo\nthree")
    assert run(["logs", "-n", "2", "1"]) == 0
    assert capfd.readouterr().out == "two\nthree"


def test_logs_that_follow_end_with_the_job(output, capfd):
    assert run(["logs", "-f", "-n", "1", "1"]) == 0
    assert capfd.readouterr().out == "line 19999\n"


def test_logs_say_where_the_file_is(output, capsys):
    assert run(["logs", "--path", "1"]) == 0
    assert capsys.readouterr().out == f"{output}\n"


def test_a_file_that_is_gone_is_said_with_its_name(output, capsys):
    assert run(["logs", "-e", "1"]) == 1
    assert f"{output.with_name('err')} is not there" in capsys.readouterr().err


def test_a_job_that_has_not_started_has_no_output_yet(client, capsys):
    client.detail = detail(view(2, state="PENDING"), stdout="/nonexistent/out")
    assert run(["logs", "2"]) == 1
    assert "it has not started; `stoker why 2` tells why" in capsys.readouterr().err


# --- Submitting.


def test_submit_ships_its_words_and_prints_the_id(client, capsys):
    assert run(["submit", "--time=5", "-c", "2", "--", "make", "-j4", "--", "x"]) == 0
    assert capsys.readouterr().out == "42\n"
    words = ("--time=5", "-c", "2", "--", "make", "-j4", "--", "x")
    assert client.done[0] == ("submit", words)


def test_options_behind_the_dashes_belong_to_the_command(client):
    assert run(["submit", "--", "prog", "--json", "--help", "--from", "x"]) == 0
    assert client.done[0][1] == ("--", "prog", "--json", "--help", "--from", "x")


def test_submit_as_json(client, capsys):
    assert run(["submit", "--json", "--", "x"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": "42", "job_id": 42}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "cannot submit nothing"),
        (["--time=5", "--"], "cannot submit nothing"),
        (["--from"], "needs a value"),
        (["--from", "x", "--", "y"], "both --from and a command"),
    ],
)
def test_submit_of_nothing_is_a_wrong_command_line(client, capsys, words, why):
    assert run(["submit", *words]) == 2
    assert why in capsys.readouterr().err
    assert client.done == []


def test_a_job_a_line(client, capsys, tmp_path):
    (tmp_path / "jobs").write_text("echo one\n\n# no job\necho two\n")
    assert run(["submit", "--from", str(tmp_path / "jobs")]) == 0
    assert capsys.readouterr().out == "1\n2\n"
    assert [entry[1] for entry in client.done if entry[0] == "draft"] == ["echo one", "echo two"]


def test_the_first_bad_line_stops_it_and_is_named(client, capsys, tmp_path):
    (tmp_path / "jobs").write_text("echo one\n\n{bad\necho never\n")
    assert run(["submit", "--from", str(tmp_path / "jobs")]) == 1
    captured = capsys.readouterr()
    assert captured.out == "1\n"
    assert captured.err.startswith("stoker: line 3: cannot read the JSON object")
    assert "1 job from the lines before it stay queued" in captured.err


def test_a_line_that_the_daemon_refuses_is_named(client, capsys, tmp_path):
    client.refusals["echo two"] = InvalidSpec("cannot run it: it is wrong")
    (tmp_path / "jobs").write_text("# head\necho one\necho two\necho three\n")
    assert run(["submit", "--from", str(tmp_path / "jobs")]) == 1
    captured = capsys.readouterr()
    assert captured.out == "1\n"
    assert captured.err.startswith("stoker: line 3: cannot run it: it is wrong; 1 job")


def test_a_file_of_jobs_that_is_not_there_is_a_sentence(client, capsys, tmp_path):
    assert run(["submit", "--from", str(tmp_path / "none")]) == 1
    assert "none: No such file or directory" in capsys.readouterr().err
    assert run(["submit", "--from", str(tmp_path)]) == 1
    assert "Is a directory" in capsys.readouterr().err


# --- Changing, waiting.


@pytest.mark.parametrize("command", ["cancel", "hold", "release"])
def test_what_one_job_refuses_is_a_sentence_and_status_1(client, capsys, command):
    client.refusals["2"] = UnknownJob(2)
    assert run([command, "1", "2", "3"]) == 1
    assert client.done[0] == (command, ("1", "2", "3"), False)
    assert capsys.readouterr().err.count("\n") == 1


def test_changes_as_json_say_what_was_done_and_what_not(client, capsys):
    client.refusals["2"] = UnknownJob(2)
    assert run(["requeue", "--hold", "--json", "1", "2"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["requeued"] == ["1"]
    assert said["failed"][0]["id"] == "2"
    assert client.done[0] == ("requeue", ("1", "2"), True)


def test_cancel_needs_to_be_told_what(client, capsys):
    assert run(["cancel"]) == 2
    assert "cannot cancel nothing" in capsys.readouterr().err


def test_cancel_by_name_takes_only_my_own(client):
    assert run(["cancel", "--name", "train"]) == 0
    wanted = client.done[0][1]
    assert wanted.names == ("train",)
    assert len(wanted.users) == 1
    assert client.done[1] == ("cancel", ("1", "2"), False)


def test_wait_returns_the_highest_status(client, capsys):
    client.jobs_known = [
        view(1, state="COMPLETED"),
        view(2, state="FAILED", exit_code="3:0"),
        view(3, state="CANCELLED"),
    ]
    assert run(["wait", "1", "2", "3"]) == 3
    assert "FAILED" in capsys.readouterr().out
    assert run(["wait", "-q", "1"]) == 3
    assert capsys.readouterr().out == ""


def test_wait_gives_up_in_time(client):
    def never(*_: str, timeout_s: float | None = None) -> None:
        raise TimeoutError

    client.wait = never
    assert run(["wait", "--timeout", "1", "1"]) == 124


def test_wait_for_all_of_nothing_is_done(client):
    client.jobs_known = []
    assert run(["wait", "--all"]) == 0
    assert run(["wait"]) == 2


# --- The daemon.


def test_status_as_json_has_the_keys_that_scripts_rely_on(client, capsys):
    assert run(["status", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["home"]
    assert said["version"]
    assert said["stokerd"]["pid"] == 11
    assert said["shepherd"]["pid"] == 12
    assert said["cpus"] == {"total": 4, "allocated": 1}
    assert said["jobs"] == {"RUNNING": 1}


def test_status_for_people(client, capsys):
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    assert "CPUs      1 of 4 allocated\n" in out
    assert "Jobs      1 running\n" in out


def test_doctor_checks_with_its_status(client, capsys):
    assert run(["doctor", "--check"]) == 0
    assert capsys.readouterr().out == ""
    client.findings.append(
        Finding(subject="processes", is_ok=False, text="pid 7 is nobody's", remedy="end it")
    )
    assert run(["doctor", "--check"]) == 1
    assert capsys.readouterr().out == "WRONG  processes: pid 7 is nobody's; end it\n"
    assert run(["doctor"]) == 0


def test_backup_goes_where_it_is_told(client, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))
    assert run(["backup", "--json", "x.db"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(Path("x.db").absolute())
    assert run(["backup"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/backups/stoker-2")


def test_down_of_what_does_not_run_is_no_failure(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))
    assert run(["down"]) == 0
    assert "does not run" in capsys.readouterr().out


# --- Setting up.


def test_env_puts_slurms_names_first_on_path(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))
    assert run(["env", "--bin"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/bin\n"
    assert run(["env"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"export PATH={tmp_path}/bin:$PATH"
    assert lines[1] == f"export STOKER_HOME={tmp_path}"


def test_settings_are_listed_with_their_values(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))
    monkeypatch.setenv("STOKER_KILL_WAIT_S", "7.5")
    assert run(["settings", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["kill_wait_s"]["value"] == 7.5
    assert all(entry["description"] for entry in found.values())
    assert run(["settings"]) == 0
    assert "kill_wait_s" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(capsys, shell):
    assert run(["completion", shell]) == 0
    assert "_STOKER_COMPLETE" in capsys.readouterr().out


def test_the_service_keeps_jobs_alive_when_it_stops(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path / "with space 5%"))
    assert run(["service", "install", "--print", "--private"]) == 0
    out = capsys.readouterr().out
    assert "KillMode=process\n" in out
    assert "Delegate=yes\n" in out
    assert f'Environment="STOKER_HOME={tmp_path}/with space 5%%"' in out


def test_status_tells_of_every_users_shepherd(client, capsys, monkeypatch):
    users = {"2001": {"pid": 7}, "2002": {"pid": 0, "trouble": "it does not answer"}}
    monkeypatch.setitem(STATUS, "shepherd", {"pid": 0, "users": users})
    assert run(["status"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "Shepherds 1 run, one for each user who has jobs" in lines
    assert "Shepherd of user 2002: it does not answer" in lines


def test_every_command_that_shows_something_knows_json():
    without = {"completion", "demo", "down", "env", "logs", "service", "submit", "up"}
    context = click.Context(stoker)
    for name in [name for section in SECTIONS.values() for name in section]:
        command = stoker.get_command(context, name)
        assert command is not None
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) == (name not in without), name


def test_commands_that_run_within_a_process_leave_its_signals_alone():
    before = signal.getsignal(signal.SIGPIPE)
    run(["settings", "--help"])
    assert signal.getsignal(signal.SIGPIPE) is before
