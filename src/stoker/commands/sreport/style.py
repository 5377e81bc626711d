"""How sreport writes what was used: in which unit, how wide, and set apart by what.

Source: sreport(1), ``-t``; rounding and widths as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from stoker.commands.columns import Ending
from stoker.core.units import TRES_NAMES

RULE: Final = "-" * 80 + "\n"

_WIDTH_MIN: Final = 8
_WIDTH_OF_PERCENT: Final = 9
_WIDEST: Final = 24


class Unit(NamedTuple):
    """A unit of time; ``per_s`` is 0 where only the share of the total is shown."""

    word: str
    least: int
    """Letters by which the word may be abbreviated."""
    title: str
    per_s: int
    has_percent: bool = False


_UNITS: Final = (
    Unit("secper", 6, "Seconds/Percentage of Total", 1, has_percent=True),
    Unit("minper", 6, "Minutes/Percentage of Total", 60, has_percent=True),
    Unit("hourper", 6, "Hours/Percentage of Total", 3600, has_percent=True),
    Unit("seconds", 1, "Seconds", 1),
    Unit("minutes", 1, "Minutes", 60),
    Unit("hours", 1, "Hours", 3600),
    Unit("percent", 1, "Percentage of Total", 0),
)
MINUTES: Final = _UNITS[4]
PERCENT: Final = _UNITS[6]


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of all reports: it lasts until something else is said."""

    unit: Unit = MINUTES
    tres: tuple[str, ...] = ()
    """What is counted, by name; empty if nothing was said: CPUs."""
    tres_text: str = ""
    ending: Ending = ""
    has_header: bool = True
    is_quiet: bool = False
    is_sorted_by_name: bool = False

    @property
    def counted(self) -> tuple[str, ...]:
        """Return what is counted, each on a line of its own."""
        return self.tres or TRES_NAMES[:1]

    @property
    def kind(self) -> str:
        """Return how headings call what is counted."""
        return "CPU" if self.tres_text.lower() in ("", "cpu") else "TRES"

    def usage_line(self, kind: str = "") -> str:
        """Return the heading's line on the unit; *kind* is what is counted, if always the same."""
        kind = "" if self.unit is PERCENT else f"{kind or self.kind} "
        return f"Usage reported in {kind}{self.unit.title}\n"

    def amount(self, seconds: int, total: int, unit: Unit | None = None) -> str:
        """Return an amount; *total* is what its percentage is taken of."""
        unit = unit or self.unit
        percent = f"{100 * seconds / (total or 1):.2f}%"
        if not unit.per_s:
            return percent
        text = str(seconds) if unit.per_s == 1 else f"{seconds / unit.per_s:.0f}"
        return f"{text}({percent})" if unit.has_percent else text

    def width(self, largest: int) -> int:
        """Return how wide a column of amounts is whose largest is *largest*, in seconds."""
        digits = min(max(_WIDTH_MIN, len(str(largest))), _WIDEST)
        return digits + _WIDTH_OF_PERCENT * self.unit.has_percent


def unit_of(word: str) -> Unit | None:
    """Return the unit that a word, maybe abbreviated, names."""
    lower = word.lower()
    for unit in _UNITS:
        if unit.word.startswith(lower) and len(lower) >= min(unit.least, len(unit.word)):
            return unit
    return None


def tres_of(text: str, known: Sequence[str] = TRES_NAMES) -> tuple[str, ...]:
    """Return those of the *known* things that a list names; () if it names none."""
    words = text.lower().split(",")
    return tuple(name for name in known if name in words or "all" in words)
