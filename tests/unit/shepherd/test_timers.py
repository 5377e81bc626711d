from __future__ import annotations

import select
import socket
from time import monotonic

from stoker.shepherd.timers import Timers


def test_callbacks_come_in_the_order_of_their_times() -> None:
    timers, called = Timers(), []
    now = monotonic()
    for name, when in (("late", now - 1), ("early", now - 2), ("not yet", now + 60)):
        timers.at(when, lambda name=name: called.append(name))
    timers.run()
    assert called == ["early", "late"]
    wait_s = timers.wait_s()
    assert wait_s is not None
    assert 59 < wait_s <= 60


def test_a_cancelled_callback_is_not_called_nor_waited_for() -> None:
    timers, called = Timers(), []
    entry = timers.at(monotonic() - 1, lambda: called.append(1))
    timers.cancel(entry)
    timers.cancel(entry)
    timers.run()
    assert called == []
    assert timers.wait_s() is None


def test_a_callback_may_set_the_next_one() -> None:
    timers, called = Timers(), []
    timers.at(monotonic() - 1, lambda: timers.at(monotonic() - 1, lambda: called.append(1)))
    timers.run()
    assert called == [1]


def test_what_is_due_in_a_month_can_be_waited_for() -> None:
    timers = Timers()
    timers.at(monotonic() + 30 * 86400, lambda: None)
    with select.epoll() as epoll, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        epoll.register(ready, select.EPOLLOUT)
        assert epoll.poll(timers.wait_s())


def test_thousands_of_cancelled_limits_take_no_room() -> None:
    timers = Timers()
    for _ in range(10_000):
        timers.cancel(timers.at(monotonic() + 3600, lambda: None))
    assert len(timers._heap) < 200
