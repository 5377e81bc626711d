"""scancel: end jobs, array tasks and steps, or send them a signal.

What is named is done without looking at the queue; with filters or ``-i`` the jobs that match are
looked up first. Nothing that is unknown or over is an error unless ``-v`` asks for it.

Source: scancel(1); messages and exit codes are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from signal import SIGKILL
from typing import Any, Final

import msgspec

from stoker.commands.errors import code_of, exit_status, strerror
from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.options import (
    HELP,
    USAGE,
    VERSION_OPTION,
    EarlyAnswer,
    Option,
    Parsed,
    UsageError,
    parse,
)
from stoker.commands.standardinput import StandardInput
from stoker.core.enums import JobState
from stoker.core.errors import NotAllowed, StokerError, UnknownJob
from stoker.core.models import NO_TASK, Job
from stoker.core.units import (
    JobRef,
    NotationError,
    TaskSet,
    expand_hosts,
    parse_job_ref,
    parse_signal,
)
from stoker.worker.call import Answer, Call, Conversation, ReadFile, Request, Say
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("account", "A", "required", "only jobs of this account", value="NAME"),
    Option("batch", "b", help="signal only the batch script"),
    Option("clusters", "M", "required", "this cluster's name", value="NAMES"),
    Option("cron", "c", help="cancel scrontab jobs too", meaning="meaningless"),
    Option("ctld", help="signal by way of the controller", meaning="meaningless"),
    Option("full", "f", help="signal the batch script and all its children"),
    Option("hurry", "H", help="do not stage out burst buffers", meaning="meaningless"),
    Option("interactive", "i", help="ask before each job"),
    Option("me", help="only jobs of mine"),
    Option("name", "n", "required", "only jobs of this name", value="NAME", aliases=("jobname",)),
    Option("nodelist", "w", "required", "only jobs on these nodes", value="HOSTS"),
    Option("partition", "p", "required", "only jobs in this partition", value="NAME"),
    Option("qos", "q", "required", "only jobs of this quality of service", value="NAME"),
    Option("quiet", "Q", help="do not say what is not an error"),
    Option("reservation", "R", "required", "only jobs in this reservation", value="NAME"),
    Option("sibling", "", "required", "only on that sibling cluster", "meaningless", "NAME"),
    Option("signal", "s", "required", "the signal to send, KILL if not said", value="SIGNAL"),
    Option("state", "t", "required", "only jobs in these states", value="STATES"),
    Option("user", "u", "required", "only jobs of this user", value="NAME"),
    Option("verbose", "v", help="say what is done"),
    Option("wckey", takes="required", help="only jobs with this key", value="KEY"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_VARIABLES: Final[Mapping[str, str]] = {
    "SCANCEL_ACCOUNT": "account",
    "SCANCEL_NAME": "name",
    "SCANCEL_PARTITION": "partition",
    "SCANCEL_QOS": "qos",
    "SCANCEL_STATE": "state",
    "SCANCEL_USER": "user",
    "SCANCEL_WCKEY": "wckey",
}
_SWITCHES: Final[Mapping[str, str]] = {
    "SCANCEL_BATCH": "batch",
    "SCANCEL_CTLD": "ctld",
    "SCANCEL_FULL": "full",
    "SCANCEL_HURRY": "hurry",
    "SCANCEL_INTERACTIVE": "interactive",
    "SCANCEL_VERBOSE": "verbose",
}
_FILTERS: Final = frozenset(
    {"account", "me", "name", "nodelist", "partition", "qos", "reservation", "state", "user"}
    | {"wckey"}
)
_STATES: Final = {
    "PENDING": JobState.PENDING,
    "PD": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "R": JobState.RUNNING,
    "SUSPENDED": JobState.SUSPENDED,
    "S": JobState.SUSPENDED,
}
_NUMBERED: Final = re.compile(r"(\d+)(?:_(\d*|\[[^\]]*\]))?(?:\+\d+)?(?:\.(\d+))?", re.ASCII)


class _Order(msgspec.Struct):
    """What scancel is asked to do: to whom it applies and how."""

    refs: list[JobRef]
    filters: Parsed
    signal: int
    cancels_steps: bool
    """Whether steps are cancelled; who names KILL only signals them, unless ``--ctld`` is given."""
    scope: str
    """``leader``, ``all``, or ``children`` where neither ``-b`` nor ``-f`` was given."""
    verbose: int
    asks: bool
    user_id: int | None
    states: frozenset[JobState]
    nodes: frozenset[str]

    @property
    def is_by_filters(self) -> bool:
        """Whether jobs are looked at before anything is done to them: by filters, or to ask."""
        return self.asks or any(self.filters.has(name) for name in _FILTERS)

    @property
    def misses_jobs(self) -> bool:
        """Whether an id that nobody knows is an error, as where Slurm looks the jobs up first."""
        is_signal = self.filters.has("signal") or self.scope == "leader"
        return self.is_by_filters or (is_signal and not self.filters.has("ctld"))

    @property
    def ends_jobs(self) -> bool:
        """Whether jobs are cancelled, not only signalled."""
        return self.signal == SIGKILL and self.scope != "leader"


def scancel(call: Call, controller: Controller) -> Conversation:
    """Cancel or signal jobs."""
    try:
        parsed = parse("scancel", OPTIONS, call.argv)
        notes = _take_environment(call, parsed)
        cluster_heading("scancel", parsed.last("clusters"), controller)
        order = _order(call, controller, parsed)
    except (EarlyAnswer, UnknownCluster) as early:
        return early.answer
    told = _Told(call, controller, order)
    told.err = notes
    if not order.is_by_filters:
        for ref in order.refs:
            told.act(ref)
    else:
        yield from _act_on_chosen(told)
    return Answer(err=told.err, code=told.code)


class _Told:
    """Acts, and gathers what is to be said and the exit status."""

    def __init__(self, call: Call, controller: Controller, order: _Order) -> None:
        self.call = call
        self.controller = controller
        self.order = order
        self.err = ""
        self.code = 0

    def act(self, ref: JobRef) -> None:
        """Do what was ordered to one job, task or step."""
        if self.order.verbose:
            self.err += f"scancel: {self._announcement(ref)}\n"
        try:
            if ref.step:
                self._signal_step(ref)
            else:
                self._act_on_job(ref)
        except StokerError as error:
            self._say_failure(ref, error)

    def _announcement(self, ref: JobRef) -> str:
        what = f"{'step' if ref.step else 'job'} {ref}"
        if self.order.signal == SIGKILL:
            return f"Terminating {what}"
        return f"Signal {self.order.signal} to {what}"

    def _act_on_job(self, ref: JobRef) -> None:
        jobs = self.controller.find(ref)
        if all(job.state.has_ended for job in jobs):
            raise NotAllowed("the job is over", "ESLURM_ALREADY_DONE")
        by = self.call.owner
        is_waiting = all(job.state is JobState.PENDING for job in jobs)
        if self.order.ends_jobs or (is_waiting and self.order.signal == SIGKILL):
            self.controller.cancel(ref, by)
        else:
            self.controller.signal(ref, by, self.order.signal, self.order.scope)

    def _signal_step(self, ref: JobRef) -> None:
        job = self.controller.find(msgspec.structs.replace(ref, step=""))[0]
        steps = {step.step_id: step for step in self.controller.steps.of(job)}
        if ref.step not in steps or steps[ref.step].end_at:
            raise UnknownJob(str(ref))
        if self.order.cancels_steps:
            self.controller.steps.cancel(job, ref.step, self.call.owner)
        else:
            self.controller.steps.signal(job, ref.step, self.call.owner, self.order.signal)

    def _say_failure(self, ref: JobRef, error: StokerError) -> None:
        code = code_of(error)
        if self.order.misses_jobs and code == "ESLURM_INVALID_JOB_ID" and not self._knows(ref):
            self.miss(ref)
            return
        if not ref.step and code in ("ESLURM_ALREADY_DONE", "ESLURM_INVALID_JOB_ID"):
            if self.order.verbose:
                self._say(f"job id {ref}", code)
            return
        if ref.step and code == "ESLURM_ACCESS_DENIED":
            code = "ESLURM_USER_ID_MISSING"
        self._say(f"job step id {ref.job_id}" if ref.step else f"job id {ref}", code)
        self.code = max(self.code, exit_status(code))

    def miss(self, ref: JobRef) -> None:
        """Say that there is no such job."""
        self.code = max(self.code, 1)
        if not self.order.filters.has("quiet"):
            self._say(
                f"job step id {ref}" if ref.step else f"job id {ref}", "ESLURM_INVALID_JOB_ID"
            )

    def _knows(self, ref: JobRef) -> bool:
        return bool(_found(self.controller, msgspec.structs.replace(ref, step="")))

    def _say(self, what: str, code: str) -> None:
        self.err += f"scancel: error: Kill job error on {what}: {strerror(code)}\n"


def _take_environment(call: Call, parsed: Parsed) -> str:
    """Put what variables ask for before the options; return what is wrong with them."""
    environment = call.environment
    found: list[tuple[str, str | None]] = [
        (option, environment[name]) for name, option in _VARIABLES.items() if name in environment
    ]
    wrong = ""
    for name, option in _SWITCHES.items():
        value = environment.get(name, "false")
        if value.lower() in ("t", "true"):
            found.append((option, None))
        elif value.lower() not in ("f", "false"):
            wrong += f"scancel: error: Unrecognized {name} value: {value}\n"
    parsed.values[:0] = found
    return wrong


def _order(call: Call, controller: Controller, parsed: Parsed) -> _Order:
    signal = _signal(parsed)
    states = _states(parsed)
    user_id = _user_id(call, controller, parsed)
    refs = [_ref(word) for word in parsed.operands]
    if not refs and not any(parsed.has(name) for name in _FILTERS):
        raise _failure("scancel: error: No job identification provided\n")
    scope = "leader" if parsed.has("batch") else "all" if parsed.has("full") else "children"
    return _Order(
        refs=refs,
        filters=parsed,
        signal=signal,
        cancels_steps=signal == SIGKILL and (parsed.has("ctld") or not parsed.has("signal")),
        scope=scope,
        verbose=0 if parsed.has("quiet") else parsed.count("verbose"),
        asks=parsed.has("interactive"),
        user_id=user_id,
        states=states,
        nodes=_hosts(parsed),
    )


def _failure(text: str) -> UsageError:
    return UsageError(text, 1)


def _signal(parsed: Parsed) -> int:
    text = parsed.last("signal")
    if text is None:
        return SIGKILL
    try:
        return parse_signal(text)
    except NotationError:
        raise _failure(f"Unknown job signal: {text}\n") from None


def _states(parsed: Parsed) -> frozenset[JobState]:
    found = set()
    for word in (parsed.last("state") or "").upper().split(","):
        if word and word not in _STATES:
            raise _failure(
                f"Invalid job state specified: {parsed.last('state')}\n"
                "Valid job states are PENDING, RUNNING, and SUSPENDED\n"
            )
        if word:
            found.add(_STATES[word])
    return frozenset(found)


def _user_id(call: Call, controller: Controller, parsed: Parsed) -> int | None:
    """Return whose jobs are meant; None: everybody's, as only root may mean."""
    name = parsed.last("user")
    if name is not None:
        user_id = int(name) if name.isdecimal() and name.isascii() else controller.user_id(name)
        if user_id is None:
            raise _failure(f"scancel: error: Invalid user name: {name}\n")
        return user_id
    if parsed.has("me") or call.owner.user_id != 0:
        return call.owner.user_id
    return None


