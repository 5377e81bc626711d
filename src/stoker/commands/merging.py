"""Rows that come in parts, each part sorted, put into one order without keeping anybody waiting."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, TypeAlias

_ROWS_PER_CHUNK: Final = 128

Row: TypeAlias = tuple[tuple[Any, ...], str | Iterable[str]]
"""What sorts a row, which no other row has, and its text, or those of all that stand there."""


def merged(parts: Iterable[Sequence[Row]]) -> Iterator[str]:
    """Return the texts of all rows in order, many to a piece.

    Pieces are empty as long as parts come: who reads them may do something else in between.
    """
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
