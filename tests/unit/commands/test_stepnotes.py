"""What srun -v tells, against what a real one told."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.commands.srun import srun
from stoker.commands.stepnotes import end_notes, launch_notes
from stoker.commands.taskends import ranges
from stoker.core.enums import JobState
from stoker.core.models import Step, TaskEnd
from stoker.worker.call import Attach, Request
from support.controller import FakeController, call_of, converse
from support.recordings import cases, parameters


def step(*tasks_per_node: int, layout: tuple[int, ...] = ()) -> Step:
    nodes = tuple(f"node{number}" for number in range(1, len(tasks_per_node) + 1))
    return Step(
        7,
        0,
        "0",
        "x",
        JobState.RUNNING,
        0.0,
        ntasks=sum(tasks_per_node),
        nodes=nodes,
        tasks_per_node=tasks_per_node,
        layout=layout,
    )


def is_told(line: str) -> bool:
    """Whether Stoker tells it, too: there are no plugins and no sockets to tell of."""
    return "debug:" not in line and "plugin loaded" not in line


@pytest.mark.parametrize(
    "case",
    parameters(each for each in cases("srun") if each["id"] in ("srun-verbose", "srun-verbose2")),
)
def test_tells_of_allocation_launch_and_ends(case: dict[str, Any]) -> None:
    controller = FakeController()
    controller.starts_at_once = True

    def replies(request: Request) -> Any:
        if isinstance(request, Attach):
            return 7
        ended = controller.step_records[1][-1]
        ended.end_at = controller.moment
        ended.ends = tuple(TaskEnd(task, 0) for task in range(ended.ntasks))
        return ended

    heard = converse(srun(call_of("srun", *case["cmd"][1:]), controller), replies=replies)
    number = "51" if case["id"] == "srun-verbose" else "52"
    theirs = [
        line.replace(f"jobid {number}", "jobid 1").replace(f"StepId={number}", "StepId=1")
        for line in filter(is_told, case["stderr"].splitlines())
    ]
    assert heard.err.splitlines() == theirs


def test_each_node_is_told_of_by_itself() -> None:
    assert launch_notes(step(2, 1, layout=(0, 1, 0))).splitlines()[1:] == [
        "srun: launching StepId=7.0 on host node1, 2 tasks: [0,2]",
        "srun: launching StepId=7.0 on host node2, 1 tasks: 1",
        "srun: launch/slurm: _task_start: Node node1, 2 tasks started",
        "srun: launch/slurm: _task_start: Node node2, 1 tasks started",
    ]


def test_of_a_node_that_a_plane_leaves_without_tasks_nothing_is_told() -> None:
    assert "node2" not in launch_notes(step(2, 0, layout=(0, 0)))


def test_a_bad_end_is_told_with_its_status_and_no_praise() -> None:
    told = end_notes(step(2, 1), [TaskEnd(0, 3), TaskEnd(1, 0), TaskEnd(2, 0, 9)])
    received = "Received task exit notification for 1 task of StepId=7.0"
    assert [
        line.removeprefix("srun: launch/slurm: _task_finish: ") for line in told.split("\n")
    ] == [
        f"{received} (status=0x0300).",
        f"{received} (status=0x0000).",
        "node1: task 1: Completed",
        f"{received} (status=0x0009).",
        "",
    ]


@pytest.mark.parametrize(
    ("tasks", "text"),
    [([3], "3"), ([1, 0], "0-1"), ([0, 2], "0,2"), ([0, 10, 20, 30], "0,10,20,30")],
)
def test_tasks_are_named_by_their_ranges(tasks: list[int], text: str) -> None:
    assert ranges(tasks) == text


@pytest.mark.parametrize(
    ("flags", "environment", "told"),
    [
        ((), {"SLURM_DEBUG": "2"}, "2"),
        (("-v",), {"SLURM_DEBUG": "2"}, "1"),
        (("-vv",), {}, "2"),
        ((), {"SLURM_DEBUG": "0"}, ""),
    ],
)
def test_a_variable_says_how_much_is_told_unless_flags_do(
    flags: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    controller = FakeController()
    call = call_of("srun", *flags, "--test-only", "true", environment=environment)
    heard = converse(srun(call, controller))
    assert heard.err.count("verbose             :") == bool(told)
    assert f"srun: verbose             : {told}\n" in heard.err or not told


def test_a_variable_that_is_no_number_is_refused() -> None:
    call = call_of("srun", "true", environment={"SLURM_DEBUG": "loud"})
    heard = converse(srun(call, FakeController()))
    assert (heard.err, heard.code) == (
        'srun: error: Invalid numeric value "loud" for --verbose.\n',
        1,
    )
