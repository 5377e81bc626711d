"""Who wants to know when resources are taken and given back, and how they are told.

The publisher puts a notice into a short queue and goes on; each observer is told by a thread of its
own, in order. So one that raises, blocks, or reads the publisher harms nobody, the publisher's lock
is never held while an observer runs, and what it costs to be observed is an append. The thread
lives while there is something to tell and a moment longer: an observable that is let go of leaves
nothing behind. If an observer falls so far behind that its queue is full, the oldest notices go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

log = logging.getLogger(__name__)

NOTICES_MAX: Final = 10_000
"""Notices that may wait for one observer."""
_LINGER_S: Final = 1.0
_FLUSH_LIMIT_S: Final = 5.0

Stats = Mapping[str, Any]


class ResourceObserver:
    """Is told what was taken and given back, in CPUs, with the publisher's stats at that moment."""

    def on_resource_allocated(self, cpus: int, stats: Stats) -> None:
        """Somebody took *cpus*."""

    def on_resource_released(self, cpus: int, stats: Stats) -> None:
        """Somebody gave *cpus* back."""


Observer = TypeVar("Observer", bound=ResourceObserver)
_Notice = Callable[[], None]


class _Delivery:
    """One observer, the notices that wait for it, and the thread that tells them."""

    def __init__(self, observer: ResourceObserver, notices_max: int) -> None:
        self.observer = observer
        self._changed = threading.Condition()
        self._notices: deque[_Notice] = deque()
        self._notices_max = notices_max
        self._published = 0
        self._settled = 0
        self._thread: threading.Thread | None = None
        self._is_failing = False
        self._is_behind = False

    @property
    def has_notices(self) -> bool:
        """Whether somebody might still wait for it."""
        return self._settled < self._published

    def publish(self, notice: _Notice) -> None:
        with self._changed:
            self._make_room()
            self._notices.append(notice)
            self._published += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._deliver, name=f"tells {type(self.observer).__name__}", daemon=True
                )
                self._thread.start()
            else:
                self._changed.notify_all()

    def flush(self, give_up_at: float) -> bool:
        """Wait until what has been published so far was told; return whether it was."""
        if self._thread is threading.current_thread():
            return True
        with self._changed:
            wanted = self._published
            return self._changed.wait_for(
                lambda: self._settled >= wanted, max(0.0, give_up_at - time.monotonic())
            )

    def _make_room(self) -> None:
        if len(self._notices) < self._notices_max:
            self._is_behind = False
            return
        self._notices.popleft()
        self._settled += 1
        if not self._is_behind:
            self._is_behind = True
            log.warning("%r is too slow: it misses notices about resources", self.observer)

    def _deliver(self) -> None:
        try:
            while (notice := self._next()) is not None:
                self._tell(notice)
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _next(self) -> _Notice | None:
        """Return the next notice; None if none came for a while, and the thread is to end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._notices, _LINGER_S):
                # Said under the lock: whoever publishes next starts another thread.
                self._thread = None
                return None
            return self._notices.popleft()

    def _tell(self, notice: _Notice) -> None:
        try:
            notice()
        except Exception:
            # Once for each series of failures: thousands of jobs must not fill the log.
            if not self._is_failing:
                log.exception("%r failed on a notice about resources", self.observer)
            self._is_failing = True
        else:
            self._is_failing = False
        finally:
            with self._changed:
                self._settled += 1
                self._changed.notify_all()


class Attachment(Generic[Observer]):
    """What `Observable.attach` returns: as a ``with`` block it detaches on the way out."""

    def __init__(self, observable: Observable, observer: Observer) -> None:
        self._observable = observable
        self._observer = observer

    def __enter__(self) -> Observer:
        return self._observer

    def __exit__(self, *_: object) -> None:
        self._observable.detach(self._observer)
        self._observable.flush()


class Observable:
    """Has observers, and tells them. Publish when the change is on record and no lock is held."""

    def __init__(self, *, notices_max: int = NOTICES_MAX) -> None:
        """Begin with nobody; at most *notices_max* notices wait for each observer."""
        self._notices_max = notices_max
        self._attach_lock = threading.Lock()
        # Replaced, never changed: publishing takes no lock to read them.
        self._deliveries: tuple[_Delivery, ...] = ()
        self._detached: tuple[_Delivery, ...] = ()

    @property
    def has_observers(self) -> bool:
        """Whether anybody listens."""
        return bool(self._deliveries)

    def attach(self, observer: Observer) -> Attachment[Observer]:
        """Tell *observer* from now on; attaching twice is attaching once."""
        with self._attach_lock:
            if all(each.observer is not observer for each in self._deliveries):
                self._deliveries += (_Delivery(observer, self._notices_max),)
        return Attachment(self, observer)

    def detach(self, observer: ResourceObserver) -> None:
        """Tell *observer* nothing that happens from now on; a stranger is left alone."""
        with self._attach_lock:
            going = tuple(each for each in self._deliveries if each.observer is observer)
            self._deliveries = tuple(each for each in self._deliveries if each not in going)
            self._detached = (*(each for each in self._detached if each.has_notices), *going)

    def notify_allocated(self, cpus: int, stats: Stats) -> None:
        """Tell everybody that *cpus* were taken."""
        for each in self._deliveries:
            each.publish(partial(each.observer.on_resource_allocated, cpus, stats))

    def notify_released(self, cpus: int, stats: Stats) -> None:
        """Tell everybody that *cpus* were given back."""
        for each in self._deliveries:
            each.publish(partial(each.observer.on_resource_released, cpus, stats))

    def flush(self, timeout_s: float = _FLUSH_LIMIT_S) -> bool:
        """Wait until everybody was told what has happened so far; return whether they were."""
        give_up_at = time.monotonic() + timeout_s
        return all(each.flush(give_up_at) for each in (*self._deliveries, *self._detached))


class LoggingObserver(ResourceObserver):
    """Writes what happens to the log."""

    def __init__(self, level: int = logging.INFO) -> None:
        """Log at *level*."""
        self._level = level

    def on_resource_allocated(self, cpus: int, stats: Stats) -> None:
        """Log that *cpus* were taken."""
        log.log(self._level, "allocated %d CPUs; %s", cpus, _in_use(stats))

    def on_resource_released(self, cpus: int, stats: Stats) -> None:
        """Log that *cpus* were given back."""
        log.log(self._level, "released %d CPUs; %s", cpus, _in_use(stats))


def _in_use(stats: Stats) -> str:
    return f"{stats['used_cpus']} of {stats['total_cpus']} in use"


class MetricsObserver(ResourceObserver):
    """Counts what happens, for whoever collects figures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metrics = {
            "allocations_count": 0,
            "releases_count": 0,
            "total_allocated": 0,
            "total_released": 0,
        }

    def on_resource_allocated(self, cpus: int, stats: Stats) -> None:  # noqa: ARG002
        """Count an allocation of *cpus*."""
        with self._lock:
            self._metrics["allocations_count"] += 1
            self._metrics["total_allocated"] += cpus

    def on_resource_released(self, cpus: int, stats: Stats) -> None:  # noqa: ARG002
        """Count a release of *cpus*."""
        with self._lock:
            self._metrics["releases_count"] += 1
            self._metrics["total_released"] += cpus

    def get_metrics(self) -> dict[str, int]:
        """Return the number of allocations and releases, and the CPUs in them, since the start."""
        with self._lock:
            return dict(self._metrics)


