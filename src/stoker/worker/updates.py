"""`scontrol update`: changes of jobs and partitions, checked before anything is changed.

Keys are names of fields of `Job` or `JobSpec`. A change of the specification makes a new one: other
jobs that shared the old one keep it.

Source: scontrol(1), "UPDATE COMMAND"; which change is allowed when is recorded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec

from stoker.core.enums import Hold, JobState, Reason
from stoker.core.errors import Infeasible, InvalidSpec, NotAllowed, UnknownJob
from stoker.core.models import FOREVER, Job, JobSpec, Owner
from stoker.core.units import Dependency, JobRef
from stoker.engines.base import Engine, group_key
from stoker.worker.admission import Admission
from stoker.worker.changes import kind_of_hold
from stoker.worker.ledger import Ledger
from stoker.worker.priorities import Priorities
from stoker.worker.queue import Turn
from stoker.worker.selection import Selection, Target
from stoker.worker.times import is_waiting

_ANY_TIME: Final = frozenset(
    {"time_limit_s", "deadline_at", "delay_boot_s", "comment", "admin_comment", "name", "requeue",
     "array_limit", "priority", "nice", "mail_type", "mail_user", "account", "qos", "wckey"}
)  # fmt: skip
"""What may change of a job that has started; all else only while it waits."""

_OF_JOB: Final[Mapping[str, Any]] = {
    "time_limit_s": float | None,
    "priority": int,
    "nice": int,
    "begin_at": float,
    "dependency": Dependency | None,
    "requeue": bool,
    "array_limit": int,
}
_OF_SPEC: Final = frozenset(JobSpec.__struct_fields__) - {
    "script", "environment", "argv", "interactive", *_OF_JOB
}  # fmt: skip

_OPERATORS_OWN: Final = frozenset(
    {"admin_comment", "contiguous", "deadline_at", "ntasks_per_node", "oversubscribe"}
)
"""What only operators change of a job."""

_OF_THE_BOOK: Final = frozenset({"account", "qos"})
"""Of what may change at any time, what the account book may refuse."""

_MEMORY: Final = frozenset({"mem_per_cpu_mib", "mem_per_node_mib"})

_NEVER: Final = frozenset({Reason.PARTITION_CONFIG, Reason.PARTITION_NODE_LIMIT})


class Updates:
    """Applies updates inside the open turn."""

    def __init__(
        self,
        ledger: Ledger,
        selection: Selection,
        admission: Admission,
        priorities: Priorities,
        engine: Engine,
    ) -> None:
        """Record through *ledger*; tell *engine* of new time limits."""
        self._ledger = ledger
        self._selection = selection
        self._admission = admission
        self._priorities = priorities
        self._engine = engine

    def update(self, turn: Turn, ref: JobRef, by: Owner, changes: Mapping[str, object]) -> None:
        """Apply *changes* to all that *ref* names, or to nothing of it.

        Raises:
            UnknownJob: There is no such job, or it has ended.
            NotAllowed: A field cannot change in the job's state, or not by them.
            InvalidSpec: A value says nothing sensible.
            Infeasible: The job could never run any more.
        """
        targets = self._selection.active(ref)
        if not targets:
            raise UnknownJob(str(ref))
        changes = _read(changes)
        changed = [self._changed(target, by, changes) for target in targets]
        for target, wanted in zip(targets, changed, strict=True):
            for job in self._records(turn, target):
                self._apply(turn, job, wanted, by, changes)

    def update_partition(
        self, turn: Turn, name: str, by: Owner, changes: Mapping[str, object]
    ) -> None:
        """Change a partition until the next start; its waiting jobs find their places anew.

        Raises:
            InvalidSpec: There is none of that name, or a value says nothing sensible.
        """
        self._admission.rights.check_administrator(by)
        self._admission.change_partition(name, changes)
        for job in list(self._ledger.table):
            if is_waiting(job) and name in (job.partition, *job.spec.partition.split(",")):
                self._ledger.replace(turn, job)

    def heed_accounts(self, turn: Turn) -> None:
        """Let waiting jobs find their places anew after a change of the account book."""
        if not self._admission.rules.is_strict:
            return
        self._admission.forget_shapes()
        for job in list(self._ledger.table):
            if is_waiting(job):
                self._ledger.replace(turn, job)

    def _changed(self, target: Target, by: Owner, changes: Mapping[str, Any]) -> Job:
        """Return a copy of the job as it is to be, if it may be so."""
        job = target.job
        self._admission.rights.check_change(job, by, "ESLURM_USER_ID_MISSING")
        if not is_waiting(job) and changes.keys() - _ANY_TIME:
            raise NotAllowed(
                f"cannot change {min(changes.keys() - _ANY_TIME)} of job {job.display_id}: "
                "it waits no more",
                "ESLURM_JOB_NOT_PENDING",
            )
        if _needs_operator(job, changes):
            self._admission.rights.check_operator(by)
        wanted = copy.copy(job)
        wanted.spec = _replaced(job.spec, changes)
        wanted.spec_digest = b""  # The shape of this specification is not remembered yet.
        if changes.get("priority"):
            wanted.spec = msgspec.structs.replace(wanted.spec, priority=changes["priority"])
        for key in _OF_JOB & changes.keys():
            setattr(wanted, key, changes[key])
        if "partition" in changes:
            self._admission.check_partitions(wanted.spec)
            wanted.partition = self._admission.partition_of(wanted.spec).name
            self._admission.choose_partition(wanted)
        if "reservation" in changes:
            self._admission.check_reservation(wanted)
        if is_waiting(job):
            self._check_fit(wanted, changes)
        elif changes.keys() & _OF_THE_BOOK:
            self._admission.rules.check(wanted, self._admission.shape(wanted))
        if changes.get("dependency"):
            self._check_dependency(target, changes["dependency"])
        return wanted

    def _check_dependency(self, target: Target, dependency: Dependency) -> None:
        job, dependencies = target.job, self._ledger.dependencies
        if dependencies.is_on_itself(job, target.tasks, dependency):
            raise InvalidSpec(
                f"cannot let job {job.display_id} wait for itself", "ESLURM_DEPENDENCY"
            )
        if dependencies.is_circular(job, target.tasks, dependency):
            raise InvalidSpec(
                f"cannot let job {job.display_id} wait for what waits for it",
                "ESLURM_CIRCULAR_DEPENDENCY",
            )

    def _check_fit(self, wanted: Job, changes: Mapping[str, Any]) -> None:
        self._admission.check(wanted)
        if wanted.hold is not Hold.NONE and changes.keys() <= _MEMORY:
            return  # As at its submission: whether nodes have it is asked when it is released.
        if self._admission.obstacle(wanted) in _NEVER:
            raise Infeasible(
                "Requested partition configuration not available now",
                "ESLURM_REQUESTED_PART_CONFIG_UNAVAILABLE",
            )

    def _records(self, turn: Turn, target: Target) -> list[Job]:
        if target.tasks is None:
            return [target.job]
        return [self._ledger.arrays.split(turn, target.job, task) for task in target.tasks]

    def _apply(
        self, turn: Turn, job: Job, wanted: Job, by: Owner, changes: Mapping[str, Any]
    ) -> None:
        namesakes = self._ledger.table.singletons(job) if "name" in changes else []
        self._ledger.table.displace(job)
        self._ledger.table.forget_names(job)
        if wanted.spec is not job.spec:
            job.spec = wanted.spec
            job.spec_digest = turn.keep_spec(job.spec)
        job.partition = wanted.partition
        for key in _OF_JOB.keys() & changes.keys() - {"priority", "nice"}:
            setattr(job, key, changes[key])
        self._rank(job, by, changes)
        self._ledger.table.learn_names(job)
        self._ledger.watch(job)
        for each in (job, *namesakes):
            # What one of them learns may have ended another.
            if self._ledger.table.get(each.job_id) is each:
                self._ledger.refresh(turn, each)
        if "time_limit_s" in changes and job.allocation is not None and not job.spec.interactive:
            group = group_key(job.job_id, job.allocation.attempt)
            turn.afterwards(partial(self._engine.limit, group, job.time_limit_s))

    def _rank(self, job: Job, by: Owner, changes: Mapping[str, Any]) -> None:
        """Change a job's place in the order; priority 0 is a hold, in Slurm's way of speaking."""
        if "nice" in changes:
            job.priority = max(1, job.priority + job.nice - changes["nice"])
            job.nice = changes["nice"]
        if "priority" in changes:
            job.priority = changes["priority"] or job.priority
            if not changes["priority"]:
                job.hold = max(job.hold, kind_of_hold(job, by))
        if self._priorities.is_multifactor and is_waiting(job):
            job.priority = self._priorities.now_of(job)


def _read(changes: Mapping[str, object]) -> Mapping[str, Any]:
    """Return the changes, of which those to a job itself have the right types."""
    if unknown := changes.keys() - _OF_JOB.keys() - _OF_SPEC:
        raise InvalidSpec(f"cannot change {min(unknown)}: a job has no such field to change")
    found = dict(changes)
    for key in _OF_JOB.keys() & changes.keys():
        try:
            found[key] = msgspec.convert(found[key], _OF_JOB[key])
        except msgspec.ValidationError as error:
            raise InvalidSpec(f"cannot change {key}: {error}") from None
    if found.get("time_limit_s") == FOREVER:
        found["time_limit_s"] = None
    return found


def _needs_operator(job: Job, changes: Mapping[str, Any]) -> bool:
    """Whether a change is an operator's: more rank, more time once it runs, their own remarks.

    Raises:
        NotAllowed: Nobody may change its priority while it is held.
    """
    priority = changes.get("priority", 0)
    if priority and job.hold is not Hold.NONE:
        raise NotAllowed(
            f"cannot change the priority of job {job.display_id}: it is held; release it first",
            "ESLURM_JOB_HELD",
        )
    limit_s = changes.get("time_limit_s", 0.0)
    has_started = job.state is not JobState.PENDING
    wants_more_time = has_started and _or_forever(limit_s) > _or_forever(job.time_limit_s)
    is_raised = priority > job.priority or changes.get("nice", 0) < 0
    theirs = _OPERATORS_OWN & changes.keys() - ({"deadline_at"} if has_started else set())
    return is_raised or wants_more_time or bool(theirs)


def _or_forever(limit_s: float | None) -> float:
    return FOREVER if limit_s is None else limit_s


def _replaced(spec: JobSpec, changes: Mapping[str, Any]) -> JobSpec:
    """Return the specification with *changes*, whose types are checked."""
    of_spec = {key: value for key, value in changes.items() if key in _OF_SPEC}
    if not of_spec:
        return spec
    try:
        changed = msgspec.structs.replace(spec, **of_spec)
        return msgspec.convert(msgspec.to_builtins(changed), JobSpec)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidSpec(f"cannot change the job: {error}") from None
