"""What people see: tables on a terminal, aligned columns in a pipe, JSON for programs.

A job's name, path or message may hold anything: on a terminal its control characters are shown as
escapes; in a pipe its bytes go through as they are. Rich is loaded only for a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import msgspec

from stoker.cli.thin import harmless
from stoker.core.wire import to_bytes

if TYPE_CHECKING:
    from rich.console import Console

STATE_COLOURS = {
    "PENDING": "yellow",
    "RUNNING": "green",
    "SUSPENDED": "magenta",
    "COMPLETING": "green",
    "COMPLETED": "dim",
    "CANCELLED": "dim yellow",
}
"""How states look; all others are failures and look like one."""

_FAILURE_COLOUR = "red"
_SIZES = ("K", "M", "G", "T", "P")


class Column(NamedTuple):
    """A column of a table; numbers stand at its right side."""

    title: str
    is_number: bool = False
    is_state: bool = False


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person reads what is written there."""
    return (stream or sys.stdout).isatty()


def say(text: str, stream: TextIO | None = None) -> None:
    """Write lines of text; whatever is in them does a terminal no harm."""
    target = stream or sys.stdout
    data = to_bytes(f"{text}\n")
    shown = harmless(data) if is_terminal(target) else data
    target.flush()
    binary = getattr(target, "buffer", None)
    if binary is None:
        target.write(shown.decode("utf-8", "backslashreplace"))
    else:
        binary.write(shown)
    target.flush()


def complain(sentence: str) -> None:
    """Write what went wrong to standard error."""
    say(f"stoker: {sentence}", sys.stderr)


def say_json(value: object, *, in_one_line: bool = False) -> None:
    """Write a value as JSON; bytes that are no text come as lone surrogates' escapes."""
    built = msgspec.to_builtins(value)
    sys.stdout.write(json.dumps(built, indent=None if in_one_line else 2) + "\n")
    sys.stdout.flush()


def say_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Write a table, as fits who reads it; nothing is ever cut off in a pipe."""
    if is_terminal():
        _say_rich(columns, rows)
    else:
        _say_plain(columns, list(rows))


def say_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Write names and values, a line each; those without a value are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name:<{width}}  {value}")


def console(stream: TextIO | None = None) -> Console:
    """Return rich's console for a stream."""
    from rich.console import Console  # noqa: PLC0415 - rich costs 50 ms

    return Console(file=stream or sys.stdout, highlight=False, soft_wrap=False)


def _say_rich(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column.title, justify="right" if column.is_number else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(
            *(
                Text(clean(cell), _colour(cell) if column.is_state else "")
                for column, cell in zip(columns, row, strict=True)
            )
        )
    console().print(table)


def _say_plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write aligned columns; line breaks in cells become escapes, so that a row stays a line."""
    titles = [column.title for column in columns]
    lines = [titles, *([_in_one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            f"{cell:>{width}}" if column.is_number else f"{cell:<{width}}"
            for column, width, cell in zip(columns, widths, line, strict=True)
        )
        say("  ".join(cells).rstrip())


def clean(text: str) -> str:
    """Return text for a terminal: control characters are shown as escapes."""
    return harmless(to_bytes(text)).decode()


def _colour(state: str) -> str:
    return STATE_COLOURS.get(state, _FAILURE_COLOUR)


def _in_one_line(cell: str) -> str:
    return cell.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


# --- Values as people read them.


def moment(at: float | None) -> str:
    """Return a time as local date and time, "" if there is none."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """Return a span as ``3s``, ``2m05s``, ``1h02m`` or ``3d04h``; "" if there is none."""
    if seconds is None:
        return ""
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hour}h{minute:02}m"
    return f"{minute}m{second:02}s" if minutes else f"{second}s"


def size(mib: float) -> str:
    """Return an amount of memory as ``512M`` or ``7.6G``."""
    amount, unit = mib * 1024, 0
    while amount >= 1024 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f}{_SIZES[unit]}" if amount == int(amount) else f"{amount:.1f}{_SIZES[unit]}"


def count(number: int, noun: str) -> str:
    """Return ``1 job`` or ``3 jobs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe(value: Any) -> str:
    """Return a value of a report as text."""
    return "" if value is None else str(value)
