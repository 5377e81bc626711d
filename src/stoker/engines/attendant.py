"""Attends to one user's jobs among those of many: their shepherd, and the orders to it.

Orders are carried out one after the other by a thread of this user's own, so that a shepherd that
does not start, does not answer or takes nothing keeps nobody waiting but its user. It is met when
it is first needed, and let go when there has been nothing to do for a while. What cannot be handed
to it is answered at once, as a launch that failed and may be tried again.

Always holds: each unit that was handed in is handed on or answered, in order; and of what the
shepherd says only that is passed on which `Credence` believes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, Protocol, TypeAlias

from stoker.core.errors import EngineError
from stoker.engines.base import Engine, EngineEvent, Evidence, Failed, Listener, Unit
from stoker.engines.credence import Credence, plain
from stoker.engines.orders import batches

log = logging.getLogger(__name__)

SHEPHERD: Final = "shepherd"
"""The step of a launch that failed because the user's shepherd could not be had."""

_IDLE_S: Final = 600.0
_AWAY_S: Final = 3.0
"""How long a launch waits for a shepherd in the place of one that died."""
_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_ORDERS_MAX: Final = 4096
"""How many orders wait for a shepherd that takes none; what more is asked is asked again when it
is met anew."""
_DESCRIPTORS_MAX: Final = 1024
"""How many descriptors may wait with it, before no more launches do."""


class UserEngine(Engine, Protocol):
    """An engine whose shepherd may be away."""

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a shepherd that has been met; whether one is there, as far as we know."""
        ...

    def prod(self) -> None:
        """See to it that a shepherd which does not answer is met anew, or another in its place."""
        ...

    def awaits(self, pid: int) -> bool:
        """Whether how that process ends is still to be asked of the kernel."""
        ...


class Launch:
    """Units to be handed on, with descriptors that are ours until then."""

    def __init__(self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        """Take the units, and copies of the descriptors.

        Raises:
            OSError: There are none left.
        """
        self.units = units
        self.descriptors: dict[str, list[int]] = {}
        try:
            for unit in units:
                own = self.descriptors[unit.key] = []
                for descriptor in descriptors.get(unit.key, ()):
                    own.append(os.dup(descriptor))  # noqa: PERF401 - what is copied is closed below
        except OSError:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Return how many descriptors are held."""
        return sum(map(len, self.descriptors.values()))

    def close(self) -> None:
        """Let go of the descriptors."""
        for own in self.descriptors.values():
            for descriptor in own:
                with suppress(OSError):
                    os.close(descriptor)
        self.descriptors.clear()


Order: TypeAlias = Launch | Callable[[UserEngine], object]


