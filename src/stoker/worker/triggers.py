"""Triggers: programs that users have run when something happens to a job or a node.

A trigger is pulled in the turn of its event: a notice is posted, and the trigger is gone unless it
stays. The program is run as its user, with the job's number or the node's name as its last word.

Source: strigger(1).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stoker.core.enums import ONGOING, JobState
from stoker.core.errors import InvalidSpec, NotAllowed, UnknownJob
from stoker.core.models import FOREVER, Job, Owner
from stoker.core.notices import Notice, Trigger
from stoker.core.noticestore import NoticeStore
from stoker.worker.notifying import Post
from stoker.worker.queue import Turn
from stoker.worker.rights import Rights
from stoker.worker.table import JobTable
from stoker.worker.times import ends_at
from stoker.worker.witness import Witness

FINI: Final = "fini"
TIME: Final = "time"
IDLE: Final = "idle"

_SET: Final[Mapping[str, str]] = {
    "DOWN": "down",
    "DRAIN": "drained",
    "FAIL": "fail",
    "IDLE": "up",
    "RESUME": "up",
    "UNDRAIN": "up",
}
"""What is pulled when an operator sets a node's state."""

_OWN_MAX: Final = 1000
"""How many triggers a user may have; at each job's end all there are are looked at."""

_DENIED: Final = "ESLURM_ACCESS_DENIED"


class TriggerKeeper(Witness):
    """Keeps the triggers, and pulls them."""

    def __init__(
        self,
        post: Post,
        store: NoticeStore,
        table: JobTable,
        idle_nodes: Callable[[], Iterable[str]],
        rights: Rights,
    ) -> None:
        """*idle_nodes* says on which nodes nothing runs, *rights* who may set what."""
        self._post = post
        self._store = store
        self._table = table
        self._idle_nodes = idle_nodes
        self._rights = rights
        self._triggers: dict[int, Trigger] = {}
        self._next_id = 1

    def load(self) -> None:
        """Take the triggers from the record."""
        self._triggers = {trigger.trigger_id: trigger for trigger in self._store.triggers()}
        self._next_id = self._store.next_trigger_id()

    def all(self) -> Sequence[Trigger]:
        """Return the triggers, by id."""
        return list(self._triggers.values())

    def set(self, turn: Turn, trigger: Trigger) -> None:
        """Keep a trigger, under an id of its own.

        Raises:
            UnknownJob: It is for a job that is not there, or over.
            NotAllowed: The job is another's, it is for nodes and they run nothing here, or they
                have as many as one may.
            InvalidSpec: They have just such a one.
        """
        if trigger.job_id:
            job = self._table.get(trigger.job_id)
            if job is None:
                raise UnknownJob(str(trigger.job_id))
            self._rights.check_change(job, trigger.owner)
        elif not self._rights.is_administrator(trigger.owner):
            raise NotAllowed("cannot set a trigger for nodes: ask who runs them", _DENIED)
        self._check_count(trigger.owner)
        self._check_new(trigger)
        trigger = msgspec.structs.replace(trigger, trigger_id=self._next_id)
        self._next_id += 1
        self._triggers[trigger.trigger_id] = trigger
        turn.writes.append(lambda connection: self._store.add_trigger(connection, trigger))
        if trigger.job_id and (job := self._table.get(trigger.job_id)) is not None:
            self._table.wake_at(self.next_at(job), job)

    def _check_count(self, by: Owner) -> None:
        own = sum(each.owner.user_id == by.user_id for each in self._triggers.values())
        if own >= _OWN_MAX and not self._rights.is_host(by):
            raise NotAllowed(
                f"cannot set a trigger for {by.user_name}, who has {own}: clear some first", _DENIED
            )

    def _check_new(self, trigger: Trigger) -> None:
        for each in self._triggers.values():
            if msgspec.structs.replace(each, trigger_id=trigger.trigger_id) == trigger:
                raise InvalidSpec(
                    f"trigger {each.trigger_id} is the same already", "ESLURM_TRIGGER_DUP"
                )

    def clear(self, turn: Turn, doomed: Iterable[Trigger], by: Owner) -> None:
        """Remove triggers on behalf of somebody.

        Raises:
            NotAllowed: One of them is another's, and not theirs to remove.
        """
        doomed = list(doomed)
        for trigger in doomed:
            self._rights.check_trigger(trigger.owner, by)
        self._remove(turn, [trigger.trigger_id for trigger in doomed])

    # What happens.

    def ended(self, turn: Turn, job: Job, state: JobState) -> None:  # noqa: ARG002 - a Witness's
        """Pull what waits for the job's end, or for a node to become idle."""
        if not self._triggers:
            return
        ids = {job.job_id, job.array_job_id} - {0}
        mine = [each for each in self._triggers.values() if each.job_id in ids]
        for trigger in mine:
            if FINI in trigger.events and not self._goes_on(trigger.job_id):
                self._pull(turn, trigger, str(trigger.job_id))
        over = [each.trigger_id for each in mine if not self._goes_on(each.job_id)]
        self._remove(turn, [each for each in over if each in self._triggers])
        if any(IDLE in each.events for each in self._triggers.values()):
            for node in self._idle_nodes():
                self.node_changed(turn, node, IDLE)

    def next_at(self, job: Job) -> float:
        """Return when a job will be as near its limit as a trigger wants."""
        if not self._triggers or job.state not in ONGOING:
            return FOREVER
        return min((ends_at(job) + each.offset_s for each in self._of_limit(job)), default=FOREVER)

    def looks(self, turn: Turn, job: Job) -> None:
        """Pull what waits for the job to be near its limit."""
        if self._triggers and job.state in ONGOING:
            for trigger in self._of_limit(job):
                if turn.now >= ends_at(job) + trigger.offset_s:
                    self._pull(turn, trigger, str(job.job_id), goes=True)

    def node_set(self, turn: Turn, node: str, state: str) -> None:
        """Pull what waits for a node to be set so by an operator."""
        if (event := _SET.get(state.upper())) is not None:
            self.node_changed(turn, node, event)

    def node_changed(self, turn: Turn, node: str, event: str) -> None:
        """Pull what waits for a node to be in that state."""
        for trigger in self.all():
            if event in trigger.events and trigger.is_for(node):
                self._pull(turn, trigger, node)

    def _goes_on(self, job_id: int) -> bool:
        return self._table.is_active(job_id)

    def _of_limit(self, job: Job) -> list[Trigger]:
        return [
            each
            for each in self._triggers.values()
            if each.job_id == job.job_id and TIME in each.events
        ]

    def _pull(self, turn: Turn, trigger: Trigger, about: str, *, goes: bool = False) -> None:
        self._post.take(
            turn,
            Notice(
                event_id=f"trigger.{trigger.trigger_id}.{about}.{turn.now:.6f}",
                argv=(*shlex.split(trigger.program), about),
                owner=trigger.owner,
                due_at=turn.now + (0 if goes else max(0, trigger.offset_s)),
            ),
        )
        if goes or not trigger.stays:
            self._remove(turn, [trigger.trigger_id])

    def _remove(self, turn: Turn, trigger_ids: Sequence[int]) -> None:
        for trigger_id in trigger_ids:
            self._triggers.pop(trigger_id, None)
        if trigger_ids:
            ids = tuple(trigger_ids)
            turn.writes.append(lambda connection: self._store.remove_triggers(connection, ids))
