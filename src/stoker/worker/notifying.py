"""Tells users of their jobs: decides of which events, and posts a notice for each.

Mail goes through the program ``mail_prog``, called as Slurm calls its MailProg, by the job's user.
Any other messenger is ``notify_prog``: it gets the event as a JSON object on its standard input. A
notice is recorded in the turn of its event, so that none is lost; who delivers it comes after it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from stoker.core.enums import ONGOING, JobState
from stoker.core.models import FOREVER, Job
from stoker.core.notices import HOOK, Notice
from stoker.core.noticestore import ArrayEnd, NoticeStore
from stoker.core.settings import Settings
from stoker.worker import mail
from stoker.worker.queue import Turn
from stoker.worker.table import JobTable
from stoker.worker.witness import Witness

log = logging.getLogger(__name__)


class Post:
    """Takes notices in: recorded with the turn, delivered after it."""

    def __init__(self, store: NoticeStore) -> None:
        """Record in *store*."""
        self._store = store
        self.on_news: Callable[[], None] = lambda: None
        """Called when there is something to deliver."""

    def take(self, turn: Turn, notice: Notice) -> None:
        """Record a notice; one for the same event is the same notice."""
        turn.writes.append(lambda connection: self._store.add(connection, notice, turn.now))
        turn.gather(self._tell, notice.event_id)

    def _tell(self, _: list[str]) -> None:
        self.on_news()


_ENDS = frozenset({mail.END, mail.FAIL})


class Notifier(Witness):
    """Posts mail, and notices for the hook."""

    def __init__(
        self,
        post: Post,
        store: NoticeStore,
        table: JobTable,
        settings: Callable[[], Settings],
    ) -> None:
        """*settings* are those of the moment; *table* knows which arrays are over."""
        self._post = post
        self._store = store
        self._table = table
        self._settings = settings
        self._told: dict[int, set[str]] = {}
        """By running job, the parts of its limit of which it was told."""

    def started(self, turn: Turn, job: Job) -> None:
        """Tell that a job began; of an array, only once."""
        self._told.pop(job.job_id, None)
        if job.spec.mail_type and mail.BEGIN in mail.wanted(job):
            self._mail(turn, job, mail.BEGIN, job.state)
        if self._settings().notify_prog:
            self._notify(turn, job, mail.BEGIN, job.state)

    def ended(self, turn: Turn, job: Job, state: JobState) -> None:
        """Tell that a job ended; of an array, when all of it has."""
        self._told.pop(job.job_id, None)
        if job.spec.mail_type:
            self._mail_end(turn, job, state)
        if self._settings().notify_prog:
            self._notify(turn, job, mail.kind_of_end([state], _ENDS), state)

    def _mail_end(self, turn: Turn, job: Job, state: JobState) -> None:
        types = mail.wanted(job)
        if state is JobState.TIMEOUT and mail.TIME_LIMIT in types:
            self._mail(turn, job, mail.TIME_LIMIT, state)
        if not mail.is_summed_up(job, types):
            self._mail(turn, job, mail.kind_of_end([state], types), state)
        elif not self._table.is_active(job.array_job_id):
            self._sum_up(turn, job, types)

    def requeued(self, turn: Turn, job: Job) -> None:
        """Tell that a job waits again."""
        self._told.pop(job.job_id, None)
        if mail.REQUEUE in mail.wanted(job):
            self._mail(turn, job, mail.REQUEUE, job.state)
        if self._settings().notify_prog:
            self._notify(turn, job, mail.REQUEUE, job.state)

    def is_stuck(self, turn: Turn, job: Job) -> None:
        """Tell that what a job depends on can never come to be."""
        if mail.INVALID_DEPEND in mail.wanted(job):
            self._mail(turn, job, mail.INVALID_DEPEND, job.state)

    def next_at(self, job: Job) -> float:
        """Return when a running job will have had the next part of its limit."""
        parts = self._parts(job)
        return min(mail.limit_at(job, kind) for kind in parts) if parts else FOREVER

    def looks(self, turn: Turn, job: Job) -> None:
        """Tell of the parts of its limit that a job has had."""
        for kind in self._parts(job):
            if turn.now >= mail.limit_at(job, kind):
                self._told.setdefault(job.job_id, set()).add(kind)
                self._mail(turn, job, kind, job.state)

    def _parts(self, job: Job) -> list[str]:
        """Return the parts of a running job's limit of which it is still to be told."""
        if not job.spec.mail_type or job.state not in ONGOING:
            return []
        told = self._told.get(job.job_id, ())
        types = mail.wanted(job)
        return [kind for kind in mail.PARTS_OF_LIMIT if kind in types and kind not in told]

    def _sum_up(self, turn: Turn, job: Job, types: frozenset[str]) -> None:
        ends = self._store.array_ends(job.array_job_id)
        for each in turn.jobs.values():
            if each.array_job_id == job.array_job_id and each.end_at:
                code = each.exit_code
                ends.append(ArrayEnd(each.state.value, code, code, each.exit_signal))
        kind = mail.kind_of_end([JobState(end.state) for end in ends], types)
        self._mail(turn, job, kind, job.state, ends)

    def _mail(
        self,
        turn: Turn,
        job: Job,
        kind: str,
        state: JobState,
        ends: list[ArrayEnd] | None = None,
    ) -> None:
        """Post one mail; nothing if no program sends it, or nobody can be meant."""
        program, user = self._settings().mail_prog, job.spec.mail_user or job.owner.user_name
        if not kind or not program:
            return
        if not mail.is_address(user):
            log.warning("job %d has no mail sent: %r is no address", job.job_id, user)
            return
        is_summed_up = mail.is_summed_up(job, mail.wanted(job)) and kind not in mail.PARTS_OF_LIMIT
        if is_summed_up:
            text, about = mail.summary(job, kind, ends or ()), f"{job.array_job_id}_"
        else:
            text, about = mail.subject(job, kind, state, turn.now), str(job.job_id)
        self._post.take(
            turn,
            Notice(
                event_id=f"mail.{about}.{job.restarts}.{kind}",
                argv=(program, "-s", text, user),
                owner=job.owner,
                variables=self._variables(job, kind, state),
            ),
        )

    def _notify(self, turn: Turn, job: Job, kind: str, state: JobState) -> None:
        """Post one notice for the hook, which is there, if it wants to hear of such an event."""
        settings = self._settings()
        if kind not in settings.notify_types.split(","):
            return
        event_id = f"{HOOK}{job.job_id}.{job.restarts}.{kind}"
        said = {
            "event_id": event_id,
            "event": kind,
            "at": turn.now,
            "job_id": job.job_id,
            "array_job_id": job.array_job_id or None,
            "array_task_id": job.array_task_id if job.array_task_id >= 0 else None,
            "name": job.name,
            "user": job.owner.user_name,
            "partition": job.partition,
            "state": state.value,
            "exit_code": job.exit_code,
            "exit_signal": job.exit_signal,
            "submit_at": job.submit_at,
            "start_at": job.start_at or None,
            "end_at": job.end_at or None,
            "attempt": job.restarts,
            "work_dir": job.spec.work_dir,
        }
        self._post.take(
            turn,
            Notice(
                event_id=event_id,
                argv=(settings.notify_prog,),
                variables=self._variables(job, kind, state),
                stdin=json.dumps(said) + "\n",
            ),
        )

    def _variables(self, job: Job, kind: str, state: JobState) -> dict[str, str]:
        return {
            "SLURM_CLUSTER_NAME": self._settings().cluster_name,
            "SLURM_JOB_ID": str(job.job_id),
            "SLURM_JOB_NAME": job.name,
            "SLURM_JOB_USER": job.owner.user_name,
            "SLURM_JOB_STATE": state.value,
            "SLURM_JOB_MAIL_TYPE": mail.WORDS[kind],
        }
