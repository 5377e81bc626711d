"""Figures of the machine and of the moment: what two runs of one command on one Slurm differ in.

Free memory and load of a node, ports and sessions, what the scheduler has counted since it began,
the time that a cluster stood idle, the processes of a step, and which plugins a program says it
has loaded. A figure becomes ``#`` in a cell of the same width, in the column that it stood in;
headings, words, widths, order and number of lines stay, and are compared to the letter.

Source: the recordings' index, "normalise".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from stoker.commands import sstat

_Lines = Sequence[str]

_LOADED: Final = re.compile(
    r"\w+: (?:debug:  )?[a-z_]+/\w+: (?:common_)?init: \S.* loaded(?: with argument \d+)?"
)
"""``sbatch: select/linear: init: Linear node selection plugin loaded with argument 20``."""


def without_figures(lines: _Lines, command: str) -> _Lines:
    """Return what a command printed without such figures."""
    lines = [line for line in lines if not _LOADED.fullmatch(line)]
    for tool, rule in _RULES:
        if re.search(rf"\b{tool}\b", command):
            lines = rule(lines, command)
    return lines


_FREE: Final = ".*?"
"""What a column without a width holds."""


def _blank(cell: str, column: str = "") -> str:
    """Return a cell with its figure as ``#``, at the edge of the cell that it stood at."""
    found = re.fullmatch(r"( *)\d+(?:\.\d+)?( *)", cell)
    if found is None or (found[1] and found[2]):
        return cell
    if column == _FREE:
        return "#"
    return "#".rjust(len(cell)) if found[1] else "#".ljust(len(cell))


# Tables in a format of one's own: sinfo and squeue.

_BY_LETTER: Final[Mapping[str, str]] = {"sinfo": "eO", "squeue": ""}
_BY_NAME: Final = frozenset({"allocsid", "cpusload", "freemem", "port"})
_HEADINGS: Final = frozenset({"ALLOC_SID", "CPU_LOAD", "FREE_MEM", "PORT"})
_SHORT: Final = re.compile(r" -o ?(?P<quote>['\"]?)(?P<text>.*?)(?P=quote)(?= -\w|$)")
_LONG: Final = re.compile(r" -O ?['\"]?(?P<text>[\w:.,+-]+)")
_SPECIFICATION: Final = re.compile(r"%(?P<right>\.?)(?P<width>\d*)(?P<letter>\w)")
_DEFAULT_WIDTH: Final = "20"


def _of_tables(lines: _Lines, command: str) -> _Lines:
    """Take the figures out of the columns that a format names, or a heading with ``|``."""
    if row := _row(command):
        return [row(line) for line in lines]
    names = [name.strip() for name in lines[0].split("|")]
    return [lines[0], *(_of_cells(line, names) for line in lines[1:])]


def _of_cells(line: str, names: Sequence[str]) -> str:
    cells = line.split("|")
    if len(cells) != len(names):
        return line
    pairs = zip(cells, names, strict=True)
    return "|".join(
        re.sub(r"^[\d.]+", "#", cell) if name in _HEADINGS else cell for cell, name in pairs
    )


def _row(command: str) -> Callable[[str], str] | None:
    """Return what takes the figures out of a row in the format of a command."""
    if found := _LONG.search(command):
        parts = list(_long_parts(found["text"]))
    elif found := _SHORT.search(command):
        tool = "sinfo" if "sinfo" in command else "squeue"
        parts = list(_short_parts(found["text"], _BY_LETTER[tool]))
    else:
        return None
    if not any(is_figure for _, is_figure in parts):
        return None
    pattern = re.compile("".join(f"({text})" for text, _ in parts))

    def without(line: str) -> str:
        match = pattern.fullmatch(line)
        if match is None:
            return line
        cells = zip(match.groups(), parts, strict=True)
        return "".join(
            _blank(cell, column) if is_figure else cell for cell, (column, is_figure) in cells
        )

    return without


def _short_parts(text: str, letters: str) -> Iterator[tuple[str, bool]]:
    """Return the parts of a row: for each its pattern, and whether a figure stands there."""
    end = 0
    for found in _SPECIFICATION.finditer(text):
        yield re.escape(text[end : found.start()]), False
        width = found["width"]
        yield f".{{{width}}}" if width else _FREE, found["letter"] in letters
        end = found.end()
    yield re.escape(text[end:]), False


