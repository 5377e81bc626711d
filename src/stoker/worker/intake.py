"""Submissions become jobs: checked, given an id, recorded by the turn that is open.

A submission key that was seen before is the same submission: it gets the job that it made, however
often it comes and whatever died in between.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from stoker.core import processes
from stoker.core.enums import Hold
from stoker.core.errors import InvalidSpec, StoreFull
from stoker.core.models import Job, JobSpec, Owner
from stoker.core.repository import Repository
from stoker.core.rows import digest_of
from stoker.worker.admission import Admission
from stoker.worker.failpoints import hit
from stoker.worker.ledger import Ledger
from stoker.worker.priorities import Priorities
from stoker.worker.queue import JobQueue, Turn
from stoker.worker.requests import Submission

_ENVIRONMENT_MAX: Final = 8 << 20
_DEPENDENCIES_MAX: Final = 1024
_NAME_MAX: Final = 1024
_KEY_MAX: Final = 256
_SPECS_KEPT_MAX: Final = 4096
KEYS_KEPT_S: Final = 86400.0
"""How long a submission key is remembered: no client tries again for that long."""
KEYS_KEPT_MAX: Final = 100_000
"""How many are: no client tries again after so many others have submitted, either."""


class _Made(msgspec.Struct, frozen=True, gc=False):
    """What a submission key made, and when it was last heard of."""

    job_id: int
    at: float


class _Environment(NamedTuple):
    """An environment, and how it is stored."""

    entries: Sequence[str]
    body: bytes
    digest: str


class Intake:
    """Takes submissions in."""

    def __init__(
        self,
        queue: JobQueue,
        ledger: Ledger,
        admission: Admission,
        priorities: Priorities,
        repository: Repository,
    ) -> None:
        """Enter jobs into *ledger* by the rules of *admission*, ranked by *priorities*."""
        self._queue = queue
        self._ledger = ledger
        self._admission = admission
        self._priorities = priorities
        self._repository = repository
        self._keys: dict[str, _Made] = {}
        self._specs: dict[bytes, tuple[bytes, JobSpec]] = {}
        self._environment = _Environment((), b"", "")

    def load(self) -> None:
        """Learn the submission keys on record, and forget those that nobody tries again."""
        since = self._queue.now() - KEYS_KEPT_S
        with suppress(StoreFull), self._repository.database.transaction() as connection:
            self._repository.forget_submissions(connection, since)
        now = self._queue.now()
        known = self._repository.submission_keys(since)
        newest = sorted(known.items(), key=itemgetter(1))[-KEYS_KEPT_MAX:]
        self._keys = {key: _Made(job_id, now) for key, job_id in newest}

    def submit(self, turn: Turn, submission: Submission) -> Job:
        """Take a job in, or return the one that the same key made.

        Raises:
            InvalidSpec: It says nothing sensible, or exceeds a limit.
            Infeasible: No node could ever run it.
        """
        known = self._known(turn, submission)
        if known is not None:
            return known
        job = self.job_of(turn, submission)
        self._admission.rules.check_count(job)
        job.job_id = self._queue.give_id(turn)
        job.priority = self._priorities.first(job)
        if job.array is not None:
            job.array_job_id = job.job_id
        self._ledger.enter(turn, job)
        if submission.key:
            key = _key_of(submission.owner, submission.key)
            turn.keys[key] = job.job_id
            turn.afterwards(partial(self._remember, key, job.job_id, turn.now))
        hit("submit.before-commit")
        turn.afterwards(lambda: hit("submit.after-commit"))
        return job

    def job_of_key(self, turn: Turn, key: str, by: Owner) -> int | None:
        """Return the id of the job that their submission with this key made."""
        key = _key_of(by, key)
        if key in turn.keys:
            return turn.keys[key]
        made = self._keys.get(key)
        return made.job_id if made is not None else None

    def _known(self, turn: Turn, submission: Submission) -> Job | None:
        """Return the job that an earlier submission of theirs with this key made."""
        job_id = self.job_of_key(turn, submission.key, submission.owner)
        if job_id is None:
            return None
        job = self._ledger.table.get(job_id) or turn.jobs.get(job_id)
        return job or next(iter(self._repository.jobs([job_id])), None)

    def _remember(self, key: str, job_id: int, now: float) -> None:
        self._keys[key] = _Made(job_id, now)
        # Keys stand in the order of their times: what is too old is in front.
        while len(self._keys) > KEYS_KEPT_MAX or self._oldest_at < now - KEYS_KEPT_S:
            del self._keys[next(iter(self._keys))]

    @property
    def _oldest_at(self) -> float:
        return next(iter(self._keys.values())).at

    def job_of(self, turn: Turn, submission: Submission) -> Job:
        """Return the job that a submission asks for, without an id and in no queue.

        Raises:
            InvalidSpec: It says nothing sensible, or exceeds a limit.
            Infeasible: No node could ever run it.
        """
        self._check_limits(submission)
        partition = self._admission.partition_of(submission.spec)
        spec = self._admission.rules.filled(
            self._with_contents(turn, submission), submission.owner.user_name, partition.name
        )
        digest, spec = self._shared(turn.keep_spec(spec), spec)
        array = submission.array
        job = Job(
            job_id=0,
            spec=spec,
            spec_digest=digest,
            owner=submission.owner,
            submit_at=turn.now,
            partition=partition.name,
            nice=spec.nice,
            hold=Hold.USER if submission.hold else Hold.NONE,
            time_limit_s=self._admission.time_limit_s(spec, partition, submission.owner.user_name),
            begin_at=submission.begin_at,
            requeue=self._may_requeue(spec),
            dependency=submission.dependency,
            array=copy.copy(array.tasks) if array is not None else None,
            array_limit=array.limit if array is not None else 0,
        )
        self._admission.check_reservation(job)
        self._admission.choose_partition(job)
        self._admission.check(job)
        return job

    def _may_requeue(self, spec: JobSpec) -> bool:
        return self._admission.settings.job_requeue if spec.requeue is None else spec.requeue

    def _shared(self, digest: bytes, spec: JobSpec) -> tuple[bytes, JobSpec]:
        """Return the objects that earlier submissions of the same have: a queue is mostly alike."""
        if len(self._specs) >= _SPECS_KEPT_MAX:
            self._specs.clear()
        return self._specs.setdefault(digest, (digest, spec))

    def _with_contents(self, turn: Turn, submission: Submission) -> JobSpec:
        """Store script and environment, and return the specification that names them."""
        environment = self._environment_of(submission.environment)
        if environment.digest:
            turn.contents[environment.digest] = environment.body
        return msgspec.structs.replace(
            submission.spec,
            priority=self._priority_of(submission),
            script=turn.keep_content(submission.script),
            environment=environment.digest,
            caller=processes.identify(submission.caller_pid) if submission.caller_pid else None,
        )

    def _priority_of(self, submission: Submission) -> int | None:
        """Return the priority that was asked for; of others than operators only to be held.

        Source: slurmctld passes over it, as sbatch(1) says of ``--priority``.
        """
        wanted = submission.priority
        may = not wanted or self._admission.rights.is_operator(submission.owner)
        return wanted if may else None

    def _environment_of(self, entries: Sequence[str]) -> _Environment:
        """Return the stored form of an environment; thousands in a row have the same.

        Raises:
            InvalidSpec: It is too large.
        """
        if entries == self._environment.entries:
            return self._environment
        body = b"\0".join(entry.encode("utf-8", "surrogateescape") for entry in entries)
        if len(body) > _ENVIRONMENT_MAX:
            raise InvalidSpec(
                f"The environment exceeds the limit of {_ENVIRONMENT_MAX} bytes; "
                "use --export to pass less",
                "ESLURM_ENVIRONMENT_TOO_LARGE",
            )
        self._environment = _Environment(entries, body, digest_of(body) if body else "")
        return self._environment

    def _check_limits(self, submission: Submission) -> None:
        settings = self._admission.settings
        if len(submission.key) > _KEY_MAX:
            raise InvalidSpec(f"The submission's key exceeds {_KEY_MAX} characters")
        if self._is_full(submission.owner):
            raise InvalidSpec(
                "Slurm temporarily unable to accept job, sleeping and retrying",
                "ESLURM_ERROR_ON_DESC_TO_RECORD_COPY",
            )
        if len(submission.script) > settings.max_script_size:
            raise InvalidSpec(
                f"Batch script exceeds the limit of {settings.max_script_size} bytes",
                "ESLURM_JOB_SCRIPT_TOO_LARGE",
            )
        if len(submission.spec.name) > _NAME_MAX:
            raise InvalidSpec(
                f"Job name exceeds {_NAME_MAX} characters", "ESLURM_PATHNAME_TOO_LONG"
            )
        self._check_frequency(submission.spec)
        self._check_array_and_dependency(submission)

    def _check_frequency(self, spec: JobSpec) -> None:
        """Refuse to look at a job's memory less often than at that of others, as Slurm does."""
        settings, every_s = self._admission.settings, spec.sample_every_s
        if every_s is None:
            return
        if not 0 < every_s <= settings.job_acct_gather_frequency_s:
            raise InvalidSpec(
                "Invalid accounting frequency requested: at least every "
                f"{settings.job_acct_gather_frequency_s:g} s",
                "ESLURMD_INVALID_ACCT_FREQ",
            )

    def _is_full(self, owner: Owner) -> bool:
        """Whether the queue has no room for this user's jobs.

        Where it is shared, nobody fills more than half of it; who runs it may fill it.
        """
        table, settings = self._ledger.table, self._admission.settings
        most = settings.max_job_count
        if settings.shared and not self._admission.rights.is_host(owner):
            return len(table) >= most or table.owned[owner.user_id] >= max(1, most // 2)
        return len(table) >= most

    def _check_array_and_dependency(self, submission: Submission) -> None:
        array = submission.array
        if array is not None and array.tasks.last >= self._admission.settings.max_array_size:
            raise InvalidSpec("Invalid job array specification", "ESLURM_INVALID_ARRAY")
        conditions = submission.dependency.conditions if submission.dependency else ()
        if len(conditions) > _DEPENDENCIES_MAX:
            raise InvalidSpec(
                f"Job dependency names more than {_DEPENDENCIES_MAX} jobs", "ESLURM_DEPENDENCY"
            )


def _key_of(owner: Owner, key: str) -> str:
    """Return a key as it is kept: nobody can meet another's by saying the same.

    Those of who runs the daemon are kept as they are, as they stand in the records of its user.
    """
    return key if not key or owner.user_id == os.geteuid() else f"{owner.user_id} {key}"
