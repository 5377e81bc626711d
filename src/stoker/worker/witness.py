"""Who looks on while jobs change, in the turn in which they do, and may record more in it."""

from __future__ import annotations

from stoker.core.enums import JobState
from stoker.core.models import FOREVER, Job
from stoker.worker.queue import Turn


class Witness:
    """Hears of jobs inside the open turn; by itself it does nothing of what it hears."""

    def started(self, turn: Turn, job: Job) -> None:
        """Hear that a job runs."""

    def ended(self, turn: Turn, job: Job, state: JobState) -> None:
        """Hear that a job, or one run of it, has ended, and as what."""

    def requeued(self, turn: Turn, job: Job) -> None:
        """Hear that a job waits again; its times are still those of the run before."""

    def is_stuck(self, turn: Turn, job: Job) -> None:
        """Hear that what a job depends on can never come to be; perhaps again and again."""

    def next_at(self, job: Job) -> float:  # noqa: ARG002 - a witness may want to know
        """Return when to be asked to look at a running job though nothing happens to it."""
        return FOREVER

    def looks(self, turn: Turn, job: Job) -> None:
        """Look at a job: perhaps the time has come that `next_at` said."""
