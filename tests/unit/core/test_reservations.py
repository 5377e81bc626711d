"""What a reservation is: when it is, for whom, and what becomes of it when it is over."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.models import Owner
from stoker.core.reservations import DAY_S, Reservation

ALICE = Owner(2001, "alice", 100, "lab")


@pytest.fixture(autouse=True)
def set_zone(monkeypatch):
    def in_zone(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    in_zone("UTC")
    yield in_zone
    monkeypatch.undo()
    time.tzset()


def reservation(**said):
    return Reservation(**({"name": "r", "start_at": 100.0, "end_at": 200.0} | said))


@pytest.mark.parametrize(
    ("said", "admitted"),
    [
        ({}, False),
        ({"users": ("alice",)}, True),
        ({"users": ("2001",)}, True),
        ({"users": ("bob",)}, False),
        ({"users": ("-bob",)}, True),
        ({"users": ("-alice",)}, False),
        ({"groups": ("lab",)}, True),
        ({"accounts": ("phys",)}, True),
        ({"accounts": ("chem",)}, False),
        ({"accounts": ("chem",), "users": ("alice",)}, False),
        ({"accounts": ("-phys",), "users": ("alice",)}, False),
        ({"accounts": ("phys",), "users": ("-bob",)}, True),
    ],
)
def test_whoever_is_named_is_let_in_unless_something_keeps_them_out(said, admitted):
    assert reservation(**said).admits(ALICE, "phys") is admitted


def test_it_is_active_from_its_start_to_just_before_its_end():
    found = [reservation().is_active(at) for at in (99.9, 100.0, 199.9, 200.0)]
    assert found == [False, True, True, False]


def test_two_spans_that_only_touch_do_not_meet():
    assert not reservation().meets(0.0, 100.0)
    assert not reservation().meets(200.0, 300.0)
    assert reservation().meets(199.0, 300.0)


def test_one_that_comes_once_is_over_for_good():
    assert reservation().after(200.0) is None


@given(
    st.sampled_from([("HOURLY", 3600.0), ("DAILY", DAY_S), ("WEEKLY", 7 * DAY_S)]),
    st.floats(0, 1e8, allow_nan=False),
)
def test_one_that_comes_again_ends_later_than_now_and_as_long_after_its_start(repeats, late_s):
    flag, period_s = repeats
    now = 200.0 + late_s
    following = reservation(flags=(flag,)).after(now)
    assert now < following.end_at <= now + period_s + 1e-3
    assert following.end_at - following.start_at == pytest.approx(100.0, abs=1e-3)
    assert (following.start_at - 100.0) % period_s == pytest.approx(0.0, abs=1e-3) or (
        following.start_at - 100.0
    ) % period_s == pytest.approx(period_s, abs=1e-3)


@pytest.mark.parametrize(
    ("first", "flag", "now", "start"),
    [
        ((2026, 10, 24, 8), "DAILY", (2026, 10, 24, 12), (2026, 10, 25, 8)),
        ((2026, 10, 24, 8), "DAILY", (2026, 10, 25, 11, 59), (2026, 10, 25, 8)),
        ((2026, 10, 24, 8), "DAILY", (2026, 10, 25, 12), (2026, 10, 26, 8)),
        ((2026, 3, 28, 8), "DAILY", (2026, 3, 29, 12), (2026, 3, 30, 8)),
        ((2026, 3, 28, 8), "WEEKLY", (2026, 3, 28, 12), (2026, 4, 4, 8)),
    ],
)
def test_summer_time_does_not_change_its_hour(set_zone, first, flag, now, start):
    set_zone("Europe/Berlin")
    zone = ZoneInfo("Europe/Berlin")
    begins_at, at, then = (datetime(*each, tzinfo=zone).timestamp() for each in (first, now, start))
    there = reservation(start_at=begins_at, end_at=begins_at + 4 * 3600.0, flags=(flag,))
    following = there.after(at)
    assert (following.start_at, following.end_at) == (then, then + 4 * 3600.0)


_TIMES = st.tuples(
    st.sampled_from([(), ("HOURLY",), ("DAILY",), ("WEEKLY",)]),
    st.integers(0, 9 * 24 * 2),
    st.integers(1, 4),
)


@given(_TIMES, _TIMES)
def test_two_meet_if_they_do_at_any_time_they_come(one, other):
    first, second = (
        reservation(flags=flags, start_at=begin * 1800.0, end_at=(begin + length) * 1800.0)
        for flags, begin, length in (one, other)
    )

    def comings(each):
        while each is not None and each.start_at < 20 * DAY_S:
            yield each
            each = each.after(each.end_at)

    expected = any(
        each.meets(again.start_at, again.end_at)
        for again in comings(second)
        for each in comings(first)
    )
    assert first.ever_meets(second) is expected
    assert second.ever_meets(first) is expected
