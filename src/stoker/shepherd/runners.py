"""Who goes along a lane: a thread that spawns a unit, waits for its end, and goes on with the next.

For short jobs that follow one another the first thread would be a bottleneck: it stands still while
a process comes to its exec, hears of an end by a signal, and meanwhile another lane's cores are
idle. A runner waits for one process of its own, on the cores that it has just become free of.

What we know is one, and one thread at a time acts on it: whoever has the *word*. A runner lets go
of it while the process that it makes comes to its exec, and while it waits for the process's end.
The first thread acts when every runner stands between two steps, so that for it nothing is ever
half done; a step is an end, and the next spawn.

Always holds: a runner reaps inside a step, so that what was reaped is known; a lane has one runner
at most, so that whom it has let on its way is nobody else's; and it has reaped all that it has made
when it leaves its lane, unless a step broke: then who begins anew does.

Locks are taken in this order: the gate, a step's own, the word. While a process comes to its exec
its runner lets go of the word alone, so that other runners act, but not the first thread. All that
this one does beside runners is to read what peers say (`Requests.begin`).
"""

from __future__ import annotations

import _thread
import os

from stoker.shepherd.deaths import await_end
from stoker.shepherd.hands import Hand
from stoker.shepherd.units import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stoker.shepherd.births import Births
    from stoker.shepherd.deaths import Deaths
    from stoker.shepherd.lanes import Lanes
    from stoker.shepherd.reports import Reports
    from stoker.shepherd.timers import Timers
    from stoker.shepherd.trees import Trees
    from stoker.shepherd.units import Lane, Unit

_RUNNERS_MAX = 256


class _Step:
    """What a runner does between two waits; it begins none while the first thread wants to act.

    Attributes:
        is_taken: Held by the runner in a step, or by the first thread, so that none is taken.
    """

    __slots__ = ("_runners", "is_taken")

    def __init__(self, runners: Runners) -> None:
        self.is_taken = _thread.allocate_lock()
        self._runners = runners

    def __enter__(self) -> None:
        # Locks know no order: without the gate, a runner whose next step is due at once would take
        # its lock again before the first thread, which waits for it, is awake.
        with self._runners.gate:
            self.is_taken.acquire()
        self._runners.word.acquire()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):  # Before anybody else acts.
            self._runners.defect = error
        self._runners.word.release()
        self.is_taken.release()


class Runners:
    """All runners, and the word between them and the first thread.

    Attributes:
        gate: Who wants to act stands here first: a runner for a moment, the first thread until all
            runners stand.
        word: Who has it acts.
        defect: What broke a step: what is in memory need not hold any more.
        wake_fd: Can be read when the first thread is to look at what has changed.
    """

    def __init__(
        self,
        *,
        births: Births,
        deaths: Deaths,
        lanes: Lanes,
        reports: Reports,
        timers: Timers,
        trees: Trees,
    ) -> None:
        """Take over lanes in which *births* finds several, where *trees* can tell us apart."""
        self.gate = _thread.allocate_lock()
        self.word = _thread.allocate_lock()
        self.defect: Exception | None = None
        self.wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._births = births
        self._deaths = deaths
        self._lanes = lanes
        self._reports = reports
        self._timers = timers
        self._steps: list[_Step] = []
        self._stopped: list[_Step] | None = None
        self._wakes_at = 0.0
        self._is_wanted = False
        if trees.can_list:
            births.on_line = self.take

    # --- The first thread.

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._steps)

    def stop(self) -> None:
        """Have all stand, so that the first thread may act.

        Raises:
            Exception: A defect of ours broke a step.
        """
        self.halt()
        if self.defect is not None:
            raise self.defect

    def halt(self) -> None:
        """Wait until all stand between two steps, if they do not yet; they stand until `go_on`."""
        if self._stopped is None:
            self.gate.acquire()
            self._stopped = self._steps[:]
            for step in self._stopped:
                step.is_taken.acquire()

    def go_on(self, wakes_at: float) -> None:
        """Let them act again; the first thread sleeps until then, if it is not woken."""
        self._wakes_at = wakes_at
        self._is_wanted = False
        stopped, self._stopped = self._stopped or [], None
        for step in stopped:
            step.is_taken.release()
        self.gate.release()

    def hear(self) -> None:
        """Take in that we were woken."""
        os.eventfd_read(self.wake_fd)

    def take(self, unit: Unit) -> bool:
        """Have a runner start with a unit and go on along its lane; return whether there is one."""
        assert unit.lane is not None, "who stands in no lane has nobody behind"
        if len(self._steps) >= _RUNNERS_MAX:
            return False
        lane, step = self._lanes.follow(unit.lane), _Step(self)
        try:
            _thread.start_new_thread(self._run, (lane, step))
        except RuntimeError:
            self._lanes.unfollow(lane)
            return False
        self._steps.append(step)
        return True

    # --- A runner.

    def _run(self, lane: Lane, step: _Step) -> None:
        hand = Hand(self.word)
        running: Unit | None = None
        try:
            while True:
                with step:
                    if self.defect is not None:
                        self._leave(lane, step)  # Whoever begins anew reaps who has run.
                        return
                    if running is not None:
                        self._deaths.reap_one(running)
                    running = self._start(lane, hand, step)
                self._wake_first()
                if running is None:
                    return
                await_end(running.pid)
        except Exception as defect:  # noqa: BLE001 - the top of a thread: the first one heeds it
            self.defect = defect
            os.eventfd_write(self.wake_fd, 1)
            if step in self._steps:
                self._leave(lane, step)

    def _start(self, lane: Lane, hand: Hand, step: _Step) -> Unit | None:
        """Start who is in front now, or the next if that fails; return who runs.

        If nobody does, the lane is left.
        """
        while (unit := lane.front) is not None:
            self._births.start(unit, hand)
            if unit.state == RUNNING:
                break
        else:
            self._leave(lane, step)
        if self._reports.is_due() or self._timers.next_at < self._wakes_at:
            self._is_wanted = True
        return unit

    def _leave(self, lane: Lane, step: _Step) -> None:
        self._lanes.unfollow(lane)
        self._steps.remove(step)

    def _wake_first(self) -> None:
        """Wake the first thread if it would sleep for too long, now that things have changed.

        It would have to wait for whoever has the word: the caller has let go of it.
        """
        if self._is_wanted:
            self._is_wanted = False
            os.eventfd_write(self.wake_fd, 1)
