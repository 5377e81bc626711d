"""States, the ways between them, reasons and exit codes, from what the code declares of them.

The diagram draws what all states of a group do alike once: from the group's box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from errno import EACCES, ENOENT
from typing import Final, NamedTuple

from docs.markdown import code, table
from stoker.core.enums import ENDED, HOLDING, JobState, Reason
from stoker.core.lifecycle import TRANSITIONS, Event
from stoker.core.models import Job, JobSpec, Owner
from stoker.core.units import format_exit_code
from stoker.engines.base import Ended, Failed
from stoker.worker.outcomes import (
    RAN_TOO_LONG,
    Outcome,
    launch_failure,
    lost,
    missed,
    on_request,
    outcome_of,
)

GROUPS: Final[Mapping[str, frozenset[JobState]]] = {"Holding": HOLDING, "Over": ENDED}
"""The boxes of the diagram: states that hold resources; states of what is over."""

_TITLES: Final = {"Holding": "holds resources", "Over": "over"}

_STATES: Final[Mapping[JobState, str]] = {
    JobState.PENDING: "It waits; its reason says for what.",
    JobState.RUNNING: "Its process is known to run.",
    JobState.SUSPENDED: "Its processes are stopped and keep their memory; its time stands still.",
    JobState.STOPPED: "It was sent SIGSTOP with `scancel`; its time runs on until SIGCONT.",
    JobState.COMPLETING: "It is being ended; processes of it may still be there.",
    JobState.COMPLETED: "It ended with exit code 0.",
    JobState.FAILED: "It ended with another exit code or by a signal, could not be started, or "
    "died with those who watched it.",
    JobState.CANCELLED: "Its user or root cancelled it.",
    JobState.TIMEOUT: "It ran into its time limit, or the site's, and was ended.",
    JobState.OUT_OF_MEMORY: "The kernel ended a process of it at its memory limit.",
    JobState.NODE_FAIL: "Its node failed, and it may not be requeued.",
    JobState.PREEMPTED: "A job of higher priority took its place.",
    JobState.DEADLINE: "It could not have ended before its deadline.",
    JobState.BOOT_FAIL: "Its node did not come up.",
    JobState.REQUEUED: "An attempt of it was ended to run again: `sacct -D` shows such attempts.",
    JobState.REQUEUE_HOLD: "It is on its way back to the queue, where it is held.",
    JobState.SPECIAL_EXIT: "It waits, held since it was requeued with `State=SpecialExit`.",
}

_REASONS: Final[Mapping[Reason, str]] = {
    Reason.NONE: "The scheduler has not looked at it yet, or nothing is to be said.",
    Reason.PRIORITY: "Jobs before it wait, and it may not delay them.",
    Reason.RESOURCES: "It is next, and what it asks for is not free.",
    Reason.DEPENDENCY: "It waits for other jobs.",
    Reason.DEPENDENCY_NEVER_SATISFIED: "A job that it waits for ended otherwise: it never starts.",
    Reason.BEGIN_TIME: "It asked not to start before a time to come; or it waits a while after a "
    "requeue.",
    Reason.JOB_HELD_USER: "Its owner holds it.",
    Reason.JOB_HELD_ADMIN: "Root holds it, or it was requeued too often.",
    Reason.REQUEUED_HELD: "It was requeued to be held until it is released.",
    Reason.JOB_ARRAY_TASK_LIMIT: "As many tasks of its array run as it allows.",
    Reason.PARTITION_CONFIG: "It asks for more than its partition could ever give.",
    Reason.PARTITION_TIME_LIMIT: "Its time limit is longer than its partition allows.",
    Reason.PARTITION_NODE_LIMIT: "It asks for more nodes than its partition has or allows.",
    Reason.PARTITION_DOWN: "Its partition is down: it takes jobs and starts none.",
    Reason.PARTITION_INACTIVE: "Its partition is inactive or gone.",
    Reason.INVALID_ACCOUNT: "Its account is no longer its user's, and that is enforced.",
    Reason.INVALID_QOS: "Its quality of service is no longer its user's, and that is enforced.",
    Reason.REQ_NODE_NOT_AVAIL: "A node that it needs is drained or down.",
    Reason.RESERVED_FOR_MAINTENANCE: "It would still run when a maintenance begins.",
    Reason.RESERVED_FOR_OTHERS: "What it asks for is reserved for others before it could end.",
    Reason.RESERVATION: "Its reservation has not begun, or is for others now.",
    Reason.RESERVATION_DELETED: "Its reservation is over, or was deleted.",
    Reason.BAD_CONSTRAINTS: "No node has the features that it asks for.",
    Reason.DEADLINE: "It cannot end before its deadline any more.",
    Reason.NODE_DOWN: "A node that it needs is down.",
    Reason.LICENSES: "It waits for licences that others hold.",
    Reason.JOB_LAUNCH_FAILURE: (
        "It could not be started, and its message says why; or a signal ended it."
    ),
    Reason.LAUNCH_FAILED_HELD: "It could not be started, and is held until somebody looks.",
    Reason.NON_ZERO_EXIT_CODE: "It ended with an exit code other than 0.",
    Reason.OUT_OF_MEMORY: "It ran into its memory limit.",
    Reason.TIME_LIMIT: "It ran into its time limit.",
    Reason.SYSTEM_FAILURE: "Its exit status could not be had.",
}


class Way(NamedTuple):
    """An arrow of the diagram: from a state or a group, on an event, to a state."""

    source: str
    event: Event
    target: JobState


def diagram() -> str:
    """Return the life cycle as Mermaid draws it."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR", "    [*] --> PENDING: Submitted"]
    for group, members in GROUPS.items():
        lines += [f'    state "{_TITLES[group]}" as {group} {{']
        lines += [f"        {state}" for state in JobState if state in members & reached()]
        lines += ["    }"]
    lines += [f"    {way.source} --> {way.target}: {way.event}" for way in ways()]
    return "\n".join([*lines, "```"])


