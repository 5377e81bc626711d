"""`scontrol update`: changes of a job's fields, checked against its state and the machine.

Keys are names of fields of `Job` or `JobSpec`. A change of the specification makes a new one: other
jobs that shared the old one keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from stoker.core.enums import Hold, JobState
from stoker.core.errors import InvalidSpec, NotAllowed, UnknownJob
from stoker.core.models import Job, JobSpec, Owner
from stoker.core.units import JobRef
from stoker.engines.base import Engine, group_key
from stoker.worker.admission import Admission
from stoker.worker.changes import check_owner
from stoker.worker.ledger import Ledger
from stoker.worker.queue import Turn
from stoker.worker.selection import Selection, Target

_ANY_TIME: Final = frozenset(
    {"time_limit_s", "comment", "admin_comment", "name", "requeue", "array_limit", "priority",
     "nice", "mail_type", "mail_user", "account", "qos", "wckey"}
)  # fmt: skip
"""What may change of a running job; all else only while it waits."""

_OF_JOB: Final = frozenset(
    {"time_limit_s", "priority", "nice", "begin_at", "dependency", "requeue", "array_limit"}
)
_OF_SPEC: Final = frozenset(JobSpec.__struct_fields__) - {"script", "environment", "argv"}


class Updates:
    """Applies updates inside the open turn."""

    def __init__(
        self, ledger: Ledger, selection: Selection, admission: Admission, engine: Engine
    ) -> None:
        """Record through *ledger*; tell *engine* of new time limits."""
        self._ledger = ledger
        self._selection = selection
        self._admission = admission
        self._engine = engine

    def update(self, turn: Turn, ref: JobRef, by: Owner, changes: Mapping[str, object]) -> None:
        """Apply *changes* to all that *ref* names, or to nothing of it.

        Raises:
            UnknownJob: There is no such job, or it has ended.
            NotAllowed: A field cannot change in the job's state.
            InvalidSpec: A value says nothing sensible.
        """
        targets = self._selection.active(ref)
        if not targets:
            raise UnknownJob(str(ref))
        for target in targets:
            check_owner(target.job, by)
            _check(target.job, changes)
        for target in targets:
            for job in self._records(turn, target):
                self._apply(turn, job, changes)

    def _records(self, turn: Turn, target: Target) -> list[Job]:
        if target.tasks is None:
            return [target.job]
        return [self._ledger.split(turn, target.job, task) for task in target.tasks]

    def _apply(self, turn: Turn, job: Job, changes: Mapping[str, object]) -> None:
        of_spec = {key: value for key, value in changes.items() if key in _OF_SPEC - _OF_JOB}
        self._ledger.table.displace(job)
        self._ledger.table.forget_names(job)
        if of_spec:
            job.spec = _replaced(job.spec, of_spec)
            job.spec_digest = turn.keep_spec(job.spec)
        if "partition" in changes:
            job.partition = self._admission.partition_of(job.spec).name
        for key in _OF_JOB & changes.keys():
            setattr(job, key, changes[key])
        if changes.get("priority") == 0:
            job.hold = Hold.USER
        self._ledger.table.learn_names(job)
        self._ledger.refresh(turn, job)
        if "time_limit_s" in changes and job.allocation is not None:
            self._set_limit(turn, job)

    def _set_limit(self, turn: Turn, job: Job) -> None:
        assert job.allocation is not None
        group = group_key(job.job_id, job.allocation.attempt)
        limit_s = job.time_limit_s
        turn.afterwards(lambda: self._engine.limit(group, limit_s))


def _check(job: Job, changes: Mapping[str, object]) -> None:
    if unknown := changes.keys() - _OF_JOB - _OF_SPEC:
        raise InvalidSpec(f"cannot change {min(unknown)}: a job has no such field to change")
    if job.state is not JobState.PENDING and changes.keys() - _ANY_TIME:
        raise NotAllowed("Job is no longer pending execution", "ESLURM_JOB_NOT_PENDING")


def _replaced(spec: JobSpec, changes: Mapping[str, object]) -> JobSpec:
    """Return the specification with *changes*, whose types are checked."""
    try:
        return msgspec.convert(
            msgspec.to_builtins(msgspec.structs.replace(spec, **changes)), JobSpec
        )
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidSpec(f"cannot change the job: {error}") from None
