"""A crontab's text: entries with what ``#SCRON`` lines ask for, and variables. Pure.

``#SCRON`` lines hold options of sbatch's for the one entry that follows; ``NAME=VALUE`` lines set a
variable for all that follow. Other lines that begin with ``#`` say nothing.

Source: scrontab(1), crontab(5).
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC
from typing import Final

import msgspec

from stoker.core.units import NotationError, next_time, parse_cron

_VARIABLE: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*)", re.ASCII)
_ENTRY: Final = re.compile(r"\s*(@\w+|(?:\S+\s+){4}\S+)\s+(\S.*)", re.ASCII)
_SCRON: Final = "#SCRON"


class CrontabError(Exception):
    """A line that cannot be read: its number, from 1, and why."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"line {number}: {why}")
        self.number = number
        self.why = why


class Line(msgspec.Struct, frozen=True):
    """One entry: where it stands, when it is due, what it runs and how, and its own text.

    The text is as it stands in the crontab, from the first ``#SCRON`` line on.
    """

    number: int
    times: str
    command: str
    options: tuple[str, ...]
    variables: dict[str, str]
    text: str


def read_crontab(text: str) -> list[Line]:
    """Return the entries.

    Raises:
        CrontabError: A line is neither entry nor variable nor remark.
    """
    found: list[Line] = []
    variables: dict[str, str] = {}
    options: list[str] = []
    lines = text.split("\n")
    first = 0
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if stripped.startswith(_SCRON):
            options += _words(stripped[len(_SCRON) :], number)
            first = first or number
        elif not stripped or stripped.startswith("#"):
            continue
        elif (match := _VARIABLE.fullmatch(line)) and not _ENTRY.match(line):
            variables[match[1]] = _unquoted(match[2])
        else:
            times, command = _entry(line, number)
            own = "\n".join(lines[(first or number) - 1 : number])
            found.append(Line(number, times, command, tuple(options), dict(variables), own))
            options, first = [], 0
    if options:
        raise CrontabError(number, "no entry follows the #SCRON line")
    return found


def _words(text: str, number: int) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise CrontabError(number, str(error)) from None


def _entry(line: str, number: int) -> tuple[str, str]:
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise CrontabError(number, "it is no entry: five fields or @daily, then a command")
    times = " ".join(match[1].split())
    try:
        parsed = parse_cron(times)
    except NotationError as error:
        raise CrontabError(number, str(error)) from None
    if parsed is not None and next_time(parsed, 0.0, UTC) is None:
        raise CrontabError(number, "that time never comes")
    return times, match[2].rstrip()


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
