"""Why a job is where it is, in sentences: what `stoker why` says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.core.enums import JobState, Reason
from stoker.core.messages import Explanation, JobDetail, JobView, NodeView

_WAITING: Mapping[str, str] = {
    Reason.NONE: "It was submitted a moment ago: the scheduler has not looked at it yet.",
    Reason.PRIORITY: "Jobs before it in the queue are waiting, and it may not delay them.",
    Reason.RESOURCES: "It is first in line, and what it asks for is not free yet.",
    Reason.DEPENDENCY: "It waits for other jobs.",
    Reason.DEPENDENCY_NEVER_SATISFIED: "It waits for jobs that ended otherwise than it asked for: "
    "it will never start.",
    Reason.BEGIN_TIME: "It asked not to start before a time that has not come.",
    Reason.JOB_HELD_USER: "Its owner holds it.",
    Reason.REQUEUED_HELD: "It was requeued, and is held until somebody releases it.",
    Reason.JOB_HELD_ADMIN: "It is held by the administrator, or because it failed too often.",
    Reason.JOB_ARRAY_TASK_LIMIT: "As many tasks of its array run as its limit allows.",
    Reason.PARTITION_CONFIG: "It asks for more than its partition could ever give.",
    Reason.PARTITION_TIME_LIMIT: "Its time limit is longer than its partition allows.",
    Reason.PARTITION_NODE_LIMIT: "It asks for more nodes than its partition allows.",
    Reason.PARTITION_DOWN: "Its partition is down: jobs are taken in, none is started.",
    Reason.PARTITION_INACTIVE: "Its partition is inactive.",
    Reason.REQ_NODE_NOT_AVAIL: "A node that it needs is drained or down.",
    Reason.RESERVED_FOR_MAINTENANCE: "It would still run when a maintenance begins: a shorter time "
    "limit, where that is possible, lets it start before.",
    Reason.RESERVED_FOR_OTHERS: "What it asks for is reserved for others before it could end: a "
    "shorter time limit, where that is possible, lets it start before.",
    Reason.RESERVATION: "Its reservation has not begun, or is for others now.",
    Reason.RESERVATION_DELETED: "Its reservation is over, or was deleted: it waits until it is "
    "taken out of it, with `scontrol update jobid=ID reservationname=`.",
    Reason.BAD_CONSTRAINTS: "No node has the features that it asks for.",
    Reason.DEADLINE: "It cannot end before its deadline any more.",
    Reason.NODE_DOWN: "A node that it needs is down.",
    Reason.JOB_LAUNCH_FAILURE: "No job of its user can be started now; it is tried again soon.",
    Reason.LAUNCH_FAILED_HELD: "It could not be launched, and is held until somebody looks.",
}

_ENDED = {
    JobState.COMPLETED: "It ran to its end with exit code 0.",
    JobState.CANCELLED: "It was cancelled.",
    JobState.TIMEOUT: "It reached its time limit and was ended.",
    JobState.OUT_OF_MEMORY: "It used more memory than it asked for and was ended.",
    JobState.NODE_FAIL: "Its node failed while it ran.",
    JobState.PREEMPTED: "A job of higher priority took its place.",
    JobState.DEADLINE: "Its deadline passed.",
    JobState.BOOT_FAIL: "Its node did not come up.",
}

_RUNNING = {
    JobState.RUNNING: "It runs.",
    JobState.SUSPENDED: "It is suspended: its processes are stopped and keep their memory.",
    JobState.STOPPED: "It was stopped by a signal, and goes on when it is sent SIGCONT.",
    JobState.COMPLETING: "It is being ended: some of its processes are still there.",
}


def explain(
    detail: JobDetail, nodes: Sequence[NodeView], awaited: Sequence[JobView]
) -> Explanation:
    """Return why the job is where it is.

    Args:
        detail: The job.
        nodes: All nodes.
        awaited: The jobs that its dependency names, as far as they are known.
    """
    job = detail.job
    if job.state == JobState.PENDING:
        return Explanation(
            job=detail,
            summary=_WAITING.get(job.reason, f"It waits: {job.reason}."),
            facts=tuple(_facts_of_waiting(detail, nodes, awaited)),
            remedies=tuple(_remedies(job)),
        )
    return Explanation(job=detail, summary=_summary(job), facts=tuple(_facts_of_run(detail)))


def _summary(job: JobView) -> str:
    state = JobState(job.state)
    if state is JobState.FAILED:
        return _failure(job)
    return _ENDED.get(state) or _RUNNING.get(state, f"It is {state}.")


def _failure(job: JobView) -> str:
    code, _, number = job.exit_code.partition(":")
    if job.message:
        return f"It failed: {job.message}."
    if number != "0":
        return f"It failed: signal {number} ended it."
    return f"It failed: it ended with exit code {code}."


def _facts_of_waiting(
    detail: JobDetail, nodes: Sequence[NodeView], awaited: Sequence[JobView]
) -> list[str]:
    job = detail.job
    facts = [f"It asks for {_amount(job.cpus, job.memory_mib)}; {_free(nodes)}."]
    if detail.dependency:
        facts.append(f"Its dependency: {detail.dependency}.")
    facts += [f"Job {each.id} ({each.name}) is {each.state}." for each in awaited]
    facts += [
        f"Node {node.name} is {node.state}" + (f": {node.reason}." if node.reason else ".")
        for node in nodes
        if node.reason
    ]
    if job.message:
        facts.append(f"Last time: {job.message}.")
    return facts


def _facts_of_run(detail: JobDetail) -> list[str]:
    job = detail.job
    facts = []
    if job.message and job.state != JobState.FAILED:
        facts.append(f"{job.message}.")
    if len(detail.attempts) > 1:
        facts.append(f"This was attempt {len(detail.attempts)}.")
    if detail.attempts and detail.attempts[-1].max_rss_kib:
        last = detail.attempts[-1]
        facts.append(
            f"It used {last.user_s + last.system_s:.1f} s of CPU time and "
            f"{last.max_rss_kib / 1024:.0f} MiB of memory at most."
        )
    return facts


def _remedies(job: JobView) -> list[str]:
    match job.reason:
        case (
            Reason.JOB_HELD_USER
            | Reason.JOB_HELD_ADMIN
            | Reason.REQUEUED_HELD
            | Reason.LAUNCH_FAILED_HELD
        ):
            return [f"`stoker release {job.job_id}` lets it go."]
        case Reason.DEPENDENCY_NEVER_SATISFIED:
            return [
                f"`scontrol update jobid={job.job_id} dependency=` lets it go.",
                f"`stoker cancel {job.job_id}` gives it up.",
            ]
        case Reason.PARTITION_CONFIG | Reason.BAD_CONSTRAINTS | Reason.PARTITION_NODE_LIMIT:
            return [f"`stoker cancel {job.job_id}`, then submit it with a smaller request."]
        case Reason.PARTITION_TIME_LIMIT:
            return [f"`scontrol update jobid={job.job_id} timelimit=...` shortens its limit."]
        case Reason.REQ_NODE_NOT_AVAIL | Reason.NODE_DOWN:
            return ["`scontrol update nodename=... state=resume` brings the node back."]
        case _:
            return []


def _free(nodes: Sequence[NodeView]) -> str:
    cpus = sum(node.cpus - node.allocated_cpus for node in nodes)
    memory = sum(node.memory_mib - node.allocated_memory_mib for node in nodes)
    return f"{_amount(cpus, memory)} of {sum(node.cpus for node in nodes)} CPUs are free"


def _amount(cpus: int, memory_mib: int) -> str:
    return f"{cpus} {'CPU' if cpus == 1 else 'CPUs'} and {memory_mib} MiB"