def ways() -> list[Way]:
    """Return the arrows: what a whole group does alike is one."""
    found = []
    for event in Event:
        left = {source: target for (source, each), target in TRANSITIONS.items() if each is event}
        for group, members in GROUPS.items():
            targets = {left.get(state) for state in members & reached()}
            if len(targets) == 1 and (target := targets.pop()) is not None:
                found.append(Way(group, event, target))
                left = {source: end for source, end in left.items() if source not in members}
        found += [Way(source, event, target) for source, target in left.items()]
    return found


def reached() -> set[JobState]:
    """Return the states that a job can come to."""
    return {JobState.PENDING, *TRANSITIONS.values()}


def transitions() -> str:
    """Return the whole table: the states in which an event may happen, and where it leads."""
    rows = []
    for event in Event:
        pairs = [(source, to) for (source, each), to in TRANSITIONS.items() if each is event]
        for target in dict.fromkeys(to for _, to in pairs):
            sources = ", ".join(source for source, to in pairs if to is target)
            rows.append((str(event), sources, str(target)))
    return table(("event", "in these states", "leads to"), rows)


def all_states() -> str:
    """Return the table of the states."""
    rows = (
        (code(state), code(state.compact), _standing(state), _STATES[state]) for state in JobState
    )
    return table(("state", "short", "", "meaning"), rows)


def all_reasons() -> str:
    """Return the table of the reasons."""
    return table(("reason", "meaning"), ((code(reason), _REASONS[reason]) for reason in Reason))


def exit_codes() -> str:
    """Return what a job's exit code is after each kind of end."""
    rows = (
        (
            what,
            code(end.state),
            code(format_exit_code(end.code, end.signal)),
            code(end.reason) if end.reason != Reason.NONE else "",
        )
        for what, end in _ends()
    )
    return table(("what happened", "state", "exit code", "reason"), rows)


def _standing(state: JobState) -> str:
    if state not in reached():
        return "an attempt is over" if state is JobState.REQUEUED else "not used"
    if state.has_ended:
        return "over"
    return "holds resources" if state in HOLDING else "waits"


def _ends() -> Iterator[tuple[str, Outcome]]:
    """Yield each kind of end with what the daemon makes of it."""
    job = _job()
    yield "it ended with exit code 0", outcome_of(job, _end())
    yield "it ended with exit code 3", outcome_of(job, _end(exit_code=3))
    yield "signal 9 ended it", outcome_of(job, _end(signal=9))
    yield "it was cancelled before it ran", on_request(_job(JobState.CANCELLED), 0.0)
    yield "it was cancelled", on_request(_job(JobState.CANCELLED, start_at=1.0), 0.0)
    yield "it ran into its time limit", outcome_of(job, _end(why="timeout"))
    yield "it ran into its memory limit", outcome_of(job, _end(is_oom=True))
    yield "it was seen to hold more than its limit", outcome_of(job, _end(signal=9, why="memory"))
    yield "it could not end before its deadline any more", missed(0.0)
    yield "its program is not there", launch_failure(Failed("", "exec", ENOENT, "", 0.0))
    yield "its output could not be opened", launch_failure(Failed("", "stdout", EACCES, "", 0.0))
    yield "the worker died and the job with it, or nobody knows its exit status", lost(0.0)
    too_long = on_request(_job(JobState.TIMEOUT, exit_code=RAN_TOO_LONG), 0.0)
    yield "it outlived the site's maximum run time", too_long


def _job(ending: JobState | None = None, exit_code: int = 0, start_at: float = 0.0) -> Job:
    owner, spec = Owner(0, "", 0, ""), JobSpec(name="")
    return Job(1, spec, owner, 0.0, "", ending=ending, exit_code=exit_code, start_at=start_at)


def _end(
    *, exit_code: int = 0, signal: int = 0, why: str | None = None, is_oom: bool = False
) -> Ended:
    return Ended("", exit_code, signal, status_known=True, at=0.0, why=why, oom=is_oom)
