"""How sacct writes values: units, times, and whose cluster it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from stoker.commands.accounting import Line
from stoker.core.units import format_size


class Style(msgspec.Struct, frozen=True):
    """How values are written: ``unit`` and ``convert`` as ``--units`` and ``--noconvert`` say."""

    cluster: str
    now: float
    time: Callable[[float], str]
    unit: str = ""
    convert: bool = True

    def memory(self, mib: float) -> str:
        """Return an amount of memory."""
        return format_size(mib, "M", unit=self.unit, convert=self.convert)

    def bytes(self, number: float) -> str:
        """Return a size."""
        return format_size(number, unit=self.unit, convert=self.convert)


Read: TypeAlias = Callable[[Line, Style], str]
