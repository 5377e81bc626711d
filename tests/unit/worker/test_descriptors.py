"""Attributes under a lock: no lost update, no deadlock."""

from __future__ import annotations

import sys
import threading

import pytest

from stoker.worker.descriptors import ComputedProperty, ThreadSafeProperty

LIMIT_S = 30.0


class Counter:
    used = ThreadSafeProperty[int]("_used")
    free = ComputedProperty[int](lambda counter: counter.total - counter.used)
    total = ThreadSafeProperty[int]("_total")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._used, self._total = 0, 10


def in_thread(work) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert not thread.is_alive(), "it hangs"


def test_reading_needs_no_lock():
    assert Counter().used == 0
    assert Counter().free == 10


def test_a_write_outside_the_lock_raises_and_changes_nothing():
    counter = Counter()
    with pytest.raises(RuntimeError, match=r"cannot set used.*`with owner\._lock`"):
        counter.used = 1
    assert counter.used == 0


def test_a_lock_taken_twice_by_one_thread_does_not_hang():
    counter = Counter()

    def work() -> None:
        with counter._lock:
            counter.used += 1
            assert counter.free == 9

    in_thread(work)
    assert counter.used == 1


def test_a_lock_that_cannot_be_taken_twice_is_refused_instead_of_hanging():
    counter = Counter()
    counter._lock = threading.Lock()
    with pytest.raises(TypeError, match=r"threading\.RLock"):
        assert counter.used


def test_a_lock_held_by_another_thread_does_not_permit_a_write():
    counter = Counter()
    errors = []

    def work() -> None:
        try:
            counter.used = 7
        except RuntimeError as error:
            errors.append(error)

    with counter._lock:
        in_thread(work)
    assert len(errors) == 1


def test_eight_threads_lose_no_update():
    counter = Counter()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for _ in range(500):
            with counter._lock:
                counter.used += 1

    try:
        threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
    finally:
        sys.setswitchinterval(before)
    assert counter.used == 4000


def test_a_computed_attribute_sees_one_moment():
    counter = Counter()
    is_computing, may_go_on = threading.Event(), threading.Event()

    class Slow(Counter):
        double = ComputedProperty[tuple[int, int]](lambda slow: slow.look())

        def look(self) -> tuple[int, int]:
            first = self.used
            is_computing.set()
            assert may_go_on.wait(LIMIT_S)
            return first, self.used

    slow = Slow()
    found = []
    reader = threading.Thread(target=lambda: found.append(slow.double), daemon=True)
    reader.start()
    assert is_computing.wait(LIMIT_S)

    def write() -> None:
        with slow._lock:
            slow.used = 5

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    may_go_on.set()
    reader.join(LIMIT_S)
    writer.join(LIMIT_S)
    assert found == [(0, 0)]
    assert slow.used == 5
    assert counter.used == 0


def test_a_computed_attribute_cannot_be_set():
    with pytest.raises(AttributeError, match="cannot set free: it is computed"):
        Counter().free = 3


def test_on_the_class_they_are_themselves():
    assert isinstance(Counter.used, ThreadSafeProperty)
    assert isinstance(Counter.free, ComputedProperty)


def test_another_lock_may_be_named():
    class Odd:
        value = ThreadSafeProperty[int]("_value", "_guard")

        def __init__(self) -> None:
            self._guard = threading.RLock()
            with self._guard:
                self.value = 3

    assert Odd().value == 3
