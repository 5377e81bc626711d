"""What a shepherd tells is handed on to a listener: in order, and again what it could not take."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import msgspec

from stoker.core.errors import StoreError
from stoker.engines.base import Ended, EngineEvent, Listener, Started
from stoker.engines.starting import Orphans
from stoker.engines.unsettled import Unsettled

log = logging.getLogger(__name__)


class Relay:
    """Hands events on; all of it is called by one thread."""

    def __init__(self, unsettled: Unsettled, orphans: Orphans, lock: threading.Lock) -> None:
        """Keep *unsettled*, which *lock* guards, in step; *orphans* are ours to reap."""
        self.listener: Listener = lambda _: None
        self._unsettled = unsettled
        self._orphans = orphans
        self._lock = lock
        self._untold: list[EngineEvent] = []

    @property
    def is_behind(self) -> bool:
        """Whether there is something that the listener could not take yet."""
        return bool(self._untold)

    def tell(self, events: Sequence[EngineEvent]) -> None:
        """Tell the listener, first of all what it could not take before."""
        events = [self._complete(event) for event in events]
        with self._lock:
            # Who was launched anew since must not be met by the end of the one before.
            again = [event for event in self._untold if not self._is_outdated(event)]
            for event in events:
                self._unsettled.note(event)
        self._untold = [*again, *events]
        try:
            self.listener(self._untold)
        except StoreError as error:
            log.warning("%d events of the engine cannot be recorded: %s", len(events), error)
        except Exception:
            log.exception("cannot take %d events of the engine; they come again", len(self._untold))
            return
        self._untold = []

    def _is_outdated(self, event: EngineEvent) -> bool:
        return not isinstance(event, Started) and event.key in self._unsettled

    def _complete(self, event: EngineEvent) -> EngineEvent:
        """Fill in how an orphan ended, if it fell to us: the shepherd could not ask."""
        if not isinstance(event, Ended) or event.status_known:
            return event
        started = self._unsettled.start_of(event.key)
        death = self._orphans.death_of(started.pid) if started is not None else None
        if death is None:
            return event
        return msgspec.structs.replace(
            event,
            exit_code=death.exit_code,
            signal=death.signal,
            status_known=True,
            usage=death.usage,
        )
