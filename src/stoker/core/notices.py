"""What users are told of by programs: a notice to be delivered, and what calls for one."""

from __future__ import annotations

from typing import Final

import msgspec

from stoker.core.models import Owner
from stoker.core.units import expand_hosts

HOOK: Final = "notify."
"""With what the ids of events begin that the administrator's hook hears of."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A program to be run once, for one event.

    Delivered again, after a failure or a crash, it carries the same ``event_id``. The variables
    stand on top of a fixed environment; nothing of it passes through a shell. It is run as its
    ``owner``; the administrator's own hook has none, and is run as the daemon.
    """

    event_id: str
    argv: tuple[str, ...]
    owner: Owner | None = None
    variables: dict[str, str] = {}
    stdin: str = ""
    tries: int = 0
    due_at: float = 0.0


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A program that waits for something to happen to a job or a node (strigger).

    Without a ``job_id`` it is for nodes: ``node`` is a host list, or "*": any. ``offset_s`` counts
    from the event; before a time limit it is negative.
    """

    trigger_id: int
    owner: Owner
    program: str
    events: tuple[str, ...]
    job_id: int = 0
    node: str = "*"
    offset_s: int = 0
    stays: bool = False
    """Whether it stays after it has been pulled."""

    def is_for(self, node: str) -> bool:
        """Whether what happens to a node concerns it."""
        return not self.job_id and (self.node == "*" or node in expand_hosts(self.node))