def _long_parts(text: str) -> Iterator[tuple[str, bool]]:
    for word in text.split(","):
        name, _, rest = word.partition(":")
        found = re.fullmatch(r"\.?(\d*)(.*)", rest)
        assert found is not None
        suffix = re.escape(found[2])
        yield f".{{{found[1] or _DEFAULT_WIDTH}}}", name.lower() in _BY_NAME
        yield suffix, False


# sdiag.

_COUNTED: Final = re.compile(r"(\t?[A-Z][\w ()]+: *)\d+( microseconds)?")
_CALLS: Final = re.compile(
    r"\t(?=[\w.]+ *\()(?:.{40}\([ \d]{5}|.{16}\([ \d]{8})\) "
    r"count:(?=.{7}a)\d+ +ave_time:(?=.{7}t)\d+ +total_time:\d+"
)
_COUNT: Final = re.compile(r"((?:count|ave_time):)(\d+ +)|total_time:\d+")


def _uncounted(figure: re.Match[str]) -> str:
    return "total_time:#" if figure[1] is None else figure[1] + _blank(figure[2])


def _of_sdiag(lines: _Lines, _: str) -> _Lines:
    """Take out how much was counted, and how long it took."""
    found: list[str] = []
    for line in lines:
        if _CALLS.fullmatch(line):
            line = _COUNT.sub(_uncounted, line)  # noqa: PLW2901
        counted = _COUNTED.fullmatch(line)
        found.append(f"{counted[1]}#{counted[2] or ''}" if counted else line)
    return found


# sreport cluster utilization.

_UTILISATION: Final = ("cluster", "allocated", "down", "plnd down", "idle", "planned", "reported")
_OF_THE_CLOCK: Final = frozenset({"idle", "planned", "reported"})
"""How long nobody asked for anything, how long jobs waited, and how long the cluster is known."""


def _of_utilisation(lines: _Lines, command: str) -> _Lines:
    """Take out what follows from the time that passed: of what was allocated its share alone."""
    if not re.search(r"\bcluster utilization\b", command):
        return lines
    named = re.search(r"\bformat=(\S+)", command)
    names = named[1].lower().split(",") if named else _UTILISATION
    is_split = any("|" in line for line in lines)
    return [_of_report(line, names, is_split=is_split) for line in lines]


def _of_report(line: str, names: Sequence[str], *, is_split: bool) -> str:
    cells = line.split("|") if is_split else re.findall(r" *[^ ]+", line.rstrip(" "))
    if len(cells) != len(names):
        return line
    share = r"\d+\.\d\d%"
    told = []
    for cell, name in zip(cells, names, strict=True):
        if name in _OF_THE_CLOCK:
            text = re.sub(r"\d+(?![.\d]*%)", "#", re.sub(share, "#%", cell))
        elif name == "allocated":
            text = re.sub(share, "#%", cell)
        else:
            text = cell
        told.append(text if is_split else text.strip().rjust(len(cell)))
    return "|".join(told) if is_split else "".join(told) + line[len(line.rstrip(" ")) :]


# sstat.


def sstat_heading() -> tuple[str, str]:
    """Return the heading of sstat's own columns, as it prints it itself where it has to."""
    widths = {column.name.lower(): (column.name, column.width) for column in sstat.COLUMNS}
    cells = [widths[name] for name in sstat.DEFAULT_FORMAT.split(",")]
    names = "".join(f"{name.ljust(-w) if w < 0 else name.rjust(w)} " for name, w in cells)
    return names, "".join(f"{'-' * abs(width)} " for _, width in cells)


def _of_processes(lines: _Lines, command: str) -> _Lines:
    """Take out the numbers of a step's processes."""
    if not re.search(r" (?:-i|--pidformat)\b", command):
        return lines
    return [
        re.sub(r" +\d+(?:,\d+)* ?$", lambda found: _blank(found[0][:-1]) + " ", line)
        for line in lines
    ]


_RULES: Final[Iterable[tuple[str, Callable[[_Lines, str], _Lines]]]] = (
    ("sinfo|squeue", _of_tables),
    ("sdiag", _of_sdiag),
    ("sreport", _of_utilisation),
    ("sstat", _of_processes),
)
