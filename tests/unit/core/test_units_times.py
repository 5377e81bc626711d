"""Begin times and printed times, against the recordings and at their edges."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stoker.core.units import (
    LOCAL_ZONE,
    NotationError,
    format_time,
    is_time_style,
    parse_begin,
    zone_of,
)
from support.recordings import cases, parameters

NOW = datetime(2026, 11, 24, 4, 37, 49, tzinfo=UTC).timestamp()
_RECORDED = [case for case in cases("sbatch") if case["topic"] == "sbatch: begin"]


def read(text, *, now=NOW, zone=UTC, past=False):
    return format_time(parse_begin(text, now, zone, past=past), zone)


@pytest.mark.parametrize("case", parameters(_RECORDED))
def test_a_recorded_begin_is_the_same_instant_or_refused_at_the_same_place(case):
    text = next(word for word in case["cmd"] if word.startswith("--begin=")).partition("=")[2]
    stamp = case["then"][0]["stdout"].strip()
    now = datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    if case["rc"] == 0:
        eligible = case["then"][1]["stdout"].split()[0].removeprefix("EligibleTime=")
        # Slurm shows a time that has passed already as no time at all.
        expected = stamp.replace("T04", "T03") if eligible == "Unknown" else eligible
        assert read(text, now=now) == expected
        return
    with pytest.raises(NotationError) as caught:
        parse_begin(text, now, UTC)
    if text:
        assert f"(pos={caught.value.position}): {text}\n" in case["stderr"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-24T04:37:49"),
        ("NOW + 90", "2026-11-24T04:39:19"),
        ("now+2 days", "2026-11-26T04:37:49"),
        ("teatime", "2026-11-24T16:00:00"),
        ("4:30 PM", "2026-11-24T16:30:00"),
        ("12:00am", "2026-11-25T00:00:00"),
        ("12:15 pm", "2026-11-24T12:15:00"),
        ("04:37", "2026-11-25T04:37:00"),
        ("04:38", "2026-11-24T04:38:00"),
        ("today 23:59:59", "2026-11-24T23:59:59"),
        ("tomorrow-noon", "2026-11-25T12:00:00"),
        ("now+1day 12:00", "2026-11-25T12:00:00"),
        ("12/31", "2026-12-31T00:00:00"),
        ("1.2", "2027-01-02T00:00:00"),
        ("11/24 05:00", "2026-11-24T05:00:00"),
        ("2030-02-30", "2030-03-02T00:00:00"),
        ("uts1700000000", "2023-11-14T22:13:20"),
        ("now\nand more", "2026-11-24T04:37:49"),
    ],
)
def test_words_are_read_from_left_to_right(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("midnight", "2026-11-24T00:00:00"),
        ("23:00", "2026-11-24T23:00:00"),
        ("12/31", "2025-12-31T00:00:00"),
        ("0101", "2026-01-01T00:00:00"),
    ],
)
def test_accounting_looks_back_where_submission_looks_ahead(text, expected):
    assert read(text, past=True) == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("   ", 0),
        ("yesterday", 0),
        ("1700000000", 0),
        ("10:5", 4),
        ("10:61", 3),
        ("10:00:61", 6),
        ("13:00 PM", 6),
        ("now+1h", 4),
        ("now*2", 3),
        ("12/", 3),
        ("12/32", 3),
        ("12/31/9", 7),
        ("2030-01-x", 8),
        ("9999-12-31", 0),
        ("0000-01-01", 0),
        ("now+999999999999weeks", 0),
        ("now-99999999999", 0),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_goes_wrong(text, position):
    with pytest.raises(NotationError, match="cannot read the time") as caught:
        parse_begin(text, NOW, UTC)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("zone", "summer", "winter"),
    [
        ("Europe/Berlin", "14:00", "13:00"),
        (":Europe/Berlin", "14:00", "13:00"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "21:00", "21:00"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "14:00", "13:00"),
        ("CET-1CEST", "14:00", "13:00"),
        ("EST5EDT", "08:00", "07:00"),
        ("UTC0", "12:00", "12:00"),
        ("<+0330>-3:30", "15:30", "15:30"),
    ],
)
def test_a_zone_is_what_tz_names(zone, summer, winter):
    june = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()
    january = datetime(2026, 1, 15, 12, tzinfo=UTC).timestamp()
    assert format_time(june, zone_of(zone), "%H:%M") == summer
    assert format_time(january, zone_of(zone), "%H:%M") == winter


@pytest.mark.parametrize("name", ["", ":", "No/Such", "Europe", "../etc/passwd", "A\0B", "x" * 999])
def test_a_zone_that_cannot_be_read_is_the_daemons_own(name):
    assert zone_of(name) is LOCAL_ZONE


def test_a_begin_in_the_hour_that_comes_twice_is_exact():
    berlin = zone_of("Europe/Berlin")
    before = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    assert parse_begin("now+1hour", before, berlin) == before + 3600
    assert read("now+1hour", now=before, zone=berlin) == "2026-10-25T02:30:00"


def test_the_local_zone_gives_back_the_instant_it_was_given():
    for at in range(1_774_000_000, 1_800_000_000, 3_600 * 37):
        assert datetime.fromtimestamp(at, LOCAL_ZONE).timestamp() == at


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (-1, "Ystday 04:37"),
        (0, "04:37:49"),
        (1, "Tomorr 04:37"),
        (3, "Fri 04:37"),
        (7, "1 Dec 04:37"),
        (-10, "14 Nov 04:37"),
        (-900, "7 Jun 2024"),
    ],
)
def test_a_relative_time_is_shorter_the_nearer_it_is(days, expected):
    assert format_time(NOW + days * 86_400, UTC, "relative", NOW) == expected


@pytest.mark.parametrize("style", ["", "standard", "nonsense", "%H" * 16, "%\udc80"])
def test_a_style_that_is_no_pattern_prints_the_standard_form(style):
    assert format_time(NOW, UTC, style) == "2026-11-24T04:37:49"


def test_a_style_may_be_a_pattern():
    assert format_time(NOW, UTC, "%s") == str(int(NOW))
    assert is_time_style("%s")
    assert is_time_style("relative")
    assert not is_time_style("x" * 300)


@pytest.mark.parametrize("at", [0, -1.0, float("inf"), 1e18])
def test_no_time_is_unknown(at):
    assert format_time(at, UTC) == "Unknown"
