"""Generic resources: ``gpu:2,fpga:tesla:1``.

Source: sbatch(1) "--gres".
"""

from __future__ import annotations

import re

from stoker.core.units.errors import NotationError

_GRES = re.compile(
    r"(?:gres[:/])?(?P<name>[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?)(?:[:=](?P<count>\d{1,9})(?P<unit>[KMGkmg]?))?",
    re.ASCII,
)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_gres(text: str) -> list[tuple[str, int]]:
    """Return (name, count) pairs, sorted by name; a type is part of the name.

    Raises:
        NotationError: Something is no name with an optional type and count.
    """
    found: dict[str, int] = {}
    for word in text.split(",") if text and text.lower() != "none" else ():
        match = _GRES.fullmatch(word)
        if match is None:
            raise NotationError("the gres", text, "write NAME[:TYPE][:COUNT], as in gpu:2")
        count = int(match["count"] or 1) * _FACTORS[match["unit"].upper() if match["unit"] else ""]
        found[match["name"]] = found.get(match["name"], 0) + count
    return sorted(item for item in found.items() if item[1])
