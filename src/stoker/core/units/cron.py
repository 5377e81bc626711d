"""When a crontab's line is due: five fields, or a word such as ``@daily``.

Source: crontab(5); scrontab(1), whose words are a few more. If both the day of the month and that
of the week are restricted, either will do. Times are local: one that the clock skips is not due on
that day, one that comes twice is due the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

import msgspec

from stoker.core.units.errors import NotationError

REBOOT: Final = "@reboot"
"""Due whenever the daemon starts, and at no other time."""

_WORDS: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@elevenses": "0 11 * * *",
    "@fika": "0 15 * * *",
    "@noon": "0 12 * * *",
    "@teatime": "0 16 * * *",
}
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final[Sequence[tuple[str, int, int, Sequence[str]]]] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART: Final = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d{1,4}))?", re.ASCII)
_DAYS_AHEAD: Final = 366 * 8 + 1
"""Leap days are at most eight years apart."""


class CronTimes(msgspec.Struct, frozen=True):
    """What the five fields allow; ``days_of_week`` counts from Sunday, 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]
    either_day: bool
    """Whether one of the two kinds of days is enough."""

    def allows(self, day: date) -> bool:
        """Whether it is due at some time of that day."""
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.days_of_week
        fits = of_month or of_week if self.either_day else of_month and of_week
        return fits and day.month in self.months


def parse_cron(text: str) -> CronTimes | None:
    """Read five fields or a word; None for ``@reboot``.

    Raises:
        NotationError: It is neither.
    """
    if text.lower() == REBOOT:
        return None
    fields = _WORDS.get(text.lower(), text).split()
    if len(fields) != len(_FIELDS):
        raise NotationError("the time", text, "write five fields, as in 30 6 * * 1-5, or @daily")
    found = [_field(field, *facts) for field, facts in zip(fields, _FIELDS, strict=True)]
    minutes, hours, days, months, days_of_week = found
    return CronTimes(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        days_of_week=frozenset(day % 7 for day in days_of_week),
        either_day=not (fields[2].startswith("*") or fields[4].startswith("*")),
    )


def next_time(times: CronTimes, after: float, zone: tzinfo) -> float | None:
    """Return the first time after *after*, in epoch seconds; None if it never comes."""
    begin = datetime.fromtimestamp(after, zone)
    for days in range(_DAYS_AHEAD):
        day = begin.date() + timedelta(days=days)
        if times.allows(day):
            for at in _times_of(times, day, zone):
                if at > after:
                    return at
    return None


def _times_of(times: CronTimes, day: date, zone: tzinfo) -> Iterator[float]:
    for hour in sorted(times.hours):
        for minute in sorted(times.minutes):
            wanted = datetime.combine(day, time(hour, minute), zone)
            at = wanted.timestamp()
            # What the clock skips comes back as another time of day.
            if datetime.fromtimestamp(at, zone).replace(tzinfo=None) == wanted.replace(tzinfo=None):
                yield at


def _field(text: str, name: str, low: int, high: int, words: Sequence[str]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _refused(name, text)
        first, last, step = match.groups()
        begin = low if first is None else _number(first, name, low, words)
        end = begin if first is not None and step is None else high
        if last is not None:
            end = _number(last, name, low, words)
        if not low <= begin <= end <= high or step == "0":
            raise _refused(name, text)
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, name: str, low: int, words: Sequence[str]) -> int:
    if text.lower() in words:
        return words.index(text.lower()) + low
    if not text.isdecimal() or len(text) > 2:
        raise _refused(name, text)
    return int(text)


def _refused(name: str, text: str) -> NotationError:
    return NotationError(f"the {name}", text, "see crontab(5)")
