"""Column formats, as ``squeue -o`` and ``-O``, ``sinfo -o`` and ``-O`` read them.

A format is compiled once into a template and a list of readers; a row is then one ``%`` operation,
so that a listing of a hundred thousand jobs costs little more than reading off its values.

What is between the columns belongs to the column before it. A column is cut to its width; some are
not when they are right-aligned, as in Slurm, and say so (`Field.fit`). A value that is missing
(None) reads ``(null)``, or nothing where that is cut on the left: C's printf does it so.

Source: squeue(1) and sinfo(1), ``--format`` and ``--Format``; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from stoker.commands.columns import COLUMNS_MAX, ROW_MAX, in_chunks, leading_number

Record = TypeVar("Record")

NULL = "(null)"
LONG_WIDTH = 20
"""How wide a column of ``-O`` is that does not say."""
ROWS_PER_CHUNK = 512

Fit = Callable[[str, int, bool], str]
"""Cuts a text to a width; the last argument says whether it is right-aligned."""


class Field(NamedTuple, Generic[Record]):
    """What a column may show: its heading, and how it is read off a record."""

    heading: str
    read: Callable[[Record], str | None]
    fit: Fit | None = None


class Column(NamedTuple, Generic[Record]):
    """A field at its place in a format; without a field it is only text."""

    field: Field[Record] | None
    width: int = 0
    is_right: bool = False
    suffix: str = ""


class Layout(Generic[Record]):
    """A compiled format; ``unknown`` are the specifications that mean nothing, in order."""

    def __init__(self, columns: Sequence[Column[Record]], unknown: Sequence[str] = ()) -> None:
        """Compile *columns*."""
        self.unknown = tuple(unknown)
        columns = _readable(columns)
        self._columns = tuple(column for column in columns if column.field is not None)
        self._template = "".join(map(_template, columns)) + "\n"
        self._readers = tuple(map(_reader, self._columns))

    @property
    def fields(self) -> frozenset[Field[Record]]:
        """Return the fields that the format shows."""
        return frozenset(column.field for column in self._columns if column.field is not None)

    def heading(self) -> str:
        """Return the line above the rows."""
        return self._template % tuple(map(_heading, self._columns))

    def row(self, record: Record) -> str:
        """Return the line of one record."""
        return self._template % tuple([read(record) for read in self._readers])

    def chunks(self, records: Iterable[Record]) -> Iterator[str]:
        """Return the lines of all records, many to a piece."""
        return in_chunks(map(self.row, records), ROWS_PER_CHUNK)


def parse_short(text: str, fields: Mapping[str, Field[Record]], every: str) -> Layout[Record]:
    """Compile a format of letters: ``%.18i %.9P``; *every* is what ``%all`` stands for."""
    columns, unknown = _short_columns(text.replace("%all", every), fields)
    return Layout(columns, unknown)


def parse_long(
    text: str,
    fields: Mapping[str, Field[Record]],
    every: str = "",
    by_letter: Mapping[str, Field[Record]] = MappingProxyType({}),
) -> Layout[Record]:
    """Compile a format of names: ``JobID:10-,Name:.12``; *fields* are by their names in lower case.

    Each word is a name, and after a colon a ``.`` for the right, a width and a suffix. If *every*
    is given, the word ``all`` stands for that format of letters.
    """
    columns: list[Column[Record]] = []
    unknown = []
    for word in filter(None, text.split(",")):
        name, colon, size = word.partition(":")
        is_right, width, suffix = _size(size) if colon else (False, LONG_WIDTH, "")
        if every and name.lower() == "all":
            columns += _short_columns(every, by_letter)[0]
            continue
        field = fields.get(name.lower())
        columns.append(Column(field, width, is_right, suffix))
        if field is None:
            unknown.append(name)
    return Layout(columns, unknown)


def whole_on_the_right(text: str, width: int, is_right: bool) -> str:  # noqa: FBT001 - a Fit
    """Fit a text that Slurm never cuts when it is right-aligned."""
    return text if is_right else text[:width]


def figure_whole_on_the_right(text: str, width: int, is_right: bool) -> str:  # noqa: FBT001
    """Fit a time: one that is a figure is not cut when it is right-aligned; a word is."""
    return text if is_right and text[:1].isdigit() else text[:width]


def _short_columns(
    text: str, fields: Mapping[str, Field[Record]]
) -> tuple[list[Column[Record]], list[str]]:
    first, *rest = text.split("%")
    columns: list[Column[Record]] = [Column(None, suffix=first)]
    unknown = []
    for word in filter(None, rest):
        is_right, width, left = _size(word)
        field = fields.get(left[:1])
        if field is not None:
            columns.append(Column(field, width, is_right, left[1:]))
        else:
            columns.append(Column(None, suffix=f"%{word}"))
            unknown.append(left[:1])
    return columns, unknown


def _size(word: str) -> tuple[bool, int, str]:
    """Split ``.18i `` into alignment, width and what follows."""
    is_right = word.startswith(".")
    rest = word[is_right:]
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return is_right, leading_number(digits), rest[len(digits) :]


def _readable(columns: Sequence[Column[Record]]) -> Sequence[Column[Record]]:
    """Return as many columns as anybody reads, no wider than makes a row that can be read."""
    columns = columns[:COLUMNS_MAX]
    if sum(column.width for column in columns) <= ROW_MAX:
        return columns
    widest = ROW_MAX // COLUMNS_MAX
    return [column._replace(width=min(column.width, widest)) for column in columns]


def _template(column: Column[Record]) -> str:
    suffix = column.suffix.replace("%", "%%")
    if column.field is None:
        return suffix
    if not column.width:
        return f"%s{suffix}"
    sign = "" if column.is_right else "-"
    precision = "" if column.field.fit else f".{column.width}"
    return f"%{sign}{column.width}{precision}s{suffix}"


def _heading(column: Column[Record]) -> str:
    assert column.field is not None
    heading, _, fit = column.field
    return fit(heading, column.width, column.is_right) if fit and column.width else heading


def _reader(column: Column[Record]) -> Callable[[Record], str]:
    assert column.field is not None
    _, read, fit = column.field
    width, is_right = column.width, column.is_right
    null = "" if 0 < width < len(NULL) and not is_right else NULL

    def text(record: Record) -> str:
        found = read(record)
        return null if found is None else found

    def fitted(record: Record) -> str:
        found = read(record)
        return null if found is None else fit(found, width, is_right)  # type: ignore[misc]

    return fitted if fit and width else text
