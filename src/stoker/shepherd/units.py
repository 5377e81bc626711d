"""What the shepherd knows of a unit (one thing that is spawned), of a group and of a lane.

A unit is queued, then running, then ``dead`` (reaped, while what it left is being ended), then
ended: its last event stands and is kept until stokerd acknowledges it.
"""

from __future__ import annotations

import json
import os
from collections import deque
from math import isfinite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _Read = TypeVar("_Read")

_SIGNAL_MAX = 64
_TEXTS = (str, str, str, str)
_WARNING = ("before_end_s", "signal", "leader_only")

NONSENSE = (AttributeError, TypeError, ValueError, LookupError, OverflowError)
"""What is raised by a message or a record of which nothing can be made."""

QUEUED, RUNNING, DEAD, ENDED = "queued", "running", "dead", "ended"


class Group:
    """Everything that runs for one attempt of one job.

    Attributes:
        units: Those that have not ended, by key.
        leader: The unit whose end is the group's, if it has one.
        strays: Processes of the group, no units, that became our children when their parent ended.
        pids, tokens: Of all units that have run: names of sessions, marks in environments.
        is_adopted: Whether a unit of it is no child of ours: a shepherd before us spawned it.
        has_left_steps: Whether its leader ended before other units did.
        has_memory_limit: Whether the kernel keeps it.
        excess: For how many bytes it was ended, if it held too many; or how many of its processes
            the kernel ended.
        paused_s, paused_at: How long the group has been suspended, and since when it is (or 0).
    """

    __slots__ = (
        "cgroup",
        "ending",
        "excess",
        "has_left_steps",
        "has_memory_limit",
        "is_adopted",
        "key",
        "leader",
        "paused_at",
        "paused_s",
        "pids",
        "strays",
        "tokens",
        "units",
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.units: dict[str, Unit] = {}
        self.leader: Unit | None = None
        self.strays: set[int] = set()
        self.pids: set[int] = set()
        self.tokens: set[str] = set()
        self.is_adopted = False
        self.ending: Ending | None = None
        self.paused_s = 0.0
        self.paused_at = 0.0
        self.cgroup = ""
        self.has_left_steps = self.has_memory_limit = False
        self.excess = 0

    def pause_s(self, now: float) -> float:
        """Return for how long the group has been suspended in all."""
        return self.paused_s + (now - self.paused_at if self.paused_at else 0.0)

    @property
    def running(self) -> list[Unit]:
        """Return the units that have a process."""
        return [unit for unit in self.units.values() if unit.state == RUNNING]


class Ending:
    """A group, or one unit of it, that is being ended.

    Attributes:
        kill_at: When what is left is killed, on the monotonic clock.
        is_new: Whether there may be some that have not been told to end.
        is_quiet: Whether nobody is told, since all of them are about to go.
        reached: Identities (pid, ticks) that have been told to end, and later, that were stopped.
        tries: How often all were killed; the pauses between grow with it.
    """

    __slots__ = (
        "group",
        "is_killing",
        "is_new",
        "is_quiet",
        "kill_at",
        "next_at",
        "reached",
        "timer",
        "tries",
        "unit",
        "why",
    )

    def __init__(self, group: Group, unit: Unit | None, why: str | None, kill_at: float) -> None:
        self.group = group
        self.unit = unit
        self.why = why
        self.kill_at = kill_at
        self.is_new = True
        self.is_killing = self.is_quiet = False
        self.reached: set[tuple[int, int]] = set()
        self.tries = 0
        self.timer: list[Any] | None = None
        self.next_at = 0.0


class Recipe:
    """How units that are launched alike are run and ended.

    Attributes:
        order: The message itself; what is of use at the spawn alone is read there.
        content: The environment that ``environment_key`` in it names, or None if nobody sent it.
        warnings: ``(seconds before the end, signal, leader only)``, the earliest first.
        memory_check_s: How often to look at what is held, where no control group limits it.
        preparation: What the spawner has made of it.
    """

    __slots__ = (
        "content",
        "kill_wait_s",
        "leads",
        "limit_s",
        "memory_check_s",
        "memory_mib",
        "notices",
        "order",
        "preparation",
        "warnings",
    )

    def __init__(self, order: dict[str, Any], content: dict[str, str] | None = None) -> None:
        """Read a recipe of a launch message, or an intent.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: It is none.
        """
        self.order = order
        self.content = content
        self.leads = bool(order["leads"])
        self.kill_wait_s = seconds(order["kill_wait_s"])
        self.limit_s = _unless_none(seconds, order["time_limit_s"])
        self.warnings = _warnings(order["warnings"])
        notices: dict[str, str | None] = order["notices"]
        self.notices = {why: str(text) for why, text in notices.items() if text is not None}
        self.memory_mib = _unless_none(int, order["memory_mib"])
        self.memory_check_s = _unless_none(seconds, order.get("memory_check_s"))
        self.preparation: Any = None


class Unit:
    """One thing that is spawned; its attributes are the launch message's, checked.

    Attributes:
        order: The message's part that is its own, until the process has been spawned.
        environment: What the spawner has made of it ahead of its turn, until then.
        warnings: Those of its recipe that are to come.
        descriptors: Descriptors of ours that were sent for it and are closed once it runs.
        clock: When it was started, on the monotonic clock, which all processes of a boot share.
        adopted: Whether its process is no child of ours: a shepherd before us spawned it.
        peaks: The most pages that were resident, or mapped, when somebody looked.
        event: Its last one as JSON, once it has ended.
    """

    __slots__ = (
        "adopted",
        "clock",
        "descriptors",
        "ended_at",
        "ending",
        "environment",
        "event",
        "group",
        "key",
        "lane",
        "limit_s",
        "order",
        "paused_before_s",
        "peaks",
        "pid",
        "pidfd",
        "quoted_key",
        "recipe",
        "started_at",
        "state",
        "status",
        "stderr",
        "ticks",
        "timer",
        "token",
        "usage",
        "warnings",
        "why",
    )

    def __init__(self, order: dict[str, Any], recipe: Recipe, group: Group) -> None:
        """Read a unit of a launch message, or an intent.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        self.order: dict[str, Any] | None = order
        self.environment: Any = None
        self.recipe = recipe
        self.group = group
        self.key: str = order["key"]
        self.token: str = order["token"]
        self.lane: str | None = order.get("lane")
        lane = "" if self.lane is None else self.lane
        if (type(self.key), type(self.token), type(group.key), type(lane)) != _TEXTS:
            raise TypeError("what names a unit or its place is no text")
        self.quoted_key = json.dumps(self.key)
        self.limit_s = recipe.limit_s
        self.warnings = recipe.warnings[:]
        stderr = order.get("stderr") or order.get("stdout")
        self.stderr: str = stderr if isinstance(stderr, str) else ""
        self.descriptors: list[int] = []
        self.state = QUEUED
        self.adopted = False
        self.pid = self.ticks = 0
        self.pidfd = -1
        self.started_at = self.ended_at = self.clock = self.paused_before_s = 0.0
        self.status: int | None = None
        self.usage: Any = None
        self.peaks: list[int] | None = None
        self.why: str | None = None
        self.ending: Ending | None = None
        self.event: str | None = None
        self.timer: list[Any] | None = None

    def close(self) -> None:
        """Let go of what its spawn alone needs, the descriptors that came for it among that."""
        self.order = self.environment = None
        if self.descriptors:
            for descriptor in self.descriptors:
                if descriptor >= 0:
                    os.close(descriptor)
            self.descriptors = []

    def notice(self, why: str | None) -> str:
        """Return what its output is told when it is ended for that reason; "" for nothing."""
        text = self.recipe.notices.get(why, "") if why else ""
        text = text.replace("{job}", self.key.partition(".")[0])
        return text.replace("{number}", str(self.group.excess))

    def intent(self) -> dict[str, Any]:
        """Return what the next shepherd must know to look after the unit."""
        recipe = self.recipe
        return {
            "key": self.key,
            "group": self.group.key,
            "token": self.token,
            "lane": self.lane,
            "stdout": self.stderr,
            "leads": recipe.leads,
            "kill_wait_s": recipe.kill_wait_s,
            "time_limit_s": self.limit_s,
            "warnings": self.warnings,
            "notices": recipe.notices,
            "memory_mib": recipe.memory_mib,
            "memory_check_s": recipe.memory_check_s,
        }


def seconds(value: Any) -> float:
    """Return a time that a message states.

    Raises:
        TypeError, ValueError: It is none.
    """
    found = float(value)
    if not isfinite(found):
        raise ValueError(f"{found} seconds come to no end")
    return found


def signal_number(value: Any) -> int:
    """Return the number of a signal that a message states.

    Raises:
        TypeError, ValueError: It is none.
    """
    number = int(value)
    if not 0 <= number <= _SIGNAL_MAX:
        raise ValueError(f"there is no signal {number}")
    return number


def _unless_none(read: Callable[[Any], _Read], value: Any) -> _Read | None:
    return None if value is None else read(value)


def _warnings(entries: list[Any]) -> list[list[Any]]:
    """Read warnings as stokerd (objects) or the journal (lists) writes them."""
    found = []
    for entry in entries:
        is_list = isinstance(entry, list)
        before_s, number, leader_only = entry if is_list else map(entry.__getitem__, _WARNING)
        found.append([seconds(before_s), signal_number(number), bool(leader_only)])
    return sorted(found, reverse=True)


class Lane:
    """Units that run strictly one after the other.

    Attributes:
        busy: Who is in front: about to be spawned, running, or not gone with all that it left.
        waiting: Who stands behind.
        has_moved: Whether one of them has ended.
        is_followed: Whether a thread of its own goes from one to the next.
    """

    __slots__ = ("busy", "has_moved", "is_followed", "waiting")

    def __init__(self) -> None:
        self.busy: Unit | None = None
        self.has_moved = self.is_followed = False
        self.waiting: deque[Unit] = deque()

    @property
    def front(self) -> Unit | None:
        """Who is to be spawned now, if there is somebody."""
        return self.busy if self.busy is not None and self.busy.state == QUEUED else None
