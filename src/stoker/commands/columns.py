"""Tables as the accounting commands print them: sacct, sstat, sacctmgr, sshare, sreport.

A column is ``NAME[%WIDTH]``; a negative width is left-aligned. A text that does not fit ends in
``+``, a time stamp is cut, a figure stands out. One line of dashes follows the headings. With a
delimiter nothing is padded or cut.

Names may be abbreviated; the first of the list that begins so is meant, and a width holds for all
columns of that name, the last one said winning: both as in Slurm, where a column is one object.

Source: sacct(1), ``--format``; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Generic, Literal, NamedTuple, TypeVar

Row = TypeVar("Row")
Kind = Literal["text", "stamp", "figure"]
Ending = Literal["", "none", "delimiter"]

ROWS_PER_CHUNK = 256
CHUNK_MAX = 1 << 20
"""Letters after which a chunk is long enough, however few rows it has."""
WIDTH_MAX = 32_767
COLUMNS_MAX = 4096
ROW_MAX = 1 << 20
"""Letters to which columns of a row may be padded, all together."""
_DIGITS_MAX = 9


class Column(NamedTuple, Generic[Row]):
    """What a column shows, how wide, and what becomes of a value that is too long."""

    name: str
    width: int
    read: Callable[[Row], str]
    kind: Kind = "text"

    def cell(self, row: Row) -> str:
        """Return the row's value, cut and padded."""
        width = abs(self.width)
        text = self.read(row)
        if len(text) > width:
            text = _cut(text, width, self.kind)
        return text.ljust(width) if self.width < 0 else text.rjust(width)

    def heading(self) -> str:
        """Return the name, cut and padded; headings are aligned as their column."""
        width = abs(self.width)
        text = self.name[:width]
        return text.ljust(width) if self.width < 0 else text.rjust(width)


class UnknownField(Exception):
    """A format names a field that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Invalid field requested: {name!r}")
        self.name = name


class Table(NamedTuple, Generic[Row]):
    """Columns, and how they are set apart.

    ``ending`` says whether a delimiter follows the last column of a line, or "" for a padded table.
    """

    columns: Sequence[Column[Row]]
    has_header: bool = True
    ending: Ending = ""
    delimiter: str = "|"

    def header(self) -> str:
        """Return the headings, and the dashes of a padded table."""
        if not self.has_header:
            return ""
        if self.ending:
            return self._joined(column.name for column in self.columns)
        names = self._padded(column.heading() for column in self.columns)
        return names + self._padded("-" * abs(column.width) for column in self.columns)

    def line(self, row: Row) -> str:
        """Return the line of one row."""
        if self.ending:
            return self._joined(column.read(row) for column in self.columns)
        return self._padded(column.cell(row) for column in self.columns)

    def text(self, rows: Iterable[Row]) -> Iterator[str]:
        """Return the header and the lines of all rows, many to a piece."""
        yield from in_chunks(chain([self.header()], map(self.line, rows)), ROWS_PER_CHUNK)

    def _joined(self, cells: Iterable[str]) -> str:
        last = self.delimiter if self.ending == "delimiter" else ""
        return f"{self.delimiter.join(cells)}{last}\n"

    @staticmethod
    def _padded(cells: Iterable[str]) -> str:
        return "".join(f"{cell} " for cell in cells) + "\n"


def choose(text: str, fields: Sequence[Column[Row]]) -> list[Column[Row]]:
    """Return the columns that a format names, as many as anybody reads.

    Widths that would make a row a book are passed over.

    Raises:
        UnknownField: It names one that does not exist.
    """
    chosen: list[str] = []
    widths: dict[str, int] = {}
    for word in filter(None, (each.strip() for each in text.split(","))):
        name, percent, width = word.partition("%")
        if name.lower() == "all":
            chosen += [field.name for field in fields]
            continue
        found = _find(name, fields)
        chosen.append(found.name)
        if percent:
            widths[found.name] = leading_number(width)
    by_name = {field.name: field for field in fields}
    chosen = chosen[:COLUMNS_MAX]
    if sum(abs(widths.get(name, 0)) for name in chosen) > ROW_MAX:
        widths.clear()
    return [_with_width(by_name[name], widths.get(name)) for name in chosen]


def in_chunks(lines: Iterable[str], count: int) -> Iterator[str]:
    """Yield *lines* together, so many to a piece, and fewer if they are long."""
    pieces: list[str] = []
    size = 0
    for line in lines:
        pieces.append(line)
        size += len(line)
        if len(pieces) >= count or size >= CHUNK_MAX:
            yield "".join(pieces)
            pieces.clear()
            size = 0
    if pieces:
        yield "".join(pieces)


def name_grid(names: Iterable[str]) -> str:
    """Return names in four columns, as ``--helpformat`` lists them."""
    cells = [name.ljust(19) for name in names]
    lines = (cells[start : start + 4] for start in range(0, len(cells), 4))
    return "".join(" ".join(line) + "\n" for line in lines)


def _find(name: str, fields: Sequence[Column[Row]]) -> Column[Row]:
    wanted = name.lower()
    for field in fields:
        if field.name.lower().startswith(wanted):
            return field
    raise UnknownField(name)


def _with_width(field: Column[Row], width: int | None) -> Column[Row]:
    return field if width is None else field._replace(width=width)


def leading_number(text: str) -> int:
    """Read a width as atoi(3) does: digits as far as they go, else 0; nothing is wider than that.

    Whoever asks for a column of a gigabyte must not get it.
    """
    sign = text[:1] in ("-", "+")
    digits = text[sign:]
    digits = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    number = min(int(digits[:_DIGITS_MAX]), WIDTH_MAX) if digits else 0
    return -number if text[:1] == "-" else number


def _cut(text: str, width: int, kind: Kind) -> str:
    if kind == "figure":
        return text
    if kind == "stamp" or not width:
        return text[:width]
    return text[: width - 1] + "+"
