"""scrontab: what a crontab's text means, and what becomes of one that means nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.crontab import CrontabError, read_crontab
from stoker.commands.scrontab import scrontab
from stoker.worker.call import ProgramEnd, RunProgram
from stoker.worker.requests import Submission
from support.controller import ROOT, FakeController, Heard, call_of, converse

TEXT = """\
# A remark.
MAILTO="me@x"
#SCRON --time=5 -J tick
#SCRON --mem=100M
*/5 * * * * echo "$MAILTO"; exit 3

@daily  backup --all
"""


def asked(
    controller: FakeController, *argv: str, text: str | None = None, **surroundings: Any
) -> Heard:
    surroundings.setdefault("environment", {"HOME": "/home/alice"})
    files = {} if text is None else {"-": text.encode(), "/home/alice/work/tab": text.encode()}
    return converse(scrontab(call_of("scrontab", *argv, **surroundings), controller), files=files)


def submissions(controller: FakeController) -> tuple[Submission, ...]:
    found: tuple[Submission, ...] = controller.called("set_crontab")[-1][2]
    return found


@pytest.mark.parametrize(
    ("variable", "path"),
    [
        ("", "/names:/usr/local/bin:/usr/bin:/bin"),
        ("PATH=/opt/bin:/bin", "/opt/bin:/bin:/names"),
        ("PATH=/names:/bin", "/names:/bin"),
        ("#SCRON --export=NONE", "/names:/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"),
    ],
)
def test_an_entry_finds_slurms_names_whatever_its_path_is(variable: str, path: str) -> None:
    controller = FakeController()
    controller.names_directory = "/names"
    assert asked(controller, text=f"{variable}\n@daily sbatch next\n").code == 0
    assert f"PATH={path}" in submissions(controller)[0].environment


def test_each_entry_is_a_job_with_its_own_options_and_the_variables_before_it() -> None:
    controller = FakeController()
    heard = asked(controller, "tab", text=TEXT)
    assert (heard.out, heard.err, heard.code) == ("", "", 0)
    tick, backup = submissions(controller)
    assert (tick.spec.name, tick.spec.time_limit_s, tick.spec.mem_per_node_mib) == (
        "tick",
        300,
        100,
    )
    assert (backup.spec.name, backup.spec.time_limit_s) == ("backup", None)
    assert tick.script == (
        b'#!/bin/sh\n# This crontab job was submitted through scrontab\necho "$MAILTO"; exit 3\n'
    )
    assert tick.spec.work_dir == "/home/alice"
    assert "MAILTO=me@x" in tick.environment
    assert "PATH=/usr/local/bin:/usr/bin:/bin" in tick.environment
    assert tick.spec.cron is not None
    assert (tick.spec.cron.times, tick.spec.cron.zone) == ("*/5 * * * *", "UTC")
    assert tick.spec.cron.text.startswith("#SCRON --time=5")


def test_what_was_set_is_listed_and_can_be_removed() -> None:
    controller = FakeController()
    assert asked(controller, "-l").err == "no crontab for alice\n"
    asked(controller, text=TEXT)
    assert asked(controller, "-l").out == TEXT
    assert asked(controller, "-r").code == 0
    assert asked(controller, "-r").code == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "line 1: it is no entry"),
        ("\n99 * * * * a", "line 2: cannot read the minute"),
        ("0 0 30 2 * a", "line 1: that time never comes"),
        ("#SCRON 'a\n* * * * * a", "line 1: No closing quotation"),
        ("#SCRON -t 1\n", "no entry follows"),
        ("#SCRON --time=abc\n@daily a", "lines 1-2: Invalid --time specification"),
        ("#SCRON --nonsense\n@daily a", "lines 1-2: unrecognized option '--nonsense'"),
        ("#SCRON word\n@daily a", "lines 1-2: Invalid #SCRON option: word"),
        ("#SCRON --help\n@daily a", "lines 1-2: it asks for help"),
        ("#SCRON --mem=999G\n@daily a", "lines 1-2: "),
        ("@daily a\0b", "NUL"),
    ],
)
def test_a_crontab_with_a_fault_is_refused_with_its_line(text: str, said: str) -> None:
    controller = FakeController()
    heard = asked(controller, text=text)
    assert said in heard.err
    assert (heard.out, heard.code) == ("", 1)
    assert not controller.called("set_crontab")


def edited(controller: FakeController, after: str, end: ProgramEnd | None = None) -> Heard:
    call = call_of("scrontab", "-e", key="k", environment={"HOME": "/h"})
    files = {"/tmp/scrontab.k": after.encode()}
    reply = end or ProgramEnd(0)
    return converse(scrontab(call, controller), files=files, replies=lambda _: reply)


def test_an_editor_gets_the_text_and_its_file_is_removed() -> None:
    controller = FakeController()
    asked(controller, text=TEXT)
    heard = edited(controller, "@hourly a\n")
    editor, _, remove = heard.requests
    assert isinstance(editor, RunProgram)
    assert f"SCRONTAB_TEXT={TEXT}" in editor.environment
    assert remove == RunProgram(("/bin/rm", "-f", "/tmp/scrontab.k"), "/")
    assert controller.crontabs[2001] == "@hourly a\n"
    assert edited(controller, "@hourly a\n").err == "scrontab: no changes made\n"


def test_what_was_written_with_a_fault_is_kept_and_a_failed_editor_changes_nothing() -> None:
    controller = FakeController()
    heard = edited(controller, "nonsense\n")
    assert heard.err.endswith("scrontab: what you wrote is kept in /tmp/scrontab.k\n")
    assert "as it was" in edited(controller, "@daily a\n", ProgramEnd(1)).err
    assert not controller.crontabs


def test_only_root_may_have_another_users_crontab() -> None:
    controller = FakeController()
    assert "Only root" in asked(controller, "-u", "bob", text=TEXT).err
    assert "Invalid user" in asked(controller, "-u", "nobody-here", "-l").err
    assert asked(controller, "-u", "bob", text=TEXT, owner=ROOT).code == 0
    assert submissions(controller)[0].owner.user_name == "bob"


def test_contradictions_and_missing_files_are_told() -> None:
    controller = FakeController()
    assert "only one of" in asked(controller, "-l", "-r").err
    assert "cannot read nofile" in asked(controller, "nofile").err
    assert asked(controller, "--frob").code == 1


def test_an_entry_is_found_again_in_its_crontab_with_all_that_stands_between_its_lines() -> None:
    text = "A=b\n#SCRON -n2\n\n# Why.\nC=d\n#SCRON -N1\n@daily work\n@hourly other\n"
    work, other = read_crontab(text)
    assert work.text == "#SCRON -n2\n\n# Why.\nC=d\n#SCRON -N1\n@daily work"
    assert (work.options, other.text) == (("-n2", "-N1"), "@hourly other")


@given(st.text(max_size=40) | st.from_regex(r"\A(#SCRON|@daily|\*| |\n|[a-z=0-9\"'-]){0,30}\Z"))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        lines = read_crontab(text)
    except CrontabError as error:
        numbers = [error.number]
    else:
        numbers = [line.number for line in lines]
        assert all(line.text in text for line in lines)
    assert all(1 <= number <= text.count("\n") + 1 for number in numbers)


@given(st.lists(st.text(max_size=8), max_size=3), st.text(max_size=30))
def test_no_words_and_no_text_of_the_user_break_it(argv: list[str], text: str) -> None:
    heard = asked(FakeController(), *argv, text=text)
    assert heard.code in (0, 1)
