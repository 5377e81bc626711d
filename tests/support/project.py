"""The project's own files, for tests that look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "stoker"

_PLACES = ("src", "tests", "docs", "bench")
_MADE = {"__pycache__", "results"}


def modules(folder: Path = SOURCE) -> list[Path]:
    """Return the Python files under *folder*."""
    return sorted(folder.rglob("*.py"))


def pages() -> list[Path]:
    """Return the pages of the documentation, those of the root folder first."""
    return [
        *sorted(ROOT.glob("*.md")),
        *(page for place in _PLACES for page in sorted((ROOT / place).rglob("*.md"))),
    ]


def texts() -> Iterator[tuple[Path, str]]:
    """Give every file that somebody wrote, with its text."""
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for place in _PLACES for path in (ROOT / place).rglob("*") if path.is_file()]
    for path in sorted(files):
        if not _MADE & set(path.parts) and path.suffix != ".out":
            yield path, path.read_text(encoding="utf-8", errors="replace")


def page(name: str) -> str:
    """Return the text of a page, named from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def chapter(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    below = text.partition(f"\n{heading}\n")[2]
    assert below, f"there is no {heading!r}"
    return re.split(rf"^#{{1,{level}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """Return what stands in the first column of the tables of a text, heads and rules left out."""
    rows = re.findall(r"^\| (.+?) (?<!\\)\|", text, re.MULTILINE)
    heads = re.findall(r"^\| (.+?) (?<!\\)\|.*\n\| ---", text, re.MULTILINE)
    return [cell for cell in rows if cell != "---" and cell not in heads]
