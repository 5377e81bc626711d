"""The seam through which a job runs: launch, signal, end, events, evidence after a restart.

A *unit* is one thing that is spawned (a batch script, a task of a step), known by its key; a
*group* is everything that runs for one attempt of one job. Events may be told more than once, until
they are acknowledged: whoever listens compares, and acting twice does no harm. The last event of a
unit comes again only in `Evidence`: what was never spawned may be launched anew under its key as
soon as it is acknowledged, and must not be met by the end of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec


class UnitKey(msgspec.Struct, frozen=True, gc=False):
    """What a unit's key says: job, attempt and step, e.g. ``42.0.batch`` or ``42.0.3.1``."""

    job_id: int
    attempt: int
    step: str

    def __str__(self) -> str:
        return unit_key(self.group, self.step)

    @property
    def group(self) -> str:
        """Return the key of everything that runs for this attempt."""
        return group_key(self.job_id, self.attempt)


def group_key(job_id: int, attempt: int) -> str:
    """Return the key of everything that runs for one attempt of one job."""
    return f"{job_id}.{attempt}"


def unit_key(group: str, step: str) -> str:
    """Return the key of a unit of a group."""
    return f"{group}.{step}"


def parse_key(key: str) -> UnitKey:
    """Read a unit's key."""
    job_id, attempt, step = key.split(".", 2)
    return UnitKey(int(job_id), int(attempt), step)


class Warn(msgspec.Struct, frozen=True):
    """A signal that is sent a while before the time limit: to the leader, or to the steps."""

    signal: int
    before_end_s: float
    leader_only: bool


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How units run: what all tasks of an array, and most jobs of a queue, have in common.

    Attributes:
        leads: Whether the group ends with it: other units that then still run are told to end, as
            by `end_unit`; what is left after them is killed. A group without such a unit ends,
            with all it left, with the last unit that runs.
        executable: What is executed as ``argv``; None: its first word.
        search_path: Whether a name without slash is looked for in the unit's own PATH.
        search_cwd: Whether it is looked for where the unit runs, before that.
        environment_key, common: What the process finds in its environment: the content (NUL-joined
            ``K=V``) of that name, over it these variables, over them the unit's own. A None removes
            a variable.
        cwd: Where it runs; if it cannot, in /tmp, and its output says so, as Slurm does.
        open_mode: ``append`` or ``truncate``; writes go to the end of the file in both.
        rlimits: Soft and hard limits by the kernel's name; -1 is none. Capped by the engine's own.
        nice: Is added to the engine's own niceness.
        pid_variable: In which variable the process finds its own pid; None: in none. It costs a
            fork, and is left out where units of a lane follow one another.
        time_limit_s: Elapsed since the start; suspended time does not count.
        memory_mib: The most that its group may hold. The kernel sees to it where control groups
            with memory are at hand.
        memory_check_s: How often to look at what is held where they are not, to end what holds too
            much; None: not at all.
        notices: By ``why``: what is written into the output when the unit is ended for it;
            ``{time}`` stands for the local time, ``{job}`` for the job's number in its key,
            ``{number}`` for the bytes that were too many. ``oom``: that the kernel ended so many of
            its processes.
    """

    leads: bool
    argv: Sequence[str]
    executable: str | None
    search_path: bool
    search_cwd: bool = False
    environment_key: str
    common: Mapping[str, str | None] = {}
    cwd: str
    umask: int
    open_mode: str
    nice: int
    rlimits: Mapping[str, tuple[int, int]]
    time_limit_s: float | None
    kill_wait_s: float
    warnings: Sequence[Warn]
    memory_mib: int | None
    memory_check_s: float | None = None
    notices: Mapping[str, str | None]
    pid_variable: str | None = None


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a unit runs, and what it finds there that others of its recipe do not.

    Attributes:
        lane: Units of one lane run one after the other, in the order in which they were launched;
            the next starts when the one before and all it left behind are gone. None: at once.
        environment: Variables of its own, over those of the recipe.
        stdin, stdout, stderr: A path, or ``{"fd": n}``: the nth descriptor that comes with the
            unit. ``stderr`` None: the same as ``stdout``.
    """

    lane: str | None = None
    environment: Mapping[str, str | None] = {}
    stdin: str | Mapping[str, int] = "/dev/null"
    stdout: str | Mapping[str, int] = "/dev/null"
    stderr: str | Mapping[str, int] | None = None
    cpus: Sequence[int] | None = None


class Unit(Surroundings, frozen=True):
    """All that the engine must know to run one unit.

    Attributes:
        user_id: As whom it runs, where the engine serves many; one that serves whoever runs it
            does not look at it.
        token: Stands in the environment as STOKER_TOKEN: by it a process is found after a crash.
    """

    key: str
    user_id: int
    group: str
    token: str
    recipe: Recipe


class UnitUsage(msgspec.Struct, frozen=True):
    """What the kernel counted for an ended unit and those of its children that were waited for.

    ``maxrss_kib`` is at least the engine's own: a spawned process borrows its parent's memory until
    it executes, and the kernel counts that. The peaks are sums over all processes of the unit, at
    those moments when somebody looked; 0 if nobody did.
    """

    utime_s: float = 0.0
    stime_s: float = 0.0
    maxrss_kib: int = 0
    minflt: int = 0
    majflt: int = 0
    inblock: int = 0
    oublock: int = 0
    peak_rss_kib: int = 0
    peak_size_kib: int = 0


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started"):
    """The unit's process is known."""

    key: str
    pid: int
    start_ticks: int
    at: float


