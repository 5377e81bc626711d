"""Rows that come in parts, each part sorted, put into one order without keeping anybody waiting.

While parts come there are only empty pieces: who reads them may do something else in between.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, TypeAlias

_ROWS_PER_CHUNK: Final = 128

Row: TypeAlias = tuple[tuple[Any, ...], str | Iterable[str]]
"""What sorts a row, which no other row has, and its text, or those of all that stand there."""


def merged(parts: Iterable[Sequence[Row]]) -> Iterator[str]:
    """Return the texts of all rows in order, many to a piece, as soon as all parts have come."""
    runs: list[list[Row]] = [[]]
    for part in parts:
        if part and runs[-1] and part[0] < runs[-1][-1]:
            runs.append(list(part))
        else:
            runs[-1] += part
        yield ""
    rows = ([text] if isinstance(text, str) else text for _, text in heapq.merge(*runs))
    texts = chain.from_iterable(rows)
    while some := list(islice(texts, _ROWS_PER_CHUNK)):
        yield "".join(some)


def headed(pieces: Iterator[str], head: Callable[[bool], str]) -> Iterator[str]:
    """Put what can be told only when all parts have come above the rows of `merged`.

    *head* is told whether there are any.
    """
    for piece in pieces:
        if piece:
            yield head(True)  # noqa: FBT003 - there are rows
            yield piece
            yield from pieces
            return
        yield ""
    yield head(False)  # noqa: FBT003 - there are none


def descending(value: Any) -> Any:
    """Return what sorts the other way round."""
    return -value if isinstance(value, int | float) else _Down(value)


class _Down:
    """Sorts the other way round."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Down) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and bool(other.value == self.value)
