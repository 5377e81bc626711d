"""The daemon's side of typed requests: one table of methods over the controller.

A method takes its parameters as a struct of `core.messages`, and who asks; it returns what is sent
back, or is a generator that waits for jobs first. What it raises travels as its class. Reading a
draft needs Slurm's language, which stands above this room: whoever wires the daemon passes it in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import msgspec

from stoker.core import errors
from stoker.core.errors import InvalidSpec, NotAllowed, StokerError
from stoker.core.messages import (
    BackupRequest,
    Changed,
    Draft,
    Explanation,
    Finding,
    JobDetail,
    JobFilter,
    JobRequest,
    JobsRequest,
    JobView,
    NodeView,
    Receipt,
    Refusal,
    Stop,
    Submit,
    Surroundings,
)
from stoker.core.models import Job, Owner
from stoker.core.units import JobRef, NotationError, parse_job_ref
from stoker.core.wire import printable
from stoker.worker.call import Call, UntilEnded
from stoker.worker.controller import Controller
from stoker.worker.explain import explain
from stoker.worker.listing import Listing
from stoker.worker.records import Records, awaited_ids, named_by
from stoker.worker.requests import Submission
from stoker.worker.talk import RpcConversation
from stoker.worker.views import node_view

ReadDraft: TypeAlias = Callable[[Call, bytes], Submission]
"""Makes a submission of a call of sbatch (its options, ``--``, a command) and a script's text.

