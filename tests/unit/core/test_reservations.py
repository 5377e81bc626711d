"""What a reservation is: when it is, for whom, and what becomes of it when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.models import Owner
from stoker.core.reservations import DAY_S, Reservation

ALICE = Owner(2001, "alice", 100, "lab")


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
