"""Amounts of memory, read and printed in Slurm's units of 1024.

Source: sbatch(1) "--mem", sacct(1) "--units" and "--noconvert".
"""

from __future__ import annotations

import re

from stoker.core.units.errors import NotationError

_SIZE = re.compile(r"(\d{1,18})(?:([KMGTP])B?)?", re.IGNORECASE | re.ASCII)
_UNITS = "KMGTP"
_MIB_MAX = 1 << 40
"""An exbibyte: what is more overflows somewhere, and no machine has it."""


def parse_memory(text: str, default_unit: str = "M") -> int:
    """Return an amount of memory in MiB; a number alone counts in *default_unit*.

    What is less than a MiB counts as one.

    Raises:
        NotationError: It is no whole number with K, M, G or T, or beyond all measure.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise NotationError("the memory", text, "write a whole number and K, M, G or T, as in 4G")
    unit = (match[2] or default_unit).upper()
    mib = -(-(int(match[1]) << 10 * _UNITS.index(unit)) // 1024)
    if mib > _MIB_MAX:
        raise NotationError("the memory", text, "it is more than any machine has")
    return mib


def format_memory(mib: float, *, unit: str = "", convert: bool = True) -> str:
    """Return memory as squeue, scontrol and sacct print it: ``16000M``, ``1G``, ``1.50G``, ``0``.

    Args:
        mib: The amount.
        unit: As sacct's ``--units``: the unit to print in; empty: the largest that fits.
        convert: False leaves the number in MiB, as sacct's ``--noconvert``.
    """
    return format_size(mib, "M", unit=unit, convert=convert)


def format_size(number: float, of: str = "", *, unit: str = "", convert: bool = True) -> str:
    """Return *number*, counted in the unit *of* (empty: bytes), as ``format_memory`` does."""
    if int(number) == 0:
        return "0"
    places = " " + _UNITS
    place = places.index(of or " ")
    if unit:
        number *= 1024.0 ** (place - places.index(unit.upper()))
        place = places.index(unit.upper())
    elif convert:
        while number >= 1024 and int(number) % 512 == 0 and place < len(places) - 1:
            number /= 1024
            place += 1
    digits = f"{int(number)}" if number == int(number) else f"{number:.2f}"
    return digits + places[place].strip()
