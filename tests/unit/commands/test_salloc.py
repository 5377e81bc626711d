"""salloc against what a real one said; its command is run by the caller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from errno import ENOENT, ENOTDIR
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands import joboptions
from stoker.commands.salloc import salloc
from stoker.core.enums import JobState, Reason
from stoker.worker.call import (
    Interrupted,
    ProgramEnd,
    ReadFile,
    Request,
    RunProgram,
    UntilStarted,
)
from support.controller import FakeController, Heard, call_of, converse
from support.recordings import cases, parameters

UNLIKE = {
    "srun2-sa-verbose": "it names Slurm's plugins",
    "srun2-sa-too-many-nodes": "it waits for ever",
    "srun2-sa-null-stdin": "its shell is a step of srun there, and the caller's own here",
    "srun2-sa-chdir-missing": "the caller's directories are played below",
}
REVOKED = re.compile(r"salloc: Job allocation \d+ has been revoked\.\n")
"""It comes or not there, by timing."""


class Caller:
    """Plays the caller's side: runs the program, or waits for the job."""

    def __init__(self, controller: FakeController, end: ProgramEnd) -> None:
        self.controller = controller
        self.end = end
        self.program: RunProgram | None = None
        self.interrupts: list[int] = []
        self.on_run = lambda: None

    def __call__(self, request: Request) -> Any:
        match request:
            case RunProgram():
                self.program = request
                self.on_run()
                return self.end
            case UntilStarted() if self.interrupts:
                return Interrupted(self.interrupts.pop(0))
            case UntilStarted():
                return self.controller.start(self.controller.jobs[request.job_id])
        raise AssertionError(request)


def started() -> FakeController:
    controller = FakeController()
    controller.starts_at_once = True
    return controller


def allocated(
    *argv: str,
    end: ProgramEnd | None = None,
    controller: FakeController | None = None,
    caller: Caller | None = None,
    **surroundings: Any,
) -> tuple[Heard, Caller]:
    controller = controller or started()
    caller = caller or Caller(controller, end or ProgramEnd(0))
    call = call_of("salloc", *argv, **surroundings)
    files = {"/tmp/here/file": b"", "file": b""}
    return converse(salloc(call, controller), files=files, replies=caller), caller


ENDS = {"srun2-sa-code": ProgramEnd(5), "srun2-sa-signal": ProgramEnd(0, 9)}


def is_replayed(case: Mapping[str, Any]) -> bool:
    return (
        case["id"].startswith(("srun2-sa-", "srun3-sa-"))
        and case["topic"] == "salloc"
        and isinstance(case["cmd"], list)
        and case["id"] not in UNLIKE
    )


@pytest.mark.parametrize(
    "case", parameters(filter(is_replayed, (*cases("srun2"), *cases("srun3"))))
)
def test_says_what_slurm_said(case: dict[str, Any]) -> None:
    controller = started()
    ids = re.findall(r"job allocation (\d+)|^job (\d+)", case["stderr"])
    controller.next_id = int(ids[0][0]) if ids else 1
    controller.starts_at_once = "Pending" not in case["stderr"]
    if case["id"] == "srun2-sa-time-over":
        controller.starts_at_once = False
        controller.reason = lambda _: Reason.PARTITION_TIME_LIMIT  # type: ignore[method-assign]
    argv = [word if word != "/tmp" else "/tmp/here" for word in case["cmd"][1:]]
    heard, _ = allocated(
        *argv, end=ENDS.get(case["id"]), controller=controller, environment=case.get("env")
    )
    if case["id"] == "srun3-sa-multi-step-rows":
        assert "Granted" in heard.err  # What its steps said is none of salloc's.
        return
    assert REVOKED.sub("", heard.err) == REVOKED.sub("", case["stderr"])
    if case["id"] != "srun2-sa-version":
        assert heard.out == ""  # What the command prints, it prints itself.
    assert heard.code == case["rc"]


@pytest.mark.parametrize(
    "case",
    parameters(
        each for each in cases("srun") if each["id"] in ("srun-v-salloc", "srun-v-salloc-N2")
    ),
)
def test_the_command_finds_what_it_found_under_slurm(case: dict[str, Any]) -> None:
    controller = started()
    controller.next_id = int(re.findall(r"SLURM_JOB_ID=(\d+)", case["stdout"])[0])
    _, caller = allocated(*case["cmd"][1:], controller=controller, work_dir="/home/alice/srun")
    assert caller.program is not None
    expected = {line for line in case["stdout"].splitlines() if "SLURM_CONF" not in line}
    assert set(caller.program.environment) == expected


