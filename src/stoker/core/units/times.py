"""Points in time: what people write for "when", and how it is printed.

The clock and the zone come in. A text is read word by word from left to right, and later words
overrule earlier ones: ``noon tomorrow``, ``2030-01-02T03:04``, ``now+1hour``.

Source: sbatch(1) "--begin", sacct(1) "--starttime", squeue(1) "SLURM_TIME_FORMAT".
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from stoker.core.units.errors import NotationError

_CLOCK_WORDS = {"midnight": 0, "noon": 12, "fika": 15, "teatime": 16}
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_DAY_S = 86_400
_BLANK = re.compile(r"[ \t\-T]+")
_WORD = re.compile(r"today|tomorrow|midnight|noon|fika|teatime", re.IGNORECASE)
_NOW = re.compile(r"now[ \t]*", re.IGNORECASE)
_DISTANCE = re.compile(
    r"(?P<sign>[+-])\s*(?P<number>\d*)\s*(?P<unit>second|minute|hour|day|week)?s?", re.IGNORECASE
)
# What these leave out or leave short is found afterwards, to say where.
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{0,2})(?::(?P<second>\d{0,2}))?(?:\s*(?P<half>am|pm))?",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d{0,2})")
_US_DATE = re.compile(r"(?P<month>\d{1,2})[./]?(?P<day>\d{0,2})[./]?(?P<year>\d{0,2})")
_EPOCH = re.compile(r"uts(\d{7,11})", re.IGNORECASE)

_STANDARD = "%Y-%m-%dT%H:%M:%S"
_STYLE_MAX = 31
_LAST = 253_402_210_800.0
"""The end of the year 9999, less a day for the zones: no calendar here goes further."""


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
    if not text.isascii():
        raise NotationError("the time", text, "write HH:MM, MM/DD/YY, YYYY-MM-DD or now+1hour", 0)
    if match := _EPOCH.fullmatch(text):
        return float(match[1])
    reading = _Reading(text, now, zone)
    reading.read()
    at = reading.resolve(past=past)
    if not -_LAST < at < _LAST:
        raise NotationError("the time", text, "it is beyond the calendar", 0)
    return at


class _Reading:
    """One text being read: the parts of date and clock found so far."""

    def __init__(self, text: str, now: float, zone: tzinfo) -> None:
        self.text = text.partition("\n")[0]
        self.now = int(now)
        self.zone = zone
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
            if match := self._found(_BLANK):
                pass
            elif match := self._found(_WORD):
                self._take_word(match[0].lower())
            elif match := self._found(_NOW):
                self.position = match.end()
                match = self._take_distance()
            else:
                match = self._take_number()
            self.position = match.end() if match else len(self.text)

    def resolve(self, *, past: bool) -> float:
        """Return the instant that the parts name, filling in those left out."""
        if self.instant is not None:
            return self.instant
        today = self._moment(0)
        if self.month is None:
            if self.hour is None:
                raise self._refusal("it names no time", 0)
            is_ahead = (self.hour, self.minute) > (today.hour, today.minute)
            self._set_date(today if past or is_ahead else self._moment(_DAY_S))
        assert self.month is not None
        year = self._nearest_year(today, past=past) if self.year is None else self.year
        try:
            # As mktime(3): a day past the month's last is one of the next month.
            first = datetime(
                year, self.month, 1, self.hour or 0, self.minute, self.second, tzinfo=self.zone
            )
            return (first + timedelta(days=self.day - 1)).timestamp()
        except (ValueError, OverflowError, OSError):
            raise self._refusal("it is beyond the calendar", 0) from None

    def _found(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self.text, self.position)

    def _moment(self, distance_s: int) -> datetime:
        try:
            return datetime.fromtimestamp(self.now + distance_s, self.zone)
        except (ValueError, OverflowError, OSError):
            raise self._refusal("it is beyond the calendar", 0) from None

    def _take_word(self, word: str) -> None:
        if word in _CLOCK_WORDS:
            self._set_clock(_CLOCK_WORDS[word], 0, 0)
        else:
            self._set_date(self._moment(_DAY_S if word == "tomorrow" else 0))

    def _take_distance(self) -> re.Match[str] | None:
        """Take what follows ``now``; None if nothing does."""
        seconds = 0
        match = None
        if self.position < len(self.text):
            match = self._found(_DISTANCE)
            if match is None or not match["number"] or len(match["number"]) > 12:
                raise self._refusal("write now+NUMBER and a unit, as in now+2hours")
            if not match["unit"] and match.end() < len(self.text):
                raise self._refusal(
                    "the units are seconds, minutes, hours, days and weeks", match.end() - 1
                )
            seconds = int(match["number"]) * _UNITS[(match["unit"] or "second").lower()]
            seconds = -seconds if match["sign"] == "-" else seconds
        moment = self._moment(seconds)
        self._set_date(moment)
        self._set_clock(moment.hour, moment.minute, moment.second)
        # Exact where the clock's face is not, in an hour that comes twice.
        self.instant = float(self.now + seconds)
        return match

    def _take_number(self) -> re.Match[str]:
        if match := self._found(_CLOCK):
            self._take_clock(match)
        elif match := self._found(_ISO_DATE):
            self._take_date(match, match["year"])
        elif match := self._found(_US_DATE):
            if len(match["year"]) == 1:
                raise self._refusal("the year has two digits", match.end("year"))
            year = int(match["year"] or 0)
            self._take_date(match, f"20{year:02}" if year else "")
        else:
            raise self._refusal("write HH:MM, MM/DD/YY, YYYY-MM-DD or now+1hour")
        return match

    def _take_clock(self, match: re.Match[str]) -> None:
        self._check_range(match, "hour", 0, 23)
        for name in ("minute", "second"):
            if match[name] is not None and len(match[name]) < 2:
                raise self._refusal(f"the {name} has two digits", match.end(name))
            self._check_range(match, name, 0, 59)
        hour = int(match["hour"])
        if half := (match["half"] or "").lower():
            if hour > 12:
                raise self._refusal("an hour before AM or PM is 1 to 12", match.start("half"))
            hour = hour % 12 + (12 if half == "pm" else 0)
        self._set_clock(hour, int(match["minute"]), int(match["second"] or 0))

    def _take_date(self, match: re.Match[str], year: str) -> None:
        self._check_range(match, "month", 1, 12)
        if not match["day"]:
            raise self._refusal("the day is missing; a time of day is HH:MM", match.start("day"))
        self._check_range(match, "day", 1, 31)
        self.month, self.day, self.instant = int(match["month"]), int(match["day"]), None
        self.year = int(year) if year else self.year

    def _check_range(self, match: re.Match[str], name: str, least: int, most: int) -> None:
        if match[name] and not least <= int(match[name]) <= most:
            raise self._refusal(f"the {name} is {least} to {most}", match.start(name))

    def _set_date(self, moment: datetime) -> None:
        self.year, self.month, self.day = moment.year, moment.month, moment.day
        self.instant = None

    def _set_clock(self, hour: int, minute: int, second: int) -> None:
        self.hour, self.minute, self.second = hour, minute, second
        self.instant = None

    def _nearest_year(self, today: datetime, *, past: bool) -> int:
        assert self.month is not None
        if past:
            return today.year - (self.month > today.month)
        wanted = (self.month, self.day, self.hour or 0, self.minute)
        is_ahead = wanted > (today.month, today.day, today.hour, today.minute)
        return today.year if is_ahead else today.year + 1

    def _refusal(self, why: str, position: int | None = None) -> NotationError:
        return NotationError(
            "the time", self.text, why, self.position if position is None else position
        )


def is_time_style(style: str) -> bool:
    """Whether SLURM_TIME_FORMAT may be *style*: Slurm complains of others, and goes on."""
    return style in ("", "standard", "relative") or ("%" in style and len(style) <= _STYLE_MAX)


def format_time(at: float, zone: tzinfo, style: str = "", now: float = 0.0) -> str:
    """Return *at* as SLURM_TIME_FORMAT's value *style* wants it; ``Unknown`` for none.

    A style that is neither a known word nor a pattern counts as ``standard``.
    """
    try:
        moment = datetime.fromtimestamp(int(at), zone) if at > 0 else None
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        return "Unknown"
    if style == "relative":
        return moment.strftime(_relative_style(moment, datetime.fromtimestamp(int(now), zone)))
    pattern = style if "%" in style and is_time_style(style) else _STANDARD
    try:
        return moment.strftime(pattern)
    except ValueError:
        # A pattern that is no text.
        return moment.strftime(_STANDARD)


def _relative_style(moment: datetime, today: datetime) -> str:
    distance = _day_number(moment) - _day_number(today)
    near = {-1: "Ystday %H:%M", 0: "%H:%M:%S", 1: "Tomorr %H:%M"}
    if distance in near:
        return near[distance]
    if abs(distance) > 365:
        return "%-d %b %Y"
    return "%a %H:%M" if 1 < distance <= 6 else "%-d %b %H:%M"


def _day_number(moment: datetime) -> int:
    """Return a number whose differences Slurm takes for days: exact only within a year."""
    return 1000 * moment.year + moment.timetuple().tm_yday
