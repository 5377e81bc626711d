"""What reservations keep from jobs, and from whom not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.enums import Reason
from stoker.core.reservations import DAY_S, Part, Reservation
from stoker.scheduling.forecast import forecast, forecast_starts
from stoker.scheduling.plan import plan
from support.machines import free_node, running, shape, snapshot

NOW = 1000.0
TWO = [free_node(8, name="node1"), free_node(8, name="node2")]


def reserved(start_at, end_at, *parts, name="r", **said):
    return Reservation(name=name, start_at=start_at, end_at=end_at, parts=parts, **said)


def whole(node="node1", cpus=8):
    return Part(node, cpus)


def some(cpus, node="node1", **gres):
    return Part(node, cpus, gres, is_whole=False)


def decide(shapes, *reservations, now=NOW, **machine):
    asked = msgspec.structs.replace(snapshot(shapes, **machine), reservations=reservations)
    return plan(asked, now)


def started(decided):
    return {start.job_id: start.shares[0].node for start in decided.starts}


def test_a_job_starts_before_a_reservation_only_if_it_ends_by_then():
    shapes = [shape(time_limit_s=101.0), shape(time_limit_s=100.0), shape()]
    decided = decide(shapes, reserved(NOW + 100, NOW + 200, whole()))
    assert started(decided) == {2: "node1"}
    assert decided.reason(shapes[0], 1) == Reason.RESERVED_FOR_OTHERS
    assert decided.reason(shapes[2], 3) == Reason.RESERVED_FOR_OTHERS


def test_a_maintenance_is_told_as_one():
    decided = decide([shape()], reserved(NOW + 100, NOW + 200, whole(), flags=("MAINT",)))
    assert decided.reason(shape(), 1) == Reason.RESERVED_FOR_MAINTENANCE


def test_what_waits_for_a_reservation_keeps_nobody_from_starting():
    shapes = [shape(tasks=8), shape(tasks=8, time_limit_s=50.0)]
    decided = decide(shapes, reserved(NOW + 100, NOW + 200, whole()))
    assert started(decided) == {2: "node1"}
    assert decided.heads == {}


def test_other_nodes_are_not_kept():
    decided = decide([shape(), shape(tasks=8)], reserved(NOW, NOW + 200, whole()), free=TWO)
    assert started(decided) == {1: "node2"}
    # The second waits for the first: that is no reservation's doing.
    assert decided.reason(shape(tasks=8), 2) == Reason.RESOURCES


def test_those_for_whom_it_is_get_its_nodes_and_no_others():
    inside = shape(reservation="r", tasks=8)
    decided = decide([inside, inside], reserved(NOW, NOW + 200, whole("node2")), free=TWO)
    assert started(decided) == {1: "node2"}
    assert decided.reason(inside, 2) == Reason.RESOURCES


def test_who_waits_beside_a_reservation_is_not_overtaken_for_ever():
    busy = [running(90, range(4), NOW + 50)]
    free = [free_node(range(4, 8))]
    first, long, short = shape(tasks=6), shape(tasks=2), shape(tasks=2, time_limit_s=50.0)
    there = reserved(NOW, NOW + 10_000, some(2))
    decided = decide([first, long, short], there, free=free, busy=busy)
    assert started(decided) == {3: "node1"}
    assert decided.heads == {"debug": 1}
    assert decided.reason(long, 2) == Reason.PRIORITY


def test_what_is_kept_of_one_node_is_not_missing_on_another():
    busy = [running(90, range(8), node="node1"), running(91, range(8), NOW + 50, node="node2")]
    free = [free_node(0), free_node(0, name="node2")]
    there = reserved(NOW, NOW + 10_000, whole())
    some_there = reserved(NOW, NOW + 10_000, some(8))
    for each in (there, some_there):
        asked = msgspec.structs.replace(
            snapshot([shape(tasks=8)], free=free, busy=busy), reservations=(each,)
        )
        assert forecast(asked, NOW) == {1: NOW + 50}


def test_within_a_reservation_nobody_is_overtaken_for_ever_either():
    member = msgspec.structs.replace(running(90, range(2), NOW + 50), reservation="r")
    inside = {"reservation": "r"}
    big, long = shape(tasks=4, **inside), shape(**inside)
    short, outside = shape(time_limit_s=50.0, **inside), shape(tasks=2)
    there = reserved(NOW, NOW + 10_000, some(4))
    decided = decide(
        [big, long, short, outside], there, free=[free_node(range(2, 8))], busy=[member]
    )
    assert started(decided) == {3: "node1", 4: "node1"}
    reasons = [decided.reason(big, 1), decided.reason(long, 2)]
    assert reasons == [Reason.RESOURCES, Reason.PRIORITY]


def test_what_runs_in_a_reservation_is_believed_to_end_with_it():
    shapes = [shape(tasks=8, reservation="r"), shape(tasks=8)]
    asked = msgspec.structs.replace(
        snapshot(shapes), reservations=(reserved(NOW, NOW + 100, whole()),)
    )
    assert forecast(asked, NOW) == {1: NOW, 2: NOW + 100}


@pytest.mark.parametrize(
    ("start_at", "end_at", "reason"),
    [
        (NOW + 1, NOW + 2, Reason.RESERVATION),
        (NOW - 2, NOW, Reason.RESERVATION_DELETED),
    ],
)
def test_a_reservation_that_is_not_active_lets_nobody_start(start_at, end_at, reason):
    inside = shape(reservation="r")
    decided = decide([inside], reserved(start_at, end_at, whole()))
    assert started(decided) == {}
    assert decided.reason(inside, 1) == reason


@pytest.mark.parametrize(
    ("start_at", "reason"), [(NOW + 10, Reason.RESERVATION), (NOW - 10, Reason.PRIORITY)]
)
def test_on_a_full_machine_it_is_told_as_well_who_waits_for_a_reservation(start_at, reason):
    inside = shape(reservation="r", time_limit_s=5.0)
    there = reserved(start_at, NOW + 20, some(2))
    decided = decide([shape(), inside], there, free=[free_node(0)], busy=[running(90, range(8))])
    assert decided.reason(inside, 2) == reason


def test_a_job_in_a_reservation_may_ask_for_more_time_than_is_left():
    decided = decide([shape(reservation="r")], reserved(NOW, NOW + 1, whole()))
    assert started(decided) == {1: "node1"}


def test_of_several_the_active_one_is_taken():
    inside = shape(reservation="later,now")
    there = (
        reserved(NOW + 10, NOW + 20, whole("node1"), name="later"),
        reserved(NOW, NOW + 5, whole("node2"), name="now"),
    )
    assert started(decide([inside], *there, free=TWO)) == {1: "node2"}


def test_a_part_of_a_node_leaves_the_rest():
    shapes = [shape(tasks=6), shape(tasks=2), shape(reservation="r", tasks=6)]
    decided = decide(shapes, reserved(NOW, NOW + 200, some(6)))
    assert started(decided) == {2: "node1", 3: "node1"}


def test_what_members_hold_is_not_kept_twice():
    member = running(90, range(4), NOW + 100)
    member = msgspec.structs.replace(member, reservation="r")
    free = [free_node(range(4, 8))]
    shapes = [shape(tasks=2), shape(tasks=2), shape(reservation="r", tasks=2)]
    decided = decide(shapes, reserved(NOW, NOW + 200, some(6)), free=free, busy=[member])
    assert started(decided) == {1: "node1", 3: "node1"}


def test_devices_are_kept_as_well():
    free = [free_node(8, gres={"gpu": range(4)})]
    wants = shape(gres=(("gpu", 3),))
    few = shape(gres=(("gpu", 1),))
    decided = decide([wants, few], reserved(NOW, NOW + 200, some(2, gpu=2)), free=free)
    assert started(decided) == {2: "node1"}


def test_who_may_overlap_does():
    inside = shape(reservation="r")
    there = (
        reserved(NOW, NOW + 20, whole(), flags=("OVERLAP",)),
        reserved(NOW, NOW + 20, whole(), name="other"),
    )
    assert started(decide([inside], *there)) == {1: "node1"}


def test_a_forecast_knows_when_reservations_begin_and_end():
    there = (reserved(NOW + 100, NOW + 200, whole()),)
    shapes = [shape(time_limit_s=150.0), shape(reservation="r")]
    asked = msgspec.structs.replace(snapshot(shapes), reservations=there)
    assert forecast(asked, NOW) == {1: NOW + 200, 2: NOW + 100}


def test_a_forecast_knows_that_reservations_come_again():
    there = (reserved(NOW + 100, NOW + 200, whole(), flags=("HOURLY",)),)
    shapes = [shape(time_limit_s=3000.0, tasks=8), shape(time_limit_s=3000.0)]
    asked = msgspec.structs.replace(snapshot(shapes), reservations=there)
    assert forecast(asked, NOW) == {1: NOW + 200, 2: NOW + 3800}


_SPAN = st.tuples(st.integers(0, 50), st.integers(1, 50))
_WANTED = st.tuples(st.integers(1, 8), st.one_of(st.none(), st.integers(1, 80)), st.booleans())


@given(_SPAN, st.integers(1, 8), st.booleans(), st.lists(_WANTED, max_size=8))
def test_nobody_takes_what_is_kept_for_others(span, kept, is_whole, wanted):
    begins_s, length_s = span
    part = whole() if is_whole else some(kept)
    there = reserved(NOW + begins_s, NOW + begins_s + length_s, part)
    shapes = [
        shape(
            tasks=tasks,
            time_limit_s=float("inf") if limit is None else float(limit),
            reservation="r" if inside else "",
        )
        for tasks, limit, inside in wanted
    ]
    decided = decide(shapes, there)
    if not there.is_active(NOW):
        assert not any(start.shape.reservation for start in decided.starts)
    outside = sum(
        len(start.shares[0].cpus)
        for start in decided.starts
        if not start.shape.reservation and there.meets(NOW, NOW + start.shape.time_limit_s)
    )
    assert outside <= 8 - (8 if is_whole else kept)
    inside = sum(len(s.shares[0].cpus) for s in decided.starts if s.shape.reservation)
    assert inside <= (8 if is_whole else kept)


_JOB = st.tuples(
    st.integers(1, 8), st.integers(1, 80), st.sampled_from(["", "a", "b", "a,b"]), st.integers(0, 2)
)


@given(_SPAN, _SPAN, st.booleans(), st.lists(_JOB, max_size=12))
def test_whatever_comes_each_gets_what_is_kept_and_nobody_more(first, second, is_daily, wanted):
    there = {
        name: reserved(NOW + begins_s, NOW + begins_s + length_s, part, name=name, flags=flags)
        for name, (begins_s, length_s), part, flags in (
            ("a", first, some(3, gpu=1), ("DAILY",) if is_daily else ()),
            ("b", second, some(4, gpu=1), ()),
        )
    }
    shapes = [
        shape(tasks=tasks, time_limit_s=float(limit), reservation=named, gres=(("gpu", gpus),))
        for tasks, limit, named, gpus in wanted
    ]
    free = [free_node(8, gres={"gpu": range(2)})]
    asked = msgspec.structs.replace(snapshot(shapes, free=free), reservations=tuple(there.values()))
    expected = forecast_starts(asked, NOW)
    runs = []
    for begins_at, start in expected.values():
        home = next(
            (
                each
                for name in start.shape.reservation.split(",")
                if (each := there.get(name)) and each.is_active((begins_at - NOW) % DAY_S + NOW)
            ),
            None,
        )
        assert (home is None) == (not start.shape.reservation)
        ends_at = begins_at + start.shape.time_limit_s
        [share] = start.shares
        runs.append((begins_at, ends_at, home, len(share.cpus), len(share.gres.get("gpu", ()))))
    for at in {begins_at for begins_at, *_ in runs} | {each.start_at for each in there.values()}:
        kept = [each for each in there.values() if each.is_active(at)]
        for group in (*kept, None):
            held = [run for run in runs if run[0] <= at < run[1] and run[2] is group]
            cpus, gpus = sum(run[3] for run in held), sum(run[4] for run in held)
            most = group.cpus if group is not None else 8 - sum(each.cpus for each in kept)
            assert cpus <= most
            assert gpus <= (1 if group is not None else 2 - len(kept))
    outside = [job for job, each in enumerate(shapes, start=1) if not each.reservation]
    assert set(outside) <= expected.keys()
