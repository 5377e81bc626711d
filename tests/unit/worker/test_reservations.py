"""Reservations on record: who makes them, what stands in their way, and how they end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stoker.commands.scontrol.command import scontrol
from stoker.core.enums import JobState, Reason
from stoker.core.errors import InvalidSpec, NotAllowed
from stoker.core.models import FOREVER
from stoker.core.reservations import DAY_S, ReservationWish
from stoker.worker.call import Call
from support.recording_engine import ALICE, ROOT, ref

HOUR_S = 3600.0


def wish(rooms, in_s=0.0, for_s=HOUR_S, **said: Any) -> ReservationWish:
    given = {"start_at": rooms.now_s + in_s, "duration_s": for_s, "nodes": "ALL"}
    return ReservationWish(**(given | {"users": ("alice",)} | said))


def make(rooms, by=ROOT, **said: Any) -> str:
    with rooms.queue.turn():
        name = rooms.worker.reservations.create(wish(rooms, **said), by)
    rooms.schedule()
    return name


def change(rooms, name: str, **said: Any) -> None:
    with rooms.queue.turn():
        rooms.worker.reservations.update(ReservationWish(name=name, **said), ROOT)


def delete(rooms, name: str) -> None:
    with rooms.queue.turn():
        rooms.worker.reservations.delete(name, ROOT)


def listed(rooms):
    return {each.name: each for each in rooms.worker.reservations.listed()}


def pass_time(rooms, seconds: float) -> None:
    rooms.now_s += seconds
    rooms.schedule()


@pytest.fixture
def rooms(make_rooms):
    return make_rooms(follow_depth_max=0, nodes="node[1-2]", gres="gpu:2")


# Making.


def test_it_keeps_whole_nodes_unless_it_is_said_how_much(rooms):
    name = make(rooms, nodes="node2")
    [part] = listed(rooms)[name].parts
    assert (name, part.node, part.cpus, part.is_whole) == ("alice_1", "node2", 4, True)
    assert listed(rooms)[name].flags == ("SPEC_NODES",)


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ({"cores": 3}, [("node1", 3, {})]),
        ({"cores": 6}, [("node1", 4, {}), ("node2", 2, {})]),
        ({"gres": (("gpu", 1),), "node_count": 1}, [("node1", 2, {"gpu": 1})]),
        ({"node_count": 2}, [("node1", 4, {}), ("node2", 4, {})]),
        ({"partition": "debug"}, [("node1", 4, {}), ("node2", 4, {})]),
    ],
)
def test_a_part_of_the_machine_is_chosen(rooms, said, parts):
    name = make(rooms, nodes=None, **said)
    found = [(part.node, part.cpus, dict(part.gres)) for part in listed(rooms)[name].parts]
    assert found == parts


def test_nodes_that_are_free_are_chosen_first(rooms):
    rooms.running(node_list="node1")
    name = make(rooms, nodes=None, node_count=1)
    assert listed(rooms)[name].nodes == ("node2",)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"nodes": "node9"}, "ESLURM_INVALID_NODE_NAME"),
        ({"nodes": "node["}, "ESLURM_INVALID_NODE_NAME"),
        ({"nodes": None, "node_count": 3}, "ESLURM_REQUESTED_NODE_CONFIG_UNAVAILABLE"),
        ({"cores": 9}, "ESLURM_REQUESTED_NODE_CONFIG_UNAVAILABLE"),
        ({"gres": (("gpu", 3),)}, "ESLURM_INVALID_GRES"),
        ({"gres": (("fpga", 1),)}, "ESLURM_INVALID_GRES"),
        ({"partition": "none"}, "ESLURM_INVALID_PARTITION_NAME"),
        ({"duration_s": 0.0}, "ESLURM_INVALID_TIME_VALUE"),
        ({"in_s": -2 * HOUR_S}, "ESLURM_INVALID_TIME_VALUE"),
        ({"for_s": 1e12}, "ESLURM_INVALID_TIME_VALUE"),
        ({"in_s": -601.0}, "ESLURM_INVALID_TIME_VALUE"),
        ({"users": ()}, "ESLURM_RESERVATION_EMPTY"),
        ({"name": "a,b"}, "ESLURM_RESERVATION_INVALID"),
        ({"name": "a b"}, "ESLURM_RESERVATION_INVALID"),
        ({"name": "a" * 101}, "ESLURM_RESERVATION_INVALID"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(rooms, said, code):
    with pytest.raises(InvalidSpec) as refused:
        make(rooms, **said)
    assert refused.value.code == code
    assert listed(rooms) == {}


def test_only_operators_make_them(rooms, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(NotAllowed):
        make(rooms, by=ALICE)


def test_two_do_not_keep_the_same(rooms):
    make(rooms, nodes="node1")
    with pytest.raises(InvalidSpec) as refused:
        make(rooms, nodes="node1")
    assert refused.value.code == "ESLURM_RESERVATION_OVERLAP"
    make(rooms, nodes="node1", in_s=HOUR_S)
    make(rooms, nodes="node1", flags=("MAINT",))


def test_two_that_would_meet_later_do_not_keep_the_same_either(rooms):
    make(rooms, nodes="node1", flags=("DAILY",))
    with pytest.raises(InvalidSpec) as refused:
        make(rooms, nodes="node1", in_s=3 * DAY_S)
    assert refused.value.code == "ESLURM_RESERVATION_OVERLAP"
    name = make(rooms, nodes=None, node_count=1, in_s=DAY_S)
    assert listed(rooms)[name].nodes == ("node2",)


def test_two_have_not_the_same_name(rooms):
    make(rooms, nodes="node1", name="ours")
    with pytest.raises(InvalidSpec) as refused:
        make(rooms, nodes="node2", name="ours")
    assert refused.value.code == "ESLURM_RESERVATION_NAME_DUP"
    assert listed(rooms)["ours"].nodes == ("node1",)


def test_two_parts_of_a_node_go_together_if_they_fit(rooms):
    make(rooms, nodes="node1", cores=2)
    make(rooms, nodes="node1", cores=2)
    with pytest.raises(InvalidSpec):
        make(rooms, nodes="node1", cores=1)


def test_jobs_that_would_still_run_are_in_the_way_unless_they_are_ignored(rooms):
    rooms.running(node_list="node1", time_limit_s=60.0)
    with pytest.raises(InvalidSpec) as refused:
        make(rooms, nodes="node1")
    assert refused.value.code == "ESLURM_NODES_BUSY"
    make(rooms, nodes="node1", in_s=60.0, name="later")
    delete(rooms, "later")
    make(rooms, nodes="node1", flags=("IGNORE_JOBS",))


def test_devices_are_looked_for_where_they_are_and_free(rooms):
    make(rooms, nodes="node1")
    name = make(rooms, nodes=None, gres=(("gpu", 1),))
    assert listed(rooms)[name].nodes == ("node2",)
    with pytest.raises(InvalidSpec) as refused:
        make(rooms, nodes=None, gres=(("gpu", 1),))
    assert refused.value.code == "ESLURM_NODES_BUSY"


_PARAMETERS = """res start end dur dur+ nodecnt nodes nodes- com corecnt flags flags- part tres
    users users+ acc"""
_VALUES = """now now+1hour 1969-01-01 9999-12-31 now-100000days ALL node1 node[1-999999999] debug
    0 -1 1 99999999999999999999 cpu=1 cpu=0 node=0 gres/gpu=1 gres/x=0 gres/gpu=-1 cpu=-1
    daily,maint infinite alice -root root - , r"""
_WORD = st.builds(
    "{}={}".format,
    st.sampled_from(_PARAMETERS.split()),
    st.sampled_from(_VALUES.split()) | st.text(max_size=5),
)
_ENOUGH = ("start=now", "dur=10", "users=root", "nodes=ALL", "flags=overlap,ignore_jobs")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_WORD, max_size=4), st.lists(_WORD, max_size=4))
def test_whatever_is_said_makes_one_that_keeps_something_or_none(rooms, made, changed):
    for words in (
        ("create", "res", *_ENOUGH, *made),
        ("create", "res", *made),
        ("update", "res=root_1", *changed),
    ):
        call = Call(
            now=rooms.now_s,
            program="scontrol",
            argv=words,
            environment={},
            work_dir="/",
            owner=ROOT,
        )
        with rooms.queue.turn():
            scontrol(call, rooms.worker.control)
        rooms.schedule()
        assert all(part.cpus > 0 for each in listed(rooms).values() for part in each.parts)
        assert all(each.parts for each in listed(rooms).values())
    pass_time(rooms, 400 * DAY_S)


def test_what_jobs_hold_and_what_is_kept_is_not_promised_again(rooms):
    rooms.running(node_list="node1", ntasks=2)
    make(rooms, nodes="node1", cores=1, name="one")
    inside = rooms.submit(reservation="one")
    rooms.schedule()
    assert inside.allocation is not None
    with pytest.raises(InvalidSpec) as refused:
        make(rooms, nodes="node1", cores=2)
    assert refused.value.code == "ESLURM_NODES_BUSY"
    make(rooms, nodes="node1", cores=1)


# In force.


def test_a_job_is_in_the_reservation_that_it_names_if_that_is_for_it(rooms):
    make(rooms, name="ours", users=("bob",))
    for name, code in (("nix", "INVALID"), ("ours", "ACCESS")):
        with pytest.raises(InvalidSpec) as refused:
            rooms.submit(reservation=name)
        assert refused.value.code == f"ESLURM_RESERVATION_{code}"
    change(rooms, "ours", users=("alice",))
    job = rooms.submit(reservation="ours")
    rooms.schedule()
    assert job.allocation is not None


def test_who_waits_for_one_that_is_for_others_now_does_not_get_it(rooms):
    make(rooms, name="ours", in_s=100.0)
    job = rooms.submit(reservation="ours")
    change(rooms, "ours", users=("bob",))
    pass_time(rooms, 100.0)
    assert job.allocation is None
    assert rooms.worker.scheduler.reason(job) == Reason.RESERVATION
    rooms.restart()
    pass_time(rooms, 1.0)
    [job] = rooms.queue.table
    assert job.allocation is None
    change(rooms, "ours", users=("alice", "bob"))
    pass_time(rooms, 1.0)
    assert job.allocation is not None


def test_what_waits_starts_when_it_begins_and_when_it_is_over(rooms):
    make(rooms, name="ours", in_s=100.0, for_s=100.0)
    inside, outside = rooms.submit(reservation="ours"), rooms.submit()
    rooms.schedule()
    reasons = [rooms.worker.scheduler.reason(job) for job in (inside, outside)]
    assert reasons == [Reason.RESERVATION, Reason.RESERVED_FOR_OTHERS]
    assert rooms.worker.scheduler.next_wakeup_s() == 100.0
    pass_time(rooms, 100.0)
    assert inside.allocation is not None
    assert outside.allocation is None
    assert rooms.worker.scheduler.next_wakeup_s() == 100.0
    pass_time(rooms, 100.0)
    assert outside.allocation is not None


def test_its_jobs_end_with_it(rooms):
    make(rooms, name="ours", for_s=100.0)
    running = rooms.submit(reservation="ours", ntasks=8, min_nodes=2)
    waiting = rooms.submit(reservation="ours")
    rooms.schedule()
    rooms.start(running)
    pass_time(rooms, 100.0)
    assert running.ending is JobState.TIMEOUT
    assert rooms.engine.asked("end") == [("1.0", "timeout", 1.0)]
    rooms.finish(running, signal=15, why="timeout")
    assert rooms.state(running) == "TIMEOUT"
    rooms.schedule()
    assert rooms.worker.scheduler.reason(waiting) == Reason.RESERVATION_DELETED
    assert listed(rooms) == {}
    assert rooms.worker.scheduler.next_wakeup_s() == FOREVER


def test_one_that_repeats_moves_on(rooms):
    make(rooms, name="night", for_s=100.0, flags=("DAILY",))
    begins_at = rooms.now_s
    pass_time(rooms, 100.0)
    assert listed(rooms)["night"].start_at == begins_at + DAY_S
    pass_time(rooms, 10 * DAY_S)
    assert listed(rooms)["night"].is_active(rooms.now_s) or (
        listed(rooms)["night"].start_at > rooms.now_s
    )


def test_nodes_show_what_they_are_kept_for(rooms):
    make(rooms, nodes="node1", for_s=100.0)
    make(rooms, nodes="node2", for_s=100.0, flags=("MAINT",))
    states = [each.state for each in rooms.worker.nodes.statuses()]
    assert states == ["IDLE+RESERVED", "IDLE+MAINT+RESERVED"]
    pass_time(rooms, 100.0)
    assert [each.state for each in rooms.worker.nodes.statuses()] == ["IDLE", "IDLE"]


def test_nobody_stands_in_a_lane_that_a_reservation_would_cut(make_rooms):
    rooms = make_rooms()
    make(rooms, in_s=HOUR_S)
    shape = rooms.worker.admission.shape(rooms.submit(time_limit_s=60.0))
    endless = rooms.worker.admission.shape(rooms.submit())
    with rooms.queue.turn() as turn:
        fenced = [rooms.worker.scheduler._is_fenced(turn, each) for each in (shape, endless)]
    assert fenced == [False, True]


def test_who_waits_for_the_end_of_a_reservation_does_not_close_the_lanes(make_rooms):
    rooms = make_rooms(follow_depth_max=4)
    make(rooms, in_s=HOUR_S)
    endless, short = rooms.submit(), rooms.submit(array="0-29", time_limit_s=60.0)
    rooms.schedule()
    running = len(rooms.engine.launched())
    for _ in range(4):
        rooms.worker.scheduler.note_run(short, 0.001)
    rooms.schedule()
    assert len(rooms.engine.launched()) > running
    assert endless.allocation is None


# Changing, and over a restart.


def test_what_is_not_said_stays(rooms):
    name = make(rooms, comment="a course", cores=2, nodes="node1")
    before = listed(rooms)[name]
    change(rooms, name, duration_s=60.0)
    after = listed(rooms)[name]
    assert (after.start_at, after.end_at) == (before.start_at, before.start_at + 60.0)
    assert (after.parts, after.users, after.comment) == (before.parts, ("alice",), "a course")
    change(rooms, name, nodes="node2")
    assert listed(rooms)[name].nodes == ("node2",)


def test_a_change_that_cannot_be_leaves_it_as_it_was(rooms):
    name = make(rooms)
    before = listed(rooms)[name]
    with pytest.raises(InvalidSpec):
        change(rooms, name, end_at=rooms.now_s - 1)
    with pytest.raises(InvalidSpec):
        change(rooms, "nix", duration_s=1.0)
    assert listed(rooms) == {name: before}


def test_one_that_is_used_is_not_deleted(rooms):
    make(rooms, name="ours")
    job = rooms.submit(reservation="ours")
    with pytest.raises(InvalidSpec) as refused:
        delete(rooms, "ours")
    assert refused.value.code == "ESLURM_RESERVATION_BUSY"
    rooms.ask("cancel", job.job_id, ROOT)
    delete(rooms, "ours")
    assert listed(rooms) == {}


def test_they_outlive_the_daemon(rooms):
    make(rooms, name="ours", comment="a course", flags=("MAINT",))
    before = listed(rooms)
    rooms.restart()
    assert listed(rooms) == before
    delete(rooms, "ours")
    rooms.restart()
    assert listed(rooms) == {}


def test_what_waits_for_a_reservation_that_is_over_can_be_changed_and_taken_out_of_it(rooms):
    make(rooms, name="ours", in_s=10.0, for_s=10.0)
    job = rooms.submit(reservation="ours")
    pass_time(rooms, 20.0)
    assert rooms.worker.scheduler.reason(job) == Reason.RESERVATION_DELETED
    with rooms.queue.turn():
        rooms.worker.control.update(ref(job.job_id), ALICE, {"name": "other"})
    assert job.spec.reservation == "ours"
    with rooms.queue.turn():
        rooms.worker.control.update(ref(job.job_id), ALICE, {"reservation": ""})
    rooms.schedule()
    assert job.allocation is not None


def test_of_several_reservations_only_the_end_of_its_own_ends_a_job(rooms):
    make(rooms, name="long", nodes="node1", for_s=300.0)
    make(rooms, name="first", nodes="node2", in_s=10.0, for_s=90.0)
    job = rooms.submit(reservation="first,long")
    rooms.schedule()
    assert job.allocation.shares[0].node == "node1"
    rooms.start(job)
    pass_time(rooms, 100.0)
    assert "first" not in listed(rooms)
    assert job.ending is None
    pass_time(rooms, 200.0)
    assert job.ending is JobState.TIMEOUT


def test_a_job_that_ends_with_its_reservation_is_not_in_the_way_of_the_next(rooms):
    make(rooms, name="ours", nodes="node1", for_s=100.0)
    job = rooms.submit(reservation="ours")
    rooms.schedule()
    assert job.allocation is not None
    make(rooms, name="next", nodes="node1", in_s=100.0)
