"""Descriptors that callers hand over: taken, passed on, and let go without waiting for anybody.

To close a file can take as long as its file system likes: one that is far away, or that the caller
serves. Where a daemon serves many users, nobody may keep the others waiting so: each user's are
closed in a thread of that user's own, and nobody hands over so many that there are none for others.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

_ROOT: Final = 0
_HELD_MAX: Final = 2048
"""How many descriptors of one user are held before no more are taken."""
_IDLE_S: Final = 30.0


class Cloakroom:
    """Knows how many descriptors of each user are held, and closes them.

    Those of users other than our own are closed beside everything else.
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self._lock = threading.Lock()
        self._held: Counter[int] = Counter()
        self._queues: dict[int, SimpleQueue[Handed]] = {}

    def may_take(self, user_id: int) -> bool:
        """Whether a user may hand over more: of what all need nobody has too much."""
        return self._is_own(user_id) or self._held[user_id] < _HELD_MAX

    def take(self, user_id: int, numbers: Iterable[int]) -> Handed:
        """Return the descriptors of a user, to be let go in time."""
        handed = Handed(numbers)
        handed.user_id, handed.cloakroom = user_id, self
        with self._lock:
            self._held[user_id] += len(handed)
        return handed

    def close(self, handed: Handed) -> None:
        """Close what was taken."""
        if self._is_own(handed.user_id):
            self._close(handed)
            return
        with self._lock:
            queue = self._queues.get(handed.user_id)
            if queue is None:
                queue = self._queues[handed.user_id] = SimpleQueue()
                self._start(handed.user_id, queue)
            queue.put(handed)

    def _is_own(self, user_id: int) -> bool:
        return not self._is_shared or user_id in (_ROOT, os.geteuid())

    def _start(self, user_id: int, queue: SimpleQueue[Handed]) -> None:
        name = f"closes for {user_id}"
        work = partial(self._work, user_id, queue)
        threading.Thread(target=work, name=name, daemon=True).start()

    def _work(self, user_id: int, queue: SimpleQueue[Handed]) -> None:
        """Close what comes, until nothing has come for a while."""
        while True:
            try:
                self._close(queue.get(timeout=_IDLE_S))
            except Empty:
                with self._lock:
                    if queue.empty():
                        del self._queues[user_id]
                        return

    def _close(self, handed: Handed) -> None:
        for number in handed:
            with suppress(OSError):
                os.close(number)
        with self._lock:
            self._held[handed.user_id] -= len(handed)


class Handed(tuple[int, ...]):
    """The numbers of descriptors that a user handed over; whoever takes them lets them go, once."""

    user_id: int
    cloakroom: Cloakroom

    def let_go(self) -> None:
        """Close them."""
        self.cloakroom.close(self)
