"""Time limits and spans, against the recordings and at their edges."""

from __future__ import annotations

import re

import pytest

from stoker.core.units import (
    FOREVER,
    NotationError,
    as_shown,
    elapsed_between,
    format_cpu_time,
    format_duration,
    format_elapsed,
    format_time_limit,
    parse_time_limit,
)
from support.recordings import cases, parameters

_RECORDED = [
    case
    for case in (*cases("sbatch"), *cases("misc"))
    if case["topic"].startswith("notation: time") and "-t" in case["cmd"]
]


def _outputs(case):
    return "".join(then.get("stdout", "") for then in case["then"])


@pytest.mark.parametrize("case", parameters(_RECORDED))
def test_a_recorded_limit_is_read_and_printed_as_slurm_does(case):
    limit = parse_time_limit(case["cmd"][case["cmd"].index("-t") + 1])
    shown = re.search(r"^TimeLimit=(.*)$", _outputs(case), re.MULTILINE)
    short = re.search(r"^([^|\s]+)\|[^|\s]+(\|0:00)?$", _outputs(case), re.MULTILINE)
    assert format_time_limit(limit) == shown[1]
    assert format_elapsed(as_shown(limit)) == short[1]


_REFUSED = [
    case
    for case in cases("sbatch")
    if case["id"].startswith("sbatch-e-time-") and case["cmd"][1].startswith("--time=")
]


@pytest.mark.parametrize("case", parameters(_REFUSED))
def test_what_slurm_refuses_is_refused_and_what_it_takes_is_taken(case):
    text = case["cmd"][1].removeprefix("--time=")
    if case["rc"] == 255:
        with pytest.raises(NotationError):
            parse_time_limit(text)
    else:
        parse_time_limit(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("1:00:01", 3601),
        ("2-", 172_800),
        ("2-12", 216_000),
        ("1-2:3", 93_780),
        ("1-25:00:00", 176_400),
        ("unlimited", FOREVER),
        ("Infinite", FOREVER),
        ("-1", FOREVER),
        ("0", FOREVER),
        ("-5", FOREVER),
        ("0-0:0:0", FOREVER),
        ("99999999999", FOREVER),
    ],
)
def test_each_form_is_read_to_the_second(text, seconds):
    assert parse_time_limit(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " 5", "5 ", "5m", "1.5", "1:2:3:4", "1-2:", "1--2", ":5", "5:", "٣", "9" * 100]
)
def test_what_is_no_limit_is_refused_by_name(text):
    with pytest.raises(NotationError, match=r"cannot read the time .* write minutes") as caught:
        parse_time_limit(text)
    assert caught.value.text == text


@pytest.mark.parametrize(
    ("seconds", "squeue", "sacct"),
    [
        (0, "0:00", "00:00:00"),
        (3.9, "0:03", "00:00:03"),
        (62, "1:02", "00:01:02"),
        (3723, "1:02:03", "01:02:03"),
        (93_784, "1-02:03:04", "1-02:03:04"),
    ],
)
def test_a_span_is_short_in_squeue_and_full_elsewhere(seconds, squeue, sacct):
    assert format_elapsed(seconds) == squeue
    assert format_duration(seconds) == sacct


def test_no_limit_prints_as_unlimited_everywhere():
    assert {f(x) for f in (format_elapsed, format_time_limit) for x in (None, FOREVER)} == {
        "UNLIMITED"
    }


def test_a_clock_that_was_set_back_prints_no_negative_span():
    assert format_elapsed(-5) == "INVALID"
    assert format_duration(-5) == "00:00:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00.000"),
        (0.1239, "00:00.123"),
        (61.5, "01:01.500"),
        (3599.9999, "59:59.999"),
        (3723, "01:02:03"),
        (90_000, "1-01:00:00"),
    ],
)
def test_processor_time_has_milliseconds_until_it_has_hours(seconds, text):
    assert format_cpu_time(seconds) == text


@pytest.mark.parametrize(
    ("start_at", "end_at", "suspended_s", "elapsed_s"),
    [
        (9.9, 10.1, 0.0, 1),  # whole seconds are what start and end are shown in
        (9.0, 9.99, 0.0, 0),
        (5.0, 10.0, 2.9, 3),
        (10.0, 5.0, 0.0, 0),
    ],
)
def test_what_elapsed_is_the_difference_of_the_times_shown(
    start_at, end_at, suspended_s, elapsed_s
):
    assert elapsed_between(start_at, end_at, suspended_s) == elapsed_s
