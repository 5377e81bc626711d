"""Observers: told in order, after the change, and unable to harm the publisher or each other."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from stoker.worker import observers
from stoker.worker.observers import (
    AlertObserver,
    LoggingObserver,
    MetricsObserver,
    Observable,
    ResourceObserver,
)
from stoker.worker.resources import NotHeld, ResourceRequest, ResourceTracker

LIMIT_S = 10.0


class Recorder(ResourceObserver):
    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def on_resource_allocated(self, cpus, stats) -> None:
        self.seen.append(("allocated", cpus))

    def on_resource_released(self, cpus, stats) -> None:
        self.seen.append(("released", cpus))


class Blocker(ResourceObserver):
    """Stands still until it is let go."""

    def __init__(self) -> None:
        self.is_blocked, self.may_go_on = threading.Event(), threading.Event()
        self.seen: list[int] = []

    def on_resource_allocated(self, cpus, stats) -> None:
        self.seen.append(cpus)
        self.is_blocked.set()
        assert self.may_go_on.wait(LIMIT_S)


@pytest.fixture
def tracker() -> ResourceTracker:
    return ResourceTracker(total_cpus=8, total_memory_mib=1000)


def stats(used: int, total: int = 10) -> dict[str, float]:
    return {"used_cpus": used, "total_cpus": total, "utilization": 100.0 * used / total}


def test_what_happens_is_told_in_order(tracker):
    recorder = Recorder()
    tracker.attach(recorder)
    for job in range(1, 5):
        tracker.allocate(job, ResourceRequest(cpus=job if job < 4 else 1))
        tracker.release(job)
    assert tracker.flush()
    assert recorder.seen == [
        (verb, cpus) for cpus in (1, 2, 3, 1) for verb in ("allocated", "released")
    ]


def test_observers_are_not_called_under_the_publishers_lock(tracker):
    free_for_others = []

    class Prober(ResourceObserver):
        def on_resource_allocated(self, cpus, stats) -> None:
            # The lock is re-entrant: only another thread can tell whether somebody holds it.
            is_free = tracker._lock.acquire(timeout=LIMIT_S)
            free_for_others.append(is_free)
            if is_free:
                tracker._lock.release()

    tracker.attach(Prober())
    with tracker.changing():
        tracker.allocate(1, ResourceRequest(cpus=1))
        assert free_for_others == []
    assert tracker.flush()
    assert free_for_others == [True]


def test_one_that_reads_the_tracker_sees_the_change_and_does_not_hang(tracker):
    seen = []

    class Reader(ResourceObserver):
        def on_resource_allocated(self, cpus, stats) -> None:
            seen.append((tracker.used_cpus, tracker.get_stats()["used_cpus"], stats["used_cpus"]))

    tracker.attach(Reader())
    tracker.allocate(1, ResourceRequest(cpus=3))
    assert tracker.flush()
    assert seen == [(3, 3, 3)]


def test_one_that_raises_harms_neither_publisher_nor_others_and_is_logged_once(tracker, caplog):
    class Broken(ResourceObserver):
        def on_resource_allocated(self, cpus, stats) -> None:
            raise ValueError("no luck")

    recorder = Recorder()
    tracker.attach(Broken())
    tracker.attach(recorder)
    for job in (1, 2, 3):
        tracker.allocate(job, ResourceRequest(cpus=1))
    assert tracker.flush()
    assert recorder.seen == [("allocated", 1)] * 3
    assert caplog.text.count("ValueError: no luck") == 1


def test_one_that_blocks_delays_neither_publisher_nor_others(tracker):
    """R34: each is told by a thread of its own."""
    blocker, recorder = Blocker(), Recorder()
    tracker.attach(blocker)
    tracker.attach(recorder)
    tracker.allocate(1, ResourceRequest(cpus=1))
    assert blocker.is_blocked.wait(LIMIT_S)
    tracker.release(1)
    tracker.allocate(2, ResourceRequest(cpus=2))
    assert not tracker.flush(timeout_s=0.01), "the blocked one cannot have been told"
    assert tracker._deliveries[1].flush(time.monotonic() + LIMIT_S)
    assert recorder.seen == [("allocated", 1), ("released", 1), ("allocated", 2)]
    blocker.may_go_on.set()
    assert tracker.flush()
    assert blocker.seen == [1, 2]


def test_one_that_is_far_behind_misses_the_oldest_and_costs_no_more_memory(caplog):
    """R34."""
    observable, blocker = Observable(notices_max=3), Blocker()
    observable.attach(blocker)
    observable.notify_allocated(0, {})
    assert blocker.is_blocked.wait(LIMIT_S)
    for cpus in range(1, 10):
        observable.notify_allocated(cpus, {})
    blocker.may_go_on.set()
    assert observable.flush()
    assert blocker.seen == [0, 7, 8, 9]
    assert caplog.text.count("too slow") == 1


def test_one_that_publishes_or_flushes_or_detaches_itself_does_not_hang():
    observable = Observable()
    seen = []

    class Meddler(ResourceObserver):
        def on_resource_allocated(self, cpus, stats) -> None:
            seen.append(cpus)
            if cpus == 3:
                observable.detach(self)
            else:
                observable.notify_allocated(cpus + 1, {})
            observable.flush()

    observable.attach(Meddler())
    observable.notify_allocated(1, {})
    while len(seen) < 3:
        assert observable.flush(), f"it hangs after {seen}"
    assert not observable.has_observers


def test_in_a_with_block_it_is_told_all_that_happens_inside_and_nothing_else(tracker):
    with tracker.attach(Recorder()) as recorder:
        tracker.allocate(1, ResourceRequest(cpus=2))
        assert tracker.has_observers
    assert recorder.seen == [("allocated", 2)]
    assert not tracker.has_observers
    tracker.release(1)
    assert tracker.flush()
    assert recorder.seen == [("allocated", 2)]


def test_attached_twice_is_told_once_and_a_stranger_may_be_detached():
    observable, recorder = Observable(), Recorder()
    observable.detach(recorder)
    observable.attach(recorder)
    observable.attach(recorder)
    observable.notify_released(4, {})
    assert observable.flush()
    assert recorder.seen == [("released", 4)]


def test_what_was_published_before_a_detach_is_still_told():
    observable, blocker = Observable(), Blocker()
    observable.attach(blocker)
    observable.notify_allocated(1, {})
    observable.notify_allocated(2, {})
    assert blocker.is_blocked.wait(LIMIT_S)
    observable.detach(blocker)
    observable.notify_allocated(3, {})
    blocker.may_go_on.set()
    assert observable.flush()
    assert blocker.seen == [1, 2]


def test_threads_end_by_themselves_and_start_again_when_there_is_news(monkeypatch):
    monkeypatch.setattr(observers, "_LINGER_S", 0.001)
    observable, recorder = Observable(), Recorder()
    observable.attach(recorder)
    for cpus in (1, 2):
        observable.notify_allocated(cpus, {})
        thread = observable._deliveries[0]._thread
        if thread is not None:
            thread.join(LIMIT_S)
            assert not thread.is_alive(), "an idle thread stays"
    assert recorder.seen == [("allocated", 1), ("allocated", 2)]


def test_an_observable_that_is_let_go_of_leaves_nothing(monkeypatch):
    monkeypatch.setattr(observers, "_LINGER_S", 0.001)
    observable = Observable()
    observable.attach(Recorder())
    observable.notify_allocated(1, {})
    thread = observable._deliveries[0]._thread
    del observable
    gc.collect()
    if thread is not None:
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_many_publishers_lose_no_notice():
    observable = Observable()
    with observable.attach(MetricsObserver()) as metrics:
        threads = [
            threading.Thread(
                target=lambda: [observable.notify_allocated(1, {}) for _ in range(250)]
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
    assert metrics.get_metrics()["total_allocated"] == 2000


def test_a_double_release_is_an_error_and_gives_nothing_back_twice(tracker):
    with tracker.attach(MetricsObserver()) as metrics:
        tracker.allocate(1, ResourceRequest(cpus=3))
        tracker.release(1)
        with pytest.raises(NotHeld, match="job 1"):
            tracker.release(1)
    assert tracker.available_cpus == tracker.total_cpus == 8
    assert metrics.get_metrics() == {
        "allocations_count": 1,
        "releases_count": 1,
        "total_allocated": 3,
        "total_released": 3,
    }
    tracker.check()


def test_the_log_says_what_is_in_use(tracker, caplog):
    caplog.set_level("INFO")
    with tracker.attach(LoggingObserver()):
        tracker.allocate(1, ResourceRequest(cpus=3))
        tracker.release(1)
    told = [message for message in caplog.messages if "CPUs" in message]
    assert told == ["allocated 3 CPUs; 3 of 8 in use", "released 3 CPUs; 0 of 8 in use"]


def test_an_alert_fires_once_for_each_crossing_and_wavering_is_no_crossing():
    alerts: list[str] = []
    observer = AlertObserver(threshold=90.0, hysteresis=15.0, notify=alerts.append)
    for used in (5, 9, 10, 8, 9, 8, 10):
        observer.on_resource_allocated(1, stats(used))
    assert len(alerts) == 1
    assert alerts[0] == "90.0% of the CPUs are in use; 9 of 10 in use"
    observer.on_resource_released(1, stats(7))
    assert not observer.is_alarmed
    observer.on_resource_allocated(1, stats(10))
    assert len(alerts) == 2


def test_an_alert_that_cannot_be_told_is_not_told_again_and_again(caplog):
    observable = Observable()

    def fail(_: str) -> None:
        raise OSError("no network")

    with observable.attach(AlertObserver(notify=fail)):
        observable.notify_allocated(1, stats(10))
        observable.notify_allocated(1, stats(10))
    assert caplog.text.count("OSError: no network") == 1
