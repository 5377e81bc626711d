"""How many jobs wait or run under whom: what limits on submissions are compared with.

Kept only where limits are enforced, beside the table of jobs, which tells what comes and goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from stoker.core.accounts import NORMAL
from stoker.core.models import Job

_Key = tuple[str, str, str]
"""User, account and quality of service."""


class SubmitCounts:
    """Counts jobs, and of arrays every task that has not ended."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts: Counter[_Key] = Counter()
        self._arrays: dict[int, tuple[_Key, Job]] = {}
        self._keys: dict[int, _Key] = {}

    def clear(self) -> None:
        """Forget everything, to be filled anew."""
        self._counts.clear()
        self._arrays.clear()
        self._keys.clear()

    def add(self, job: Job) -> None:
        """Count a record that waits or runs."""
        key = _key(job)
        if job.array is not None:
            # Its tasks leave it one by one, and nobody says so: they are counted when asked for.
            self._arrays[job.job_id] = key, job
        else:
            self._keys[job.job_id] = key
            self._counts[key] += 1

    def remove(self, job: Job) -> None:
        """Count a record no more."""
        if self._arrays.pop(job.job_id, None) is not None:
            return
        key = self._keys.pop(job.job_id, None)
        if key is not None:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def of(
        self, *, user: str | None = None, accounts: Collection[str] | None = None, qos: str = ""
    ) -> int:
        """Return how many there are of a user, in some accounts, of a quality; None and "": any."""

        def matches(key: _Key) -> bool:
            return (
                (user is None or key[0] == user)
                and (accounts is None or key[1] in accounts)
                and (not qos or key[2] == qos)
            )

        single = sum(count for key, count in self._counts.items() if matches(key))
        return single + sum(
            len(job.array) if job.array is not None else 1
            for key, job in self._arrays.values()
            if matches(key)
        )


def _key(job: Job) -> _Key:
    return job.owner.user_name, job.spec.account, job.spec.qos or NORMAL
