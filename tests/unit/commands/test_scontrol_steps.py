"""scontrol's words for steps: changing their time limits, and listing their processes."""

from __future__ import annotations

import pytest

from stoker.commands.scontrol import scontrol
from stoker.core.errors import NotAllowed
from stoker.worker.stepdesk import TaskSample
from support.controller import Heard, call_of, converse
from support.recorded_queue import RecordedQueue, at, queue_of_steps


@pytest.fixture
def queue() -> RecordedQueue:
    """The recorded job with two running steps, of which the second has a limit."""
    queue = queue_of_steps(at("06:53:16"))
    queue.step_records[41][1].time_limit_s = 300.0
    return queue


def updated(queue: RecordedQueue, *words: str) -> Heard:
    return converse(scontrol(call_of("scontrol", "update", *words), queue))


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        (["stepid=41.0", "timelimit=3"], [("0", 180.0)]),
        (["TimeLimit=10", "StepId=41.2"], [("2", 600.0)]),
        (["stepid=41.2", "ti=+1"], [("2", 360.0)]),
        (["stepid=41.2", "timelimit=-1"], [("2", 240.0)]),
        (["stepid=41.0", "timelimit=+1"], [("0", 60.0)]),
        (["stepid=41.2", "timelimit=UNLIMITED"], [("2", None)]),
        (["stepid=41.batch", "timelimit=3"], [("0", 180.0)]),
        (["stepid=41", "timelimit=3"], [("0", 180.0), ("2", 180.0)]),
    ],
)
def test_the_limit_of_steps_is_changed(
    queue: RecordedQueue, words: list[str], limits: list[tuple[str, float | None]]
) -> None:
    heard = updated(queue, *words)
    assert (heard.out, heard.err, heard.code) == ("", "", 0)
    assert queue.called("limit_step") == [
        (41, step_id, "alice", limit_s) for step_id, limit_s in limits
    ]


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (["stepid=41.0"], "No changes specified\n"),
        (["stepid=41.0", "timelimit=soon"], "scontrol: error: Invalid TimeLimit value\n"),
        (
            ["stepid=41.2", "timelimit=-9"],
            "scontrol: error: TimeLimit decrement larger than current time limit (9 > 5)\n",
        ),
        (["stepid=abc", "timelimit=3"], "scontrol: error: Invalid StepID parameter: stepid=abc\n"),
        (["stepid=41.7", "timelimit=3"], "slurm_update error: Invalid job id specified\n"),
        (["stepid=99.0", "timelimit=3"], "slurm_update error: Invalid job id specified\n"),
        (
            ["stepid=41.0", "name=x"],
            "Update of this parameter is not supported: name=x\nRequest aborted\n",
        ),
        (["stepid=41.0", "timelimit"], "Invalid input: timelimit\nRequest aborted\n"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    queue: RecordedQueue, words: list[str], err: str
) -> None:
    heard = updated(queue, *words)
    assert (heard.out, heard.err, heard.code) == ("", err, 1)
    assert not queue.called("limit_step")


def test_the_steps_of_others_are_not_changed(queue: RecordedQueue) -> None:
    queue.refusals["limit_step"] = NotAllowed("not yours")
    heard = updated(queue, "stepid=41.0", "timelimit=3")
    assert (heard.err, heard.code) == ("slurm_update error: Invalid user id\n", 1)


def listed(queue: RecordedQueue, *words: str) -> Heard:
    return converse(scontrol(call_of("scontrol", "listpids", *words), queue))


@pytest.fixture
def busy(queue: RecordedQueue) -> RecordedQueue:
    """The script with two sruns, a step of two tasks, and one whose task has started something."""
    held = queue.jobs[41].allocation
    assert held is not None
    held.pid = 100
    queue.sampled[41] = {
        "batch": [sample(0, 100, 101, 102)],
        "0": [sample(0, 110), sample(1, 111)],
        "2": [sample(0, 130, 120)],
        "1": [sample(0, 140)],
    }
    return queue


def sample(task: int, *pids: int) -> TaskSample:
    return TaskSample(
        task, pids, cpu_s=0, rss_kib=0, size_kib=0, pages=0, read_bytes=0, written_bytes=0
    )


HEADING = "PID      JOBID    STEPID   LOCALID GLOBALID\n"
BATCH = (
    "100      41       batch    0       0       \n"
    "101      41       batch    -       -       \n"
    "102      41       batch    -       -       \n"
)
SECOND = (
    "130      41       2        0       0       \n120      41       2        -       -       \n"
)
FIRST = "110      41       0        0       0       \n111      41       0        1       1       \n"


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ([], BATCH + SECOND + FIRST),
        (["*"], BATCH + SECOND + FIRST),
        (["41"], BATCH + SECOND + FIRST),
        (["41", "node1"], BATCH + SECOND + FIRST),
        (["41.0"], FIRST),
        (["41.batch"], BATCH),
    ],
)
def test_processes_are_listed_with_the_tasks_that_they_are(
    busy: RecordedQueue, words: list[str], rows: str
) -> None:
    heard = listed(busy, *words)
    assert (heard.out, heard.err, heard.code) == (HEADING + rows, "", 0)


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (["99"], "There are no steps for job 99 on node (null).\n"),
        (["41", "node2"], "There are no steps for job 41 on node node2.\n"),
        (["41.1"], "StepId=41.1 does not exist on node (null).\n"),
    ],
)
def test_what_does_not_run_there_is_said_so(
    busy: RecordedQueue, words: list[str], err: str
) -> None:
    heard = listed(busy, *words)
    assert (heard.out, heard.err, heard.code) == (HEADING, err, 1)


def test_what_is_no_id_has_no_processes(busy: RecordedQueue) -> None:
    heard = listed(busy, "abc")
    assert (heard.out, heard.err, heard.code) == ("", '"abc" does not look like a jobid\n', 1)


def test_where_nothing_runs_there_are_no_steps_at_all(busy: RecordedQueue) -> None:
    idle = RecordedQueue(busy.now())
    assert listed(idle).err == "No job steps exist on this node.\n"
