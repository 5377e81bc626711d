"""sattach against what a real one said, and what it has its caller show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.sattach import sattach
from stoker.core.models import Step, StepOutput, TaskEnd
from stoker.worker.call import Follow
from stoker.worker.requests import StepRequest
from support.controller import BOB, FakeController, Heard, call_of, converse
from support.recordings import cases, parameters


def with_step(
    controller: FakeController | None = None, *, ntasks: int = 1, **fields: Any
) -> tuple[FakeController, Step]:
    controller = controller or FakeController()
    job = controller.start(controller.add(controller.next_id, spec={"ntasks": ntasks}))
    request = StepRequest(name="a", argv=("a",), environment=(), work_dir="/", ntasks=ntasks)
    step = controller.steps.create(job, job.owner, request)
    assert step is not None
    for name, value in fields.items():
        setattr(step, name, value)
    return controller, step


def attached(
    controller: FakeController, *argv: str, ends: Sequence[TaskEnd] = (), **surroundings: Any
) -> Heard:
    def reply(request: object) -> Any:
        if isinstance(request, Follow):
            return None
        (step,) = (each for steps in controller.step_records.values() for each in steps)
        step.ends, step.end_at = tuple(ends), controller.moment
        return step

    return converse(sattach(call_of("sattach", *argv, **surroundings), controller), replies=reply)


@pytest.mark.parametrize(
    "case",
    parameters(each for each in (*cases("misc2"), *cases("limits")) if "-sattach" in each["id"]),
)
def test_says_what_slurm_said(case: dict[str, Any]) -> None:
    controller = FakeController()
    controller.next_id = 2
    with_step(controller)
    words = case["cmd"] if isinstance(case["cmd"], list) else case["cmd"].split()
    heard = attached(controller, *words[1:])
    assert (heard.out, heard.err, heard.code) == (case["stdout"], case["stderr"], case["rc"])


def test_shows_the_files_of_a_step_and_ends_with_its_code() -> None:
    outputs = (StepOutput("/a/out", 7), StepOutput("/a/err.1", 0, 1))
    controller, _ = with_step(ntasks=2, outputs=outputs)
    heard = attached(controller, "1.0", ends=[TaskEnd(0, 4), TaskEnd(1, 2)])
    assert heard.requests[0] == Follow((("/a/out", 7, ""), ("/a/err.1", 0, "")))
    assert (heard.out, heard.err, heard.code) == ("", "", 4)


def test_one_tasks_files_can_be_picked_and_labelled() -> None:
    outputs = tuple(StepOutput(f"/a/{task}", 0, task) for task in range(11))
    controller, _ = with_step(ntasks=11, outputs=outputs)
    heard = attached(controller, "-l", "--output-filter=3", "1.0")
    assert heard.requests[0] == Follow((("/a/3", 0, " 3: "),))


@pytest.mark.parametrize(
    ("outputs", "argv"),
    [
        ((), []),
        ((StepOutput("/a", 0),), ["-l"]),
        ((StepOutput("/a", 0),), ["--error-filter=0"]),
    ],
)
def test_what_nobody_but_srun_can_tell_apart_is_refused_in_a_sentence(
    outputs: tuple[StepOutput, ...], argv: list[str]
) -> None:
    controller, _ = with_step(outputs=outputs)
    heard = attached(controller, *argv, "1.0")
    assert heard.err.startswith("sattach: error: cannot attach to StepId=1.0: ")
    assert heard.code == 1


def test_a_step_of_another_user_is_none_of_ours() -> None:
    controller, _ = with_step()
    heard = attached(controller, "1.0", owner=BOB)
    assert heard.err.endswith("Access/permission denied\n")


@given(st.lists(st.text(max_size=8), max_size=3))
def test_no_words_of_the_user_break_it(argv: list[str]) -> None:
    controller, _ = with_step()
    assert attached(controller, *argv).code in (0, 1)