class Attendant:
    """One user's part of a shared engine."""

    def __init__(
        self,
        user_id: int,
        engine: UserEngine,
        credence: Credence,
        *,
        tell: Listener,
        on_met: Callable[[int, Evidence], None],
    ) -> None:
        """Attend to *user_id*'s jobs with *engine*.

        Args:
            user_id: Whose jobs.
            engine: Speaks to the user's shepherd; nobody else uses it, and it is not open.
            credence: Says what to believe of what it tells.
            tell: Is told what happened.
            on_met: Is told what the shepherd knows, if that was expected and could not be had.
        """
        self.user_id = user_id
        self.credence = credence
        self.engine = engine
        self.is_absent = False
        """Whether units are on record of which the shepherd has not been asked yet."""
        self.is_open = False
        """Whether the shepherd was met and has not been let go."""
        self.trouble = ""
        """Why the shepherd cannot be met; "" if it can, or nobody tried."""
        self._tell = tell
        self._on_met = on_met
        self._orders: deque[Order] = deque()
        self._changed = threading.Condition()
        self._judging = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._is_awaited = False
        self._first: Evidence | None = None
        self._was_tried = threading.Event()

    # --- From the outside.

    def begin(self) -> None:
        """Begin to meet the shepherd; `collect` says how that went."""
        with self._changed:
            self._is_awaited = True
            self._has_begun()

    def collect(self, timeout_s: float) -> Evidence | None:
        """Wait for what the shepherd knows; None if that cannot be had in time: it is absent."""
        self._was_tried.wait(timeout_s)
        with self._changed:
            self._is_awaited = False
            evidence, self._first = self._first, None
            self.is_absent = evidence is None
            self._changed.notify()
        return evidence

    def put(self, order: Order) -> bool:
        """Have an order carried out; one that is no launch only if the shepherd is there.

        Returns:
            False if it is a launch that nobody can carry out: the machine gives us no thread.
        """
        is_launch = isinstance(order, Launch)
        with self._changed:
            # Who recovers the jobs asks what was to be done to them while nobody could be asked.
            is_away = self.is_absent and not self.is_open
            if self._is_closing or is_away or not (is_launch or self._thread):
                return True
            if len(self._orders) >= _ORDERS_MAX and not is_launch:
                log.warning("user %d's shepherd takes no orders: one is dropped", self.user_id)
                return True
            if not self._has_begun():
                return False
            self._orders.append(order)
            self._changed.notify()
        return True

    @property
    def has_room(self) -> bool:
        """Whether more launches may wait for the shepherd: one that takes none is brought none."""
        with self._changed:
            waiting = [order.size for order in self._orders if isinstance(order, Launch)]
        return len(waiting) < _ORDERS_MAX and sum(waiting) < _DESCRIPTORS_MAX

    def _has_begun(self) -> bool:
        """Start the thread if there is none; whether there is one now."""
        if self._thread is None:
            thread = threading.Thread(
                target=self._run, name=f"attends to {self.user_id}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                log.error("user %d is not attended to: %s", self.user_id, error)  # noqa: TRY400
                return False
            self._thread = thread
        return True

    def close(self) -> None:
        """Begin to let the shepherd go; what runs goes on. `join` waits for that."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Wait until the shepherd was let go, but no longer than that."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def refusal(self, units: Sequence[Unit]) -> list[EngineEvent]:
        """Return what is said of units that cannot be handed on."""
        text = self.trouble or f"the shepherd of user {self.user_id} does not answer"
        now = time.time()
        return [
            Failed(key=unit.key, step=SHEPHERD, errno=0, message=text, at=now) for unit in units
        ]

    # --- The thread.

    def _run(self) -> None:
        pauses: Iterator[float] = iter(_PAUSES_S)
        if self._is_awaited:
            self._try(self._meet)
        while True:
            order = self._next(pauses)
            if order is not None:
                self._try(partial(self._carry_out, order))
            elif self.is_absent and not self._is_closing:
                self._try(self._meet)
            elif self._has_gone():
                return

    def _try(self, deed: Callable[[], object]) -> None:
        try:
            deed()
        except Exception:
            log.exception("what user %d's shepherd was to do is not done", self.user_id)
        finally:
            self._was_tried.set()

    def _next(self, pauses: Iterator[float]) -> Order | None:
        """Return the next order; None after a while, or when there is nothing more to do."""
        with self._changed:
            was_absent = self.is_absent
            timeout_s = next(pauses, _PAUSES_S[-1]) if was_absent else _IDLE_S
            self._changed.wait_for(
                lambda: self._orders or self._is_closing or self.is_absent != was_absent, timeout_s
            )
            return self._orders.popleft() if self._orders and not self._is_closing else None

    def _has_gone(self) -> bool:
        """Let the shepherd go if nobody needs it; whether this thread has nothing left to do."""
        with self._changed:
            if not self._is_closing and (self._orders or not self.credence.is_idle):
                return False
            was_open, self.is_open = self.is_open, False
            is_closing = self._is_closing
        if was_open:
            self._try(self.engine.close)
        with self._changed:
            if self._orders and not is_closing:
                return False
            while self._orders:
                if isinstance(order := self._orders.popleft(), Launch):
                    order.close()
            self._thread = None
            return True

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, Launch):
            self._launch(order)
        elif self.is_open:
            order(self.engine)

    def _launch(self, order: Launch) -> None:
        left = list(order.units)
        try:
            if (self.is_open or self._meet()) and self.engine.wait_connected(_AWAY_S):
                for batch in batches(order.units, order.descriptors):
                    self.engine.launch(batch, order.descriptors)
                    del left[: len(batch)]
        finally:
            order.close()
            if left:
                self.credence.forget([unit.key for unit in left])
                self._tell(self.refusal(left))

    # --- Meeting.

    def _meet(self) -> bool:
        """Meet the shepherd, started if need be; whether that was possible."""
        with ExitStack() as undo:
            try:
                # Nothing that it tells is judged before it is known which units are this user's.
                with self._judging:
                    said = self.engine.open(self._take)
                    undo.callback(self._let_go)
                    evidence, unwanted = self.credence.judge(said)
            except (EngineError, OSError) as error:
                self.trouble = plain(str(error))
                log.error("%s", error)  # noqa: TRY400 - the sentence says it all
                return False
            # What nobody could be told is believed again when it is said again.
            undo.callback(self.credence.forget, evidence.keys())
            self.trouble = ""
            if unwanted:
                self.engine.acknowledge(unwanted)
            self._pass_on(evidence)
            undo.pop_all()
        return True

    def _pass_on(self, evidence: Evidence) -> None:
        """Tell whoever waits for it what the shepherd knows."""
        with self._changed:
            self.is_open = True
            is_awaited, is_absent = self._is_awaited, self.is_absent
            if is_awaited:
                self._first = evidence
        if is_absent:
            self._on_met(self.user_id, evidence)
            self.is_absent = False
        elif not is_awaited:
            self._tell([*evidence.running.values(), *evidence.events])

    def _let_go(self) -> None:
        self.is_open = False
        self.engine.close()

    def _take(self, events: Sequence[EngineEvent]) -> None:
        """Pass on what is believed of what the shepherd tells."""
        with self._judging:
            believed = self.credence.sift(events)
        if believed.events:
            self._tell(believed.events)
            self.credence.note(believed)