class AlertObserver(ResourceObserver):
    """Raises the alarm when use crosses a threshold; again only after it has gone down clearly."""

    def __init__(
        self,
        threshold: float = 90.0,
        *,
        hysteresis: float = 5.0,
        notify: Callable[[str], object] | None = None,
    ) -> None:
        """Warn in the log, and call *notify* with the sentence if it is given.

        Args:
            threshold: Percent of the CPUs in use from which on it is alarming.
            hysteresis: How far use must fall below the threshold before the next alarm, in points
                of a percentage: use that wavers about the threshold is one alarm.
            notify: Tells a person; it runs on this observer's own thread and may take its time.
        """
        self.threshold = threshold
        self.is_alarmed = False
        self._calm_below = threshold - hysteresis
        self._notify = notify

    def on_resource_allocated(self, cpus: int, stats: Stats) -> None:  # noqa: ARG002
        """Look whether use has crossed the threshold."""
        self._look(stats)

    def on_resource_released(self, cpus: int, stats: Stats) -> None:  # noqa: ARG002
        """Look whether use has gone down."""
        self._look(stats)

    def _look(self, stats: Stats) -> None:
        utilization = float(stats["utilization"])
        if self.is_alarmed:
            self.is_alarmed = utilization >= self._calm_below
        elif utilization >= self.threshold:
            self.is_alarmed = True
            self._raise_alarm(f"{utilization:.1f}% of the CPUs are in use; {_in_use(stats)}")

    def _raise_alarm(self, text: str) -> None:
        log.warning("%s (the threshold is %g%%)", text, self.threshold)
        if self._notify is not None:
            self._notify(text)
