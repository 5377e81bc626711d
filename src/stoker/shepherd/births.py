"""From an intent to a running process.

Always holds: a unit is spawned only after its intent was synced and its begin written; who runs is
written at once, so that it survives us.
"""

from __future__ import annotations

import time
from functools import partial
from time import monotonic

from stoker.shepherd.failpoints import hit
from stoker.shepherd.hands import Hand
from stoker.shepherd.processes import Birth
from stoker.shepherd.spawn import SpawnError
from stoker.shepherd.telling import begin_record, failed, intent_record, start_record
from stoker.shepherd.units import QUEUED, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stoker.shepherd.cgroups import Cgroups
    from stoker.shepherd.deaths import Deaths
    from stoker.shepherd.herd import Herd
    from stoker.shepherd.journal import Journal
    from stoker.shepherd.lanes import Lanes
    from stoker.shepherd.limits import Limits
    from stoker.shepherd.memory import Memory
    from stoker.shepherd.reports import Reports
    from stoker.shepherd.spawn import Spawner
    from stoker.shepherd.trees import Trees
    from stoker.shepherd.units import Unit


class Births:
    """Takes units on and spawns them.

    Attributes:
        arrivals: Units whose intent has not been synced.
        on_line: Called with a unit behind which others stand; whether somebody else starts it.
    """

    def __init__(
        self,
        *,
        herd: Herd,
        lanes: Lanes,
        journal: Journal,
        spawner: Spawner,
        trees: Trees,
        cgroups: Cgroups,
        limits: Limits,
        memory: Memory,
        reports: Reports,
        deaths: Deaths,
    ) -> None:
        """Let *deaths* end those that cannot be spawned."""
        self.arrivals: list[Unit] = []
        self.on_line: Callable[[Unit], bool] = lambda _: False
        self._hand = Hand()
        self._lanes_of_arrivals: set[str | None] = set()
        self._herd = herd
        self._lanes = lanes
        self._journal = journal
        self._spawner = spawner
        self._trees = trees
        self._cgroups = cgroups
        self._limits = limits
        self._memory = memory
        self._reports = reports
        self._deaths = deaths

    def take_on(self, units: Collection[Unit], record: str) -> None:
        """Take units on; they start, or join their lanes, when their intent is on record.

        Args:
            units: Nobody knows them.
            record: Says all that the next shepherd must know of them, in JSON; "": none was made.
        """
        for unit in units:
            self._herd.admit(unit)
            if not record:
                self._journal.note_text(intent_record(unit))
        if record:
            self._journal.note_text(record)
        self.arrivals += units
        self._lanes_of_arrivals |= {unit.lane for unit in units}

    @property
    def are_pressing(self) -> bool:
        """Whether cores may lie idle until the intents of all arrivals are on record."""
        return not all(map(self._lanes.has_work, self._lanes_of_arrivals))

    @property
    def has_followers(self) -> bool:
        """Whether somebody will be spawned as soon as another has gone."""
        return self._lanes.has_followers

    def commit_arrivals(self, *, is_beside_us: bool) -> None:
        """Put all new intents on record with one sync, and ready those whose turn it is."""
        arrivals, self.arrivals = self.arrivals, []
        self._lanes_of_arrivals.clear()
        settle = partial(self._settle_arrivals, arrivals)
        try:
            hit("intent")
            if is_beside_us:
                self._reports.begin_commit(settle)
                return
            self._reports.commit()
        except OSError as error:
            settle(error)
        else:
            settle(self._journal.trouble)

    def _settle_arrivals(self, arrivals: Collection[Unit], trouble: OSError | None) -> None:
        for unit in arrivals:
            if unit.state != QUEUED:
                continue
            if trouble is not None:
                self._fail(unit, SpawnError("journal", trouble.errno or 0))
            else:
                self._lanes.join(unit)

    def start_ready(self) -> None:
        """Spawn all whose turn it is."""
        ready = self._lanes.ready
        while ready:
            unit = ready.popleft()
            if unit.state == QUEUED and not (self._lanes.has_line(unit) and self.on_line(unit)):
                self.start(unit, self._hand)
        if not self._lanes.has_followers:
            self._spawner.rest()

    def start(self, unit: Unit, hand: Hand) -> None:
        """Spawn a unit whose turn it is, or let it end; *hand* is the thread that this is."""
        try:
            self._begin(unit)
            birth = Birth()
            unit.pid = self._spawn(unit, hand)
        except SpawnError as error:
            self._fail(unit, error)
            return
        except OSError as error:
            self._fail(unit, SpawnError("attributes", error.errno or 0))
            return
        hit("start")
        self._note_start(unit, birth.ticks(unit.pid))
        self._trees.add(unit, is_listed=hand.is_first)

    def _begin(self, unit: Unit) -> None:
        group, memory_mib = unit.group, unit.recipe.memory_mib
        if self._cgroups.base and not group.cgroup:
            group.cgroup = self._cgroups.take()
            if memory_mib and self._cgroups.has_memory:
                self._cgroups.limit_memory(group.cgroup, memory_mib)
                group.has_memory_limit = True
        try:
            hit("begin")
            self._journal.note_text(begin_record(unit))
            trouble = None if self._journal.write() else self._journal.trouble
        except OSError as error:
            trouble = error
        if trouble is not None:
            raise SpawnError("journal", trouble.errno or 0)

    def _spawn(self, unit: Unit, hand: Hand) -> int:
        tells_pid = not self._lanes.is_in_a_row(unit)
        if not unit.group.cgroup:
            return self._spawner.spawn(unit, hand, tells_pid=tells_pid)
        # All threads go into the control group, and come back: nobody may act meanwhile, so that
        # whichever thread this is, it keeps the word, as the first one would.
        self._spawner.await_others()
        self._cgroups.enter(unit.group.cgroup)
        try:
            return self._spawner.spawn(unit, self._hand, tells_pid=tells_pid)
        finally:
            self._cgroups.leave()

    def _note_start(self, unit: Unit, ticks: int) -> None:
        """Put on record, and tell, who runs."""
        unit.ticks = ticks
        unit.started_at = time.time()
        unit.clock = monotonic()
        self._journal.note_text(start_record(unit))
        self._journal.write()
        unit.paused_before_s = unit.group.pause_s(unit.clock)
        unit.state = RUNNING
        unit.close()
        is_pressing = not self._lanes.has_work(unit.lane)
        self._reports.tell(unit, is_last=False, is_pressing=is_pressing)
        self._limits.watch(unit)
        self._memory.expect(unit)

    def _fail(self, unit: Unit, error: SpawnError) -> None:
        self._deaths.finish(unit, failed(unit, error, time.time()))
        self._deaths.settle(unit.group)
