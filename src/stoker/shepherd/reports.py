"""What is to be told: events in their order, told when what they say is on record.

Starts are told as they are; a last event only once the journal that holds it is synced. One sync
serves all that came together; under load there is a pause between two, in which more come together:
a short one, or a longer one while nobody's next step hangs on the answer, since in every lane that
was heard of somebody is still ready to follow. While a sync goes on beside us nothing is told.
"""

from __future__ import annotations

from time import monotonic

from stoker.shepherd.connection import ProtocolError
from stoker.shepherd.failpoints import hit
from stoker.shepherd.telling import started
from stoker.shepherd.timers import WHEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from stoker.shepherd.connection import Connection
    from stoker.shepherd.journal import Journal
    from stoker.shepherd.timers import Timers
    from stoker.shepherd.units import Unit

PACE_S = 0.005
LEISURE_S = 0.03
"""The pause while lanes have followers enough: well below what a lane holds in advance."""
REPAIR_S = 1.0


def _do_nothing(_: OSError | None) -> None:
    """Do what is due after a commit when nothing is."""


class Reports:
    """Events that have not been told.

    Attributes:
        peer: Who is told, if somebody is connected; else whoever connects is told all at once.
        on_break: Called with a peer that broke off.
        needs_sync: Whether the end of a unit was noted since the last sync.
    """

    def __init__(self, journal: Journal, timers: Timers) -> None:
        """Tell what *journal* holds."""
        self.peer: Connection | None = None
        self.on_break: Callable[[Connection, str], None] = lambda *_: None
        self._journal = journal
        self._timers = timers
        self._events: list[str | Unit] = []
        self.needs_sync = False
        self._awaiting = 0
        self._then: Callable[[OSError | None], None] = _do_nothing
        self._told_at = 0.0
        self._is_pressing = False
        self._timer: list[Any] | None = None
        self._repair_timer: list[Any] | None = None

    def tell(self, event: str | Unit, *, is_last: bool, is_pressing: bool = True) -> None:
        """Have an event told; of a unit's last one the journal has been given the record.

        Args:
            event: What happened, in JSON; or a unit that has been started.
            is_last: Whether it must be on record before it is told.
            is_pressing: Whether cores may lie idle until stokerd has heard of it.
        """
        self.needs_sync = self.needs_sync or is_last
        self._is_pressing = self._is_pressing or is_pressing
        if self.peer is not None:
            self._events.append(event)

    @property
    def is_safe(self) -> bool:
        """Whether all that is to be told stands in the journal: the next shepherd can tell it."""
        is_pending = self.needs_sync or self._journal.is_committing
        return not is_pending and self._journal.trouble is None

    @property
    def is_unheard(self) -> bool:
        """Whether nobody will ever ask: the home was deleted, and the journal with it."""
        return self._journal.is_homeless

    def clear(self) -> None:
        """Forget what was to be told: whoever connected has been told all there is."""
        self._events.clear()
        self._awaiting = 0

    def is_due(self) -> bool:
        """Whether there is something to tell or to sync, and the pause is over."""
        if self._repair_timer is not None or self._journal.is_committing:
            return False
        if not (self._events or self.needs_sync):
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

    def flush(self) -> None:
        """Sync what needs it, and tell all."""
        if not self.needs_sync or self.commit():
            self._begin_pause()
            self._tell(len(self._events))

    def commit(self) -> bool:
        """Sync the journal; return whether it is sound. If not, it is soon tried anew."""
        self._hit()
        if self._journal.commit():
            self.needs_sync = False
            return True
        self._plan_repair()
        return False

    def begin_commit(self, then: Callable[[OSError | None], None] = _do_nothing) -> None:
        """Have the journal synced beside us; `end_commit` tells what this puts on record.

        Args:
            then: Called when that is over, with the journal's trouble if it failed.
        """
        self._hit()
        if not self._journal.begin_commit():
            self._plan_repair()
            then(self._journal.trouble)
            return
        self._begin_pause()
        self.needs_sync = False
        self._awaiting = len(self._events)
        self._then = then

    def end_commit(self) -> None:
        """Tell what is on record now."""
        is_sound = self._journal.end_commit()
        then, self._then = self._then, _do_nothing
        then(self._journal.trouble)
        if is_sound:
            self._tell(self._awaiting)
        else:
            self.needs_sync = True
            self._plan_repair()

    def _hit(self) -> None:
        if self.needs_sync:
            hit("record")

    def _begin_pause(self) -> None:
        self._told_at = monotonic()
        self._is_pressing = False

    def _tell(self, count: int) -> None:
        """Tell the first *count* events."""
        told, self._events = self._events[:count], self._events[count:]
        if told and self.peer is not None:
            hit("report")
            texts = [each if isinstance(each, str) else started(each) for each in told]
            try:
                self.peer.send(f'{{"type":"events","events":[{",".join(texts)}]}}')
            except ProtocolError as error:
                self.on_break(self.peer, str(error))

    def _plan_repair(self) -> None:
        if self._repair_timer is None:
            self._repair_timer = self._timers.at(monotonic() + REPAIR_S, self._repair)

    def _repair(self) -> None:
        self._repair_timer = None
        if self._journal.is_committing:
            self._plan_repair()
        else:
            self._journal.renew()
