"""The situations in which squeue's, sinfo's and scontrol's answers were recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from stoker.core.enums import Hold, JobState
from stoker.core.machine import Machine
from stoker.core.models import Allocation, Job, JobSpec, Node, NodeShare, Owner, Partition, Step
from stoker.core.units import TaskSet, parse_dependency
from stoker.worker.controller import Host, NodeStatus
from support.controller import ALICE, BOB, FakeController

HOST = Host(
    name="vm",
    architecture="x86_64",
    system="Linux 6.18.44-fc-v657 #1 SMP PREEMPT_DYNAMIC @0",
    booted_at=1795492300.0,
    started_at=1795496069.0,
)
THREE_NODES = tuple(Node(f"node{index + 1}", index, 8, 16_000, {"gpu": 2}) for index in range(3))
THREE_NAMES = tuple(node.name for node in THREE_NODES)
THREE_PARTITIONS = (
    Partition(name="debug", nodes=THREE_NAMES, is_default=True),
    Partition(
        name="short", nodes=THREE_NAMES, max_time_s=600.0, default_time_s=300.0, priority_tier=10
    ),
    Partition(name="long", nodes=("node1",), max_time_s=604_800.0, default_time_s=86_400.0),
)
THREE_NODE_MACHINE = Machine(THREE_NODES, THREE_PARTITIONS, 1000, None, binds_cores=False)


def at(clock: str) -> float:
    """Return a time of the day of the recordings."""
    return datetime.fromisoformat(f"2026-11-24T{clock}+00:00").astimezone(UTC).timestamp()


class RecordedQueue(FakeController):
    """A controller in one of the recorded situations."""

    def __init__(self, now: float, jobs: Iterable[Job] = (), **more: Any) -> None:
        super().__init__(now=now, **more)
        self.jobs = {job.job_id: job for job in jobs}
        self.starts: dict[int, float] = {}
        self.statuses: Sequence[NodeStatus] = super().nodes()

    def nodes(self) -> Sequence[NodeStatus]:
        return self.statuses

    def host(self) -> Host:
        return HOST

    def expected_starts(self, job_ids: Sequence[int]) -> Mapping[int, float]:
        return {job_id: self.starts[job_id] for job_id in job_ids if job_id in self.starts}

    def script(self, job: Job) -> bytes:
        return b"#!/bin/sh\n# This script was created by sbatch --wrap.\n\nsleep 1000\n"


def job(
    job_id: int,
    name: str,
    *,
    submit: str,
    start: str = "",
    node: str = "node1",
    cpus: Iterable[int] = (0,),
    memory_mib: int | None = None,
    owner: Owner = ALICE,
    partition: str = "debug",
    spec: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Job:
    """Return a job; one with a start has an allocation and runs, unless its state says more."""
    wanted = {"work_dir": "/home/alice/squeue", "stdout": "/dev/null", **(spec or {})}
    described = JobSpec(name=name, partition=partition, submit_line="sbatch", **wanted)
    made = Job(
        job_id,
        described,
        owner,
        at(submit),
        partition,
        spec_digest=msgspec.msgpack.encode(described),
        **{"reason": "None", **fields},
    )
    if start:
        held = NodeShare(
            node, tuple(cpus), 1000 * len(tuple(cpus)) if memory_mib is None else memory_mib
        )
        made.start_at = at(start)
        made.allocation = Allocation(job_id, 0, (held,), "token", made.start_at)
        if made.state is JobState.PENDING:
            made.state = JobState.RUNNING
    return made


def queue_of_squeue(now: float) -> RecordedQueue:
    """Return the eight jobs of ``squeue.jsonl``."""
    sent = "04:50:37"
    jobs = [
        job(
            1,
            "running",
            submit="04:50:34",
            start=sent,
            cpus=(0, 1),
            memory_mib=2048,
            spec={"ntasks": 2, "mem_per_node_mib": 2048, "comment": "a comment"},
            time_limit_s=86_400.0,
            priority=1312,
        ),
        job(2, "held", submit=sent, hold=Hold.USER, priority=1281, reason="JobHeldUser"),
        job(3, "later", submit=sent, begin_at=at("06:50:37"), priority=1281, reason="BeginTime"),
        job(
            4,
            "after",
            submit=sent,
            dependency=parse_dependency("afterok:1"),
            priority=1281,
            reason="Dependency",
        ),
        job(
            5,
            "array",
            submit=sent,
            array_job_id=5,
            array=TaskSet.parse("1-10:2"),
            array_limit=2,
            eligible_at=at(sent),
            priority=1281,
            reason="Priority",
        ),
        job(
            6,
            "verylongnameofajob",
            submit=sent,
            spec={"min_nodes": 2, "max_nodes": 2, "exclusive": True},
            time_limit_s=1800.0,
            eligible_at=at(sent),
            priority=1562,
            reason="Resources",
        ),
        job(
            7,
            "toolong",
            submit=sent,
            partition="short",
            time_limit_s=1200.0,
            eligible_at=at(sent),
            priority=1281,
            reason="PartitionTimeLimit",
        ),
        job(
            8,
            "bobs",
            submit=sent,
            start="04:51:04",
            node="node2",
            cpus=range(8),
            owner=BOB,
            spec={"ntasks": 8},
            time_limit_s=600.0,
            eligible_at=at(sent),
            priority=1500,
        ),
    ]
    queue = RecordedQueue(now, jobs)
    queue.starts = {6: at("04:50:37") + 86_400.0}
    return queue


def queue_of_arrays(now: float) -> RecordedQueue:
    """Return the arrays of ``more.jsonl``, the first of them with two tasks running."""
    listed = (
        "0,3,12,27,48,75,108,147,192,243,300,363,432,507,588,675,768,867,972,83,200,323,452,587,"
        "728,875,28,187,352,523,700,883,72,267,468,675,888,107,332,563"
    )
    running = {"array_job_id": 1, "array_limit": 2, "priority": 1281, "start": "05:01:20"}
    held = {"hold": Hold.USER, "reason": "JobHeldUser", "submit": "05:01:20"}
    jobs = [
        job(
            1,
            "arr",
            submit="05:01:17",
            array_job_id=1,
            array=TaskSet.parse("3-10"),
            array_limit=2,
            priority=1281,
            reason="JobArrayTaskLimit",
        ),
        job(2, "arr", submit="05:01:17", array_task_id=1, eligible_at=at("05:01:20"), **running),
        job(3, "arr", submit="05:01:17", array_task_id=2, eligible_at=at("05:01:20"), **running),
        job(4, "odd", array_job_id=4, array=TaskSet.parse("1-9:2,20,30-32"), **held),
        job(5, "wide", array_job_id=5, array=TaskSet.parse("0-999"), **held),
        job(6, "list", array_job_id=6, array=TaskSet.parse(listed), **held),
    ]
    for each in jobs:
        each.spec = msgspec.structs.replace(each.spec, work_dir="/home/alice/more")
    return RecordedQueue(now, jobs)


def queue_of_scontrol(now: float) -> RecordedQueue:
    """Return the jobs that ``scontrol.jsonl`` shows, running, waiting and ended ones."""
    here = {"work_dir": "/home/alice/scontrol"}
    array = {"submit": "04:54:44", "array_job_id": 8, "array_limit": 2, "priority": 1187}
    ended = {"priority": 1187, "spec": here}
    jobs = [
        job(
            4,
            "run",
            submit="04:54:38",
            start="04:54:41",
            cpus=(0, 1),
            memory_mib=1024,
            spec={
                **here,
                "ntasks": 2,
                "mem_per_node_mib": 1024,
                "comment": "some comment",
                "gres": "gpu:1",
            },
            time_limit_s=60.0,
            eligible_at=at("04:54:38"),
            priority=1208,
        ),
        job(
            5,
            "done",
            submit="04:54:41",
            start="04:54:44",
            cpus=(2,),
            state=JobState.FAILED,
            reason="NonZeroExitCode",
            exit_code=3,
            end_at=at("04:54:44"),
            eligible_at=at("04:54:41"),
            **ended,
        ),
        job(6, "held", submit="04:54:44", hold=Hold.USER, reason="JobHeldUser", spec=here),
        job(
            7,
            "dep",
            submit="04:54:44",
            dependency=parse_dependency("afterok:4"),
            reason="Dependency",
            **ended,
        ),
        job(
            8,
            "arr",
            array=TaskSet((5,)),
            eligible_at=at("04:54:47"),
            reason="JobArrayTaskLimit",
            spec=here,
            **array,
        ),
        *(
            job(
                job_id,
                "arr",
                array_task_id=task,
                start="04:54:47",
                cpus=(core,),
                eligible_at=at("04:54:47"),
                spec=here,
                **array,
            )
            for job_id, task, core in ((9, 1, 2), (10, 3, 3))
        ),
        job(
            11,
            "can",
            submit="04:54:47",
            start="04:54:50",
            cpus=(4,),
            state=JobState.CANCELLED,
            exit_signal=15,
            end_at=at("04:54:50"),
            eligible_at=at("04:54:47"),
            **ended,
        ),
        job(
            12,
            "sig",
            submit="04:54:50",
            start="04:54:53",
            cpus=(4,),
            state=JobState.FAILED,
            reason="JobLaunchFailure",
            exit_signal=9,
            end_at=at("04:54:53"),
            eligible_at=at("04:54:50"),
            **ended,
        ),
        job(
            13,
            "steps",
            submit="04:54:56",
            start="04:54:56",
            cpus=(4, 5),
            eligible_at=at("04:54:56"),
            spec={**here, "ntasks": 2},
            priority=1187,
        ),
    ]
    held = jobs[0].allocation
    assert held is not None
    held.shares = (msgspec.structs.replace(held.shares[0], gres={"gpu": (0,)}),)
    queue = RecordedQueue(now, jobs)
    queue.step_records = {13: [step(13, "0", "one", "04:54:56", 2)]}
    return queue


def queue_of_steps(now: float) -> RecordedQueue:
    """Return the job with two running steps of ``srun2.jsonl``."""
    made = job(
        41,
        "steps",
        submit="06:53:11",
        start="06:53:12",
        cpus=range(4),
        spec={"ntasks": 4},
        time_limit_s=1800.0,
    )
    queue = RecordedQueue(now, [made])
    queue.step_records = {
        41: [step(41, "0", "one", "06:53:12", 2), step(41, "2", "two", "06:53:13", 1)]
    }
    return queue


def step(job_id: int, step_id: str, name: str, start: str, tasks: int) -> Step:
    """Return a running step on node1 with a CPU for each task."""
    return Step(
        job_id=job_id,
        attempt=0,
        step_id=step_id,
        name=name,
        state=JobState.RUNNING,
        start_at=at(start),
        ntasks=tasks,
        cpus=tasks,
        nodes=("node1",),
        tasks_per_node=(tasks,),
    )


def three_nodes(*, is_idle: bool) -> RecordedQueue:
    """Return the three nodes of ``scontrol.jsonl``: idle, or one mixed, one full, one drained."""
    queue = RecordedQueue(at("04:54:35"), machine=THREE_NODE_MACHINE)
    if is_idle:
        queue.statuses = [_status(index, "IDLE", 0) for index in range(3)]
    else:
        reason = {"reason": "bad disk", "reason_at": at("04:54:35"), "reason_user": "root"}
        queue.statuses = [
            _status(0, "MIXED", 3, allocated_gres={"gpu": 1}),
            _status(1, "ALLOCATED", 8, allocated_gres={"gpu": 2}),
            _status(2, "IDLE+DRAIN", 0, **reason),
        ]
    return queue


def _status(index: int, state: str, cpus: int, **more: Any) -> NodeStatus:
    node = THREE_NODES[index]
    return NodeStatus(node, state, cpus, 1000 * cpus, free_memory_mib=22_313, load=0.38, **more)
