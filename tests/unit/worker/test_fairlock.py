"""The queue's lock: taken again by its holder, and fair to who waits."""

from __future__ import annotations

import threading
import time

import pytest

from stoker.worker.fairlock import FairLock

LIMIT_S = 10.0


def test_its_holder_may_take_it_again():
    lock = FairLock()
    with lock, lock:
        pass
    taken = threading.Event()
    other = threading.Thread(target=lambda: [lock.__enter__(), taken.set(), lock.__exit__()])
    other.start()
    assert taken.wait(LIMIT_S)
    other.join(LIMIT_S)


def test_nobody_else_has_it_meanwhile():
    lock, count = FairLock(), 0

    def work() -> None:
        nonlocal count
        for _ in range(2000):
            with lock, lock:
                seen = count
                time.sleep(0)
                count = seen + 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert count == 8000


def test_who_comes_again_stands_behind_who_waits():
    lock, order = FairLock(), list[str]()

    def wait_for_it() -> None:
        with lock:
            order.append("who waited")

    waiter = threading.Thread(target=wait_for_it)
    with lock:
        waiter.start()
        _until(lock._turnstile.locked)
    with lock:
        order.append("who came again")
    waiter.join(LIMIT_S)
    assert order == ["who waited", "who came again"]


def test_it_is_let_go_of_by_who_fails():
    lock = FairLock()
    with pytest.raises(LookupError), lock, lock:
        raise LookupError
    assert not lock._lock.locked()


def _until(is_so) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, "nobody waits for the lock"
        time.sleep(0.001)
