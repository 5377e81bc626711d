"""Delivers notices: runs their programs, of each user one after the other, beside everything else.

A program that fails, or does not come to its end in time, is tried again a few times, longer and
longer apart; what is still to be tried stands on record and outlives us. Who dies between a
delivery and its record delivers it again, under the same STOKER_EVENT_ID.

Always holds: no turn waits for a program, and no user for long for another's; a program runs as its
user, never as root for one, and gets a fixed environment with the notice's variables on top, its
arguments as they are, and no shell.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Final

import msgspec

from stoker.core.errors import NotAllowed, StoreError
from stoker.core.models import Owner
from stoker.core.notices import HOOK, Notice
from stoker.core.noticestore import NoticeStore
from stoker.worker.becoming import ids_of, surroundings_of
from stoker.worker.daemon import DaemonThread

log = logging.getLogger(__name__)

PAUSES_S: Final = (10.0, 60.0, 600.0, 3600.0)
"""How long after each failure a notice is tried again; after the last it is given up."""
_LIMIT_S: Final = 60.0
"""How long a program may take."""
_LOOK_S: Final = 3600.0
_DAY_S: Final = 86400.0
_KEPT_S: Final = 30 * _DAY_S
"""How long it is remembered that a notice was settled: its event is not told again."""
_AT_A_TIME: Final = 50
_USERS_AT_A_TIME: Final = 8
_ROUND_S: Final = 5.0
"""After how long no further program of a user is begun while others wait."""
_AWAY_S: Final = 1.0
"""How often we look while somebody's programs run; whoever comes back wakes us."""


class Courier(DaemonThread):
    """Delivers what is due, and sleeps until something is."""

    def __init__(
        self,
        store: NoticeStore,
        *,
        pauses_s: tuple[float, ...] = PAUSES_S,
        limit_s: float = _LIMIT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Deliver what stands in *store*; the rest is for tests."""
        super().__init__("courier", _LOOK_S)
        self._store = store
        self._pauses_s = pauses_s
        self._limit_s = limit_s
        self._clock = clock
        self._forget_at = 0.0
        self._settled: dict[str, Notice] = {}
        """What was delivered and is not on record as such: nothing more is, until it is."""
        self._told: SimpleQueue[tuple[Notice, str] | int] = SimpleQueue()
        """From the threads: what became of a notice; at last, whose thread ends."""
        self._away: set[int] = set()
        """Users who have a thread."""

    def do_work(self) -> None:
        """Deliver what is due."""
        try:
            self._record_settled()
            if (now := self._clock()) >= self._forget_at:
                self._store.forget(now - _KEPT_S)
                self._forget_at = now + _DAY_S
            while self.is_running and (due := self._due()):
                self._bring_all(due)
            next_at = self._store.next_due_at()
        except StoreError as error:
            log.warning("notices cannot be looked up or settled now: %s", error)
            next_at = self._clock() + self._pauses_s[0]
        wait_s = _LOOK_S if next_at is None else next_at - self._clock()
        self.check_interval = min(_LOOK_S, max(_AWAY_S if self._away else 0.01, wait_s))

    def _due(self) -> dict[int, list[Notice]]:
        """Return what is to be delivered now to users of whom we have nothing in hand."""
        while not self._told.empty():
            self._hear(self._told.get())
        found = self._store.due(self._clock(), _AT_A_TIME)
        return {user_id: own for user_id, own in found.items() if user_id not in self._away}

    def _bring_all(self, due: Mapping[int, Sequence[Notice]]) -> None:
        """Deliver what is due, of all users at the same time, and record each as it is settled.

        Who takes long is heard later: a program may stand on a file system that its user serves,
        and not even begin, nor end when it is killed.
        """
        for some in _in_parts(due, _USERS_AT_A_TIME):
            for user_id in some:
                bring = partial(self._bring, user_id, due[user_id])
                threading.Thread(target=bring, name=f"courier of {user_id}", daemon=True).start()
                self._away.add(user_id)
            until = time.monotonic() + _ROUND_S
            with suppress(Empty):
                while not self._away.isdisjoint(some):
                    self._hear(self._told.get(timeout=max(0.0, until - time.monotonic())))
            self._record_settled()

    def _bring(self, user_id: int, notices: Sequence[Notice]) -> None:
        """Deliver what is one user's."""
        try:
            for each in self._delivered(notices):
                self._told.put(each)
        finally:
            self._told.put(user_id)
            self.wake()

    def _hear(self, told: tuple[Notice, str] | int) -> None:
        """Take in what became of a notice, or that a user's are in nobody's hands any more."""
        if isinstance(told, int):
            self._away.discard(told)
            return
        with suppress(StoreError):  # It is remembered, and recorded later.
            self._settle(*told)

    def _delivered(self, notices: Sequence[Notice]) -> Iterator[tuple[Notice, str]]:
        """Deliver one after the other for a while; yield each with what went wrong."""
        until = time.monotonic() + _ROUND_S
        for notice in notices:
            if not self.is_running or time.monotonic() > until:
                return
            yield notice, self._deliver(notice)

    def _settle(self, notice: Notice, trouble: str) -> None:
        """Record that a notice is over, or when it is tried again."""
        due_at = 0.0
        if trouble and notice.tries < len(self._pauses_s):
            due_at = self._clock() + self._pauses_s[notice.tries]
        if trouble:
            what = "is tried again" if due_at else "is given up"
            log.warning("notice %s %s: %s: %s", notice.event_id, what, notice.argv[0], trouble)
        after = msgspec.structs.replace(notice, tries=notice.tries + 1, due_at=due_at)
        self._settled[notice.event_id] = after
        self._record_settled()

    def _record_settled(self) -> None:
        for event_id, notice in list(self._settled.items()):
            self._store.put_off(notice)
            del self._settled[event_id]

    def _deliver(self, notice: Notice) -> str:
        """Run the program; return what went wrong, or ""."""
        variables = {**notice.variables, "STOKER_EVENT_ID": notice.event_id}
        try:
            owner = _owner_of(notice)
            program = subprocess.Popen(
                [os.fsencode(word) for word in notice.argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**surroundings_of(owner.user_id), **_clean(variables)},
                cwd="/",
                start_new_session=True,
                **ids_of(owner),
            )
        except (OSError, ValueError, NotAllowed) as error:
            return str(error)
        with program:
            try:
                program.communicate(notice.stdin.encode("utf-8", "replace"), self._limit_s)
            except subprocess.TimeoutExpired:
                with suppress(OSError):
                    os.killpg(program.pid, signal.SIGKILL)
                return f"it took more than {self._limit_s:g} seconds"
        return f"it ended with {program.returncode}" if program.returncode else ""


def _in_parts(due: Iterable[int], count: int) -> Iterator[list[int]]:
    user_ids = iter(due)
    while some := list(islice(user_ids, count)):
        yield some


def _owner_of(notice: Notice) -> Owner:
    """Return as whom the program is run.

    Raises:
        NotAllowed: It is a user's, and the record does not say whose, as old ones do not.
    """
    if notice.owner is not None:
        return notice.owner
    if os.geteuid() == 0 and not notice.event_id.startswith(HOOK):
        raise NotAllowed("cannot run it as root: whose it is is not on record")
    return Owner(os.geteuid(), "", os.getegid(), "")


def _clean(variables: dict[str, str]) -> dict[str, str]:
    return {name: value.replace("\0", "") for name, value in variables.items()}
