"""Tables and cells of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown already, an empty one stays empty."""
    lines = [_line(heads), _line(["---"] * len(heads))]
    lines += [_line(row) for row in rows]
    return "\n".join(lines)


def code(text: str) -> str:
    """Return *text* as code, for a cell; nothing for nothing."""
    return f"`{text}`" if text else ""


def sentence(text: str) -> str:
    """Return *text* with a capital in front and a full stop behind."""
    stop = "" if text.endswith(".") or not text else "."
    return f"{text[:1].upper()}{text[1:]}{stop}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
