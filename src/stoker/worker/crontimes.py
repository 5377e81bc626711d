"""When a job of a crontab is due next. Pure."""

from __future__ import annotations

from typing import Final

from stoker.core.models import CronEntry
from stoker.core.units import next_time, parse_cron, zone_of

NEVER: Final = 253_402_300_799.0
"""The last second that has a date of four digits: for what is due at no time of its own."""


def due_next(entry: CronEntry, now: float) -> float:
    """Return when an entry is due after *now*; `NEVER` if it is due when the daemon starts."""
    times = parse_cron(entry.times)
    at = None if times is None else next_time(times, now, zone_of(entry.zone))
    return NEVER if at is None else at