def _hosts(parsed: Parsed) -> frozenset[str]:
    text = parsed.last("nodelist")
    try:
        return frozenset(expand_hosts(text) if text else ())
    except NotationError:
        raise _failure(f"scancel: error: Invalid node list: {text}\n") from None


def _ref(word: str) -> JobRef:
    """Read an operand; ``5_`` means task 0, as strtol(3) has it in Slurm."""
    match = _NUMBERED.fullmatch(word)
    try:
        if match is None:
            raise _failure(f"scancel: error: Invalid job id {word}\n")
        return parse_job_ref(f"{match[1]}_0" if match[2] == "" else word)
    except NotationError:
        raise _failure(f"scancel: error: Invalid job id {word}\n") from None


def _act_on_chosen(told: _Told) -> Generator[Request, Any, None]:
    """Act on those jobs that the filters let through and, with ``-i``, the caller agrees to."""
    said = StandardInput()
    for ref in told.order.refs:
        if not _found(told.controller, msgspec.structs.replace(ref, step="")):
            told.miss(ref)
    for ref, job in list(_chosen(told.order, told.controller)):
        if told.order.asks:
            what = f"step_id={ref}" if ref.step else f"job_id={ref}"
            yield Say(out=f"Cancel {what} name={job.name} partition={job.shown_partition} [y/n]? ")
            if not (yield from _agrees(said)):
                continue
        told.act(ref)


