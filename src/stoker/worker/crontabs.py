"""Crontabs: one for each user; each of its entries is a job that waits for its next time.

The text and the jobs change in one turn. An entry that stays as it was keeps its job; a job that
somebody cancels disables its entry.

Source: scrontab(1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stoker.core.enums import JobState
from stoker.core.errors import Infeasible, UserError
from stoker.core.models import Job, Owner
from stoker.core.noticestore import NoticeStore
from stoker.core.units import REBOOT, JobRef
from stoker.worker.changes import Changes
from stoker.worker.crontimes import due_next
from stoker.worker.intake import Intake
from stoker.worker.ledger import Ledger
from stoker.worker.queue import Turn
from stoker.worker.requests import Submission
from stoker.worker.times import is_waiting
from stoker.worker.witness import Witness

DISABLED: Final = "#DISABLED: "


class CrontabKeeper(Witness):
    """Keeps the texts of crontabs, and their jobs in step with them."""

    def __init__(
        self, store: NoticeStore, ledger: Ledger, intake: Intake, changes: Changes
    ) -> None:
        """Record in *store*; jobs come through *intake* and go through *changes*."""
        self._store = store
        self._ledger = ledger
        self._intake = intake
        self._changes = changes
        self._texts: dict[int, str] = {}

    def text(self, user_id: int) -> str:
        """Return a user's crontab; "" if there is none."""
        if user_id not in self._texts:
            self._texts[user_id] = self._store.crontab(user_id)
        return self._texts[user_id]

    def load(self) -> None:
        """Forget what may not be on record; it is read again when it is asked for."""
        self._texts.clear()

    def replace(
        self, turn: Turn, owner: Owner, text: str, submissions: Sequence[Submission]
    ) -> None:
        """Let a user have another crontab, with these jobs.

        Raises:
            InvalidSpec, Infeasible: One of them is refused; nothing has changed then.
        """
        wanted, gone = list(submissions), []
        for submission in submissions:
            # Judged before anything changes: a crontab is taken whole or not at all.
            self._intake.job_of(turn, submission)
        for job in self._jobs_of(owner):
            same = next((each for each in wanted if each.spec.cron == job.spec.cron), None)
            if same is not None:
                wanted.remove(same)
            else:
                gone.append(job)
        self._enter(turn, owner, wanted)
        self._cancel(turn, owner, gone)
        self._save(turn, owner.user_id, text)

    def _enter(self, turn: Turn, owner: Owner, submissions: Sequence[Submission]) -> None:
        """Take all jobs in, or none: there may be room for some of them only."""
        entered: list[Job] = []
        try:
            for submission in submissions:
                entry = submission.spec.cron
                assert entry is not None, "a crontab's job knows its entry"
                timed = msgspec.structs.replace(submission, begin_at=due_next(entry, turn.now))
                entered.append(self._intake.submit(turn, timed))
        except (UserError, Infeasible):
            self._cancel(turn, owner, entered)
            raise

    def _cancel(self, turn: Turn, owner: Owner, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._changes.cancel(turn, JobRef(job.job_id), owner)

    def begin(self, turn: Turn) -> None:
        """Let what is due when the daemon starts begin now."""
        for job in list(self._ledger.table):
            is_due = job.spec.cron is not None and job.spec.cron.times.lower() == REBOOT
            if is_due and is_waiting(job):
                job.begin_at = turn.now
                self._ledger.replace(turn, job)

    def ended(self, turn: Turn, job: Job, state: JobState) -> None:
        """Disable the entry of a job that was cancelled, its ``#SCRON`` lines included."""
        if job.spec.cron is None or state is not JobState.CANCELLED:
            return
        lines = job.spec.cron.text.split("\n")
        disabled = "\n".join(f"{DISABLED}{line}" for line in lines)
        text = self.text(job.owner.user_id)
        if job.spec.cron.text in text:
            self._save(turn, job.owner.user_id, text.replace(job.spec.cron.text, disabled, 1))

    def _jobs_of(self, owner: Owner) -> list[Job]:
        return [
            job
            for job in self._ledger.table
            if job.spec.cron is not None and job.owner.user_id == owner.user_id
        ]

    def _save(self, turn: Turn, user_id: int, text: str) -> None:
        self._texts[user_id] = text
        turn.writes.append(lambda connection: self._store.save_crontab(connection, user_id, text))
