"""The engine of a machine with many users: a shepherd for each, which runs as its user.

What is to be run is handed to the shepherd of the job's owner, what it tells is believed of that
user's jobs alone. Everything is asked and answered beside the caller: whatever a user makes of
their shepherd, nobody else's launch, recovery or answer waits for it.

At the start those are met whose jobs hold something, all at once and for a limited time. Who is not
met then is *absent*: their jobs stay as they are until they are.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from stoker.core import processes
from stoker.core.errors import EngineError
from stoker.core.models import NOBODY
from stoker.engines.access import UserAccess
from stoker.engines.attendant import Attendant, Launch, Order, UserEngine
from stoker.engines.base import (
    EngineEvent,
    Evidence,
    Failed,
    Listener,
    Started,
    Unit,
)
from stoker.engines.credence import Credence
from stoker.engines.inquiry import Inquiry, ShepherdStatus, status_of
from stoker.engines.local import LocalEngine
from stoker.engines.register import Register, group_of
from stoker.engines.starting import Strays, become_subreaper

log = logging.getLogger(__name__)

_OPEN_S: Final = 2.0
_CLOSE_S: Final = 5.0

Make = Callable[[int, Credence], UserEngine]


class Records(Protocol):
    """What the record knows of whose jobs are whose."""

    def owners(self, job_ids: Collection[int]) -> Mapping[int, int]:
        """Return the user ids of the owners of those jobs that are on record."""
        ...

    def holders(self) -> Collection[int]:
        """Return the users who have jobs that hold resources, or are about to."""
        ...


class SharedEngine:
    """Runs units of many users on this machine; implements `stoker.engines.base.Engine`."""

    def __init__(
        self,
        home: Path,
        content: Callable[[str], bytes],
        records: Records,
        *,
        cgroup: str = "auto",
        environment: Mapping[str, str] = os.environ,
        make: Make | None = None,
    ) -> None:
        """Use the shepherds whose homes are in ``users`` below *home*.

        Args:
            home: Of the shared Stoker; all of it is ours.
            content: Gives an environment (NUL-joined ``K=V``) by its key.
            records: Knows whose jobs are whose.
            cgroup: Where control groups may be made: ``auto``, ``off`` or a directory.
            environment: Of this process; little of it reaches a shepherd.
            make: Makes the engine of one user; if not given, a `LocalEngine`.
        """
        self._home = home
        self._content = content
        self._records = records
        self._cgroup = cgroup
        self._environment = environment
        self._make = make or self._local_engine
        self._listener: Listener = lambda _: None
        self._recover: Callable[[int, Evidence], None] = lambda *_: None
        self._may_recover = threading.Event()
        self._lock = threading.Lock()
        self._attendants: dict[int, Attendant] = {}
        self._register = Register()
        self._strays = Strays()
        self._inquiry = Inquiry(self._attendants)
        self._is_closing = False

    def _local_engine(self, user_id: int, credence: Credence) -> UserEngine:
        access = UserAccess(self._home, user_id, cgroup=self._cgroup, environment=self._environment)
        engine = LocalEngine(self._home, self._content, access=access)
        engine.on_meeting = credence.renew
        return engine

    # --- Open and closed.

    def open(self, listener: Listener) -> Evidence:
        """Meet the shepherds of those whose jobs hold something; say who is absent."""
        self._listener = listener
        become_subreaper(wanted=True)
        attendants = [self._attendant(user_id) for user_id in sorted(self._records.holders())]
        for attendant in attendants:
            attendant.begin()
        give_up_at = time.monotonic() + _OPEN_S
        found = {
            each.user_id: each.collect(max(0.0, give_up_at - time.monotonic()))
            for each in attendants
        }
        return _together(found)

    def follow(self, recover: Callable[[int, Evidence], None]) -> None:
        """From now on, recover the jobs of who was absent by *recover* when they are met."""
        self._recover = recover
        self._may_recover.set()

    def close(self) -> None:
        """Let go of all shepherds, but wait for none for long. What runs goes on."""
        self._is_closing = True
        self._may_recover.set()
        attendants = list(self._attendants.values())
        for attendant in attendants:
            attendant.close()
        give_up_at = time.monotonic() + _CLOSE_S
        for attendant in attendants:
            attendant.join(max(0.0, give_up_at - time.monotonic()))
        become_subreaper(wanted=False)

    def _attendant(self, user_id: int) -> Attendant:
        with self._lock:
            attendant = self._attendants.get(user_id)
            if attendant is None:
                credence = Credence(user_id, self._records.owners, self._register)
                attendant = self._attendants[user_id] = Attendant(
                    user_id,
                    self._make(user_id, credence),
                    credence,
                    tell=self._tell,
                    on_met=self._meet_late,
                )
        return attendant

    def _meet_late(self, user_id: int, evidence: Evidence) -> None:
        self._may_recover.wait()
        if not self._is_closing:
            log.info("user %d's shepherd is met", user_id)
            self._recover(user_id, _together({user_id: evidence}))

    def _tell(self, events: Sequence[EngineEvent]) -> None:
        if not self._is_closing:
            self._listener(events)

    # --- What is to be run.

    def launch(self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        """Run units as their users; who cannot be run now is answered as failed."""
        by_user: dict[int, list[Unit]] = {}
        for unit in units:
            assert unit.user_id != NOBODY, f"{unit.key} belongs to nobody"
            by_user.setdefault(unit.user_id, []).append(unit)
        for user_id, theirs in by_user.items():
            self._launch(self._attendant(user_id), theirs, descriptors)

    def _launch(
        self, attendant: Attendant, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]
    ) -> None:
        if attendant.is_absent:
            # Answered before anything else can happen: whoever meets the shepherd later finds no
            # unit of which both it and we know.
            self._tell(attendant.refusal(units))
            return
        if not attendant.has_room:
            # Nor are its descriptors copied: to close one may take as long as its user likes.
            self._tell(attendant.refusal(units))
            return
        try:
            order = Launch(units, descriptors)
        except OSError as error:
            self._tell([_no_room(unit, error) for unit in units])
            return
        keys = [unit.key for unit in units]
        attendant.credence.hand_in(keys)
        if not attendant.put(order):
            order.close()
            attendant.credence.forget(keys)
            self._tell(attendant.refusal(units))

    # --- What is to become of what runs.

    def _ask_of(self, group: str, order: Order) -> None:
        """Have an order carried out for a group; none for one of which nobody has heard."""
        user_id = self._register.user_of(group)
        if user_id is not None:
            self._attendant(user_id).put(order)

    def withdraw(self, keys: Sequence[str]) -> None:
        """Take back units that have not been spawned; each answers with Withdrawn or Started."""
        for user_id, theirs in self._register.by_user(keys).items():
            attendant = self._attendant(user_id)
            attendant.credence.ask_back(theirs)
            attendant.put(partial(_withdraw, keys=theirs))

    def end(self, group: str, why: str, kill_wait_s: float) -> None:
        """End every process of a group: TERM, then KILL after *kill_wait_s* seconds."""
        user_id = self._register.user_of(group)
        if user_id is not None:
            self._attendant(user_id).credence.ask_back(self._register.units_of(group))
        self._ask_of(group, lambda engine: engine.end(group, why, kill_wait_s))

    def end_unit(self, key: str, why: str, kill_wait_s: float) -> None:
        """End the processes of one unit; the rest of its group goes on, unless it leads."""
        self._ask_of(group_of(key), lambda engine: engine.end_unit(key, why, kill_wait_s))

    def signal(self, group: str, signal: int, scope: str) -> None:
        """Send a signal to a group's ``leader``, its ``children``, or ``all``."""
        self._ask_of(group, lambda engine: engine.signal(group, signal, scope))

    def signal_unit(self, key: str, signal: int) -> None:
        """Send a signal to the processes of one unit."""
        self._ask_of(group_of(key), lambda engine: engine.signal_unit(key, signal))

    def suspend(self, group: str) -> None:
        """Stop a group's processes; the time does not count towards its limit."""
        self._ask_of(group, lambda engine: engine.suspend(group))

    def resume(self, group: str) -> None:
        """Continue a group's processes."""
        self._ask_of(group, lambda engine: engine.resume(group))

    def limit(self, group: str, time_limit_s: float | None) -> None:
        """Change a group's time limit, counted from its start."""
        self._ask_of(group, lambda engine: engine.limit(group, time_limit_s))

    def limit_unit(self, key: str, time_limit_s: float | None) -> None:
        """Change the time limit of one unit that does not lead, counted from its start."""
        self._ask_of(group_of(key), lambda engine: engine.limit_unit(key, time_limit_s))

    def acknowledge(self, keys: Sequence[str]) -> None:
        """Say that the ends of these units are on record: they may be forgotten."""
        for user_id, theirs in self._register.by_user(keys).items():
            attendant = self._attendant(user_id)
            attendant.credence.forget(theirs)
            attendant.put(partial(_acknowledge, keys=theirs))

    def prod(self, user_id: int) -> None:
        """See to it that a user's shepherd is there: its jobs should have ended, or begun."""
        self._attendant(user_id).put(lambda engine: engine.prod())

    def reap_strays(self) -> None:
        """Reap dead processes that fell to us and are nobody's concern; to be done now and then."""
        self._strays.reap(self._awaits)

    def _awaits(self, pid: int, user_id: int) -> bool:
        attendant = self._attendants.get(user_id)
        return attendant is not None and attendant.engine.awaits(pid)

    # --- What is asked.

    def survey(self) -> Evidence:
        """Return what the shepherds know now: queued and running units, unacknowledged events.

        Raises:
            EngineError: One does not answer at once.
        """
        answers = self._inquiry.ask_all(
            lambda each: each.credence.looked_through(each.engine.survey())
        )
        for user_id, answer in answers.items():
            if isinstance(answer, EngineError):
                raise EngineError(f"cannot ask the shepherd of user {user_id}: {answer}")
        found = {
            user_id: answer for user_id, answer in answers.items() if isinstance(answer, Evidence)
        }
        return _together(found)

    def status(self) -> Mapping[str, Any]:
        """Return what `stoker status` shows of the engine: totals, and each user's shepherd."""
        shepherds = {
            str(user_id): msgspec.structs.asdict(
                ShepherdStatus(trouble=str(answer)) if isinstance(answer, EngineError) else answer
            )
            for user_id, answer in sorted(self._inquiry.ask_all(status_of).items())
        }
        modes = {str(each["mode"]) for each in shepherds.values() if each["pid"]}
        return {
            "pid": 0,
            "users": shepherds,
            "running": sum(each["running"] for each in shepherds.values()),
            "queued": sum(each["queued"] for each in shepherds.values()),
            "mode": modes.pop() if len(modes) == 1 else "scan",
        }


def _withdraw(engine: UserEngine, keys: Sequence[str]) -> None:
    engine.withdraw(keys)


def _acknowledge(engine: UserEngine, keys: Sequence[str]) -> None:
    engine.acknowledge(keys)


def _no_room(unit: Unit, error: OSError) -> Failed:
    return Failed(
        key=unit.key,
        step="fork",
        errno=error.errno or errno.EMFILE,
        message=error.strerror or "no descriptors are left",
        at=time.time(),
    )


def _together(found: Mapping[int, Evidence | None]) -> Evidence:
    """Return what all shepherds know; who could not be met (None) is absent."""
    met = {user_id: each for user_id, each in found.items() if each is not None}
    running: dict[str, Started] = {}
    for each in met.values():
        running |= each.running
    return Evidence(
        boot_id=processes.boot_id(),
        queued=frozenset().union(*(each.queued for each in met.values())),
        running=running,
        events=[event for each in met.values() for event in each.events],
        remembers_since=math.inf,
        users_since={user_id: each.remembers_since for user_id, each in met.items()},
        absent=frozenset(found.keys() - met.keys()),
    )
