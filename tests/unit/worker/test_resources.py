"""The books: never more given out than there is, and exactly that taken back."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.models import Node, NodeShare
from stoker.worker.observers import ResourceObserver
from stoker.worker.resources import NotHeld, Overcommitted, ResourceRequest, ResourceTracker
from support.machines import shape

LIMIT_S = 10.0


@pytest.fixture
def tracker() -> ResourceTracker:
    return ResourceTracker(
        [Node(name, index, 4, 4000, gres={"gpu": 2}) for index, name in enumerate(("n1", "n2"))]
    )


def share(*cores, node="n1", memory_mib=0, gres=None):
    return NodeShare(node, cores, memory_mib, gres or {})


def picture(tracker):
    tracker.check()
    return tracker.free_nodes(), tracker.get_stats(), tracker.holdings()


def test_an_allocation_says_which_cores(tracker):
    assert tracker.allocate(1, ResourceRequest(cpus=2, memory_mib=500)) == (
        NodeShare("n1", (0, 1), 500),
    )
    assert tracker.held(1) == (NodeShare("n1", (0, 1), 500),)
    assert (tracker.total_cpus, tracker.used_cpus, tracker.available_cpus) == (8, 2, 6)
    assert tracker.utilization == 25.0


def test_what_is_not_free_is_not_given(tracker):
    assert tracker.allocate(1, ResourceRequest(cpus=5)) is None
    assert tracker.allocate(1, ResourceRequest(cpus=1, memory_mib=4001)) is None
    assert tracker.held(1) is None
    tracker.check()


def test_a_release_gives_back_exactly_what_was_held(tracker):
    before = picture(tracker)
    shares = (
        share(1, 3, memory_mib=700, gres={"gpu": (1,)}),
        share(0, node="n2", memory_mib=4000),
    )
    tracker.allocate(1, shares)
    tracker.check()
    assert tracker.release(1) == shares
    assert picture(tracker) == before


def test_a_second_release_is_an_error_and_gives_nothing(tracker):
    tracker.allocate(1, ResourceRequest(cpus=2))
    tracker.release(1)
    before = picture(tracker)
    with pytest.raises(NotHeld, match="cannot release job 1: it holds nothing"):
        tracker.release(1)
    assert picture(tracker) == before


def test_a_second_allocation_of_one_job_is_an_error_and_takes_nothing(tracker):
    tracker.allocate(1, ResourceRequest(cpus=2))
    before = picture(tracker)
    with pytest.raises(Overcommitted, match="job 1: it holds resources already"):
        tracker.allocate(1, ResourceRequest(cpus=1))
    assert picture(tracker) == before


@pytest.mark.parametrize(
    "asked",
    [
        share(0),
        share(4),
        share(1, 1),
        share(1, memory_mib=3001),
        share(1, gres={"gpu": (0,)}),
        share(1, gres={"fpga": (0,)}),
        share(1, node="n3"),
    ],
    ids=["taken", "no such core", "a core twice", "memory", "device", "no such device", "no node"],
)
def test_overcommitting_is_refused_and_takes_nothing(tracker, asked):
    tracker.allocate(1, [share(0, memory_mib=1000, gres={"gpu": (0,)})])
    before = picture(tracker)
    with pytest.raises(Overcommitted):
        tracker.allocate(2, [asked])
    assert picture(tracker) == before


def test_of_several_shares_all_are_taken_or_none(tracker):
    tracker.allocate(1, [share(0, node="n2")])
    before = picture(tracker)
    with pytest.raises(Overcommitted):
        tracker.allocate(2, [share(0, 1, memory_mib=100), share(0, node="n2")])
    assert picture(tracker) == before
    with pytest.raises(Overcommitted):
        tracker.allocate(2, [share(0), share(0)])
    assert picture(tracker) == before


def test_a_shape_is_placed_on_what_is_free(tracker):
    tracker.allocate(1, [share(0, 1)])
    shares = tracker.allocate(2, shape(tasks=3, gres=(("gpu", 1),)))
    assert shares == (NodeShare("n2", (0, 1, 2), 0, {"gpu": (0,)}),)


def test_a_drained_node_gives_nothing_and_takes_back_all(tracker):
    tracker.allocate(1, [share(0)])
    tracker.accept("n1", accepts=False)
    assert tracker.allocate(2, ResourceRequest()) == (NodeShare("n2", (0,), 0),)
    tracker.release(1)
    tracker.check()
    tracker.accept("n1", accepts=True)
    assert tracker.allocate(3, ResourceRequest()) == (NodeShare("n1", (0,), 0),)


def test_to_clear_is_to_forget_who_holds_what_but_not_who_is_drained(tracker):
    idle = tracker.idle_nodes()
    tracker.allocate(1, ResourceRequest(cpus=2))
    tracker.accept("n2", accepts=False)
    tracker.clear()
    assert tracker.holders() == frozenset()
    assert tracker.used_cpus == 0
    assert [node.cpus for node in tracker.free_nodes()] == [node.cpus for node in idle]
    assert [node.accepts for node in tracker.free_nodes()] == [True, False]
    tracker.check()


def test_a_tracker_of_one_stated_size():
    tracker = ResourceTracker(total_cpus=3, total_memory_mib=100)
    assert tracker.get_stats() == {
        "total_cpus": 3,
        "used_cpus": 0,
        "available_cpus": 3,
        "utilization": 0.0,
        "total_memory_mib": 100,
        "used_memory_mib": 0,
        "jobs": 0,
    }


class Notes(ResourceObserver):
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def on_resource_allocated(self, cpus, stats):
        self.seen.append(("allocated", cpus, stats["used_cpus"]))

    def on_resource_released(self, cpus, stats):
        self.seen.append(("released", cpus, stats["used_cpus"]))


def test_observers_hear_of_several_changes_when_the_lock_is_let_go(tracker):
    notes = Notes()
    with tracker.attach(notes):
        with tracker.changing():
            tracker.allocate(1, ResourceRequest(cpus=2))
            tracker.allocate(2, ResourceRequest(cpus=1))
            tracker.flush(0.05)
            assert notes.seen == []
        tracker.release(1)
    assert notes.seen == [("allocated", 2, 2), ("allocated", 1, 3), ("released", 2, 1)]


def test_what_was_changed_before_an_error_is_told_all_the_same(tracker):
    def take_and_fail() -> None:
        with tracker.changing():
            tracker.allocate(1, ResourceRequest(cpus=2))
            tracker.release(7)

    notes = Notes()
    with tracker.attach(notes), pytest.raises(NotHeld):
        take_and_fail()
    assert notes.seen == [("allocated", 2, 2)]


def test_an_observer_may_read_the_tracker_from_its_own_thread(tracker):
    read = threading.Event()

    class Reader(ResourceObserver):
        def on_resource_allocated(self, cpus, stats):
            assert tracker.get_stats() == stats
            read.set()

    with tracker.attach(Reader()):
        tracker.allocate(1, ResourceRequest())
    assert read.wait(LIMIT_S), "the observer did not get at the tracker: its lock is held"


def test_threads_that_take_and_give_at_once_lose_nothing():
    tracker = ResourceTracker(total_cpus=4, total_memory_mib=400)
    before = picture(tracker)
    got = [0] * 8

    def take_and_give(worker: int) -> None:
        for _ in range(200):
            if tracker.allocate(worker, ResourceRequest(cpus=1, memory_mib=100)) is not None:
                got[worker] += 1
                tracker.check()
                tracker.release(worker)

    threads = [threading.Thread(target=take_and_give, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert sum(got) > 0
    assert picture(tracker) == before


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(0, 2500))))
def test_the_books_add_up_whatever_comes_and_goes(steps):
    tracker = ResourceTracker([Node(f"n{n}", n, 4, 4000) for n in range(2)])
    held = set()
    for job, cpus, memory_mib in steps:
        if job in held:
            tracker.release(job)
            held.remove(job)
        elif tracker.allocate(job, ResourceRequest(cpus, memory_mib)) is not None:
            held.add(job)
        tracker.check()
        assert tracker.holders() == held
    for job in held:
        tracker.release(job)
    assert tracker.free_nodes() == tracker.idle_nodes()
