"""Expected starts."""

from __future__ import annotations

from stoker.scheduling.forecast import forecast, forecast_starts
from stoker.scheduling.snapshot import Queue, Snapshot, Waiting
from support.machines import free_node, running, shape, snapshot

NOW = 1000.0


def full(shapes, *ends):
    busy = [running(90 + n, [n], end) for n, end in enumerate(ends)]
    return snapshot(shapes, free=[free_node(0, total=len(ends))], busy=busy)


def test_a_job_that_can_start_starts_now():
    assert forecast(snapshot([shape()]), NOW) == {1: NOW}


def test_a_job_starts_when_enough_has_ended():
    assert forecast(full([shape(tasks=2)], 1100.0, 1200.0), NOW) == {1: 1200.0}


def test_jobs_follow_one_another_by_their_limits():
    each = shape(time_limit_s=60)
    assert forecast(full([each] * 4, 1100.0, 1110.0), NOW) == {
        1: 1100.0,
        2: 1110.0,
        3: 1160.0,
        4: 1170.0,
    }


def test_backfill_is_foreseen():
    shapes = [shape(tasks=2, time_limit_s=60), shape(time_limit_s=10)]
    assert forecast(full(shapes, 1100.0, 1200.0), NOW) == {2: 1100.0, 1: 1200.0}


def test_what_waits_for_a_job_without_a_limit_is_unknown():
    assert forecast(full([shape(tasks=2)], 1100.0, float("inf")), NOW) == {}


def test_only_those_who_are_wanted_are_told():
    seen = full([shape(time_limit_s=60)] * 3, 1100.0)
    assert forecast(seen, NOW, {2}) == {2: 1160.0}
    assert forecast(seen, NOW, {77}) == {}


def test_it_ends_at_its_limit_and_at_its_horizon():
    seen = full([shape(time_limit_s=60)] * 10, 1100.0)
    assert list(forecast(seen, NOW, limit=3)) == [1, 2]
    assert list(forecast(seen, NOW, horizon_s=160.0)) == [1, 2]


def test_it_knows_where():
    at, start = forecast_starts(full([shape()], 1100.0), NOW)[1]
    assert (at, start.shares[0].node, start.shares[0].cpus) == (1100.0, "node1", (0,))


def test_of_an_array_it_tells_the_next_task():
    busy = [running(90, [0], 1100.0)]
    seen = Snapshot(
        [Queue(shape(time_limit_s=60), [Waiting(5, (5,), 100)])], busy, [free_node(0, total=1)]
    )
    assert forecast(seen, NOW) == {5: 1100.0}


def test_the_snapshot_is_left_alone():
    seen = full([shape(time_limit_s=60)] * 3, 1100.0)
    assert forecast(seen, NOW) == forecast(seen, NOW)
