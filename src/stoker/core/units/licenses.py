"""Licences: ``matlab:2,ansys``.

Source: sbatch(1) "--licenses"; slurm.conf(5) "Licenses".
"""

from __future__ import annotations

import re

from stoker.core.units.errors import NotationError

_LICENSE = re.compile(r"(?P<name>[A-Za-z_][\w.@/-]*)(?:[:=*](?P<count>\d{1,9}))?", re.ASCII)


def parse_licenses(text: str) -> list[tuple[str, int]]:
    """Return (name, count) pairs, sorted by name.

    Raises:
        NotationError: Something is no name with an optional count, or a count is 0.
    """
    found: dict[str, int] = {}
    for word in re.split("[,;]", text) if text else ():
        match = _LICENSE.fullmatch(word)
        count = int(match["count"] or 1) if match else 0
        if match is None or not count:
            raise NotationError("the licenses", text, "write NAME[:COUNT], as in matlab:2")
        found[match["name"]] = found.get(match["name"], 0) + count
    return sorted(found.items())
