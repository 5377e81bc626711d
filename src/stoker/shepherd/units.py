"""What the shepherd knows of a unit (one thing that is spawned), of a group and of a lane.

A unit is queued, then running, then ``dead`` (reaped, while what it left is being ended), then
ended: its last event stands and is kept until stokerd acknowledges it.
"""

from __future__ import annotations

import json
import os
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Event: TypeAlias = dict[str, Any]

QUEUED, RUNNING, DEAD, ENDED = "queued", "running", "dead", "ended"


class Group:
    """Everything that runs for one attempt of one job.

    Attributes:
        units: Those that have not ended, by key.
        leader: The unit whose end is the group's, if it has one.
        strays: Processes of the group, no units, that became our children when their parent ended.
        pids, tokens: Of all units that have run: names of sessions, marks in environments.
        is_adopted: Whether a shepherd before us spawned a unit of it.
        paused_s, paused_at: How long the group has been suspended, and since when it is (or 0).
    """

    __slots__ = (
        "cgroup",
        "ending",
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
        self.has_memory_limit = False

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
        reached: Identities (pid, ticks) that have been told to end, and later, that were stopped.
        tries: How often all were killed; the pauses between grow with it.
    """

    __slots__ = (
        "group",
        "is_killing",
        "is_new",
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
        self.is_killing = False
        self.reached: set[tuple[int, int]] = set()
        self.tries = 0
        self.timer: list[Any] | None = None
        self.next_at = 0.0


class Unit:
    """One thing that is spawned; its attributes are the launch message's, checked.

    Attributes:
        order: The message itself, until the process has been spawned.
        environment: What stands beneath the unit's own variables; ``environment_key`` names it.
        warnings: ``(seconds before the end, signal, leader only)``, the earliest first.
        descriptors: Descriptors of ours that were sent for it and are closed once it runs.
        clock: When it was started, on the monotonic clock, which all processes of a boot share.
        adopted: Whether its process is no child of ours: a shepherd before us spawned it.
        event: Its last one, once it has ended.
    """

    __slots__ = (
        "adopted",
        "clock",
        "descriptors",
        "ended_at",
        "ending",
        "environment",
        "environment_key",
        "event",
        "group",
        "is_leader",
        "key",
        "kill_wait_s",
        "lane",
        "limit_s",
        "memory_mib",
        "notices",
        "order",
        "paused_before_s",
        "pid",
        "pidfd",
        "quoted_key",
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

    def __init__(self, order: dict[str, Any], group: Group, descriptors: list[int]) -> None:
        """Read a launch message or an intent.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        self.order: dict[str, Any] | None = order
        self.group = group
        self.key = str(order["key"])
        self.quoted_key = json.dumps(self.key)
        self.token = str(order["token"])
        self.is_leader = bool(order["leads"])
        self.lane: str | None = order["lane"]
        self.environment_key = str(order.get("environment_key", ""))
        self.kill_wait_s = float(order["kill_wait_s"])
        limit = order["time_limit_s"]
        self.limit_s = None if limit is None else float(limit)
        self.warnings = _warnings(order["warnings"])
        self.notices: dict[str, Any] = dict(order["notices"])
        self.memory_mib: int | None = order["memory_mib"]
        stderr = order["stdout"] if order["stderr"] is None else order["stderr"]
        self.stderr: str = stderr if isinstance(stderr, str) else ""
        self.environment: dict[str, str] | None = None
        self.descriptors = descriptors
        self.state = QUEUED
        self.adopted = False
        self.pid = self.ticks = 0
        self.pidfd = -1
        self.started_at = self.ended_at = self.clock = self.paused_before_s = 0.0
        self.status: int | None = None
        self.usage: Any = None
        self.why: str | None = None
        self.ending: Ending | None = None
        self.event: Event | None = None
        self.timer: list[Any] | None = None

    def intent(self) -> dict[str, Any]:
        """Return what the next shepherd must know to look after the unit."""
        return {
            "key": self.key,
            "group": self.group.key,
            "token": self.token,
            "leads": self.is_leader,
            "lane": self.lane,
            "kill_wait_s": self.kill_wait_s,
            "time_limit_s": self.limit_s,
            "warnings": self.warnings,
            "notices": self.notices,
            "memory_mib": None,
            "stdout": self.stderr,
            "stderr": None,
            "cgroup": self.group.cgroup,
        }

    # Each job costs these three: they are put together by hand.

    def begin_record(self) -> str:
        """Return the journal's record that the unit is about to be spawned, as JSON."""
        return f'["begin",{self.quoted_key},{json.dumps(self.group.cgroup)}]'

    def start_record(self) -> str:
        """Return the journal's record of the unit's process, as JSON."""
        key = self.quoted_key
        return f'["start",{key},{self.pid},{self.ticks},{self.started_at},{self.clock}]'

    def started(self) -> str:
        """Return the event that says who runs, as JSON."""
        return (
            f'{{"event":"started","key":{self.quoted_key},"pid":{self.pid},'
            f'"start_ticks":{self.ticks},"at":{self.started_at}}}'
        )


def ended(unit: Unit, *, oom: bool) -> Event:
    """Return the last event of a unit whose process has ended."""
    code, number = _split(unit.status)
    return {
        "event": "ended",
        "key": unit.key,
        "exit_code": code,
        "signal": number,
        "status_known": unit.status is not None,
        "at": unit.ended_at,
        "why": unit.why,
        "oom": oom,
        "usage": None if unit.usage is None else _figures(unit.usage),
    }


def _split(status: int | None) -> tuple[int, int]:
    """Return exit code and signal of a wait status."""
    if status is None:
        return 0, 0
    code = os.waitstatus_to_exitcode(status)
    return (code, 0) if code >= 0 else (0, -code)


def _figures(usage: Any) -> Event:
    return {
        "utime_s": usage.ru_utime,
        "stime_s": usage.ru_stime,
        "maxrss_kib": usage.ru_maxrss,
        "minflt": usage.ru_minflt,
        "majflt": usage.ru_majflt,
        "inblock": usage.ru_inblock,
        "oublock": usage.ru_oublock,
    }


def _warnings(entries: list[Any]) -> list[list[Any]]:
    """Read warnings as stokerd (objects) or the journal (lists) writes them."""
    found = [
        entry
        if isinstance(entry, list)
        else [float(entry["before_end_s"]), int(entry["signal"]), bool(entry["leader_only"])]
        for entry in entries
    ]
    return sorted(found, reverse=True)


class Lane:
    """Units that run strictly one after the other.

    Attributes:
        has_moved: Whether one of them has ended.
    """

    __slots__ = ("busy", "has_moved", "waiting")

    def __init__(self) -> None:
        self.busy: Unit | None = None
        self.has_moved = False
        self.waiting: deque[Unit] = deque()
