"""Command lines are read as getopt_long reads them; the complaints are those recorded."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands import joboptions, scancel
from stoker.commands.options import (
    VERSION,
    EarlyAnswer,
    Option,
    Parsed,
    UsageError,
    help_text,
    parse,
    usage_text,
)

TABLE = (
    Option("cpus-per-gpu", takes="required"),
    Option("cpus-per-task", "c", "required"),
    Option("hold", "H"),
    Option("jobs", "j", "required", aliases=("job",)),
    Option("nice", takes="optional"),
    Option("no-kill", "k", "optional"),
    Option("verbose", "v"),
    Option("help", "h"),
    Option("usage"),
    Option("version", "V"),
)


def read(*argv: str, program: str = "sbatch", stop_at_operand: bool = False) -> Parsed:
    return parse(program, TABLE, argv, stop_at_operand=stop_at_operand)


def complaint(*argv: str, program: str = "sbatch") -> tuple[str, int]:
    with pytest.raises(UsageError) as caught:
        read(*argv, program=program)
    return caught.value.text, caught.value.code


def test_values_come_in_every_form_that_getopt_knows() -> None:
    parsed = read("-c4", "-c", "5", "--cpus-per-task=6", "--cpus-per-task", "7", "-Hc8")
    assert parsed.all("cpus-per-task") == ["4", "5", "6", "7", "8"]
    assert parsed.has("hold")


def test_optional_values_must_be_attached() -> None:
    parsed = read("--nice", "5", "--nice=6", "-k", "off", "-koff")
    assert parsed.all("nice") == ["", "6"]
    assert parsed.all("no-kill") == ["", "off"]
    assert parsed.operands == ["5", "off"]


def test_operands_may_stand_between_options() -> None:
    parsed = read("one", "-H", "two", "--", "-c", "three")
    assert parsed.operands == ["one", "two", "-c", "three"]
    assert parsed.values == [("hold", None)]


def test_reading_stops_at_the_first_operand_where_the_command_wants_it() -> None:
    parsed = read("-H", "job.sh", "-c", "4", stop_at_operand=True)
    assert parsed.operands == ["job.sh", "-c", "4"]
    assert not parsed.has("cpus-per-task")


def test_a_dash_alone_is_an_operand() -> None:
    assert read("-").operands == ["-"]


def test_long_options_may_be_abbreviated() -> None:
    assert read("--cpus-per-t=3").last("cpus-per-task") == "3"
    assert read("--ho").has("hold")


def test_two_names_of_one_option_are_no_ambiguity() -> None:
    assert read("--jo=3").last("jobs") == "3"
    assert read("--job=3").last("jobs") == "3"


def test_the_last_of_several_counts_and_all_are_kept() -> None:
    parsed = read("-j1", "-vv", "-j2", "-v")
    assert parsed.last("jobs") == "2"
    assert parsed.count("verbose") == 3
    assert parsed.last("nice") is None


HINT = 'Try "sbatch --help" for more information\n'


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--frobnicate"], "sbatch: unrecognized option '--frobnicate'"),
        (["--jobid=5"], "sbatch: unrecognized option '--jobid=5'"),
        (["-Y"], "sbatch: invalid option -- 'Y'"),
        (["-c"], "sbatch: option requires an argument -- 'c'"),
        (["--cpus-per-task"], "sbatch: option '--cpus-per-task' requires an argument"),
        (["--hold=3"], "sbatch: option '--hold' doesn't allow an argument"),
        (
            ["--cpus-per=2"],
            (
                "sbatch: option '--cpus-per=2' is ambiguous; possibilities: "
                "'--cpus-per-gpu' '--cpus-per-task'"
            ),
        ),
    ],
)
def test_complains_in_getopts_words(argv: list[str], line: str) -> None:
    assert complaint(*argv) == (f"{line}\n{HINT}", 255)


def test_most_programs_end_with_1_and_sacct_gives_no_hint() -> None:
    assert complaint("--frob", program="sinfo") == (
        "sinfo: unrecognized option '--frob'\nTry \"sinfo --help\" for more information\n",
        1,
    )
    assert complaint("--frob", program="sacct") == ("sacct: unrecognized option '--frob'\n", 1)


def test_help_usage_and_version_answer_at_once() -> None:
    for argv, word in ((["--help"], "--hold"), (["--usage"], "[-H]"), (["-V"], VERSION)):
        with pytest.raises(EarlyAnswer) as caught:
            read(*argv, "--frobnicate")
        assert word in str(caught.value.answer.out)
        assert caught.value.answer.code == 0


@pytest.mark.parametrize("table", [joboptions.SBATCH, joboptions.SRUN, joboptions.SALLOC])
def test_help_names_every_option(table: tuple[Option, ...]) -> None:
    text = help_text("sbatch", table) + usage_text("sbatch", table)
    assert [option.long for option in table if f"--{option.long}" not in text] == []
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    "table", [joboptions.SBATCH, joboptions.SRUN, joboptions.SALLOC, scancel.OPTIONS]
)
def test_no_letter_or_name_stands_twice(table: tuple[Option, ...]) -> None:
    letters = [option.short for option in table if option.short]
    names = [name for option in table for name in (option.long, *option.aliases)]
    assert sorted(set(letters)) == sorted(letters)
    assert sorted(set(names)) == sorted(names)
    assert all(option.help for option in table if option.meaning == "honoured")


@given(st.lists(st.text(max_size=10), max_size=8), st.booleans())
def test_anything_is_read_or_complained_about(argv: list[str], stops: bool) -> None:
    with suppress(EarlyAnswer):
        parsed = parse("sbatch", joboptions.SBATCH, argv, stop_at_operand=stops)
        assert len(parsed.operands) <= len(argv)
