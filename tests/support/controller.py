"""A controller that holds jobs, partitions and nodes in memory, and notes what it is asked to do.

`converse` plays the caller's side of a command: its files, its descriptors, what it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from errno import EISDIR, ENOENT
from typing import Any

import msgspec

from stoker.core.accounts import Book, BookChange, Transaction, first_book
from stoker.core.enums import Hold, JobState
from stoker.core.errors import Infeasible, InvalidSpec, UnknownJob
from stoker.core.machine import Machine
from stoker.core.models import (
    Allocation,
    Job,
    JobSpec,
    Node,
    NodeShare,
    Owner,
    Partition,
    Step,
)
from stoker.core.notices import Trigger
from stoker.core.reservations import Reservation, ReservationWish
from stoker.core.settings import Settings
from stoker.core.units import JobRef
from stoker.scheduling.fairshare import Standing
from stoker.scheduling.placement import place
from stoker.scheduling.snapshot import Shape
from stoker.worker.admission import Admission
from stoker.worker.call import Answer, Call, Conversation, ReadFile, Request, Say
from stoker.worker.controller import Host, NodeStatus, TrialStart
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.requests import StepRequest, Submission
from stoker.worker.statistics import Statistics
from stoker.worker.stepdesk import TaskSample
from support.lookout import FakeLookout
from support.machines import free_node

ALICE = Owner(2001, "alice", 2001, "alice")
BOB = Owner(2002, "bob", 2002, "bob")
ROOT = Owner(0, "root", 0, "root")

NODES = (Node("node1", 0, 8, 16_000), Node("node2", 1, 8, 16_000))
PARTITIONS = (
    Partition(name="debug", nodes=("node1", "node2"), is_default=True),
    Partition(name="short", nodes=("node1", "node2"), max_time_s=600.0, default_time_s=300.0),
    Partition(name="long", nodes=("node1",), max_time_s=604_800.0, default_time_s=86_400.0),
)
MACHINE = Machine(
    nodes=NODES,
    partitions=PARTITIONS,
    default_mem_per_cpu_mib=1000,
    default_time_s=None,
    binds_cores=False,
)
"""The cluster of the recordings."""


class FakeDesk:
    """Reservations that are there, and what was asked of them."""

    def __init__(self) -> None:
        self.there: list[Reservation] = []
        self.calls: list[tuple[str, object]] = []

    def listed(self) -> Sequence[Reservation]:
        return self.there

    def create(self, wish: ReservationWish, by: Owner) -> str:
        self.calls.append(("create", wish))
        return wish.name or "made"

    def update(self, wish: ReservationWish, by: Owner) -> None:
        self._check(wish.name)
        self.calls.append(("update", wish))

    def delete(self, name: str, by: Owner) -> None:
        self._check(name)
        self.calls.append(("delete", name))

    def _check(self, name: str) -> None:
        if name not in [each.name for each in self.there]:
            raise InvalidSpec(f"there is no {name}", "ESLURM_RESERVATION_INVALID")


class FakeStepDesk:
    """The steps of a `FakeController`."""

    def __init__(self, controller: FakeController) -> None:
        self._controller = controller

    def samples(self, job: Job) -> Mapping[str, Sequence[TaskSample]]:
        return self._controller.sampled.get(job.job_id, {})

    def create(self, job: Job, by: Owner, request: StepRequest) -> Step | None:
        self._controller.note("create_step", job.job_id, request)
        if self._controller.free_steps and not self._controller.free_steps.pop(0):
            return None
        steps = self._controller.step_records.setdefault(job.job_id, [])
        step = Step(
            job_id=job.job_id,
            attempt=0,
            step_id=str(len(steps)),
            name=request.name,
            state=JobState.RUNNING,
            start_at=self._controller.moment,
            ntasks=request.ntasks,
            nodes=("node1",),
            tasks_per_node=(request.ntasks,),
        )
        steps.append(step)
        return step

    def is_terminal(self, handle: int) -> bool:
        return self._controller.has_terminal

    def detach(self, descriptors: Sequence[int]) -> None:
        self._controller.note("detach", tuple(descriptors))

    def of(self, job: Job) -> Sequence[Step]:
        return self._controller.step_records.get(job.job_id, [])

    def signal(self, job: Job, step_id: str, by: Owner, signal: int) -> None:
        self._controller.note("signal_step", job.job_id, step_id, by.user_name, signal)

    def cancel(self, job: Job, step_id: str, by: Owner) -> None:
        self._controller.note("cancel_step", job.job_id, step_id, by.user_name)

    def limit(self, job: Job, step_id: str, by: Owner, time_limit_s: float | None) -> None:
        self._controller.note("limit_step", job.job_id, step_id, by.user_name, time_limit_s)


class FakeController:
    """The queue as commands see it, without scheduler, database and engine."""

    cluster_name = "test"
    names_directory = ""

    def __init__(self, machine: Machine = MACHINE, now: float = 1_795_495_069.0) -> None:
        self.machine = machine
        self.admission = Admission(machine, Settings())
        self.moment = now
        self.jobs: dict[int, Job] = {}
        self.step_records: dict[int, list[Step]] = {}
        self.reservations = FakeDesk()
        self.steps = FakeStepDesk(self)
        self.lookout = FakeLookout(self)
        self.submissions: list[Submission] = []
        self.calls: list[tuple[Any, ...]] = []
        self.refusals: dict[str, Exception] = {}
        """What the method of that name raises."""
        self.sampled: dict[int, Mapping[str, Sequence[TaskSample]]] = {}
        self.next_id = 1
        self.starts_at_once = False
        """Whether an interactive job runs from its submission on."""
        self.kept_triggers: list[Trigger] = []
        self.crontabs: dict[int, str] = {}
        self.has_terminal = True
        """Whether the output of callers is a terminal."""
        self.free_steps: list[bool] = []
        """For each step that is asked for, whether it can begin; then all can."""
        self.accounts = first_book()
        self.administrators = {"root"}
        self.served_users = {0, ALICE.user_id}
        self.changes_of_book: list[BookChange] = []

    # Looking.

    def now(self) -> float:
        return self.moment

    def partitions(self) -> Sequence[Partition]:
        return self.machine.partitions

    def nodes(self) -> Sequence[NodeStatus]:
        return [NodeStatus(node, "IDLE", 0, 0) for node in self.machine.nodes]

    def licenses(self) -> Mapping[str, tuple[int, int]]:
        return {name: (total, 0) for name, total in self.machine.licenses.items()}

    def statistics(self) -> Statistics:
        return Statistics(since=self.moment)

    def reset_statistics(self) -> None:
        self.note("reset_statistics")

    def host(self) -> Host:
        return Host("vm", "x86_64", "Linux")

    def configuration(self) -> Mapping[str, str]:
        return {
            "ClusterName": self.cluster_name,
            "MaxArraySize": "1001",
            "TaskPlugin": "task/affinity" if self.machine.binds_cores else "task/none",
        }

    def user_id(self, name: str) -> int | None:
        return {"alice": 2001, "bob": 2002, "root": 0}.get(name)

    def owner_named(self, name: str) -> Owner | None:
        known = {each.user_name: each for each in (ALICE, BOB, ROOT)}
        return known.get(name) or {str(each.user_id): each for each in known.values()}.get(name)

    def group_id(self, name: str) -> int | None:
        return {"alice": 2001, "bob": 2002, "root": 0, "staff": 3001, "100": 100}.get(name)

    def may_submit_for(self, owner: Owner, by: Owner) -> bool:
        return by.user_id == 0 and self.serves(owner.user_id)

    def home_of(self, user_name: str) -> str:
        return f"/home/{user_name}"

    def issue_token(self, user_name: str, lifespan_s: int) -> str:
        return f"token of {user_name} until {self.moment + lifespan_s:.0f}"

    def token_user(self, token: str) -> str:
        words = token.split(" ")
        is_good = words[:2] == ["token", "of"] and float(words[-1]) > self.moment
        return words[2] if is_good else ""

    def book(self) -> Book:
        return self.accounts

    def standings(self) -> Mapping[int, Standing]:
        return {}

    def is_administrator(self, by: Owner) -> bool:
        return by.user_name in self.administrators

    @property
    def rights(self) -> Any:
        return self

    def serves(self, user_id: int) -> bool:
        return user_id in self.served_users

    def may_read(self, job: Job, by: Owner) -> bool:
        return by.user_id in (0, job.owner.user_id)

    def may_attend(self, job: Job, by: Owner) -> bool:
        return by.user_id in (0, job.owner.user_id)

    def check_keeper(self, by: Owner) -> None:
        self.note("check_keeper", by)

    def check_host(self, by: Owner, what: str) -> None:
        self.note("check_host", by, what)

    def change_book(self, change: BookChange) -> None:
        self.accounts = self.accounts.after(change)
        self.changes_of_book.append(change)

    def forget_usage(self, association_ids: Collection[int]) -> None:
        self.note("forget_usage", set(association_ids))

    def transactions(self, since: float, until: float) -> Sequence[Transaction]:
        done = [each for change in self.changes_of_book for each in change.transactions]
        return [each for each in done if since <= each.at <= until]

    def active_jobs(self) -> Iterable[Job]:
        return [job for job in self.jobs.values() if not job.state.has_ended]

    def recent_jobs(self) -> Sequence[Job]:
        return [job for job in self.jobs.values() if job.state.has_ended]

    def find(self, ref: JobRef) -> Sequence[Job]:
        found = [job for job in self.jobs.values() if _is_named(job, ref)]
        if not found:
            raise UnknownJob(str(ref))
        return found

    def recorded_jobs(self, query: HistoryQuery) -> Sequence[Job]:
        ids = {ref.job_id for ref in query.refs}
        return [
            job for job in self.jobs.values() if not ids.isdisjoint((job.job_id, job.array_job_id))
        ]

    def history(self, query: HistoryQuery) -> Sequence[Record]:
        return [Record(job, (), ()) for job in self.recorded_jobs(query)]

    def last_allocations(self, jobs: Sequence[Job]) -> Mapping[int, Allocation]:
        return {job.job_id: job.allocation for job in jobs if job.allocation is not None}

    def shape(self, job: Job) -> Shape:
        return self.admission.shape(job)

    def reason(self, job: Job) -> str:
        return job.reason

    def expected_starts(self, job_ids: Sequence[int]) -> Mapping[int, float]:
        return {}

    def cpu_frequency_khz(self) -> int:
        return 2_600_000

    def script(self, job: Job) -> bytes:
        return self.submissions[-1].script if self.submissions else b""

    def environment(self, job: Job) -> Sequence[str]:
        return self.submissions[-1].environment if self.submissions else ()

    # Changing.

    def submit(self, submission: Submission) -> Job:
        self.note("submit", submission)
        job = self._job_of(submission)
        job.job_id, self.next_id = self.next_id, self.next_id + 1
        job.array_job_id = job.job_id if job.array is not None else 0
        self.submissions.append(submission)
        self.jobs[job.job_id] = job
        if self.starts_at_once:
            self.start(job)
        return job

    def try_submit(self, submission: Submission) -> TrialStart:
        self.note("try_submit", submission)
        job = self._job_of(submission)
        if self.admission.obstacle(job) is not None:
            raise Infeasible("Requested node configuration is not available")
        self.next_id += 1
        return TrialStart(self.next_id - 1, self.moment, ("node1",), job.spec.cpus, job.partition)

    def cancel(self, ref: JobRef, by: Owner) -> None:
        self.note("cancel", str(ref), by.user_name)

    def signal(self, ref: JobRef, by: Owner, signal: int, scope: str) -> None:
        self.note("signal", str(ref), by.user_name, signal, scope)

    def hold(self, ref: JobRef, by: Owner, *, as_user: bool = False) -> None:
        self.note("hold", str(ref), by.user_name, as_user)

    def release(self, ref: JobRef, by: Owner) -> None:
        self.note("release", str(ref), by.user_name)

    def requeue(self, ref: JobRef, by: Owner, *, hold: bool = False, special: bool = False) -> None:
        self.note("requeue", str(ref), by.user_name, hold, *(["special"] if special else []))

    def suspend(self, ref: JobRef, by: Owner) -> None:
        self.note("suspend", str(ref), by.user_name)

    def resume(self, ref: JobRef, by: Owner) -> None:
        self.note("resume", str(ref), by.user_name)

    def update(self, ref: JobRef, by: Owner, changes: Mapping[str, object]) -> None:
        self.note("update", str(ref), by.user_name, dict(changes))

    def update_node(self, name: str, by: Owner, state: str, reason: str) -> None:
        self.note("update_node", name, by.user_name, state, reason)

    def crontab(self, user_id: int) -> str:
        return self.crontabs.get(user_id, "")

    def set_crontab(self, owner: Owner, text: str, submissions: Sequence[Submission]) -> None:
        self.note("set_crontab", owner.user_name, text, tuple(submissions))
        self.crontabs[owner.user_id] = text

    def triggers(self) -> Sequence[Trigger]:
        return list(self.kept_triggers)

    def set_trigger(self, trigger: Trigger) -> None:
        self.note("set_trigger", trigger)
        if trigger.job_id and trigger.job_id not in self.jobs:
            raise UnknownJob(str(trigger.job_id))
        number = len(self.kept_triggers) + 1
        self.kept_triggers.append(msgspec.structs.replace(trigger, trigger_id=number))

    def clear_triggers(self, doomed: Sequence[Trigger], by: Owner) -> None:
        self.note("clear_triggers", [each.trigger_id for each in doomed], by.user_name)
        self.kept_triggers = [each for each in self.kept_triggers if each not in doomed]

    def update_partition(self, name: str, by: Owner, changes: Mapping[str, object]) -> None:
        self.note("update_partition", name, by.user_name, dict(changes))

    def finish_allocation(self, job: Job, code: int, signal: int) -> None:
        self.note("finish_allocation", job.job_id, code, signal)
        job.state = JobState.COMPLETED if (code, signal) == (0, 0) else JobState.FAILED

    # Beyond the protocol, for tests.

    def add(self, job_id: int, *, spec: Mapping[str, Any] | None = None, **fields: Any) -> Job:
        """Put a job in; *fields* are those of Job, *spec* those of its specification."""
        given = {"partition": "debug", "owner": ALICE, "submit_at": self.moment, **fields}
        job = Job(job_id=job_id, spec=JobSpec(**{"name": "wrap", **(spec or {})}), **given)
        self.jobs[job_id] = job
        self.next_id = max(self.next_id, job_id + 1)
        return job

    def start(self, job: Job) -> Job:
        """Let a job run where an idle machine would run it, else on node1."""
        idle = [free_node(node.cpus, name=node.name) for node in self.machine.nodes]
        shares = place(self.shape(job), idle) if job.spec_digest else None
        shares = shares or (NodeShare("node1", tuple(range(job.spec.cpus)), 1000),)
        job.state = JobState.RUNNING
        job.start_at = self.moment
        job.allocation = Allocation(job.job_id, 0, tuple(shares), "token", self.moment)
        return job

    def called(self, method: str) -> list[tuple[Any, ...]]:
        """Return the arguments of every call of a method."""
        return [call[1:] for call in self.calls if call[0] == method]

    def note(self, method: str, *arguments: Any) -> None:
        self.calls.append((method, *arguments))
        if method in self.refusals:
            raise self.refusals[method]

    def _job_of(self, submission: Submission) -> Job:
        if submission.array is not None and submission.array.tasks.last > 1000:
            raise InvalidSpec("Invalid job array specification", "ESLURM_INVALID_ARRAY")
        spec = submission.spec
        partition = self.admission.partition_of(spec)
        job = Job(
            job_id=0,
            spec=spec,
            spec_digest=repr(spec).encode("utf-8", "surrogateescape"),
            owner=submission.owner,
            submit_at=self.moment,
            partition=partition.name,
            hold=Hold.USER if submission.hold else Hold.NONE,
            time_limit_s=self.admission.time_limit_s(spec, partition),
            array=submission.array.tasks if submission.array else None,
        )
        self.admission.check(job)
        return job


def _is_named(job: Job, ref: JobRef) -> bool:
    if ref.tasks is None:
        return ref.job_id in (job.job_id, job.array_job_id)
    waiting = job.array is not None and any(task in job.array for task in ref.tasks)
    return job.array_job_id == ref.job_id and (waiting or job.array_task_id in ref.tasks)


class Heard(msgspec.Struct):
    """All that a caller was told, and what it was asked for on the way."""

    out: str
    err: str
    code: int
    requests: list[Request]


Reply = Callable[[Request], Any]


def converse(
    conversation: Answer | Conversation,
    *,
    files: Mapping[str, bytes] | None = None,
    replies: Reply | Iterable[Any] = (),
) -> Heard:
    """Play the caller of a command to its end.

    Args:
        files: By path as the command asks for it; ``"-"`` is standard input.
        replies: What other requests give, in order or by a function; an exception is thrown in.
    """
    if isinstance(conversation, Answer):
        return _heard(conversation, "", "", [])
    reply = replies if callable(replies) else _in_order(replies)
    out = err = ""
    requests: list[Request] = []
    gift: Any = None
    while True:
        try:
            request = _give(conversation, gift)
        except StopIteration as stop:
            return _heard(stop.value, out, err, requests)
        requests.append(request)
        match request:
            case Say():
                out, err, gift = out + "".join(request.out), err + request.err, None
            case ReadFile():
                gift = _file(request.path, files or {})
            case _:
                gift = reply(request)


def call_of(
    program: str,
    *argv: str,
    environment: Mapping[str, str] | None = None,
    work_dir: str = "/home/alice/work",
    owner: Owner = ALICE,
    **changes: Any,
) -> Call:
    """Return a call, by default of alice in her directory, in UTC."""
    surroundings = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", **(environment or {})}
    now = changes.pop("now", 1_795_495_069.0)
    return Call(program, argv, surroundings, work_dir, owner, now, **changes)


def _give(conversation: Generator[Request, Any, Answer], gift: Any) -> Request:
    if isinstance(gift, BaseException):
        return conversation.throw(gift)
    return conversation.send(gift)


def _in_order(replies: Iterable[Any]) -> Reply:
    rest = iter(replies)

    def reply(request: Request) -> Any:
        for gift in rest:
            return gift
        raise AssertionError(f"the command asked for more than the test gives: {request}")

    return reply


def _file(path: str, files: Mapping[str, bytes]) -> bytes | OSError:
    if path.startswith("-\n"):
        # Standard input in parts: of a pipe that gives all at once, or a terminal's lines.
        if "-\n1" in files:
            return b"t" + files.get(path, b"")
        return b"p" + (files.get("-", b"") if path == "-\n1" else b"")
    if path in files:
        return files[path]
    if any(name.startswith(f"{path}/") for name in files):
        return IsADirectoryError(EISDIR, "Is a directory", path)
    return FileNotFoundError(ENOENT, "No such file or directory", path)


def _heard(answer: Answer, out: str, err: str, requests: list[Request]) -> Heard:
    text = answer.out if isinstance(answer.out, str) else "".join(answer.out)
    return Heard(out + text, err + answer.err, answer.code, requests)
