from __future__ import annotations

import os

import pytest

from stoker.cli.people.lines import arrived_lines, draft_of
from stoker.core.errors import InvalidSpec


def test_a_shell_command_runs_in_a_shell_and_is_named_after_its_first_word():
    draft = draft_of("/usr/bin/gzip -9 a.log | tee b", [])
    assert draft is not None
    assert draft.words == (
        "--job-name=gzip", "--", "/bin/sh", "-c", "/usr/bin/gzip -9 a.log | tee b"
    )  # fmt: skip
    assert draft.script == b""


def test_options_for_all_lines_win_over_the_name_that_was_derived():
    draft = draft_of("make", ["--job-name=build", "--time=5"])
    assert draft is not None
    assert draft.words[:3] == ("--job-name=make", "--job-name=build", "--time=5")


@pytest.mark.parametrize("line", ["$(which x)", "'a b' c", "(cd x && y)"])
def test_a_first_word_that_is_no_plain_name_names_nothing(line):
    draft = draft_of(line, [])
    assert draft is not None
    assert draft.words == ("--", "/bin/sh", "-c", line)


@pytest.mark.parametrize("line", ["", "   ", "\t", "# a comment", "  # another"])
def test_lines_that_say_nothing_are_passed_over(line):
    assert draft_of(line, []) is None


def test_an_object_runs_its_words_with_no_shell_in_between():
    draft = draft_of('{"argv": ["echo", "a b", ""], "time": "1:00", "hold": true}', ["--nice=5"])
    assert draft is not None
    assert draft.words == ("--nice=5", "--time=1:00", "--hold", "--", "echo", "a b", "")


def test_an_object_may_bring_a_script_and_its_arguments():
    draft = draft_of('{"script": "#!/bin/sh\\necho $1\\n", "argv": ["x"], "cpus-per-task": 2}', [])
    assert draft is not None
    assert draft.script == b"#!/bin/sh\necho $1\n"
    assert draft.words == ("--cpus-per-task=2", "--", "x")


@pytest.mark.parametrize("value", ["false", "null"])
def test_an_option_that_is_off_is_none(value):
    draft = draft_of(f'{{"argv": ["x"], "hold": {value}}}', [])
    assert draft is not None
    assert draft.words == ("--", "x")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "cannot read the JSON object"),
        ('{"argv": "echo"}', "needs"),
        ('{"argv": []}', "needs"),
        ('{"argv": [1]}', "needs"),
        ('{"script": ""}', "needs"),
        ('{"script": 5}', "needs"),
        ("{}", "needs"),
        ('{"argv": ["x"], "time": [1]}', "'time'"),
        ('{"argv": ["x"], "--time": "1"}', "'--time'"),
        ('{"argv": ["x"], "a b": "1"}', "'a b'"),
        ("{" * 100_000, "cannot read"),
    ],
)
def test_what_describes_no_job_is_refused_with_the_reason(line, why):
    with pytest.raises(InvalidSpec, match=why):
        draft_of(line, [])


def test_lines_come_as_they_arrive_and_the_last_needs_no_break():
    reading, writing = os.pipe()
    try:
        os.write(writing, b"one\ntwo\nth")
        lines = arrived_lines(reading)
        assert next(lines) == ["one", "two"]
        os.write(writing, b"ree\n")
        assert next(lines) == ["three"]
        os.write(writing, b"last \xff")
        os.close(writing)
        assert list(lines) == [["last \udcff"]]
    finally:
        os.close(reading)


def test_nothing_is_no_line():
    reading, writing = os.pipe()
    os.close(writing)
    try:
        assert list(arrived_lines(reading)) == []
    finally:
        os.close(reading)
