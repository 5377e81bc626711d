"""What a batch script says about itself, line by line."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoker.commands.directives import (
    Directives,
    ScriptError,
    check_script,
    is_heterogeneous,
    read_directives,
)


def words(*lines: str) -> list[str]:
    return read_directives("\n".join(["#!/bin/sh", *lines, ""]).encode(), "job.sh").words


def foreign(*lines: str) -> list[str]:
    return read_directives("\n".join(["#!/bin/sh", *lines, ""]).encode(), "job.sh").foreign


def test_all_lines_make_one_command_line() -> None:
    assert words("#SBATCH -J one -t 7", "", "# a comment", "#SBATCH\t--mem 100") == [
        "-J",
        "one",
        "-t",
        "7",
        "--mem",
        "100",
    ]


def test_reading_stops_at_the_first_command() -> None:
    assert words("#SBATCH -H", "  true", "#SBATCH -J late") == ["-H"]


@pytest.mark.parametrize(
    "line", ["  #SBATCH -J no", "##SBATCH -J no", "# SBATCH -J no", "#sbatch -J no", "#SBATCH"]
)
def test_what_only_looks_like_a_directive_is_a_comment(line: str) -> None:
    assert words(line, "#SBATCH -H") == ["-H"]


def test_no_blank_is_needed_after_the_word() -> None:
    assert words("#SBATCH-J x") == ["-J", "x"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--comment=\"two words\" -J 'q d'", ["--comment=two words", "-J", "q d"]),
        ("-J one # a comment", ["-J", "one"]),
        ("-t 7 #glued", ["-t", "7"]),
        ("-J one#two", ["-J", "one"]),
        ('--comment="a # b"', ["--comment=a # b"]),
        (r"-J a\#b", ["-J", "a#b"]),
        (r"--comment=two\ words", ["--comment=two", "words"]),
        (r'--comment="say \"hi\""', ['--comment=say "hi"']),
        ('-J "" -H', ["-J"]),
    ],
)
def test_quotes_blanks_and_hashes(line: str, expected: list[str]) -> None:
    assert words(f"#SBATCH {line}") == expected


def test_a_quote_that_is_not_closed_is_named_with_its_line() -> None:
    with pytest.raises(ScriptError) as caught:
        words('#SBATCH --comment="two words', "#SBATCH -H")
    assert caught.value.lines == ('fatal: job.sh: line 2: Unmatched `"` in [--comment="two words]',)


def test_pbs_and_lsf_lines_are_put_into_sbatchs_words() -> None:
    assert foreign(
        "#PBS -N name -q fast",
        "#PBS -l walltime=0:10:00,nodes=2:ppn=4,mem=1gb",
        "#PBS -m ae -M me@example.org -V",
        "#BSUB -J lsf -n 3",
        "#BSUB -W 1:30 -x",
    ) == [
        "--job-name=name",
        "--partition=fast",
        "--time=0:10:00",
        "--nodes=2",
        "--ntasks-per-node=4",
        "--mem=1gb",
        "--mail-type=FAIL,END",
        "--mail-user=me@example.org",
        "--job-name=lsf",
        "--ntasks=3",
        "--time=1:30:00",
        "--exclusive",
    ]


def test_parts_of_a_heterogeneous_job_are_seen() -> None:
    assert is_heterogeneous(words("#SBATCH -n1", "#SBATCH hetjob", "#SBATCH -n2"))
    assert not is_heterogeneous(words("#SBATCH -n1"))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (b"", "empty"),
        (b" \n\t\n", "only whitespace"),
        (b"echo no shebang\n", "does not look like"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "does not look like"),
        (b"\x7fELF\0\0", "does not look like"),
        (b"#!/bin/sh\necho a\0b\n", "NULL character"),
        (b"#!/bin/sh\r\necho\r\n", "DOS line breaks"),
    ],
)
def test_what_is_no_script_is_refused(script: bytes, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        check_script(script)


def test_a_line_that_names_an_interpreter_is_enough() -> None:
    check_script(b"#!/bin/sh")


@given(st.binary(max_size=200))
@example(b"#!/bin/sh\n#SBATCH \\")
@example(b"#!/bin/sh\n#PBS -l")
def test_any_bytes_are_read_or_refused(script: bytes) -> None:
    for word in (b"SBATCH", b"PBS", b"BSUB"):
        with suppress(ScriptError):
            found = read_directives(b"#!/bin/sh\n#%s %s" % (word, script), "job.sh")
            assert isinstance(found, Directives)
