"""Column formats: widths, alignment, what is between columns, and what cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.columns import Column, Table, choose
from stoker.commands.formats import (
    Field,
    figure_whole_on_the_right,
    parse_long,
    parse_short,
    whole_on_the_right,
)

FIELDS = {
    "i": Field[str]("JOBID", lambda record: record),
    "n": Field[str]("NAME", lambda _: None),
    "N": Field[str]("NODELIST", lambda record: record, whole_on_the_right),
    "l": Field[str]("TIME_LIMIT", lambda record: record, figure_whole_on_the_right),
}
NAMES = {"jobid": FIELDS["i"], "name": FIELDS["n"], "nodelist": FIELDS["N"]}


def short(text: str, record: str = "12345") -> tuple[str, str]:
    layout = parse_short(text, FIELDS, "%i|%n|")
    return layout.heading(), layout.row(record)


@pytest.mark.parametrize(
    ("text", "heading", "row"),
    [
        ("%i", "JOBID\n", "12345\n"),
        ("%8i|", "JOBID   |\n", "12345   |\n"),
        ("%.8i|", "   JOBID|\n", "   12345|\n"),
        ("%3i|", "JOB|\n", "123|\n"),
        ("%.3i|", "JOB|\n", "123|\n"),
        ("%0i|", "JOBID|\n", "12345|\n"),
        ("%n|%8n|%3n|%.3n|", "NAME|NAME    |NAM|NAM|\n", "(null)|(null)  |   |(nu|\n"),
        ("%.3N|%3N|", "NODELIST|NOD|\n", "12345|123|\n"),
        ("%.3l|%3l|", "TIM|TIM|\n", "12345|123|\n"),
        ("id %i of", "id JOBID of\n", "id 12345 of\n"),
        ("just text", "just text\n", "just text\n"),
        ("", "\n", "\n"),
        ("%i %", "JOBID \n", "12345 \n"),
        ("%%i", "JOBID\n", "12345\n"),
        ("%all", "JOBID|NAME|\n", "12345|(null)|\n"),
        ("%i\x1f%i\x1e", "JOBID\x1fJOBID\x1e\n", "12345\x1f12345\x1e\n"),
    ],
)
def test_letters(text: str, heading: str, row: str) -> None:
    assert short(text) == (heading, row)


def test_a_word_is_cut_where_a_figure_is_not() -> None:
    assert short("%.3l|", "UNLIMITED")[1] == "UNL|\n"


@pytest.mark.parametrize(("text", "unknown"), [("%9|", "|"), ("%i %;", ";"), ("%.5x", "x")])
def test_a_letter_that_means_nothing_stands_as_it_is(text: str, unknown: str) -> None:
    layout = parse_short(text, FIELDS, "")
    assert layout.unknown == (unknown,)
    assert layout.heading().endswith(f"%{text.rpartition('%')[2]}\n")


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("jobid", "12345               \n"),
        ("JobID:8,NAME:8", "12345   (null)  \n"),
        ("jobid:.8", "   12345\n"),
        ("jobid:8+x", "12345   +x\n"),
        ("jobid:0|,jobid:6", "12345|12345 \n"),
        ("jobid:abc", "12345abc\n"),
        ("jobid:###turm###,", "12345###turm###\n"),
        ("nodelist:.3", "12345\n"),
    ],
)
def test_names(text: str, row: str) -> None:
    assert parse_long(text, NAMES).row("12345") == row


def test_a_name_that_means_nothing_leaves_its_suffix() -> None:
    layout = parse_long("frob,frob:5+x, jobid,jobid:3", NAMES)
    assert layout.unknown == ("frob", "frob", " jobid")
    assert layout.row("12345") == "+x123\n"


@pytest.mark.parametrize("text", ["%.32767i" * 14_000, "%i" * 60_000])
def test_nor_a_row_of_a_gigabyte(text: str) -> None:
    layout = parse_short(text, FIELDS, "")
    assert len(layout.row("7")) <= 1 << 20
    assert max(map(len, layout.chunks(["7"] * 1000))) < 3 << 20
    words = "jobid%32767," * 10_000 if "." in text else "jobid," * 20_000
    columns = choose(words, [Column[str]("JobID", 10, lambda record: record)])
    table = Table(columns)
    assert len(table.line("7")) <= 1 << 20
    assert max(map(len, table.text(["7"] * 1000))) < 3 << 20


@pytest.mark.parametrize("width", ["999999999", "9" * 5000])
def test_nobody_gets_a_column_of_a_gigabyte(width: str) -> None:
    assert len(parse_short(f"%{width}i", FIELDS, "").row("7")) < 40_000
    [column] = choose(f"jobid%{width}", [Column[str]("JobID", 10, lambda record: record)])
    assert len(column.cell("7")) < 40_000


def test_all_stands_for_a_format_of_letters_where_there_is_one() -> None:
    assert parse_long("all,jobid:3", NAMES, "%i|", FIELDS).row("12345") == "12345|123\n"
    assert parse_long("all", NAMES).unknown == ("all",)


@given(st.text(), st.text(min_size=1))
def test_no_format_breaks_a_row(text: str, record: str) -> None:
    layout = parse_short(text, FIELDS, "%i")
    assert layout.row(record).endswith("\n")
    assert "".join(layout.chunks([record] * 3)) == layout.row(record) * 3


@given(
    st.integers(1, 40),
    st.booleans(),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=60),
)
def test_a_column_is_as_wide_as_it_says(width: int, is_right: bool, record: str) -> None:
    row = parse_short(f"%{'.' * is_right}{width}i", FIELDS, "").row(record)
    assert len(row) == width + 1
    assert record[:width] in row
