"""Looks at what jobs' processes use, without waiting for any of them.

Who reads a process's environment reads its memory, and a process can make that take as long as it
likes (userfaultfd(2)). Where a daemon serves many users, another user's processes are looked at in
a thread of that user's own, for a moment; who has not answered by then is not asked again before,
nor for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from stoker.core.models import Job
from stoker.worker.samples import samples_of
from stoker.worker.stepdesk import TaskSample

_ROOT: Final = 0
_LOOK_S: Final = 0.5
_PAUSE_S: Final = 30.0
"""For how long who kept us waiting is not looked at: the others would wait each time."""

Samples: TypeAlias = Mapping[str, Sequence[TaskSample]]


class Sampler:
    """Gives samples of running jobs."""

    def __init__(self, *, is_shared: bool) -> None:
        self._is_shared = is_shared
        self._lock = threading.Lock()
        self._looked_at: set[int] = set()
        self._not_before: dict[int, float] = {}

    def samples(self, job: Job) -> Samples:
        """Return by step what a job's tasks use now; nothing if that cannot be told in time."""
        if job.allocation is None:
            return {}
        token, user_id = job.allocation.token, job.owner.user_id
        if not self._is_shared or user_id in (_ROOT, os.geteuid()):
            return samples_of(token)
        with self._lock:
            is_slow = time.monotonic() < self._not_before.get(user_id, 0.0)
            if is_slow or user_id in self._looked_at:
                return {}
            self._looked_at.add(user_id)
        told: SimpleQueue[Samples] = SimpleQueue()
        look = threading.Thread(target=self._look, args=(token, user_id, told), daemon=True)
        look.start()
        try:
            return told.get(timeout=_LOOK_S)
        except Empty:
            self._not_before[user_id] = time.monotonic() + _PAUSE_S
            return {}

    def _look(self, token: str, user_id: int, told: SimpleQueue[Samples]) -> None:
        found: Samples = {}
        try:
            found = samples_of(token, user_id)
        finally:
            with self._lock:
                self._looked_at.discard(user_id)
            told.put(found)