class Failed(msgspec.Struct, frozen=True, tag_field="event", tag="failed"):
    """The unit could not be started: ``step`` says where, ``path`` with what.

    The steps: ``journal`` (the engine cannot keep records), ``fork`` (the machine is short of
    processes, memory or descriptors) and ``shepherd`` (the user's own engine cannot be had) may
    pass; ``stdin``, ``stdout``, ``stderr``, ``exec``,
    ``environment`` and ``attributes`` are the unit's own.
    """

    key: str
    step: str
    errno: int
    message: str
    at: float
    path: str = ""


class Ended(msgspec.Struct, frozen=True, tag_field="event", tag="ended"):
    """The unit's process ended, and what it left behind is gone.

    ``status_known`` is false if nobody could ask the kernel. ``why`` is what was done to it: what
    `Engine.end` was told, ``timeout``, ``memory`` if its group held too much, or ``leader`` if it
    was killed because its leader ended; or
    ``unwatched`` if it ended while nobody was there to see whether it ended by itself.
    """

    key: str
    exit_code: int
    signal: int
    status_known: bool
    at: float
    why: str | None = None
    oom: bool = False
    usage: UnitUsage | None = None


class Withdrawn(msgspec.Struct, frozen=True, tag_field="event", tag="withdrawn"):
    """The unit was taken back before it was spawned."""

    key: str


class Lost(msgspec.Struct, frozen=True, tag_field="event", tag="lost"):
    """The unit may have run, but nobody knows how it ended."""

    key: str


EngineEvent: TypeAlias = Started | Failed | Ended | Withdrawn | Lost
Listener: TypeAlias = Callable[[Sequence[EngineEvent]], None]


class Evidence(msgspec.Struct, frozen=True):
    """What the engine knows when a daemon comes (back): queued and running keys, events.

    What it was told since ``remembers_since`` (epoch seconds) it knows: such a unit of which it
    says nothing was never spawned. Of what came before, nobody can tell. An engine that serves many
    says by user since when it knows (``users_since``), and who is ``absent``: nothing can be told
    of those users' units now, and all of them stay as they are.
    """

    boot_id: str
    queued: frozenset[str]
    running: Mapping[str, Started]
    events: Sequence[EngineEvent]
    remembers_since: float = 0.0
    users_since: Mapping[int, float] = {}
    absent: frozenset[int] = frozenset()

    def keys(self) -> set[str]:
        """Return the units of which something is said."""
        return {*self.queued, *self.running, *(event.key for event in self.events)}

    def knows_since(self, user_id: int) -> float:
        """Return since when it knows what it was told of a user's units."""
        return self.users_since.get(user_id, self.remembers_since)


class Engine(Protocol):
    """Where jobs run."""

    def open(self, listener: Listener) -> Evidence:
        """Connect, start what must run, and return what is known; then events go to *listener*."""
        ...

    def close(self) -> None:
        """Disconnect; what runs goes on. No event is told afterwards."""
        ...

    def launch(self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        """Run units; one that is known already is not run again. *descriptors* by unit key."""
        ...

    def withdraw(self, keys: Sequence[str]) -> None:
        """Take back units that have not been spawned; each answers with Withdrawn or Started.

        What has ended says nothing: its last event has been told.
        """
        ...

    def end(self, group: str, why: str, kill_wait_s: float) -> None:
        """End every process of a group: TERM, then KILL after *kill_wait_s* seconds.

        What has not been spawned is withdrawn. Asked again, the shorter wait counts, and the first
        *why*.
        """
        ...

    def end_unit(self, key: str, why: str, kill_wait_s: float) -> None:
        """End the processes of one unit; the rest of its group goes on, unless it leads."""
        ...

    def signal(self, group: str, signal: int, scope: str) -> None:
        """Send a signal to a group's ``leader``, its ``children``, or ``all``.

        The leader is that process alone, not those that it started; ``children`` are the trees of
        all other units (steps), as Slurm has it.
        """
        ...

    def signal_unit(self, key: str, signal: int) -> None:
        """Send a signal to the processes of one unit."""
        ...

    def suspend(self, group: str) -> None:
        """Stop a group's processes; the time does not count towards its limit."""
        ...

    def resume(self, group: str) -> None:
        """Continue a group's processes."""
        ...

    def limit(self, group: str, time_limit_s: float | None) -> None:
        """Change a group's time limit, counted from its start."""
        ...

    def limit_unit(self, key: str, time_limit_s: float | None) -> None:
        """Change the time limit of one unit that does not lead, counted from its start."""
        ...

    def acknowledge(self, keys: Sequence[str]) -> None:
        """Say that the ends of these units are on record: they may be forgotten."""
        ...

    def survey(self) -> Evidence:
        """Return what the engine knows now: queued and running units, unacknowledged events."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return what `stoker status` shows of the engine."""
        ...
