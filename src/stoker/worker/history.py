"""What is asked of the accounting records, and what they are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stoker.core.models import Allocation, Job, Step
from stoker.core.units import JobRef


class Record(msgspec.Struct, frozen=True):
    """An accounting record: a job, all its attempts in order, the numbered steps of all attempts.

    The batch step has no record of its own: it is the attempt's process (``Allocation.exit_code``
    and its like are what that process ended with, ``Job.exit_code`` what became of the job).
    """

    job: Job
    attempts: Sequence[Allocation]
    steps: Sequence[Step]


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which records sacct wants; empty means all, a job counts if it lived between the times."""

    refs: tuple[JobRef, ...] = ()
    user_ids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    start_at: float | None = None
    end_at: float | None = None
