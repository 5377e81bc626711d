"""The environment of batch scripts and tasks, beside that of the same jobs on a real Slurm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from stoker.commands.sbatch import sbatch
from stoker.core.enums import JobState
from stoker.core.machine import Machine
from stoker.core.models import Allocation, Job, Node, NodeShare, Step
from stoker.scheduling.placement import place
from stoker.worker.environment import BatchVariables, repeated, step_variables, tasks_by_node
from support.controller import MACHINE, FakeController, call_of, converse
from support.machines import free_node, shape, waiting_job
from support.recordings import cases, parameters

# Set by the recording's own surroundings, by the process itself, or naming ports of Slurm's.
UNKNOWN_HERE = re.compile(
    r"(SLURM_CONF|SLURM_TASK_PID|SLURM_WORKING_CLUSTER|SLURM_(SRUN_COMM|STEP_LAUNCHER)_PORT|SRUN_DEBUG)="
)
UNLIKE = {
    "jobenv-exclusive": "a whole node brings no GPUs that nobody asked for",
}
GPUS = MACHINE.__class__(
    nodes=tuple(Node(f"node{number}", number - 1, 8, 16_000, {"gpu": 2}) for number in (1, 2)),
    partitions=MACHINE.partitions,
    default_mem_per_cpu_mib=1000,
    default_time_s=None,
    binds_cores=False,
)


def is_replayed(case: Mapping[str, Any]) -> bool:
    return (
        case["topic"] == "job environment"
        and isinstance(case["cmd"], list)
        and case["rc"] == 0
        and case["id"] not in UNLIKE
        and "env | grep -E '^(SLURM" in (case.get("script") or case.get("stdin") or "")
    )


def placed(job: Job, controller: FakeController) -> Allocation:
    free = [
        free_node(name=node.name, gres={name: range(n) for name, n in node.gres.items()})
        for node in controller.machine.nodes
    ]
    shares = place(controller.shape(job), free)
    assert shares is not None
    return Allocation(job.job_id, 0, tuple(shares), "token", 0.0)


@pytest.mark.parametrize("case", parameters(filter(is_replayed, cases("jobenv"))))
def test_a_batch_script_finds_what_it_found_under_slurm(case: dict[str, Any]) -> None:
    controller = FakeController(GPUS)
    controller.next_id = int(re.findall(r"\d+", case["stdout"])[0])
    call = call_of(*case["cmd"], environment=case.get("env"), work_dir="/home/alice/jobenv")
    text = (case.get("script") or case["stdin"]).encode()
    heard = converse(sbatch(call, controller), files={"job.sh": text, "-": text})
    assert heard.out == case["stdout"]
    submission, job = controller.submissions[0], controller.jobs[controller.next_id - 1]
    file, expected = next(iter(case["files"].items()))
    if submission.array is not None:
        job.array_job_id = job.job_id
        job.array_task_id = int(re.findall(r"_(\d+)", file)[0])
        job.job_id = int(re.findall(r"SLURM_JOB_ID=(\d+)", expected)[0])
    found: dict[str, str | None] = dict(entry.split("=", 1) for entry in submission.environment)
    batch = BatchVariables(controller.machine, "test", "vm", "/home/alice/stoker")
    found |= batch.common(job, placed(job, controller), controller.shape(job))
    found |= batch.own(job, placed(job, controller))
    lines = {f"{name}={value}" for name, value in found.items() if value is not None}
    shown = {
        line for line in lines if re.match("SLURM|SBATCH|CUDA|GPU|TMPDIR|HOSTNAME|ENVIR", line)
    }
    wanted = {line for line in expected.splitlines() if not UNKNOWN_HERE.match(line)}
    assert {line for line in shown if not UNKNOWN_HERE.match(line)} == wanted


def test_a_step_on_one_node_of_its_jobs_counts_that_one() -> None:
    job = FakeController().add(1, spec={"name": "sh", "ntasks": 4, "interactive": True})
    shares = tuple(NodeShare(node.name, (0, 1), 1000) for node in MACHINE.nodes[:2])
    own = shares[0].node
    step = Step(
        1, 0, "0", "sh", JobState.RUNNING, 0.0, ntasks=2, cpus=2, nodes=(own,), tasks_per_node=(2,)
    )
    found = step_variables(
        job,
        Allocation(1, 0, shares, "token", 0.0),
        shape(tasks=4),
        step,
        1,
        machine=MACHINE,
        cluster_name="test",
        host="vm",
        home="/home/alice/stoker",
        umask=0o022,
    )
    assert (found["SLURM_NNODES"], found["SLURM_JOB_NUM_NODES"]) == ("1", "2")
    assert (found["SLURM_STEP_NUM_NODES"], found["SLURM_STEP_NODELIST"]) == ("1", own)


STEPS = {
    "srun-v-plain": ((1,), (1,), None),
    "srun-v-n2": ((2,), (2,), None),
    "srun-v-c2": ((1,), (2,), 2),
    "srun-v-n2c2": ((2,), (4,), 2),
    "srun-v-N2": ((1, 1), (1, 1), None),
    "srun-v-N2n3": ((2, 1), (2, 1), None),
}
"""By recorded case: tasks and CPUs of each node, and the CPUs of a task if they were asked for."""


@pytest.mark.parametrize("case", parameters(each for each in cases("srun") if each["id"] in STEPS))
def test_a_task_of_srun_finds_what_it_found_under_slurm(case: dict[str, Any]) -> None:
    tasks, cpus, cpus_per_task = STEPS[case["id"]]
    nodes = tuple(node.name for node in MACHINE.nodes[: len(tasks)])
    job_id = int(re.findall(r"SLURM_JOB_ID=(\d+)", case["files"]["env.0"])[0])
    controller = FakeController()
    job = controller.add(job_id, spec={"name": "sh", "ntasks": sum(tasks), "interactive": True})
    shares = tuple(
        NodeShare(name, tuple(range(count)), 1000) for name, count in zip(nodes, cpus, strict=True)
    )
    step = Step(
        job_id,
        0,
        "0",
        "sh",
        JobState.RUNNING,
        0.0,
        ntasks=sum(tasks),
        cpus=sum(cpus),
        nodes=nodes,
        tasks_per_node=tasks,
    )
    wanted_shape = shape(tasks=sum(tasks), cpus_per_task=cpus_per_task or 1)
    for task in range(sum(tasks)):
        found = step_variables(
            job,
            Allocation(job_id, 0, shares, "token", 0.0),
            wanted_shape,
            step,
            task,
            machine=MACHINE,
            cluster_name="test",
            host="vm",
            home="/home/alice/stoker",
            umask=0o022,
            cpus_per_task=cpus_per_task,
        )
        lines = {f"{name}={value}" for name, value in found.items() if value is not None}
        lines.add("SLURM_SUBMIT_DIR=/home/alice/srun")
        wanted = set(case["files"][f"env.{task}"].splitlines())
        assert {line for line in wanted if not UNKNOWN_HERE.match(line)} == {
            line for line in lines if re.match("SLURM", line) and not UNKNOWN_HERE.match(line)
        }


def variables(job: Job, machine: Machine = MACHINE, **share: Any) -> dict[str, str | None]:
    allocation = Allocation(job.job_id, 0, (NodeShare("node1", (0,), 1000, **share),), "t", 0.0)
    return merged(BatchVariables(machine, "test", "vm", "/home/stoker"), job, allocation)


def merged(batch: BatchVariables, job: Job, allocation: Allocation) -> dict[str, str | None]:
    return {**batch.common(job, allocation, shape()), **batch.own(job, allocation)}


def test_a_job_always_finds_its_own_stoker() -> None:
    assert variables(FakeController().add(1))["STOKER_HOME"] == "/home/stoker"


def test_what_an_outer_job_left_is_taken_away() -> None:
    found = variables(FakeController().add(1))
    gone = {name for name, value in found.items() if value is None}
    assert {"SLURM_ARRAY_TASK_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"} <= gone


def test_a_second_run_knows_that_it_is_one() -> None:
    job = FakeController().add(1, restarts=1)
    assert variables(job)["SLURM_RESTART_COUNT"] == "1"


def test_jobs_submitted_alike_differ_in_what_is_their_own() -> None:
    batch = BatchVariables(MACHINE, "test", "vm", "/home/stoker")
    for job_id, more in enumerate(
        ({}, {"array_job_id": 7, "array_task_id": 3}, {"restarts": 2}, {})
    ):
        like = waiting_job(job_id + 1, **more)
        for cpus in ((0,), (1,), (0, 1)):
            allocation = Allocation(like.job_id, 0, (NodeShare("node1", cpus, 1000),), "t", 0.0)
            alone = BatchVariables(MACHINE, "test", "vm", "/home/stoker")
            assert merged(batch, like, allocation) == merged(alone, like, allocation)


def test_gpus_are_named_where_they_can_be_told_apart() -> None:
    one = Machine(
        nodes=(Node("node1", 0, 8, 16_000, {"gpu": 4}),),
        partitions=MACHINE.partitions,
        default_mem_per_cpu_mib=1000,
        default_time_s=None,
        binds_cores=False,
    )
    job = FakeController().add(1)
    found = variables(job, one, gres={"gpu": (1, 3)})
    assert found["CUDA_VISIBLE_DEVICES"] == found["SLURM_JOB_GPUS"] == "1,3"
    assert found["SLURM_GPUS_ON_NODE"] == "2"
    assert "CUDA_VISIBLE_DEVICES" not in variables(job, gres={"gpu": (0,)})


def test_equal_numbers_are_counted() -> None:
    assert repeated([]) == ""
    assert repeated([3]) == "3"
    assert repeated([2, 2, 1, 2]) == "2(x2),1,2"


@pytest.mark.parametrize(
    ("cpus", "ntasks", "expected"),
    [
        ((8,), None, [8]),
        ((8,), 2, [2]),
        ((2, 2), 3, [2, 1]),
        ((1, 1), 5, [1, 4]),
        ((4, 4), 2, [1, 1]),
    ],
)
def test_tasks_fill_node_after_node(
    cpus: tuple[int, ...], ntasks: int | None, expected: list[int]
) -> None:
    shares = [NodeShare(f"node{at}", tuple(range(count)), 0) for at, count in enumerate(cpus)]
    assert tasks_by_node(shape(), shares, ntasks) == expected
