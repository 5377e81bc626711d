"""Threads that work in the background, at once when woken and now and then anyway.

A `DaemonThread` has a thread, it is none: attributes of a subclass cannot overwrite those of
`threading.Thread`, and one that was stopped can be started again.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from stoker.core.errors import StoreRefused

log = logging.getLogger(__name__)

STATS_INTERVAL_S = 60.0


class _Run:
    """One life of a daemon thread, from a start to its stop."""

    def __init__(self, name: str, target: Callable[[_Run], None]) -> None:
        self.is_stopping = threading.Event()
        self.is_woken = threading.Event()
        self.thread = threading.Thread(target=target, args=(self,), name=name, daemon=True)

    def stop(self) -> None:
        self.is_stopping.set()
        self.is_woken.set()


class DaemonThread(ABC):
    """Does its work at once, then whenever it is woken or its interval has passed.

    As a context manager it runs inside the ``with``.
    """

    def __init__(
        self, name: str, check_interval: float = 5.0, *, join_limit_s: float = 10.0
    ) -> None:
        """Nothing runs before `start`.

        Args:
            name: The thread's name, as logs show it.
            check_interval: Seconds between two turns of work when nobody wakes it.
            join_limit_s: How long `stop` waits for work that is under way.
        """
        self.name = name
        self.check_interval = check_interval
        self._join_limit_s = join_limit_s
        self._run_lock = threading.Lock()
        self._run: _Run | None = None

    @abstractmethod
    def do_work(self) -> None:
        """Do one turn of work; an exception is logged and the next turn comes all the same."""

    @property
    def is_running(self) -> bool:
        """Whether it has been started and not been stopped."""
        run = self._run
        return run is not None and not run.is_stopping.is_set() and run.thread.is_alive()

    def start(self) -> None:
        """Start the thread; one that runs is left alone.

        Raises:
            RuntimeError: The last run was told to stop but is still at work.
        """
        with self._run_lock:
            if self.is_running:
                return
            if self._run is not None and self._run.thread.is_alive():
                raise RuntimeError(
                    f"cannot start {self.name}: its last turn of work has not ended; try later"
                )
            self._run = _Run(self.name, self._work)
            self._run.thread.start()

    def stop(self) -> None:
        """Let the work under way end, and start none; harmless before start, twice, from inside."""
        run = self._run
        if run is None:
            return
        run.stop()
        if run.thread is threading.current_thread():
            return
        run.thread.join(self._join_limit_s)
        if run.thread.is_alive():
            log.warning(
                "%s did not stop within %g seconds: its work is still under way",
                self.name,
                self._join_limit_s,
            )

    def wake(self) -> None:
        """Have the work done now; during work: once more afterwards."""
        if (run := self._run) is not None:
            run.is_woken.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _work(self, run: _Run) -> None:
        while not run.is_stopping.is_set():
            # Cleared before the work: who wakes us during it has news that it may have missed.
            run.is_woken.clear()
            try:
                self.do_work()
            except StoreRefused as error:
                log.warning("%s does its work later: %s", self.name, error)
            except Exception:
                log.exception("a turn of work of %s failed; the next one comes", self.name)
            run.is_woken.wait(self.check_interval)


class Schedules(Protocol):
    """What a `SchedulerDaemon` drives: a `ResourceScheduler`."""

    def schedule_pending_jobs(self) -> Sequence[int]:
        """Start what can start; return the ids."""
        ...

    def get_resource_stats(self) -> Mapping[str, Any]:
        """Return what the machine has and what is in use."""
        ...


class SchedulerDaemon(DaemonThread):
    """Drives a scheduler, and logs once a minute how much of the machine is in use."""

    def __init__(
        self,
        check_interval: float = 5.0,
        *,
        scheduler: Schedules,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Drive *scheduler*; *monotonic* is for tests."""
        super().__init__("scheduler", check_interval)
        self._scheduler = scheduler
        self._monotonic = monotonic
        self._stats_at = monotonic() + STATS_INTERVAL_S

    def do_work(self) -> None:
        """Start what can start."""
        try:
            self._scheduler.schedule_pending_jobs()
        finally:
            self._log_stats_when_due()

    def _log_stats_when_due(self) -> None:
        if self._monotonic() < self._stats_at:
            return
        self._stats_at = self._monotonic() + STATS_INTERVAL_S
        stats = self._scheduler.get_resource_stats()
        log.info("resources: %s", ", ".join(f"{name} {stats[name]}" for name in stats))
