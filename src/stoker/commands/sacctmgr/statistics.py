"""sacctmgr show stats: what has been asked of the records, and how long that took.

Here one daemon keeps queue and records: of the calls by message those are told that ask for records
only, and of the calls by user all.

Source: sacctmgr(1) "show stats"; the layout as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from stoker.commands.sacctmgr.desk import Desk
from stoker.commands.sdiag import figures_of, stamp
from stoker.core.units import zone_of

_STARS: Final = "*" * 67
_MESSAGES: Final[Mapping[str, tuple[str, int]]] = {
    "sacct": ("DBD_GET_JOBS_COND", 1444),
    "sacctmgr": ("DBD_GET_ASSOCS", 1410),
    "sreport": ("DBD_GET_ASSOC_USAGE", 1411),
}
"""What Slurm's programs ask slurmdbd for above all, and its number."""


def statistics(desk: Desk) -> str:
    """Return what has been counted since the daemon started, or they were last cleared."""
    return "".join(f"{line}\n" for line in _lines(desk))


def _lines(desk: Desk) -> Iterator[str]:
    zone = zone_of(desk.call.environment.get("TZ", ""))
    found = desk.controller.statistics()
    yield _STARS
    yield f"sacctmgr show stats output at {stamp(desk.controller.now(), zone)}"
    yield f"Data since                    {stamp(found.since, zone)}"
    yield from ("All statistics are in microseconds", _STARS)
    yield from ("", "Remote Procedure Call statistics by message type")
    asked = [(calls, name) for name, calls in found.by_program.items() if name in _MESSAGES]
    for calls, program in sorted(asked, key=lambda each: -each[0].count):
        name, number = _MESSAGES[program]
        yield f"\t{name:<25}({number:>5}) {figures_of(calls)}"
    yield from ("", "Remote Procedure Call statistics by user")
    for owner, calls in sorted(found.by_user.items(), key=lambda each: -each[1].count):
        yield f"\t{owner.user_name:<20}({owner.user_id:>10}) {figures_of(calls)}"