def _agrees(said: StandardInput) -> Generator[ReadFile, Any, bool]:
    """Return whether the next line that begins with y or n is one with y; the end means no."""
    while (line := (yield from said.line())) is not None:
        if (letter := line.strip()[:1].lower()) in ("y", "n"):
            return letter == "y"
    return False


def _chosen(order: _Order, controller: Controller) -> Iterator[tuple[JobRef, Job]]:
    if not order.refs:
        for job in list(controller.active_jobs()):
            if _is_wanted(order, job):
                yield _ref_of(job), job
    for ref in order.refs:
        for job in _found(controller, msgspec.structs.replace(ref, step="")):
            if not job.state.has_ended and _is_wanted(order, job):
                narrowed = _narrowed(ref, job)
                yield msgspec.structs.replace(narrowed, step=ref.step), job


def _found(controller: Controller, ref: JobRef) -> Sequence[Job]:
    try:
        return controller.find(ref)
    except UnknownJob:
        return ()


def _is_wanted(order: _Order, job: Job) -> bool:
    spec, options = job.spec, order.filters
    pairs: Iterable[tuple[str, str]] = (
        ("account", spec.account),
        ("name", spec.name),
        ("partition", job.shown_partition),
        ("qos", spec.qos or "normal"),
        ("reservation", spec.reservation),
        ("wckey", spec.wckey),
    )
    return (
        all(options.last(name) in (None, value) for name, value in pairs)
        and order.user_id in (None, job.owner.user_id)
        and (not order.states or _base_of(job) in order.states)
        and (not order.nodes or _is_on(job, order.nodes))
    )


def _base_of(job: Job) -> JobState:
    """Return the state that counts: what a signal has stopped runs all the same."""
    return JobState.RUNNING if job.state is JobState.STOPPED else job.state


def _is_on(job: Job, nodes: frozenset[str]) -> bool:
    return job.allocation is not None and not nodes.isdisjoint(job.allocation.nodes)


def _ref_of(job: Job) -> JobRef:
    """Return what names this record and no other task of its array."""
    if job.array is not None:
        return JobRef(job.array_job_id, job.array.copy())
    if job.array_task_id != NO_TASK:
        return JobRef(job.array_job_id, TaskSet([job.array_task_id]))
    return JobRef(job.job_id)


def _narrowed(ref: JobRef, job: Job) -> JobRef:
    """Return what *ref* and the record have in common."""
    own = _ref_of(job)
    if ref.tasks is None or own.tasks is None:
        return own
    return JobRef(own.job_id, own.tasks.intersection(ref.tasks))
