"""Resource limits of a child: those that we have for a moment, so that it inherits them.

They are those of all threads. So all whose processes are on their way have the same, and who wants
others waits until they have executed.

Source: getrlimit(2).
"""

from __future__ import annotations

import _thread
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    Limit: TypeAlias = tuple[int, int]

_NUMBERS = {
    name[len("RLIMIT_") :].lower(): number
    for name, number in vars(resource).items()
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"
}
_HINDERING = frozenset({"as", "cpu", "data", "nproc", "rss"})
"""Limits that would hinder the shepherd while it spawns, or kill it."""
_HARMLESS = frozenset({resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_NOFILE})
"""Limits that hinder nobody who acts meanwhile, if they leave descriptors enough."""
_ROOM = 512
"""More descriptors than come with a message and runners open meanwhile."""


class Rlimits:
    """The limits of us all.

    Attributes:
        are_lowered: Held while they leave no room for others, and by the first thread when it takes
            in descriptors beside runners.
    """

    def __init__(self, await_others: Callable[[], None]) -> None:
        """Take ours as they are now; *await_others* waits until nobody is on their way."""
        self.are_lowered = _thread.allocate_lock()
        self._await_others = await_others
        self._own = {number: resource.getrlimit(number) for number in _NUMBERS.values()}
        self._present: Mapping[int, Limit] = {}

    def plan(self, wanted: dict[str, Any]) -> tuple[dict[int, Limit], dict[int, Limit]]:
        """Return the limits to set on ourselves for a moment, and those of the child alone."""
        soft: dict[int, Limit] = {}
        own: dict[int, Limit] = {}
        for name, (want_soft, want_hard) in wanted.items():
            number = _NUMBERS.get(name)
            if number is None:
                continue
            ours = self._own[number]
            limit = (_least(want_soft, want_hard, ours[1]), _least(want_hard, ours[1]))
            if limit[1] != ours[1] or (name in _HINDERING and limit[0] != ours[0]):
                own[number] = limit
            elif limit[0] != ours[0]:
                soft[number] = limit
        return soft, own

    def have(self, limits: Mapping[int, Limit]) -> None:
        """Have these limits, and else our own.

        Raises:
            OSError, TypeError, ValueError, OverflowError: They cannot be had; we have our own.
        """
        if limits == self._present:
            return
        self._await_others()
        before, self._present = self._present, limits
        try:
            for number in before:
                resource.setrlimit(number, self._own[number])
            for number, limit in limits.items():
                resource.setrlimit(number, limit)
        except (OSError, TypeError, ValueError, OverflowError):
            self.have({})
            raise

    def leave_room(self, limits: Mapping[int, Limit], descriptor: int) -> bool:
        """Whether others may act while we have these limits; a *descriptor* is lent to find out."""
        if not limits or limits == self._present:
            return True
        if not limits.keys() <= _HARMLESS:
            return False
        descriptors_max, _ = limits.get(resource.RLIMIT_NOFILE, self._own[resource.RLIMIT_NOFILE])
        lowest_free = os.dup(descriptor)
        os.close(lowest_free)
        return descriptors_max < 0 or lowest_free + _ROOM <= descriptors_max


def _least(*limits: int) -> int:
    """Return the smallest limit; -1 is none."""
    finite = [limit for limit in limits if limit >= 0]
    return min(finite, default=resource.RLIM_INFINITY)
