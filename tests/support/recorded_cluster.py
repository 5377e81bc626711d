"""The jobs of the cluster on which sacct's answers were recorded, as records of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stoker.core.accounts import Book, first_book
from stoker.core.enums import AllocationState, Hold, JobState
from stoker.core.models import (
    NO_TASK,
    Allocation,
    Job,
    JobSpec,
    Node,
    NodeShare,
    Owner,
    Step,
    Usage,
)
from stoker.core.units import JobRef, TaskSet
from stoker.scheduling.snapshot import Shape
from stoker.worker.controller import NodeStatus
from stoker.worker.history import HistoryQuery, Record
from support.lookout import FakeLookout

ALICE = Owner(2001, "alice", 2001, "alice")
BOB = Owner(2002, "bob", 2002, "bob")
ROOT = Owner(0, "root", 0, "root")

NOW = datetime(2026, 11, 24, 4, 52, 40, tzinfo=UTC).timestamp()
USAGE = Usage(user_s=0.014, system_s=0.012, max_rss_kib=10716)


def at(clock: str) -> float:
    """Return a time of the day of the recording."""
    minute, second = map(int, clock.split(":"))
    return datetime(2026, 11, 24, 4, minute, second, tzinfo=UTC).timestamp()


class RecordedCluster:
    """Answers what sacct asks of a controller; all else is missing."""

    cluster_name = "test"

    def __init__(self, records: Sequence[Record] | None = None, now: float = NOW) -> None:
        self.records = list(recorded_jobs() if records is None else records)
        self.moment = now
        self.asked: list[HistoryQuery] = []
        self.lookout = FakeLookout(self, per_look=3)

    def now(self) -> float:
        return self.moment

    def nodes(self) -> Sequence[NodeStatus]:
        nodes = [Node(f"node{number + 1}", number, 8, 16000) for number in range(2)]
        return [NodeStatus(node, "IDLE", 0, 0) for node in nodes]

    def group_id(self, name: str) -> int | None:
        return {"alice": ALICE.group_id, "bob": BOB.group_id, "root": 0}.get(name)

    def book(self) -> Book:
        return first_book()

    def user_id(self, name: str) -> int | None:
        return {"alice": 2001, "bob": 2002, "root": 0}.get(name)

    def shape(self, job: Job) -> Shape:
        spec = job.spec
        per_cpu = None if spec.mem_per_node_mib is not None else spec.mem_per_cpu_mib or 1000
        return Shape(
            partition=job.partition,
            priority_tier=1,
            nodes_min=spec.min_nodes or 1,
            nodes_max=spec.min_nodes or 2,
            tasks=spec.tasks,
            tasks_per_node=None,
            cpus_per_task=spec.cpus_per_task or 1,
            min_cpus_per_node=1,
            memory_per_node_mib=spec.mem_per_node_mib,
            memory_per_cpu_mib=per_cpu,
        )

    def reason(self, job: Job) -> str:
        return job.reason

    @property
    def rights(self) -> Any:
        return self

    def may_read(self, job: Job, by: Owner) -> bool:
        return by.user_id in (0, job.owner.user_id)

    def may_attend(self, job: Job, by: Owner) -> bool:
        return self.may_read(job, by)

    def script(self, _: Job) -> bytes:
        return b"#!/bin/sh\ntrue\n"

    def environment(self, _: Job) -> Sequence[str]:
        return ("A=1", "B=2")

    def history(self, query: HistoryQuery) -> Sequence[Record]:
        """Select as the real one does, by id; its window keeps what lived in it."""
        self.asked.append(query)
        return self._matching(query)

    def _matching(self, query: HistoryQuery) -> list[Record]:
        return sorted(
            (record for record in self.records if _is_wanted(record.job, query)),
            key=lambda record: record.job.job_id,
        )


def _is_wanted(job: Job, query: HistoryQuery) -> bool:
    return (
        (not query.refs or any(_is_named(job, ref) for ref in query.refs))
        and (not query.user_ids or job.owner.user_id in query.user_ids)
        and (not query.names or job.name in query.names)
        and (not query.partitions or job.partition in query.partitions)
        and (query.end_at is None or job.submit_at <= query.end_at)
        and (query.start_at is None or not job.end_at or job.end_at >= query.start_at)
    )


def _is_named(job: Job, ref: JobRef) -> bool:
    return ref.job_id in (job.job_id, job.array_job_id)


def recorded_jobs() -> list[Record]:
    """Return records as Stoker would hold them after the commands of the recording."""
    return [
        ended(
            1,
            "timeout",
            JobState.TIMEOUT,
            raw=(0, 15),
            limit_s=60.0,
            span=("50:41", "50:43", "52:10"),
        ),
        ended(
            2,
            "timetrap",
            JobState.TIMEOUT,
            raw=(5, 0),
            limit_s=60.0,
            span=("50:41", "50:43", "52:10"),
        ),
        ended(3, "ok", JobState.COMPLETED, span=("50:41", "50:43", "50:43")),
        ended(4, "exit3", JobState.FAILED, (3, 0), span=("50:43", "50:46", "50:46")),
        ended(5, "exit255", JobState.FAILED, (255, 0), span=("50:46", "50:49", "50:49")),
        ended(6, "sig1", JobState.FAILED, (0, 1), span=("50:49", "50:52", "50:52")),
        ended(7, "sig9", JobState.FAILED, (0, 9), span=("50:52", "50:55", "50:55")),
        ended(8, "sig11", JobState.FAILED, (0, 11), span=("50:55", "50:58", "50:58")),
        ended(9, "sig15", JobState.FAILED, (0, 15), span=("50:58", "51:01", "51:01")),
        ended(10, "sig6", JobState.FAILED, (0, 6), span=("51:01", "51:04", "51:04")),
        ended(11, "child9", JobState.FAILED, (137, 0), span=("51:04", "51:07", "51:07")),
        ended(12, "exit137", JobState.FAILED, (137, 0), span=("51:07", "51:10", "51:10")),
        ended(
            13,
            "steps",
            JobState.COMPLETED,
            cpus=2,
            span=("51:10", "51:10", "51:12"),
            spec={"ntasks": 2},
            steps=(
                step("0", "true", 2),
                step("1", "second", 1, (4, 0)),
                step("2", "sleep", 2, span=("51:10", "51:12")),
            ),
        ),
        ended(
            14,
            "stepfail",
            JobState.FAILED,
            (9, 0),
            span=("51:12", "51:13", "51:13"),
            steps=(step("0", "sh", 1, (9, 0), cpus=1),),
        ),
        ended(
            15,
            "stepsig",
            JobState.COMPLETED,
            span=("51:13", "51:16", "51:16"),
            steps=(step("0", "sh", 1, (0, 11), cpus=1),),
        ),
        ended(16, "nosuch", JobState.FAILED, (127, 0), span=("51:16", "51:19", "51:19")),
        ended(17, "launch", JobState.FAILED, (0, 53), raw=(0, 0), span=("51:19", "51:22", "51:22")),
        waiting(
            18, "canpend", JobState.CANCELLED, hold=Hold.USER, span=("51:22", "", "51:22"), by=2001
        ),
        ended(19, "canrun", JobState.CANCELLED, (0, 15), span=("51:22", "51:25", "51:26"), by=2001),
        ended(
            20, "cankill", JobState.CANCELLED, (0, 15), span=("51:26", "51:26", "51:27"), by=2001
        ),
        ended(21, "canroot", JobState.CANCELLED, (0, 15), span=("51:27", "51:27", "51:27"), by=0),
        ended(
            22,
            "mem",
            JobState.COMPLETED,
            memory=300,
            span=("51:27", "51:27", "51:31"),
            spec={"mem_per_node_mib": 300},
        ),
        ended(
            23,
            "overmem",
            JobState.FAILED,
            (0, 9),
            memory=50,
            span=("51:27", "51:27", "51:31"),
            spec={"mem_per_node_mib": 50},
        ),
        ended(26, "array", JobState.COMPLETED, task=(24, 1), span=("51:27", "51:27", "51:27")),
        ended(27, "array", JobState.FAILED, (1, 0), task=(24, 2), span=("51:27", "51:27", "51:27")),
        ended(24, "array", JobState.FAILED, (2, 0), task=(24, 3), span=("51:27", "51:27", "51:27")),
        waiting(
            25,
            "arrpend",
            JobState.PENDING,
            hold=Hold.USER,
            span=("51:27", "", ""),
            array=("1-19:3", 2),
        ),
        requeued(
            28,
            "requeued",
            JobState.REQUEUED,
            (0, 15),
            span=("51:27", "51:28", "51:28"),
            begin="53:30",
        ),
        ended(29, "bobjob", JobState.COMPLETED, owner=BOB, span=("51:28", "51:28", "51:28")),
        ended(
            30,
            "twonodes",
            JobState.COMPLETED,
            span=("51:28", "51:28", "51:31"),
            shares=(share(3, 300, "node1"), share(1, 100, "node2")),
            spec={
                "min_nodes": 2,
                "ntasks": 4,
                "mem_per_cpu_mib": 100,
                "account": "phys",
                "comment": "a comment",
            },
            steps=(step("0", "sleep", 4, cpus=4, nodes=("node1", "node2")),),
        ),
        ended(
            31,
            "gib",
            JobState.COMPLETED,
            cpus=2,
            memory=2048,
            limit_s=300.0,
            partition="short",
            span=("51:28", "51:28", "51:28"),
            spec={"cpus_per_task": 2, "mem_per_node_mib": 2048},
        ),
        ended(
            32,
            "direct",
            JobState.COMPLETED,
            cpus=2,
            span=("51:29", "51:29", "51:29"),
            spec={"ntasks": 2, "interactive": True},
            steps=(step("0", "direct", 2),),
        ),
        ended(
            33,
            "alloc",
            JobState.FAILED,
            (6, 0),
            span=("51:29", "51:29", "51:29"),
            spec={"interactive": True},
            steps=(step("0", "true", 1, cpus=1),),
        ),
        ended(
            34,
            "sfail",
            JobState.FAILED,
            (1, 0),
            cpus=2,
            span=("51:29", "51:29", "51:29"),
            spec={"ntasks": 2, "interactive": True},
            steps=(step("0", "sfail", 2, (1, 0)),),
        ),
        ended(35, "nodefail", JobState.NODE_FAIL, span=("51:29", "51:30", "51:31")),
        requeued(
            36,
            "nodefrq",
            JobState.NODE_FAIL,
            (0, 0),
            span=("51:31", "51:31", "51:31"),
            begin="53:33",
        ),
        running(
            37,
            "running",
            span=("51:33", "51:34"),
            limit_s=1800.0,
            steps=(step("0", "sleep", 1, None, cpus=1, span=("51:34", "")),),
        ),
        waiting(
            38, "deadline", JobState.PENDING, hold=Hold.USER, limit_s=60.0, span=("51:34", "", "")
        ),
    ]


def share(cpus: int, memory: int, node: str = "node1") -> NodeShare:
    return NodeShare(node, tuple(range(cpus)), memory)


def step(
    number: str,
    name: str,
    tasks: int,
    end: tuple[int, int] | None = (0, 0),
    *,
    cpus: int = 2,
    nodes: tuple[str, ...] = ("node1",),
    span: tuple[str, str] = ("51:10", "51:10"),
) -> Callable[[int], Step]:
    if end is None:
        state = JobState.RUNNING
    elif end[1]:
        state = JobState.CANCELLED
    else:
        state = JobState.FAILED if end[0] else JobState.COMPLETED
    code, signal = end or (0, 0)
    return lambda job_id: Step(
        job_id=job_id,
        attempt=0,
        step_id=number,
        name=name,
        state=state,
        start_at=at(span[0]),
        end_at=at(span[1]) if span[1] else 0.0,
        exit_code=code,
        exit_signal=signal,
        ntasks=tasks,
        cpus=cpus,
        nodes=nodes,
    )


def _job(
    job_id: int, name: str, state: JobState, spec: Mapping[str, object] | None, **fields: object
) -> Job:
    made = JobSpec(
        name=name,
        work_dir="/home/alice/sacct",
        submit_line=f"sbatch -J {name}",
        time_limit_s=fields.get("time_limit_s"),
        **(spec or {}),
    )
    fields = {"owner": ALICE, "partition": "debug", "priority": 1281, **fields}
    return Job(job_id=job_id, spec=made, state=state, **fields)


def ended(
    job_id: int,
    name: str,
    state: JobState,
    end: tuple[int, int] = (0, 0),
    *,
    span: tuple[str, str, str],
    raw: tuple[int, int] | None = None,
    cpus: int = 1,
    memory: int | None = None,
    shares: tuple[NodeShare, ...] = (),
    steps: Sequence[Callable[[int], Step]] = (),
    spec: Mapping[str, object] | None = None,
    limit_s: float | None = None,
    by: int = -1,
    task: tuple[int, int] = (0, NO_TASK),
    owner: Owner = ALICE,
    partition: str = "debug",
) -> Record:
    submit, start, over = map(at, span)
    job = _job(
        job_id,
        name,
        state,
        spec,
        submit_at=submit,
        eligible_at=submit,
        start_at=start,
        end_at=over,
        exit_code=end[0],
        exit_signal=end[1],
        ended_by=by,
        time_limit_s=limit_s,
        array_job_id=task[0],
        array_task_id=task[1],
        owner=owner,
        partition=partition,
    )
    code, signal = end if raw is None else raw
    attempt = Allocation(
        job_id=job_id,
        attempt=0,
        shares=shares or (share(cpus, memory if memory is not None else 1000 * cpus),),
        token="",
        reserved_at=start,
        state=AllocationState.RELEASED,
        allocated_at=start,
        released_at=over,
        end_state=state,
        exit_code=code,
        exit_signal=signal,
        usage=USAGE,
    )
    return Record(job, (attempt,), tuple(make(job_id) for make in steps))


def running(
    job_id: int,
    name: str,
    *,
    span: tuple[str, str],
    limit_s: float,
    steps: Sequence[Callable[[int], Step]] = (),
) -> Record:
    submit, start = map(at, span)
    job = _job(
        job_id,
        name,
        JobState.RUNNING,
        None,
        submit_at=submit,
        eligible_at=submit,
        start_at=start,
        time_limit_s=limit_s,
    )
    attempt = Allocation(
        job_id, 0, (share(1, 1000),), "", start, AllocationState.ALLOCATED, allocated_at=start
    )
    return Record(job, (attempt,), tuple(make(job_id) for make in steps))


def waiting(
    job_id: int,
    name: str,
    state: JobState,
    *,
    span: tuple[str, str, str],
    hold: Hold = Hold.NONE,
    by: int = -1,
    array: tuple[str, int] | None = None,
    limit_s: float | None = None,
) -> Record:
    job = _job(
        job_id,
        name,
        state,
        None,
        submit_at=at(span[0]),
        end_at=at(span[2]) if span[2] else 0.0,
        hold=hold,
        ended_by=by,
        time_limit_s=limit_s,
        array=TaskSet.parse(array[0]) if array else None,
        array_limit=array[1] if array else 0,
        array_job_id=job_id if array else 0,
    )
    return Record(job, (), ())


def requeued(
    job_id: int,
    name: str,
    past: JobState,
    raw: tuple[int, int],
    *,
    span: tuple[str, str, str],
    begin: str,
) -> Record:
    submit, start, over = map(at, span)
    job = _job(
        job_id,
        name,
        JobState.PENDING,
        None,
        submit_at=submit,
        restarts=1,
        begin_at=at(begin),
        reason="None",
    )
    node = "node2" if past is JobState.NODE_FAIL else "node1"
    attempt = Allocation(
        job_id,
        0,
        (share(1, 1000, node),),
        "",
        start,
        AllocationState.RELEASED,
        allocated_at=start,
        released_at=over,
        end_state=past,
        exit_code=raw[0],
        exit_signal=raw[1],
    )
    return Record(job, (attempt,), ())
