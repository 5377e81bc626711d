"""Daemon threads: woken, stopped, failing, and the traps of inheriting from a thread."""

from __future__ import annotations

import logging
import threading

import pytest

from stoker.worker.daemon import DaemonThread, SchedulerDaemon

LIMIT_S = 10.0


class Worker(DaemonThread):
    """Counts its turns; a test waits for a turn by its number."""

    def __init__(self, check_interval: float = 3600.0, **more) -> None:
        super().__init__("worker", check_interval, **more)
        self.turns = 0
        self.changed = threading.Condition()
        self.fails = False

    def do_work(self) -> None:
        with self.changed:
            self.turns += 1
            self.changed.notify_all()
        if self.fails:
            raise ValueError("no luck")

    def reached(self, turns: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.turns >= turns, LIMIT_S)


class Busy(DaemonThread):
    """Works until it is let go."""

    def __init__(self) -> None:
        super().__init__("busy", 3600.0, join_limit_s=0.01)
        self.is_busy = threading.Event()
        self.may_end = threading.Event()

    def do_work(self) -> None:
        self.is_busy.set()
        assert self.may_end.wait(LIMIT_S)


def test_work_is_done_at_once_and_ends_with_the_block():
    with Worker() as worker:
        assert worker.reached(1), "no work was done"
        assert worker.is_running
    assert not worker.is_running
    assert "worker" not in [thread.name for thread in threading.enumerate()]


def test_it_is_not_running_before_start():
    worker = Worker()
    assert not worker.is_running
    worker.wake()
    assert not worker.is_running
    assert worker.turns == 0


def test_a_subclass_with_an_attribute_started_harms_nothing():
    class Careless(Worker):
        def __init__(self) -> None:
            super().__init__()
            self._started = True
            self._target = self._is_stopped = None

    with Careless() as worker:
        assert worker.reached(1)
        assert worker.is_running
    assert not worker.is_running


def test_waking_does_the_work_now_and_not_when_the_interval_has_passed():
    with Worker(check_interval=3600.0) as worker:
        for turn in range(1, 20):
            assert worker.reached(turn), f"woken, but only {worker.turns} turns"
            worker.wake()


def test_a_wake_during_work_is_not_lost():
    class Waking(Worker):
        def do_work(self) -> None:
            super().do_work()
            if self.turns < 3:
                self.wake()

    with Waking() as worker:
        assert worker.reached(3)


def test_work_is_done_again_when_the_interval_has_passed():
    with Worker(check_interval=0.001) as worker:
        assert worker.reached(3), f"only {worker.turns} turns"


def test_an_exception_is_logged_with_its_trace_and_the_next_turn_comes(caplog):
    with Worker() as worker:
        worker.fails = True
        worker.wake()
        assert worker.reached(2)
        worker.wake()
        assert worker.reached(3), "it gave up after an exception"
    assert "ValueError: no luck" in caplog.text


def test_stop_before_start_and_stop_twice_are_harmless():
    worker = Worker()
    worker.stop()
    worker.start()
    worker.stop()
    worker.stop()
    assert not worker.is_running


def test_stop_from_its_own_thread_does_not_wait_for_itself():
    class Suicidal(Worker):
        def do_work(self) -> None:
            self.stop()
            super().do_work()

    worker = Suicidal()
    worker.start()
    assert worker.reached(1), "it waits for itself"
    worker.stop()
    assert worker.turns == 1


def test_start_twice_is_one_thread():
    with Worker() as worker:
        worker.start()
        assert worker.reached(1)
        assert [thread.name for thread in threading.enumerate()].count("worker") == 1


def test_one_that_was_stopped_can_be_started_again():
    worker = Worker()
    for turn in (1, 2):
        with worker:
            assert worker.reached(turn)


def test_stop_gives_up_on_work_that_does_not_end_and_says_so(caplog):
    busy = Busy()
    busy.start()
    assert busy.is_busy.wait(LIMIT_S)
    busy.stop()
    assert not busy.is_running
    assert "busy did not stop within 0.01 seconds" in caplog.text
    with pytest.raises(RuntimeError, match="has not ended"):
        busy.start()
    busy.may_end.set()
    busy._run.thread.join(LIMIT_S)
    busy.start()
    busy.stop()


class StubScheduler:
    def __init__(self) -> None:
        self.turns = 0
        self.is_broken = False

    def schedule_pending_jobs(self) -> list[int]:
        self.turns += 1
        if self.is_broken:
            raise ValueError("no plan")
        return []

    def get_resource_stats(self) -> dict[str, float]:
        return {"total_cpus": 8, "used_cpus": 3}


def test_the_scheduler_is_driven_and_logs_its_stats_once_a_minute(caplog):
    caplog.set_level(logging.INFO)
    scheduler, now = StubScheduler(), [0.0]
    daemon = SchedulerDaemon(scheduler=scheduler, monotonic=lambda: now[0])
    for now[0] in (0.0, 59.0, 60.0, 61.0, 119.0, 120.0):
        daemon.do_work()
    assert scheduler.turns == 6
    assert caplog.messages == ["resources: total_cpus 8, used_cpus 3"] * 2


def test_stats_are_logged_although_every_turn_fails(caplog):
    caplog.set_level(logging.INFO)
    scheduler, now = StubScheduler(), [0.0]
    scheduler.is_broken = True
    daemon = SchedulerDaemon(scheduler=scheduler, monotonic=lambda: now[0])
    now[0] = 60.0
    with pytest.raises(ValueError, match="no plan"):
        daemon.do_work()
    assert "total_cpus 8" in caplog.text
