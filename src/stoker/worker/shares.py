"""What each user may have of the server: connections, calls not yet taken up, turns.

Nobody is shut out by what another has: a user has a quarter of everything at most, and the last
quarter is kept for those who have next to nothing. In each turn everyone's first call comes before
anybody's second, and of those who are equal so far, first who has kept the others waiting for least
of late. Who runs the daemon, and root, are not measured: they have to get in when nobody else does.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Final

from stoker.worker.connection import Connection

_ROOT: Final = 0
_PART: Final = 4
"""One of so many parts is what a user may have; one of so many is kept for small users."""
_SMALL: Final = 64
"""Who has less than one of so many parts of everything is a small user."""
_FORGOTTEN_S: Final = 1.0
"""After so long, what a user has had of the server's time counts half."""


class Shares:
    """Keeps count, by user, of what connections hold and of the time that they had."""

    def __init__(
        self,
        connections_max: int,
        bytes_max: int,
        *,
        is_shared: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Share out so many connections and bytes, if the server *is_shared*."""
        self._connections_max = connections_max
        self._bytes_max = bytes_max
        self._is_shared = is_shared
        self._clock = clock
        self._connections: Counter[int] = Counter()
        self._held: dict[Connection, int] = {}
        self._bytes: Counter[int] = Counter()
        self._bytes_in_all = 0
        self._spent_s: defaultdict[int, float] = defaultdict(float)
        self._halved_at = clock()

    # Connections.

    def may_enter(self, user_id: int) -> bool:
        """Whether another connection of this user can be served."""
        own, everybody = self._connections[user_id], len(self._held)
        return self._has_room(user_id, own + 1, everybody + 1, self._connections_max)

    def enter(self, connection: Connection) -> None:
        """Count a connection."""
        self._held[connection] = 0
        self._connections[connection.owner.user_id] += 1

    def leave(self, connection: Connection) -> None:
        """Count a connection, and what it held, no more."""
        if connection not in self._held:
            return
        user_id = connection.owner.user_id
        self._hold(connection, 0)
        del self._held[connection]
        _subtract(self._connections, user_id, 1)

    # Bytes that nobody has taken up.

    def weigh(self, connection: Connection) -> bool:
        """Count what a connection holds now; return whether its user may hold so much."""
        if connection not in self._held:
            return True
        self._hold(connection, connection.held_size)
        user_id = connection.owner.user_id
        own = self._bytes[user_id]
        return not own or self._has_room(user_id, own, self._bytes_in_all, self._bytes_max)

    def _hold(self, connection: Connection, size: int) -> None:
        change = size - self._held[connection]
        if change:
            self._held[connection] = size
            self._bytes_in_all += change
            _subtract(self._bytes, connection.owner.user_id, -change)

    def _has_room(self, user_id: int, own: int, everybody: int, most: int) -> bool:
        if not self._is_shared or user_id in (_ROOT, os.geteuid()):
            return everybody <= most
        is_small = own <= max(1, most // _SMALL)
        kept = most // _PART
        return everybody <= most and own <= kept and (is_small or everybody <= most - kept)

    # Turns.

    def note(self, connection: Connection, seconds: float) -> None:
        """Count for how long a connection's call has kept all others waiting."""
        connection.spent_s += seconds
        self._forget()
        self._spent_s[connection.owner.user_id] += seconds

    def _forget(self) -> None:
        now = self._clock()
        halvings = min(64, int((now - self._halved_at) / _FORGOTTEN_S))
        if not halvings:
            return
        self._halved_at = now
        for user_id, seconds in list(self._spent_s.items()):
            self._spent_s[user_id] = seconds / 2**halvings
            if self._spent_s[user_id] < 1e-6:
                del self._spent_s[user_id]

    def in_turn(self, connections: Iterable[Connection]) -> list[Connection]:
        """Return *connections* in the order in which they are served."""
        own: defaultdict[int, list[Connection]] = defaultdict(list)
        for connection in sorted(connections, key=_spent_s):
            own[connection.owner.user_id].append(connection)
        least_first = sorted(own, key=lambda user_id: self._spent_s.get(user_id, 0.0))
        rows = zip_longest(*(own[user_id] for user_id in least_first))
        return [each for row in rows for each in row if each is not None]


def _subtract(counts: Counter[int], user_id: int, change: int) -> None:
    counts[user_id] -= change
    if not counts[user_id]:
        del counts[user_id]


def _spent_s(connection: Connection) -> float:
    return connection.spent_s