Without a script the operands are the command itself. Raises `InvalidSpec`.
"""

_Method: TypeAlias = Callable[[Any, Owner], object]


class Household(Protocol):
    """What the daemon knows and does beside the queue."""

    def status(self) -> Mapping[str, Any]:
        """Return what `stoker status` shows of the processes: ``home``, ``stokerd.pid``, ..."""
        ...

    def request_stop(self, *, cancel: bool) -> None:
        """Stop when this turn is over; with *cancel*, when all jobs have been ended."""
        ...

    def check(self) -> Sequence[Finding]:
        """Compare database, journal, processes and cgroups."""
        ...

    def back_up(self, path: Path) -> None:
        """Copy the records into a file."""
        ...


class Rpc:
    """Answers typed requests."""

    def __init__(self, controller: Controller, household: Household, read_draft: ReadDraft) -> None:
        """Answer for *controller* and *household*."""
        self._controller = controller
        self._household = household
        self._read_draft = read_draft
        self._records = Records(controller)
        self._listing = Listing(controller, self._records)
        self._methods: Mapping[str, tuple[type, _Method]] = {
            "submit": (Submit, self._submit),
            "jobs": (JobFilter, self._listing.page),
            "details": (JobRequest, self._details),
            "why": (JobRequest, self._why),
            "script": (JobRequest, self._script),
            "nodes": (type(None), self._nodes),
            "tally": (JobsRequest, self._tally),
            "wait": (JobsRequest, self._wait),
            "cancel": (JobsRequest, self._cancel),
            "hold": (JobsRequest, self._hold),
            "release": (JobsRequest, self._release),
            "requeue": (JobsRequest, self._requeue),
            "status": (type(None), self._status),
            "shutdown": (Stop, self._shutdown),
            "doctor": (type(None), self._doctor),
            "backup": (BackupRequest, self._back_up),
        }

    def handle(self, method: str, params: bytes, owner: Owner) -> bytes | RpcConversation:
        """Do a typed request; *params* and the result are msgpack.

        Raises:
            StokerError: What is wrong with it.
        """
        if method not in self._methods:
            raise InvalidSpec(
                f"cannot answer {method!r}: this stokerd does not know it; "
                "after an upgrade, `stoker down` and `stoker up` bring the new one"
            )
        kind, function = self._methods[method]
        try:
            request: Any = msgspec.msgpack.decode(params, type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidSpec(f"cannot read the parameters of {method}: {error}") from None
        result = function(request, owner)
        if isinstance(result, Generator):
            return cast(RpcConversation, result)
        return _packed(result)

    # --- Submitting.

    def _submit(self, request: Submit, owner: Owner) -> Receipt:
        job_ids: list[int] = []
        # Many in one request are mostly alike but for their keys: each kind is read once.
        read: dict[tuple[bytes, bytes], Submission] = {}
        environment = _as_mapping(request.surroundings.environment)
        for draft in request.drafts:
            like = draft.line, draft.script
            try:
                if like not in read:
                    call = self._call_of(draft, request.surroundings, environment, owner)
                    read[like] = self._read_draft(call, draft.script)
                submission = msgspec.structs.replace(read[like], key=draft.key)
                job = self._controller.submit(submission)
            except (errors.UserError, errors.Infeasible) as error:
                return Receipt(tuple(job_ids), _refusal(error))
            job_ids.append(job.array_job_id or job.job_id)
        return Receipt(tuple(job_ids))

    def _call_of(
        self, draft: Draft, around: Surroundings, environment: Mapping[str, str], owner: Owner
    ) -> Call:
        return Call(
            program="sbatch",
            argv=draft.words,
            environment=environment,
            work_dir=around.work_dir,
            owner=owner,
            now=self._controller.now(),
            umask=around.umask,
            rlimits=around.rlimits,
            key=draft.key,
        )

    # --- Looking.

    def _details(self, request: JobRequest, _: Owner) -> tuple[JobDetail, ...]:
        return tuple(map(self._records.detail, self._records.of(_ref(request.id))))

    def _why(self, request: JobRequest, owner: Owner) -> Explanation:
        record = self._records.of(_ref(request.id))[0]
        awaited: list[JobView] = []
        for condition in record.job.dependency.conditions if record.job.dependency else ():
            if condition.job_id:
                awaited += self._records.views_of(JobRef(condition.job_id))
        return explain(self._records.detail(record), self._nodes(None, owner), awaited)

    def _script(self, request: JobRequest, owner: Owner) -> bytes:
        job = self._records.of(_ref(request.id))[0].job
        if not self._controller.rights.may_read(job, owner):
            raise NotAllowed(
                f"cannot show the script of job {job.display_id}: "
                f"it belongs to {job.owner.user_name}",
                "ESLURM_USER_ID_MISSING",
            )
        return self._controller.script(job)

    def _nodes(self, _request: None, _: Owner) -> tuple[NodeView, ...]:
        return tuple(map(node_view, self._controller.nodes()))

    def _tally(self, request: JobsRequest, _: Owner) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for jobs in self._records.jobs_of_each([_ref(text) for text in request.ids]).values():
            for job in jobs:
                tasks = 1 if job.array is None else len(job.array)
                counts[job.state] = counts.get(job.state, 0) + tasks
        return counts

    def _wait(self, request: JobsRequest, _: Owner) -> Generator[UntilEnded, Sequence[Job], bytes]:
        refs = [_ref(text) for text in request.ids]
        found = self._records.jobs_of_each(refs)
        heard: set[int] = set()
        # A task that was about to start may have gone back to its array: then look again. What
        # ended in this very turn is not on record, and would be awaited for ever.
        while awaited := set(awaited_ids(found)) - heard:
            ended = yield UntilEnded(tuple(sorted(awaited)))
            heard |= awaited
            if _are_all_over(ended, awaited) and not _may_part(found, awaited):
                found = named_by(refs, _over(found, ended))
                break
            found = self._records.jobs_of_each(refs)
        jobs = {job.job_id: job for named in found.values() for job in named}
        return _packed(tuple(self._records.views(list(jobs.values()))))

    # --- Changing.

    def _cancel(self, request: JobsRequest, owner: Owner) -> Changed:
        def cancel(ref: JobRef) -> None:
            self._records.jobs_of(ref)  # Raises UnknownJob, of which scancel is silent.
            self._controller.cancel(ref, owner)

        return _each(request, cancel)

    def _hold(self, request: JobsRequest, owner: Owner) -> Changed:
        return _each(request, lambda ref: self._controller.hold(ref, owner, as_user=True))

    def _release(self, request: JobsRequest, owner: Owner) -> Changed:
        return _each(request, lambda ref: self._controller.release(ref, owner))

    def _requeue(self, request: JobsRequest, owner: Owner) -> Changed:
        hold = request.hold
        return _each(request, lambda ref: self._controller.requeue(ref, owner, hold=hold))

    # --- The daemon.

    def _status(self, _request: None, _: Owner) -> Mapping[str, Any]:
        nodes = self._controller.nodes()
        cpus = {
            "total": sum(status.node.cpus for status in nodes),
            "allocated": sum(status.allocated_cpus for status in nodes),
        }
        memory = {
            "total": sum(status.node.memory_mib for status in nodes),
            "allocated": sum(status.allocated_memory_mib for status in nodes),
        }
        return {
            "cpus": cpus,
            "memory_mib": memory,
            "jobs": self._listing.counts(),
            **self._household.status(),
        }

    def _shutdown(self, request: Stop, owner: Owner) -> Generator[UntilEnded, Sequence[Job], bytes]:
        """Stop; with ``cancel`` only when all jobs have ended, so that nothing is left running."""
        self._controller.rights.check_keeper(owner)
        if request.cancel:
            jobs = list(self._controller.active_jobs())
            for job in jobs:
                self._controller.cancel(JobRef(job.job_id), owner)
            if jobs:
                yield UntilEnded(tuple({job.array_job_id or job.job_id: None for job in jobs}))
        self._household.request_stop(cancel=request.cancel)
        return _packed(None)

    def _doctor(self, _request: None, owner: Owner) -> tuple[Finding, ...]:
        self._controller.rights.check_keeper(owner)
        return tuple(self._household.check())

    def _back_up(self, request: BackupRequest, owner: Owner) -> None:
        self._controller.rights.check_host(owner, f"back up to {request.path}")
        self._household.back_up(Path(request.path))


def _are_all_over(jobs: Sequence[Job], awaited: set[int]) -> bool:
    """Whether *jobs* are all that the ids name, and have ended: then nobody went back."""
    named = {job.job_id for job in jobs} | {job.array_job_id for job in jobs}
    return awaited <= named and all(job.state.has_ended for job in jobs)


def _may_part(found: Mapping[JobRef, Sequence[Job]], awaited: set[int]) -> bool:
    """Whether tasks are awaited by their common record, which one of them keeps in the end."""
    jobs = (job for named in found.values() for job in named)
    return any(job.array is not None and job.array_job_id not in awaited for job in jobs)


def _over(found: Mapping[JobRef, Sequence[Job]], ended: Sequence[Job]) -> list[Job]:
    """Return the jobs that were found over, and those that have ended since, by id."""
    over = {job.job_id: job for named in found.values() for job in named if job.state.has_ended}
    over |= {job.job_id: job for job in ended}
    return [job for _, job in sorted(over.items())]


def _each(request: JobsRequest, change: Callable[[JobRef], None]) -> Changed:
    """Change one job after the other; what one refuses does not keep the next from it."""
    refusals = {}
    for text in request.ids:
        try:
            change(_ref(text))
        except (errors.UserError, errors.Infeasible) as error:
            refusals[text] = _refusal(error)
    return Changed(refusals)


def _ref(text: str) -> JobRef:
    try:
        return parse_job_ref(text)
    except NotationError as error:
        raise InvalidSpec(str(error), "ESLURM_INVALID_JOB_ID") from None


def _refusal(error: StokerError) -> Refusal:
    return Refusal(type(error).__name__, printable(str(error)), getattr(error, "code", ""))


def _packed(result: object) -> bytes:
    try:
        return msgspec.msgpack.encode(result)
    except UnicodeEncodeError:
        # A path or a name holds bytes that are no text; it is shown with escapes.
        return msgspec.msgpack.encode(_escaped(msgspec.to_builtins(result)))


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return printable(value)
        case Mapping():
            return {_escaped(name): _escaped(entry) for name, entry in value.items()}
        case list() | tuple():
            return [_escaped(entry) for entry in value]
        case _:
            return value


def _as_mapping(entries: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` entries; of doubles the first counts, as with getenv(3)."""
    found: dict[str, str] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        found.setdefault(name, value)
    return found
