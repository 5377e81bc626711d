"""Time zones as the variable TZ names them.

Source: tzset(3).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_POSIX = re.compile(
    r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+\-]{3,}>)(?P<sign>[+-]?)(?P<hours>\d{1,2})"
    r"(?::(?P<minutes>\d{2}))?(?P<summer>.*)",
    re.ASCII,
)


class _LocalZone(tzinfo):
    """The daemon's own zone, summer time and all."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else _local(moment).utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else timedelta(0)

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else _local(moment).tzname()

    def fromutc(self, moment: datetime) -> datetime:
        local = moment.replace(tzinfo=UTC).astimezone()
        return local.replace(tzinfo=self)


LOCAL_ZONE: tzinfo = _LocalZone()


def _local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None).astimezone()


def zone_of(tz_variable: str) -> tzinfo:
    """Return the zone that *tz_variable* names; the daemon's own for what cannot be read."""
    name = tz_variable.removeprefix(":")
    if not name:
        return LOCAL_ZONE
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return _posix_zone(name) or LOCAL_ZONE


def _posix_zone(name: str) -> tzinfo | None:
    match = _POSIX.fullmatch(name)
    if match is None:
        return None
    offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"] or 0))
    return timezone(offset if match["sign"] == "-" else -offset)
