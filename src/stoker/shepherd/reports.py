"""What is to be told: events in their order, told when what they say is on record.

Starts are told as they are; a last event only once the journal that holds it is synced. One sync
serves all that came together; under load there is a pause between two, in which more come together:
a short one, or a longer one while nobody's next step hangs on the answer, since in every lane that
was heard of somebody is still ready to follow.
"""

from __future__ import annotations

from time import monotonic

from stoker.shepherd.connection import ProtocolError
from stoker.shepherd.failpoints import hit
from stoker.shepherd.timers import WHEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from stoker.shepherd.connection import Connection
    from stoker.shepherd.journal import Journal
    from stoker.shepherd.timers import Timers

PACE_S = 0.005
LEISURE_S = 0.03
"""The pause while lanes have followers enough: well below what a lane holds in advance."""
REPAIR_S = 1.0


class Reports:
    """Events that have not been told.

    Attributes:
        peer: Who is told, if somebody is connected; else whoever connects is told all at once.
        on_break: Called with a peer that broke off.
    """

    def __init__(self, journal: Journal, timers: Timers) -> None:
        """Tell what *journal* holds."""
        self.peer: Connection | None = None
        self.on_break: Callable[[Connection, str], None] = lambda *_: None
        self._journal = journal
        self._timers = timers
        self._events: list[str] = []
        self._needs_sync = False
        self._told_at = 0.0
        self._is_pressing = False
        self._timer: list[Any] | None = None
        self._repair_timer: list[Any] | None = None

    def tell(self, event: str, *, is_last: bool, is_pressing: bool = True) -> None:
        """Have an event told; of a unit's last one the journal has been given the record.

        Args:
            event: What happened, in JSON.
            is_last: Whether it must be on record before it is told.
            is_pressing: Whether cores may lie idle until stokerd has heard of it.
        """
        self._needs_sync = self._needs_sync or is_last
        self._is_pressing = self._is_pressing or is_pressing
        if self.peer is not None:
            self._events.append(event)

    @property
    def is_safe(self) -> bool:
        """Whether all that is to be told stands in the journal: the next shepherd can tell it."""
        return not self._needs_sync and self._journal.trouble is None

    @property
    def is_unheard(self) -> bool:
        """Whether nobody will ever ask: the home was deleted, and the journal with it."""
        return self._journal.is_homeless

    def clear(self) -> None:
        """Forget what was to be told: whoever connected has been told all there is."""
        self._events.clear()

    def is_due(self) -> bool:
        """Whether there is something to tell or to sync, and the pause is over."""
        if self._repair_timer is not None or not (self._events or self._needs_sync):
            return False
        due_at = self._told_at + (PACE_S if self._is_pressing else LEISURE_S)
        if monotonic() >= due_at:
            return True
        self._wake_at(due_at)
        return False

    def _wake_at(self, when: float) -> None:
        """Have a turn at that time, or before."""
        if self._timer is not None:
            if self._timer[WHEN] <= when:
                return
            self._timers.cancel(self._timer)
        self._timer = self._timers.at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None

    def flush(self) -> bool:
        """Sync what needs it, and tell; return whether the journal is sound."""
        if self._needs_sync and not self.commit():
            return False
        self._told_at = monotonic()
        self._is_pressing = False
        if self._events and self.peer is not None:
            hit("report")
            text = f'{{"type":"events","events":[{",".join(self._events)}]}}'
            self._events.clear()
            try:
                self.peer.send(text)
            except ProtocolError as error:
                self.on_break(self.peer, str(error))
        return True

    def commit(self) -> bool:
        """Sync the journal; return whether it is sound. If not, it is soon tried anew."""
        if self._needs_sync:
            hit("record")
        if self._journal.commit():
            self._needs_sync = False
            return True
        if self._repair_timer is None:
            self._repair_timer = self._timers.at(monotonic() + REPAIR_S, self._repair)
        return False

    def _repair(self) -> None:
        self._repair_timer = None
        self._journal.renew()
