from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from stoker.cli.people import screen
from stoker.cli.people.screen import Column


class Terminal(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()


@pytest.fixture
def shown(monkeypatch) -> Callable[..., str]:
    """Give a function that returns what a call shows on a terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def call(function: Callable[..., None], *arguments: object) -> str:
        terminal = Terminal()
        with redirect_stdout(terminal):
            function(*arguments)
        return terminal.text()

    return call


COLUMNS = (Column("ID"), Column("STATE", is_state=True), Column("CPUS", is_number=True))


def test_in_a_pipe_columns_are_aligned_and_nothing_is_cut_off(capsys):
    screen.say_table(COLUMNS, [("1", "RUNNING", "16"), ("42_[1-99]", "x" * 300, "1")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ID         STATE")
    assert "x" * 300 in lines[2]
    assert {len(line) for line in lines} == {len(lines[0])}


def test_a_table_without_rows_is_its_head(capsys):
    screen.say_table(COLUMNS, [])
    assert capsys.readouterr().out == "ID  STATE  CPUS\n"


def test_in_a_pipe_a_row_stays_a_line(capsys):
    screen.say_table((Column("NAME"),), [("two\nlines\tand more",)])
    assert capsys.readouterr().out.splitlines()[1] == "two\\nlines\\tand more"


def test_on_a_terminal_control_characters_are_shown_as_escapes(shown):
    table = shown(screen.say_table, (Column("NAME"),), [("\x1b[31mred\x07",)])
    assert r"\x1b[31mred\x07" in table
    assert "\x07" not in table
    assert shown(screen.say, "\x1b]0;title\x07") == "\\x1b]0;title\\x07\n"


def test_on_a_terminal_markup_in_a_name_is_no_markup(shown):
    assert "[bold red]x[/]" in shown(screen.say_table, (Column("NAME"),), [("[bold red]x[/]",)])


def test_on_a_terminal_long_cells_are_folded_not_cut(shown):
    assert shown(screen.say_table, (Column("NAME"),), [("y" * 200,)]).count("y") == 200


def test_states_have_colours_on_a_terminal_only(shown):
    assert "\x1b[31mFAILED" in shown(screen.say_table, COLUMNS, [("1", "FAILED", "1")])


def test_json_is_ascii_whatever_a_name_holds(capsys):
    screen.say_json({"name": "\x1b[31m é \udcff"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["name"] == "\x1b[31m é \udcff"


def test_bytes_that_are_no_text_go_through_a_pipe(monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    screen.say("caf\udce9", pipe)
    assert pipe.buffer.getvalue() == b"caf\xe9\n"


def test_pairs_without_a_value_are_left_out(capsys):
    screen.say_pairs([("Name", "x"), ("Comment", ""), ("Identity", "y")])
    assert capsys.readouterr().out == "Name      x\nIdentity  y\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599, "59m59s"),
        (3600, "1h00m"), (86_399, "23h59m"), (90_000, "1d01h"),
    ],
)  # fmt: skip
def test_durations_are_short(seconds, text):
    assert screen.duration(seconds) == text


@pytest.mark.parametrize(
    ("mib", "text"),
    [(0, "0K"), (0.5, "512K"), (512, "512M"), (1024, "1G"), (7782.4, "7.6G"), (3 << 20, "3T")],
)
def test_sizes_have_the_largest_unit_that_fits(mib, text):
    assert screen.size(mib) == text