def test_the_job_ends_as_the_command_did() -> None:
    controller = started()
    allocated("false", end=ProgramEnd(3), controller=controller)
    assert controller.called("finish_allocation") == [(1, 3, 0)]
    controller = started()
    heard, _ = allocated("sh", end=ProgramEnd(0, 9), controller=controller)
    assert controller.called("finish_allocation") == [(1, 0, 9)]
    assert heard.code == 0


def test_without_a_command_the_callers_shell_is_run() -> None:
    _, caller = allocated(environment={"SHELL": "/bin/zsh"})
    assert caller.program is not None
    assert caller.program.argv == ("/bin/zsh",)
    _, caller = allocated()
    assert caller.program is not None
    assert caller.program.argv == ("/bin/sh",)


def test_no_shell_leaves_the_allocation() -> None:
    controller = started()
    heard, caller = allocated("--no-shell", controller=controller)
    assert heard.err == "salloc: Granted job allocation 1\n"
    assert caller.program is None
    assert not controller.called("finish_allocation")


def test_a_command_that_cannot_be_run_is_told() -> None:
    heard, _ = allocated("nosuch", end=ProgramEnd(127, errno=ENOENT))
    assert 'Unable to exec command "nosuch": No such file or directory' in heard.err
    assert heard.code == 1


def test_a_missing_directory_is_told_before_anything_is_allocated() -> None:
    controller = started()
    heard, _ = allocated("-D", "/no/such", "pwd", controller=controller)
    assert heard == Heard(
        "",
        "salloc: error: chdir(/no/such): No such file or directory\n",
        1,
        [ReadFile("/no/such", 1)],
    )
    heard, _ = allocated("-D", "file", "pwd", controller=controller)
    assert f"{ENOTDIR}" not in heard.err
    assert "Not a directory" in heard.err
    assert not controller.called("submit")


def test_an_allocation_that_was_revoked_meanwhile_is_told() -> None:
    controller = started()
    caller = Caller(controller, ProgramEnd(0))
    caller.on_run = lambda: setattr(controller.jobs[1], "state", JobState.CANCELLED)
    heard, _ = allocated("sleep", "5", controller=controller, caller=caller)
    assert heard.err.endswith("salloc: Job allocation 1 has been revoked.\n")
    caller.on_run = lambda: setattr(controller.jobs[2], "state", JobState.TIMEOUT)
    heard, _ = allocated("sleep", "5", controller=controller, caller=caller)
    assert heard.err.endswith(
        "salloc: Job 2 has exceeded its time limit and its allocation has been revoked.\n"
    )


def test_the_signal_for_the_command_is_read_before_anything_is_allocated() -> None:
    _, caller = allocated("true")
    assert caller.program is not None
    assert (caller.program.ends_with, caller.program.kill_signal) == (1, 0)
    for argv, expected in ((["-K"], 15), (["-KUSR1"], 10), (["--kill-command=9"], 9)):
        _, caller = allocated(*argv, "true")
        assert caller.program is not None
        assert caller.program.kill_signal == expected
    controller = started()
    heard, _ = allocated("-Knonsense", "true", controller=controller)
    assert (heard.err, heard.code) == ("salloc: error: Invalid --kill-command specification\n", 255)
    assert not controller.called("submit")


def test_a_command_that_a_signal_ended_failed_unless_a_user_would_send_it() -> None:
    assert [allocated("true", end=ProgramEnd(0, each))[0].code for each in (9, 2, 15, 11)] == [
        *(0, 0),
        *(1, 1),
    ]


def test_who_is_interrupted_while_waiting_takes_the_job_back() -> None:
    controller = FakeController()
    caller = Caller(controller, ProgramEnd(0))
    caller.interrupts = [2]
    heard, _ = allocated("true", controller=controller, caller=caller)
    assert heard.err == (
        "salloc: Pending job allocation 1\n"
        "salloc: job 1 queued and waiting for resources\n"
        "salloc: Job aborted due to signal\n"
    )
    assert heard.code == 1
    assert controller.called("cancel") == [("1", "alice")]


words = st.one_of(
    st.text(max_size=12),
    st.builds(
        "--{}={}".format,
        st.sampled_from([option.long for option in joboptions.SALLOC]),
        st.text(max_size=12),
    ),
)


@given(st.lists(words, max_size=6))
def test_nothing_raises(argv: list[str]) -> None:
    heard, _ = allocated(*argv)
    assert 0 <= heard.code <= 255
