"""sbcast against what a real one said, and what it has its caller copy."""

from __future__ import annotations

from errno import EEXIST
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.sbcast import sbcast
from stoker.worker.call import CopyFile
from support.controller import BOB, FakeController, Heard, call_of, converse
from support.recordings import cases, parameters

HERE = "/home/alice/work"


def running() -> FakeController:
    controller = FakeController()
    controller.start(controller.add(1))
    return controller


def copied(
    *argv: str, controller: FakeController | None = None, reply: Any = None, **surroundings: Any
) -> Heard:
    call = call_of("sbcast", *argv, **surroundings)
    files = {f"{HERE}/payload": b"data"}
    return converse(sbcast(call, controller or running()), files=files, replies=lambda _: reply)


@pytest.mark.parametrize(
    "case",
    parameters(
        each
        for each in (*cases("misc2"), *cases("limits"))
        if "-sbcast" in each["id"] and "rc $?" not in each["cmd"]
    ),
)
def test_says_what_slurm_said(case: dict[str, Any]) -> None:
    words = case["cmd"] if isinstance(case["cmd"], list) else case["cmd"].split()
    heard = copied(*words[1:], environment=case.get("env"))
    assert (heard.out, heard.err, heard.code) == (case["stdout"], case["stderr"], case["rc"])


def test_the_caller_copies_as_itself_from_its_own_directory() -> None:
    heard = copied("-fp", "--jobid=1.0", "payload", "there")
    assert heard.requests[-1] == CopyFile(
        f"{HERE}/payload", f"{HERE}/there", replaces=True, preserves=True
    )
    assert (heard.out, heard.err, heard.code) == ("", "", 0)


def test_what_stands_in_the_way_does_so_on_each_node() -> None:
    heard = copied("-j1", "payload", "/b", reply=FileExistsError(EEXIST, "File exists"))
    assert heard.err == "sbcast: error: REQUEST_FILE_BCAST(node1): File exists\n"
    assert heard.code == EEXIST


@pytest.mark.parametrize(
    ("job_id", "why"),
    [
        ("9", "Invalid job id specified"),
        ("../1", "Invalid job id specified"),
        ("9" * 5000, "Invalid job id specified"),
        ("2", "Job is pending execution"),
    ],
)
def test_only_a_job_that_runs_has_nodes_to_copy_to(job_id: str, why: str) -> None:
    controller = running()
    controller.add(2)
    heard = copied("-j", job_id, "payload", "/b", controller=controller)
    assert heard.err == f"sbcast: error: Slurm job ID {job_id} lookup error: {why}\n"
    assert heard.code == 1


def test_another_users_job_is_none_of_ours() -> None:
    heard = copied("-j1", "payload", "/b", owner=BOB)
    assert heard.err.endswith("lookup error: Access/permission denied\n")


@given(st.lists(st.text(max_size=8), max_size=4))
def test_no_words_of_the_user_break_it(argv: list[str]) -> None:
    assert copied(*argv).code in (0, 1, 255)
