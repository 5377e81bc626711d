"""Whose units there are: to whose shepherd what is asked of a group or a unit goes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from stoker.engines.base import group_key, parse_key


def group_of(key: str) -> str:
    """Return the group that a unit's key belongs to."""
    unit = parse_key(key)
    return group_key(unit.job_id, unit.attempt)


class Register:
    """The groups with units of which something is still to be heard, and their users."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.Lock()
        self._users: dict[str, int] = {}
        self._units: dict[str, set[str]] = {}

    def enter(self, keys: Iterable[str], user_id: int) -> None:
        """Know that these units are a user's."""
        # Others wait for the lock, and one user may have very many units.
        grouped = [(group_of(key), key) for key in keys]
        with self._lock:
            for group, key in grouped:
                self._users[group] = user_id
                self._units.setdefault(group, set()).add(key)

    def leave(self, keys: Iterable[str]) -> None:
        """Forget these units, and the groups that have none left."""
        with self._lock:
            for key in keys:
                group = group_of(key)
                units = self._units.get(group, set())
                units.discard(key)
                if not units:
                    self._units.pop(group, None)
                    self._users.pop(group, None)

    def user_of(self, group: str) -> int | None:
        """Return whose the units of a group are; None if there are none."""
        return self._users.get(group)

    def units_of(self, group: str) -> list[str]:
        """Return the units of a group."""
        with self._lock:
            return list(self._units.get(group, ()))

    def by_user(self, keys: Iterable[str]) -> Mapping[int, list[str]]:
        """Return those of the units that are known, by their users."""
        found: dict[int, list[str]] = {}
        for key in keys:
            user_id = self._users.get(group_of(key))
            if user_id is not None:
                found.setdefault(user_id, []).append(key)
        return found
