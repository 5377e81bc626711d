"""Priorities: what the factors are, what they add up to, and the order that they make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.models import JobSpec
from stoker.scheduling.priority import (
    PRIORITY_MAX,
    Asked,
    Factors,
    Weights,
    age_factor,
    job_size_factor,
    rank,
    share_of_largest,
    tres_factors,
)

THERE = Asked(16, 2, {"cpu": 16, "mem": 32000, "node": 2, "gres/gpu": 4})
WEIGHTS = Weights(age=1000, job_size=1000, partition=1000, max_age_s=1000.0)


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        (JobSpec(name="small"), 1281),
        (JobSpec(name="half", min_nodes=2), 1562),
        (JobSpec(name="whole", min_nodes=2, ntasks=16), 2000),
        (JobSpec(name="nice", min_nodes=2, ntasks=16, nice=100), 1900),
        (JobSpec(name="nicest", nice=5000), 1),
        (JobSpec(name="favoured", nice=-5_000_000_000), PRIORITY_MAX),
    ],
)
def test_a_priority_is_the_sum_of_its_factors_less_nice(spec: JobSpec, priority: int) -> None:
    size = job_size_factor(Asked(spec.cpus, spec.min_nodes or 1), THERE)
    factors = Factors(job_size=size, partition=1.0, nice=spec.nice)
    assert int(factors.weighted(WEIGHTS).priority()) == priority


def test_small_jobs_may_be_favoured() -> None:
    asked = Asked(1, 1)
    large, small = job_size_factor(asked, THERE), job_size_factor(asked, THERE, favors_small=True)
    assert large + small == 1.0
    assert small > large


def test_each_weighted_resource_counts_by_what_is_asked_of_it() -> None:
    weights = Weights(tres={"cpu": 1600, "gres/gpu": 400, "license/x": 9})
    asked = Asked(4, 1, {"cpu": 4, "gres/gpu": 2})
    factors = Factors(tres=tres_factors(asked, THERE, weights))
    assert factors.tres == {"cpu": 0.25, "gres/gpu": 0.5, "license/x": 0.0}
    assert factors.weighted(weights).priority() == 400 + 200


def test_what_is_the_largest_counts_in_full_and_nothing_of_nothing() -> None:
    assert share_of_largest(50, 100) == 0.5
    assert share_of_largest(100, 100) == 1.0
    assert share_of_largest(0, 0) == 0.0


def test_age_counts_from_when_a_job_might_have_started() -> None:
    assert age_factor(0.0, 500.0, WEIGHTS) == 0.0
    assert age_factor(600.0, 500.0, WEIGHTS) == 0.0
    assert age_factor(100.0, 350.0, WEIGHTS) == 0.25
    assert age_factor(100.0, 1e9, WEIGHTS) == 1.0
    assert age_factor(100.0, 1e9, Weights(max_age_s=float("inf"))) == 0.0


times = st.floats(0, 5_000)
points = st.floats(1, 10_000)


@given(points, times, points, times, times)
def test_ranks_stand_as_priorities_do_at_any_time(
    one: float, since: float, other: float, later: float, waited: float
) -> None:
    now = max(since, later) + waited

    def priority(value: float, at: float) -> float:
        return value + WEIGHTS.age * age_factor(at or 1e-9, now, WEIGHTS)

    left, right = priority(one, since), priority(other, later)
    ranks = rank(one, since, now, WEIGHTS), rank(other, later, now, WEIGHTS)
    if abs(left - right) > 0.01:
        assert (left < right) == (ranks[0] < ranks[1])


@given(points, times, times)
def test_a_rank_stays_what_it_is_until_a_job_is_as_old_as_counts(
    value: float, since: float, waited: float
) -> None:
    before = rank(value, since, since, WEIGHTS)
    after = rank(value, since, since + waited, WEIGHTS)
    assert after == before if waited <= WEIGHTS.max_age_s else after < before
