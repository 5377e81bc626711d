"""Points in time: what people write for "when", and how it is printed.

The clock and the zone come in. Reading follows Slurm's own reader, word by word from left to
right; later words overrule earlier ones, and what follows a complete time is read as the next word.

Source: sbatch(1) "--begin", sacct(1) "--starttime", squeue(1) "SLURM_TIME_FORMAT".
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from stoker.core.units.errors import NotationError

_CLOCK_WORDS = {"midnight": 0, "noon": 12, "fika": 15, "teatime": 16}
_MULTIPLIERS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_BLANK = re.compile(r"[ \t\-T]+")
_WORD = re.compile(r"today|tomorrow|midnight|noon|fika|teatime", re.IGNORECASE)
_NOW = re.compile(r"now[ \t]*", re.IGNORECASE)
_DELTA = re.compile(
    r"([+-])[ \t]*(\d{1,10})[ \t]*(?:(second|minute|hour|day|week)s?)?", re.IGNORECASE | re.ASCII
)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[ \t]*(am|pm))?", re.IGNORECASE | re.ASCII)
_ISO_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_US_DATE = re.compile(r"(\d{1,2})[./]?(\d{1,2})(?:[./]?(\d{2}))?", re.ASCII)
_EPOCH = re.compile(r"uts(\d{7,12})", re.IGNORECASE | re.ASCII)

_STANDARD = "%Y-%m-%dT%H:%M:%S"
_STYLE_MAX = 31


def parse_begin(text: str, now: float, zone: tzinfo, *, past: bool = False) -> float:
    """Return the point in time that *text* names, in epoch seconds.

    Args:
        text: One or more words: a date, a time of day, or ``now`` with a distance.
        now: Epoch seconds.
        zone: Where the words are spoken.
        past: A time without a date is one of today, and a date without a year lies behind us, as
            sacct takes them; otherwise the next such time is meant.

    Raises:
        NotationError: ``position`` is where Slurm's own message would point.
    """
    if match := _EPOCH.fullmatch(text):
        return float(match[1])
    reading = _Reading(text, now, zone)
    reading.read()
    return reading.resolve(past=past)


class _Reading:
    """One text being read: the parts of date and clock found so far."""

    def __init__(self, text: str, now: float, zone: tzinfo) -> None:
        self.text = text.partition("\n")[0]
        self.now = now
        self.zone = zone
        self.today = datetime.fromtimestamp(int(now), zone)
        self.position = 0
        self.year: int | None = None
        self.month: int | None = None
        self.day = 1
        self.hour: int | None = None
        self.minute = 0
        self.second = 0
        self.instant: float | None = None

    def read(self) -> None:
        """Take word after word until the text ends."""
        while self.position < len(self.text):
            if match := _BLANK.match(self.text, self.position):
                self.position = match.end()
            elif match := _WORD.match(self.text, self.position):
                self.position = match.end()
                self._take_word(match[0].lower())
            elif match := _NOW.match(self.text, self.position):
                self.position = match.end()
                self._take_delta()
            else:
                self._take_number()

    def resolve(self, *, past: bool) -> float:
        """Return the instant that the parts name, filling in those left out."""
        if self.instant is not None:
            return self.instant
        if self.hour is None and self.month is None:
            raise self._refusal("it names no time", 0)
        if self.month is None:
            self._take_day(0 if past or self._is_ahead() else 1)
        if self.year is None:
            self._take_year(past=past)
        assert self.year is not None
        assert self.month is not None
        try:
            # As mktime(3): a day past the month's last is one of the next month.
            moment = datetime(
                self.year, self.month, 1, self.hour or 0, self.minute, self.second, tzinfo=self.zone
            ) + timedelta(days=self.day - 1)
            return moment.timestamp()
        except (ValueError, OverflowError):
            raise self._refusal("there is no such time", 0) from None

    def _take_word(self, word: str) -> None:
        if word in _CLOCK_WORDS:
            self.hour, self.minute, self.second = _CLOCK_WORDS[word], 0, 0
        else:
            self._take_day(1 if word == "tomorrow" else 0)

    def _take_day(self, days: int) -> None:
        moment = datetime.fromtimestamp(int(self.now) + days * 86_400, self.zone)
        self.year, self.month, self.day = moment.year, moment.month, moment.day

    def _take_delta(self) -> None:
        seconds = 0
        if self.position < len(self.text):
            match = _DELTA.match(self.text, self.position)
            if match is None:
                raise self._refusal("write now+NUMBER and a unit, as in now+2hours")
            seconds = int(match[2]) * _MULTIPLIERS[(match[3] or "second").lower()]
            seconds = -seconds if match[1] == "-" else seconds
            self.position = match.end()
        self.instant = float(int(self.now) + seconds)

    def _take_number(self) -> None:
        if match := _CLOCK.match(self.text, self.position):
            self._take_clock(match)
        elif match := _ISO_DATE.match(self.text, self.position):
            year, month, day = match.groups()
            self._take_date(match, year, month, day, month_group=2, day_group=3)
        elif match := _US_DATE.match(self.text, self.position):
            month, day, year = match.groups()
            self._take_date(match, year and f"20{year}", month, day, month_group=1, day_group=2)
        else:
            digits = re.compile(r"\d{0,2}").match(self.text, self.position)
            assert digits is not None
            raise self._refusal("write HH:MM, MM/DD/YY, YYYY-MM-DD or now+1hour", digits.end())
        self.position = match.end()

    def _take_clock(self, match: re.Match[str]) -> None:
        hour = int(match[1])
        if hour > 23:
            raise self._refusal("an hour is 0 to 23", match.start(1))
        if int(match[2]) > 59:
            raise self._refusal("a minute is 0 to 59", match.start(2))
        if int(match[3] or 0) > 59:
            raise self._refusal("a second is 0 to 59", match.start(3))
        if match[4]:
            if hour > 12 or (hour == 0 and match[4].lower() == "pm" and hour > 11):
                raise self._refusal("an hour before AM or PM is 1 to 12", match.start(1))
            hour = hour % 12 + (12 if match[4].lower() == "pm" else 0)
        self.hour, self.minute, self.second = hour, int(match[2]), int(match[3] or 0)

    def _take_date(
        self,
        match: re.Match[str],
        year: str | None,
        month: str,
        day: str,
        *,
        month_group: int,
        day_group: int,
    ) -> None:
        if not 1 <= int(month) <= 12:
            raise self._refusal("a month is 1 to 12", match.start(month_group))
        if not 1 <= int(day) <= 31:
            raise self._refusal("a day is 1 to 31", match.start(day_group))
        self.year = int(year) if year else None
        self.month, self.day = int(month), int(day)

    def _is_ahead(self) -> bool:
        assert self.hour is not None
        return (self.hour, self.minute) > (self.today.hour, self.today.minute)

    def _take_year(self, *, past: bool) -> None:
        assert self.month is not None
        wanted = (self.month, self.day, self.hour or 0, self.minute)
        today = self.today
        is_later = wanted > (today.month, today.day, today.hour, today.minute)
        if past:
            self.year = today.year - 1 if self.month > today.month else today.year
        else:
            self.year = today.year if is_later else today.year + 1

    def _refusal(self, why: str, position: int | None = None) -> NotationError:
        return NotationError(
            "the time", self.text, why, self.position if position is None else position
        )


def format_time(at: float, zone: tzinfo, style: str = "", now: float = 0.0) -> str:
    """Return *at* as SLURM_TIME_FORMAT's value *style* wants it; ``Unknown`` for 0.

    A style that is neither a known word nor a pattern counts as ``standard``.
    """
    if at <= 0:
        return "Unknown"
    moment = datetime.fromtimestamp(int(at), zone)
    if style == "relative":
        return moment.strftime(_relative_style(moment, datetime.fromtimestamp(int(now), zone)))
    if "%" not in style or len(style) > _STYLE_MAX:
        style = _STANDARD
    return moment.strftime(style)


def _relative_style(moment: datetime, today: datetime) -> str:
    distance = _day_number(moment) - _day_number(today)
    near = {-1: "Ystday %H:%M", 0: "%H:%M:%S", 1: "Tomorr %H:%M"}
    if distance in near:
        return near[distance]
    if abs(distance) > 365:
        return "%-d %b %Y"
    return "%a %H:%M" if 1 < distance <= 6 else "%-d %b %H:%M"


def _day_number(moment: datetime) -> int:
    return 1000 * moment.year + moment.timetuple().tm_yday
