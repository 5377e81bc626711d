"""When crontab lines are due: fields, words, days of two kinds, and clocks that jump."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.units import NotationError, next_time, parse_cron

START = datetime(2026, 11, 25, 4, 40, 30, tzinfo=UTC).timestamp()  # A Wednesday.


def due(text: str, after: float = START, zone=UTC) -> str:
    times = parse_cron(text)
    assert times is not None
    at = next_time(times, after, zone)
    return "never" if at is None else f"{datetime.fromtimestamp(at, zone):%a %Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "Wed 2026-11-25 04:41"),
        ("*/15 * * * *", "Wed 2026-11-25 04:45"),
        ("40 4 * * *", "Thu 2026-11-26 04:40"),
        ("0 5-9/2 * * *", "Wed 2026-11-25 05:00"),
        ("5/20 * * * *", "Wed 2026-11-25 04:45"),
        ("0 0 1 jan *", "Fri 2027-01-01 00:00"),
        ("0 0 * * mon-fri", "Thu 2026-11-26 00:00"),
        ("0 0 * * 7", "Sun 2026-11-29 00:00"),
        ("0 0 13 * 5", "Fri 2026-11-27 00:00"),
        ("0 0 */2 * 5", "Fri 2026-11-27 00:00"),
        ("0 0 29 2 *", "Tue 2028-02-29 00:00"),
        ("0 0 30 2 *", "never"),
        ("@daily", "Thu 2026-11-26 00:00"),
        ("@Hourly", "Wed 2026-11-25 05:00"),
        ("@weekly", "Sun 2026-11-29 00:00"),
        ("@teatime", "Wed 2026-11-25 16:00"),
    ],
)
def test_the_next_time_is_what_crontab_says(text, expected):
    assert due(text) == expected


def test_what_the_clock_skips_is_not_due_and_what_comes_twice_is_due_once():
    berlin = ZoneInfo("Europe/Berlin")
    before_spring = datetime(2026, 3, 29, 0, 0, tzinfo=berlin).timestamp()
    assert due("30 2 * * *", before_spring, berlin) == "Mon 2026-03-30 02:30"
    before_autumn = datetime(2026, 10, 25, 0, 0, tzinfo=berlin).timestamp()
    times = parse_cron("30 2 * * *")
    first = next_time(times, before_autumn, berlin)
    second = next_time(times, first, berlin)
    assert second - first == 24 * 3600 + 3600


def test_reboot_has_no_time_of_its_own():
    assert parse_cron("@reboot") is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"),
        *("5-1 * * * *", "*/0 * * * *", "a * * * *", "@sometimes", "1,,2 * * * *"),
        *("٣ * * * *", "1-2-3 * * * *"),
    ],
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(NotationError):
        parse_cron(text)


@given(st.text(max_size=20) | st.from_regex(r"\A[\d*/,\- ]{0,20}\Z"))
def test_any_text_is_read_or_refused(text):
    try:
        parse_cron(text)
    except NotationError:
        return


minutes = st.integers(0, 59)


@given(minutes, st.integers(0, 23), st.floats(0, 4e9))
def test_the_next_time_is_later_and_fits(minute, hour, after):
    times = parse_cron(f"{minute} {hour} * * *")
    at = next_time(times, after, UTC)
    found = datetime.fromtimestamp(at, UTC)
    assert after < at <= after + 86400 + 60
    assert (found.minute, found.hour, found.second) == (minute, hour, 0)
