"""Time zones as the variable TZ names them.

Source: tzset(3); RFC 8536, whose files end in a POSIX rule.
"""

from __future__ import annotations

import io
import re
import struct
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_SUMMER_WITHOUT_RULE = re.compile(
    r"(?:[A-Za-z]+|<[^>]+>)[+-]?[\d:]+(?:[A-Za-z]+|<[^>]+>)(?:[+-]?[\d:]+)?", re.ASCII
)
_DEFAULT_RULE = ",M3.2.0,M11.1.0"


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
        found = local.replace(tzinfo=self)
        # Of an hour that comes twice, the second has another offset than the first.
        return found if found.utcoffset() == local.utcoffset() else found.replace(fold=1)


LOCAL_ZONE: tzinfo = _LocalZone()


def _local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None).astimezone()


def zone_of(tz_variable: str) -> tzinfo:
    """Return the zone that *tz_variable* names; the daemon's own for what cannot be read."""
    name = tz_variable.removeprefix(":").rpartition("zoneinfo/")[2]
    if not name:
        return LOCAL_ZONE
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return _posix_zone(name) or LOCAL_ZONE


def _posix_zone(rule: str) -> tzinfo | None:
    """Return the zone of a rule such as ``CET-1CEST,M3.5.0,M10.5.0/3``."""
    if _SUMMER_WITHOUT_RULE.fullmatch(rule):
        rule += _DEFAULT_RULE
    # A zone file with no transitions and this rule at its end means just the rule.
    counts = struct.pack(">5sx14x6L", b"TZif2", 0, 0, 0, 0, 1, 1)
    block = counts + struct.pack(">lBB", 0, 0, 0) + b"\0"
    try:
        return ZoneInfo.from_file(io.BytesIO(block * 2 + b"\n" + rule.encode() + b"\n"), rule)
    except (ValueError, EOFError):
        return None
