"""srun against what a real one said, and what it asks of controller and caller."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands import joboptions, variables
from stoker.commands.srun import srun
from stoker.core.enums import Hold, JobState, Reason
from stoker.core.errors import InvalidSpec
from stoker.core.models import Job, Step, TaskEnd
from stoker.worker.call import (
    Attach,
    CopyFile,
    Expired,
    Interrupted,
    Request,
    Say,
    UntilEnded,
    UntilStarted,
    UntilStepEnded,
    UntilStepFree,
)
from stoker.worker.requests import StepRequest
from support.commandlines import random_words
from support.controller import BOB, FakeController, Heard, call_of, converse
from support.recordings import cases, parameters

UNLIKE = {
    "srun-e-n-17": "it waits for ever",
    "srun-e-N-3": "it waits for ever",
    "srun-e-partition-down-immediate": "the partition is the controller's",
    "srun-e-partition-inactive-immediate": "the partition is the controller's",
    "srun-e-partition-drain-immediate": "the partition is the controller's",
}
HANDLE = 7


class Caller:
    """Plays the caller's side: gives descriptors, lets steps end, starts what waits."""

    def __init__(
        self,
        controller: FakeController,
        *ends: TaskEnd,
        interrupts: Sequence[int] = (),
        early: int = 0,
    ) -> None:
        self.controller = controller
        self.ends = ends
        self.interrupts = list(interrupts)
        self.early = early
        """How many tasks end before the others."""
        self.copies: list[Exception] = []
        """What comes of copying files; then all goes well."""
        self.on_start: Callable[[Job], object] = controller.start
        self.when_waiting: Callable[[], object] = lambda: None

    def __call__(self, request: Request) -> Any:
        match request:
            case Attach():
                return HANDLE
            case CopyFile():
                return self.copies.pop(0) if self.copies else None
            case _ if self.interrupts:
                return Interrupted(self.interrupts.pop(0))
            case UntilStarted():
                job = self.controller.jobs[request.job_id]
                self.on_start(job)
                return job
            case UntilStepFree():
                self.when_waiting()
                return self.controller.jobs[request.job_id]
            case UntilStepEnded(within_s=float()) | UntilEnded():
                return Expired()
            case UntilStepEnded(ends=0) if self.early:
                step = self.controller.step_records[request.job_id][-1]
                step.ends = self.ends[: self.early]
                return step
            case UntilStepEnded():
                return self.ended(self.controller.step_records[request.job_id][-1])
        raise AssertionError(request)

    def ended(self, step: Step) -> Step:
        step.end_at = self.controller.moment
        step.ends = self.ends or tuple(TaskEnd(task, 0) for task in range(step.ntasks))
        return step


def ran(
    *argv: str,
    ends: Sequence[TaskEnd] = (),
    interrupts: Sequence[int] = (),
    early: int = 0,
    controller: FakeController | None = None,
    **surroundings: Any,
) -> tuple[Heard, FakeController]:
    """Run srun outside an allocation; its job starts at once unless the controller says no."""
    if controller is None:
        controller = FakeController()
        controller.starts_at_once = True
    caller = Caller(controller, *ends, interrupts=interrupts, early=early)
    heard = converse(srun(call_of("srun", *argv, **surroundings), controller), replies=caller)
    return heard, controller


def request_of(controller: FakeController) -> StepRequest:
    (_, request) = controller.called("create_step")[-1]
    assert isinstance(request, StepRequest)
    return request


def is_replayed(case: Mapping[str, Any]) -> bool:
    return (
        case["topic"] == "srun: errors"
        and case["id"] not in UNLIKE
        and isinstance(case["cmd"], list)
    )


@pytest.mark.parametrize("case", parameters(filter(is_replayed, cases("srun"))))
def test_refuses_in_slurms_words(case: dict[str, Any]) -> None:
    heard, controller = ran(*case["cmd"][1:], environment=case.get("env"))
    assert (heard.out, heard.err, heard.code) == (case["stdout"], case["stderr"], case["rc"])
    assert not controller.jobs


BAD_VARIABLES = ("srun-n-bad-ntasks", "srun-n-bad-time", "srun-n-empty-ntasks", "srun-n-job-id")


@pytest.mark.parametrize(
    "case", parameters(each for each in cases("srun") if each["id"] in BAD_VARIABLES)
)
def test_refuses_wrong_variables_in_slurms_words(case: dict[str, Any]) -> None:
    heard, _ = ran(*case["cmd"][1:], environment=case["env"])
    assert (heard.err, heard.code) == (case["stderr"], case["rc"])


def test_is_silent_when_all_goes_well() -> None:
    heard, controller = ran("echo", "hello")
    waits = UntilStepEnded(1, "0", heeds_job=True, heeds_ending=True)
    assert heard == Heard("", "", 0, [Attach(1, "i"), waits])
    job = controller.jobs[1]
    assert (job.spec.interactive, job.name, job.spec.command) == (True, "echo", "echo")
    assert controller.submissions[0].script == b""
    assert controller.called("finish_allocation") == [(1, 0, 0)]


@pytest.mark.parametrize("words", ["--het-group=0", "--pack-group=0", "-E", "--preserve-env"])
def test_what_a_job_of_one_component_needs_not_is_let_go(words: str) -> None:
    heard, _ = ran(words, "true")
    assert (heard.err, heard.code) == ("", 0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1", "Requested het-group offset exceeds highest hetjob index (1 > 0)"),
        ("0-2", "Requested het-group offset exceeds highest hetjob index (2 > 0)"),
        ("x", "_parse_single_range: Invalid range: `x'\nsrun: error: Invalid --het-group value: x"),
        ("", "_parse_single_range: Invalid range: `'\nsrun: error: Invalid --het-group value: "),
    ],
)
def test_components_that_a_job_has_not_are_refused(value: str, said: str) -> None:
    heard, _ = ran(f"--het-group={value}", "true")
    assert (heard.err, heard.code) == (f"srun: error: {said}\n", 1)


def test_asks_for_the_step_that_was_meant() -> None:
    _, controller = ran(
        "-n2",
        "-c2",
        "-J",
        "name",
        "-D",
        "/tmp",
        "-o",
        "out.%t",
        "--open-mode=append",
        "./run",
        "-x",
        environment={"A": "one"},
        umask=0o027,
        rlimits={"core": (0, 0)},
    )
    request = request_of(controller)
    assert (
        request.submit_line == "srun -n2 -c2 -J name -D /tmp -o out.%t --open-mode=append ./run -x"
    )
    assert msgspec.structs.replace(request, environment=(), submit_line="") == StepRequest(
        name="name",
        argv=("/tmp/./run", "-x"),
        environment=(),
        work_dir="/tmp",
        ntasks=2,
        cpus_per_task=2,
        stdout="/tmp/out.%t",
        stderr=None,
        open_mode="a",
        umask=0o027,
        rlimits={"core": (0, 0)},
        descriptors=(HANDLE,),
    )
    assert "A=one" in request.environment
    assert "SLURM_SUBMIT_DIR=/home/alice/work" in request.environment


@pytest.mark.parametrize(
    ("argv", "streams"),
    [
        ([], ("", "", "")),
        (["-o", "none"], ("", "/dev/null", None)),
        (["-e", "none"], ("", "", "/dev/null")),
        (["-o", "all", "-i", "all"], ("", "", "")),
        (["-i", "none"], ("/dev/null", "", "")),
        (["-o", "o", "-e", "e"], ("", "/home/alice/work/o", "/home/alice/work/e")),
        (["-o", "5", "-n2"], ("", "/home/alice/work/5", None)),
        (["-o", "0"], ("", "", None)),
        (["-e", "0"], ("", "", "")),
    ],
)
def test_streams_are_the_callers_unless_they_are_files(
    argv: list[str], streams: tuple[str, str, str | None]
) -> None:
    _, controller = ran(*argv, "true")
    request = request_of(controller)
    assert (request.stdin, request.stdout, request.stderr) == streams


def test_export_leaves_what_it_names() -> None:
    environment = {"A": "one", "B": "bee", "SLURM_CONF": "kept", "HOME": "/home/alice"}
    _, controller = ran("--export=A", "true", environment=environment)
    names = {entry.partition("=")[0] for entry in request_of(controller).environment}
    assert names == {"A", "SLURM_CONF", "SLURM_SUBMIT_DIR"}


TASK_ENDS = {
    "srun-x-n4-same": [TaskEnd(task, 3) for task in range(4)],
    "srun-x-n4-reverse": [TaskEnd(task, 9 - task) for task in range(4)],
    "srun-x-one-of-4": [TaskEnd(0, 0), TaskEnd(1, 3), TaskEnd(2, 0), TaskEnd(3, 0)],
    "srun-x-two-of-4": [TaskEnd(0, 4), TaskEnd(1, 0), TaskEnd(2, 4), TaskEnd(3, 0)],
    "srun-x-signal-1": [TaskEnd(0, 0, 1)],
    "srun-x-signal-6": [TaskEnd(0, 0, 6)],
    "srun-x-signal-9": [TaskEnd(0, 0, 9)],
    "srun-x-signal-10": [TaskEnd(0, 0, 10)],
    "srun-x-signal-13": [TaskEnd(0, 0, 13)],
    "srun-x-signal-15": [TaskEnd(0, 0, 15)],
    "srun-x-signal-and-exit": [TaskEnd(0, 0, 9), TaskEnd(1, 5)],
    "srun-x-low-signal-high-exit": [TaskEnd(0, 0, 15), TaskEnd(1, 200)],
    "srun-x-255": [TaskEnd(0, 255)],
    "srun-x-130": [TaskEnd(0, 130)],
    "srun-x-notfound": [TaskEnd(0, 2, failed=True, message="exec")],
    "srun-x-notfound-path": [TaskEnd(0, 2, failed=True, message="exec")],
    "srun-x-notexecutable": [TaskEnd(0, 8, failed=True, message="exec")],
    "srun-x-directory": [TaskEnd(0, 13, failed=True, message="exec")],
    "srun-x-kill-zero-exit": [],
}


@pytest.mark.parametrize(
    "case", parameters(each for each in cases("srun") if each["id"] in TASK_ENDS)
)
def test_tells_of_ended_tasks_as_slurm_does(case: dict[str, Any]) -> None:
    controller = FakeController()
    controller.starts_at_once = True
    ids = re.findall(r"\d+", case["stdout"] + case["stderr"].partition("StepId=")[2])
    controller.next_id = int(ids[0]) if ids else 1
    heard, _ = ran(
        *case["cmd"][1:],
        ends=TASK_ENDS[case["id"]],
        controller=controller,
        work_dir="/home/alice/srun",
    )
    assert heard.err == case["stderr"].replace("slurmstepd-node1", "slurmstepd")
    assert heard.code == case["rc"]


def test_the_job_ends_as_its_tasks_did() -> None:
    _, controller = ran("-n2", "sh", ends=[TaskEnd(0, 3), TaskEnd(1, 5)])
    assert controller.called("finish_allocation") == [(1, 5, 0)]
    _, controller = ran("-n2", "sh", ends=[TaskEnd(0, 200), TaskEnd(1, 0, 15)])
    assert controller.called("finish_allocation") == [(1, 0, 15)]


def test_an_output_that_cannot_be_opened_is_told() -> None:
    heard, _ = ran("-o", "nodir/o", "sh", ends=[TaskEnd(0, 2, failed=True, message="stdout")])
    assert heard.err == "srun: error: Could not open stdout file: No such file or directory\n"
    assert heard.code == 1


# Waiting for the allocation.


def waiting() -> FakeController:
    controller = FakeController()
    controller.next_id = 208
    return controller


def test_says_that_it_waits_only_if_it_does() -> None:
    heard, _ = ran("true", controller=waiting())
    assert heard.err == (
        "srun: job 208 queued and waiting for resources\n"
        "srun: job 208 has been allocated resources\n"
    )
    assert heard.code == 0


def test_waits_quietly_if_asked_to() -> None:
    heard, _ = ran("-Q", "true", controller=waiting())
    assert heard.err == ""


def test_a_held_job_is_named_as_such() -> None:
    controller = waiting()
    caller = Caller(controller)
    caller.on_start = lambda job: setattr(job, "state", JobState.CANCELLED)
    heard = converse(srun(call_of("srun", "-H", "true"), controller), replies=caller)
    assert heard.err == (
        "srun: Job is in held state, pending scheduler release\n"
        "srun: job 208 queued and waiting for resources\n"
        "srun: Job has been cancelled\n"
        "srun: error: Unable to allocate resources: Job/step already completing or completed\n"
    )
    assert heard.code == 1
    assert controller.jobs[208].hold is Hold.USER


def test_a_job_that_cannot_start_is_told_so() -> None:
    controller = waiting()
    controller.reason = lambda _: Reason.PARTITION_CONFIG  # type: ignore[method-assign]
    heard, _ = ran("-n17", "true", controller=controller)
    assert heard.err.startswith("srun: Requested partition configuration not available now\n")


@pytest.mark.parametrize("number", [1, 2, 3, 15])
def test_who_is_interrupted_while_waiting_takes_the_job_back(number: int) -> None:
    heard, controller = ran("true", controller=waiting(), interrupts=[number])
    assert heard.err == (
        "srun: job 208 queued and waiting for resources\n"
        "srun: Job allocation 208 has been revoked\n"
        "srun: Force Terminated JobId=208\n"
    )
    assert heard.code == 1
    assert controller.called("cancel") == [("208", "alice")]


def test_signals_for_tasks_do_not_end_the_wait() -> None:
    heard, _ = ran("true", controller=waiting(), interrupts=[10, 12])
    assert heard.code == 0


@pytest.mark.parametrize("option", ["-I", "--immediate=1"])
def test_immediate_gives_up_at_once(option: str) -> None:
    heard, controller = ran(option, "true", controller=waiting())
    assert heard.err == "srun: error: Unable to allocate resources: Requested nodes are busy\n"
    assert heard.code == 1
    assert controller.called("cancel") == [("208", "alice")]


def test_immediate_waits_for_more_than_a_second_and_says_so() -> None:
    controller = waiting()

    def late(request: Request) -> Any:
        assert isinstance(request, UntilStarted)
        assert request.within_s == 2.0
        return Expired()

    call = call_of("srun", "--immediate=2", "true", environment={"SLURM_EXIT_IMMEDIATE": "8"})
    heard = converse(srun(call, controller), replies=late)
    assert heard.err == (
        "srun: job 208 queued and waiting for resources\n"
        "srun: error: Unable to allocate resources: Requested nodes are busy\n"
    )
    assert heard.code == 8
    assert controller.called("cancel") == [("208", "alice")]


# Signals while the tasks run.


def test_one_interrupt_shows_the_tasks_and_sends_nothing() -> None:
    heard, controller = ran("-n2", "sleep", "6", interrupts=[2])
    assert heard.err == (
        "srun: interrupt (one more within 1 sec to abort)\nsrun: StepId=1.0 tasks 0-1: running\n"
    )
    assert heard.code == 0
    assert not controller.called("signal_step")


def test_a_second_interrupt_within_a_second_ends_the_step() -> None:
    ends = [TaskEnd(0, 0, 2), TaskEnd(1, 0, 2)]
    heard, controller = ran("-n2", "sleep", "30", interrupts=[2, 2], ends=ends)
    stamped = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "TIME", heard.err)
    assert stamped == (
        "srun: interrupt (one more within 1 sec to abort)\n"
        "srun: StepId=1.0 tasks 0-1: running\n"
        "srun: sending Ctrl-C to StepId=1.0\n"
        "srun: forcing job termination\n"
        "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.\n"
        "slurmstepd: error: *** STEP 1.0 ON node1 CANCELLED AT TIME ***\n"
    )
    assert heard.code == 130
    assert controller.called("signal_step") == [(1, "0", "alice", 2)]


def test_without_status_the_first_interrupt_is_passed_on() -> None:
    heard, controller = ran("-X", "sleep", "30", interrupts=[2], ends=[TaskEnd(0, 0, 2)])
    assert heard.err == (
        "srun: sending Ctrl-C to StepId=1.0\nsrun: error: node1: task 0: Interrupt\n"
    )
    assert controller.called("signal_step") == [(1, "0", "alice", 2)]


@pytest.mark.parametrize(("number", "first"), [(15, ""), (1, ""), (3, "srun: Quit\n")])
def test_term_kills_the_step(number: int, first: str) -> None:
    heard, controller = ran("sleep", "30", interrupts=[number], ends=[TaskEnd(0, 0, 9)])
    stamped = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "TIME", heard.err)
    assert stamped == (
        f"{first}srun: forcing job termination\n"
        "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.\n"
        "slurmstepd: error: *** STEP 1.0 ON node1 CANCELLED AT TIME ***\n"
        "srun: error: node1: task 0: Killed\n"
    )
    assert heard.code == 137
    assert controller.called("signal_step") == [(1, "0", "alice", 9)]


@pytest.mark.parametrize("number", [10, 12])
def test_user_signals_are_passed_on(number: int) -> None:
    heard, controller = ran("sleep", "6", interrupts=[number])
    assert (heard.err, heard.code) == ("", 0)
    assert controller.called("signal_step") == [(1, "0", "alice", number)]


def test_with_a_terminal_an_interrupt_is_the_tasks() -> None:
    heard, controller = ran("--pty", "sh", interrupts=[2])
    assert (heard.err, heard.code) == ("", 0)
    assert controller.called("signal_step") == [(1, "0", "alice", 2)]


def test_tasks_of_a_cancelled_job_count_as_terminated() -> None:
    controller = FakeController()
    controller.starts_at_once = True
    caller = Caller(controller)

    def cancelled(step: Step) -> Step:
        controller.jobs[1].state = JobState.CANCELLED
        step.end_at = controller.moment
        return step

    caller.ended = cancelled  # type: ignore[method-assign]
    heard = converse(srun(call_of("srun", "-n2", "sleep", "30"), controller), replies=caller)
    stamped = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "TIME", heard.err)
    assert stamped == (
        "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.\n"
        "slurmstepd: error: *** STEP 1.0 ON node1 CANCELLED AT TIME ***\n"
        "srun: error: node1: tasks 0-1: Terminated\n"
    )
    assert heard.code == 143


ABORTED = "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.\n"
CANCELLED = "slurmstepd: error: *** STEP 1.0 ON node1 CANCELLED AT TIME ***\n"
LATE = "slurmstepd: error: *** STEP 1.0 ON node1 CANCELLED AT TIME DUE TO TIME LIMIT ***\n"
KILLED = "srun: error: node1: task 0: Killed\n"
TERMINATED = "srun: error: node1: task 0: Terminated\n"
TOO_LARGE = "slurmstepd: error: Exceeded job memory limit\n"
FORCED = "srun: Force Terminated StepId=1.0\n"


@pytest.mark.parametrize(
    ("fields", "end", "said"),
    [
        ({"ended_by": 2001, "is_ending": True}, (9, ""), CANCELLED + ABORTED + KILLED),
        ({"is_ending": True}, (15, ""), CANCELLED + TERMINATED + FORCED),
        ({}, (9, ""), KILLED + FORCED),
        ({"state": JobState.TIMEOUT}, (15, "limit"), LATE + TERMINATED + FORCED),
        ({}, (15, "timeout"), ABORTED + LATE + TERMINATED),
        ({}, (15, "leader"), ABORTED + CANCELLED + TERMINATED),
        ({"ended_by": 0}, (9, "memory"), CANCELLED + ABORTED + TOO_LARGE + KILLED),
    ],
    ids=[
        *("cancelled", "sent TERM", "sent KILL", "late itself", "late with its job"),
        *("left behind", "too large"),
    ],
)
def test_each_end_from_outside_is_told_as_slurm_does(
    fields: Mapping[str, Any], end: tuple[int, str], said: str
) -> None:
    controller = FakeController()
    controller.starts_at_once = True
    caller = Caller(controller, TaskEnd(0, 0, end[0], why=end[1]))
    end_step = caller.ended

    def ended(step: Step) -> Step:
        for name, value in fields.items():
            setattr(step, name, value)
        return end_step(step)

    caller.ended = ended  # type: ignore[method-assign]
    heard = converse(srun(call_of("srun", "sleep", "30"), controller), replies=caller)
    assert re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "TIME", heard.err) == said
    assert heard.code == 128 + end[0]


@pytest.mark.parametrize("is_part", [True, False])
def test_srun_in_a_batch_job_that_is_ended_hears_the_signals_for_all_of_it(is_part: bool) -> None:
    controller = running_job()
    held = controller.jobs[42].allocation
    assert held is not None
    controller.jobs[42].ending = JobState.CANCELLED
    caller = Caller(controller, TaskEnd(0, 0, 15))
    signals = [18, 15]

    def signalled(request: Request) -> Any:
        if isinstance(request, UntilEnded):
            assert request == UntilEnded((42,), 0.5)
            return Interrupted(signals.pop(0))
        return caller(request)

    environment = {"SLURM_JOB_ID": "42", **({"STOKER_TOKEN": held.token} if is_part else {})}
    call = call_of("srun", "sleep", "30", environment=environment)
    heard = converse(srun(call, controller), replies=signalled)
    said = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "TIME", heard.err)
    of_signals = "srun: got SIGCONT\nsrun: forcing job termination\n"
    assert (of_signals in said) is is_part
    rest = said.replace(of_signals, "").replace(ABORTED, "")
    assert rest == CANCELLED.replace("1.0", "42.0") + TERMINATED
    assert said.count(ABORTED) == 1


def test_srun_waits_for_signals_that_do_not_come_for_a_moment_only() -> None:
    controller = running_job()
    held = controller.jobs[42].allocation
    assert held is not None
    caller = Caller(controller, TaskEnd(0, 0, 15, why="timeout"))

    def silent(request: Request) -> Any:
        return Expired() if isinstance(request, UntilEnded) else caller(request)

    environment = {"SLURM_JOB_ID": "42", "STOKER_TOKEN": held.token}
    call = call_of("srun", "sleep", "30", environment=environment)
    heard = converse(srun(call, controller), replies=silent)
    assert "DUE TO TIME LIMIT" in heard.err
    assert heard.code == 143


def test_who_is_told_of_an_end_while_the_tasks_go_on_is_not_told_again() -> None:
    controller = FakeController()
    controller.starts_at_once = True
    caller = Caller(controller, TaskEnd(0, 0, 9))
    heeded: list[bool] = []

    def twice(request: Request) -> Any:
        if isinstance(request, UntilStepEnded):
            heeded.append(request.heeds_ending)
            step = controller.step_records[1][0]
            step.ended_by, step.is_ending = 2001, True
            if len(heeded) == 1:
                return step
        return caller(request)

    heard = converse(srun(call_of("srun", "sleep", "30"), controller), replies=twice)
    assert re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "TIME", heard.err) == CANCELLED + ABORTED + KILLED
    assert heeded == [True, False]


def test_a_tasks_bad_end_ends_the_others_if_asked() -> None:
    heard, controller = ran(
        "-K", "-n2", "sleep", "30", ends=[TaskEnd(0, 3), TaskEnd(1, 0, 15)], early=1
    )
    assert controller.called("signal_step") == [(1, "0", "alice", 15)]
    assert heard.code == 143
    assert [line for line in heard.err.splitlines() if "CANCELLED" not in line] == [
        "srun: error: node1: task 0: Exited with exit code 3",
        "srun: launch/slurm: _step_signal: Terminating StepId=1.0",
        "srun: error: node1: task 1: Terminated",
        "srun: Force Terminated StepId=1.0",
    ]


def test_tasks_that_outlast_the_first_by_too_long_are_killed() -> None:
    heard, controller = ran(
        "--wait=2", "-n2", "sleep", "30", ends=[TaskEnd(0, 0), TaskEnd(1, 0, 9)], early=1
    )
    assert controller.called("signal_step") == [(1, "0", "alice", 9)]
    assert heard.err.startswith(
        "srun: First task exited 2s ago\n"
        "srun: StepId=1.0 task 1: running\nsrun: StepId=1.0 task 0: exited\n"
    )
    assert heard.code == 137


def test_a_stream_may_be_for_one_task_alone() -> None:
    _, controller = ran("-n3", "-o", "1", "-i", "2", "-e", "3", "sh")
    request = request_of(controller)
    assert request.lone_tasks == (2, 1, None)
    assert (request.stdin, request.stdout, request.stderr) == ("", "", "/home/alice/work/3")


def test_without_a_terminal_there_is_none_to_give() -> None:
    controller = FakeController()
    controller.starts_at_once, controller.has_terminal = True, False
    heard, _ = ran("--pty", "-n2", "sh", controller=controller)
    assert heard.err == (
        "srun: error: ioctl(TIOCGWINSZ): Inappropriate ioctl for device\n"
        "srun: error: Not using a pseudo-terminal, disregarding --pty option\n"
    )
    attached = [each for each in heard.requests if isinstance(each, Attach)]
    assert attached == [Attach(1, "", (0, 2), 2), Attach(1, "ioe", (0, 2), 2)]
    assert request_of(controller).lone_tasks == (None, None, None)
    assert controller.called("detach") == [((HANDLE,),)]


def test_a_terminal_is_the_first_tasks_alone() -> None:
    heard, controller = ran("--pty", "-n2", "sh")
    assert [each.pumped for each in heard.requests if isinstance(each, Attach)] == [""]
    assert request_of(controller).lone_tasks == (0, 0, 0)


def test_pipes_are_asked_for_in_parts_that_the_kernel_passes() -> None:
    controller = FakeController()
    controller.starts_at_once = True
    heard, controller = ran("-l", "-n90", "--overcommit", "true", controller=controller)
    parts = [request for request in heard.requests if isinstance(request, Attach)]
    assert [(part.pumped, part.tasks) for part in parts] == [("iOE", (0, 80)), ("iOE", (80, 90))]
    assert request_of(controller).descriptors == (HANDLE, HANDLE)


# Inside an allocation.


def inside(controller: FakeController, *argv: str, **more: Any) -> Heard:
    environment = {"SLURM_JOB_ID": "42", **more.pop("environment", {})}
    heard, _ = ran(*argv, controller=controller, environment=environment, **more)
    return heard


def running_job() -> FakeController:
    controller = FakeController()
    controller.start(controller.add(42, spec={"ntasks": 2}))
    return controller


def test_inside_a_job_only_a_step_is_made() -> None:
    controller = running_job()
    variables_of_the_job = {"SLURM_NTASKS": "2", "SLURM_PARTITION": "nosuch", "SLURM_JOB_NAME": "x"}
    heard = inside(controller, "hostname", environment=variables_of_the_job)
    assert (heard.err, heard.code) == ("", 0)
    assert not controller.called("submit")
    assert not controller.called("finish_allocation")
    request = request_of(controller)
    assert (request.ntasks, request.name) == (2, "hostname")


def test_options_of_the_job_are_ignored_by_a_step() -> None:
    controller = running_job()
    assert inside(controller, "-p", "nosuch", "true").code == 0


def test_flags_overrule_variables() -> None:
    controller = running_job()
    inside(controller, "-n1", "--exact", "true", environment={"SLURM_NTASKS": "2"})
    assert (request_of(controller).ntasks, request_of(controller).exact) == (1, True)


def test_exclusive_is_about_the_step_inside_of_an_allocation_and_else_about_the_job() -> None:
    controller = running_job()
    inside(controller, "--exclusive", "-n1", "true")
    assert request_of(controller).exact
    _, controller = ran("--exclusive", "true")
    assert not request_of(controller).exact


def test_a_busy_allocation_is_waited_for() -> None:
    controller = running_job()
    controller.free_steps = [False, False]
    heard = inside(controller, "true")
    assert heard.err == (
        "srun: Job 42 step creation temporarily disabled, retrying (Requested nodes are busy)\n"
        "srun: Step created for job 42\n"
    )
    kinds = [type(request) for request in heard.requests if not isinstance(request, Say)]
    assert kinds == [Attach, UntilStepFree, UntilStepFree, UntilStepEnded]


def test_nothing_is_said_of_a_wait_before_it_is_over_or_long() -> None:
    controller = running_job()
    controller.free_steps = [False, False]
    caller = Caller(controller)
    said: list[int] = []

    def late(request: Request) -> Any:
        if isinstance(request, UntilStepFree):
            said.append(len(requests := controller.called("create_step")))
            return Expired() if len(requests) == 1 else controller.jobs[request.job_id]
        return caller(request)

    call = call_of("srun", "true", environment={"SLURM_JOB_ID": "42"})
    heard = converse(srun(call, controller), replies=late)
    waits = [each.within_s for each in heard.requests if isinstance(each, UntilStepFree)]
    assert (said, waits) == ([1, 2], [60.0, None])
    assert heard.err.splitlines() == [
        "srun: Job 42 step creation temporarily disabled, retrying (Requested nodes are busy)",
        "srun: Step created for job 42",
    ]


def test_who_waits_for_a_step_may_give_up() -> None:
    controller = running_job()
    controller.free_steps = [False]
    heard = inside(controller, "true", interrupts=[2])
    assert heard.err == (
        "srun: Cancelled pending job step with signal 2\n"
        "srun: error: Unable to create step for job 42: Job/step already completing or completed\n"
    )
    assert heard.code == 1


def test_immediate_waits_for_a_step_as_long_as_it_says() -> None:
    controller = running_job()
    controller.free_steps = [False, False]
    caller = Caller(controller)

    def late(request: Request) -> Any:
        if isinstance(request, UntilStepFree):
            assert request.within_s == 3.0
            controller.moment += 3.0
            return Expired()
        return caller(request)

    call = call_of("srun", "--immediate=3", "true", environment={"SLURM_JOB_ID": "42"})
    heard = converse(srun(call, controller), replies=late)
    assert heard.err == (
        "srun: error: Unable to create step for job 42: Requested nodes are busy\n"
    )


def test_the_name_of_a_step_is_for_its_tasks_if_it_was_asked_for() -> None:
    for argv, is_named in ((["-J", "inner", "true"], True), (["true"], False)):
        controller = running_job()
        inside(controller, *argv, environment={"SLURM_JOB_NAME": "outer"})
        assert request_of(controller).is_named is is_named


@pytest.mark.parametrize(
    ("of_job", "argv", "memory_mib"),
    [
        ({"mem_per_node_mib": 1000}, [], 1000),
        ({"mem_per_node_mib": 1000}, ["--mem=400"], 400),
        ({"mem_per_node_mib": 1000}, ["--mem-per-cpu=10"], 0),
        ({"mem_per_node_mib": 1000}, ["--mem=0"], 0),
        ({"mem_per_cpu_mib": 1000}, [], 0),
        ({}, [], 0),
    ],
)
def test_a_step_takes_all_memory_that_its_job_asked_for_unless_it_asks_for_some(
    of_job: dict[str, Any], argv: list[str], memory_mib: int
) -> None:
    controller = FakeController()
    controller.start(controller.add(42, spec={"ntasks": 2, **of_job}))
    inside(controller, "--exact", "-n1", *argv, "true")
    assert request_of(controller).memory_mib == memory_mib


def test_immediate_does_not_wait_for_a_step() -> None:
    controller = running_job()
    controller.free_steps = [False]
    heard = inside(controller, "-I", "true")
    assert heard.err == (
        "srun: error: Unable to create step for job 42: Requested nodes are busy\n"
    )


def test_more_than_the_job_has_is_refused() -> None:
    controller = running_job()
    assert inside(controller, "-N2", "true").err == (
        "srun: error: Only allocated 1 nodes asked for 2\n"
    )
    controller.refusals["create_step"] = InvalidSpec("too many", "ESLURM_TOO_MANY_REQUESTED_CPUS")
    assert inside(controller, "-n4", "true").err.endswith(
        "srun: error: Unable to create step for job 42: More processors requested than permitted\n"
    )


HINT = "srun: Check SLURM_JOB_ID environment variable. Expired or invalid job 42\n"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"state": JobState.PENDING},
            "srun: error: Unable to confirm allocation for job 42: Job is pending execution\n"
            + HINT,
        ),
        ({"state": JobState.COMPLETED}, "srun: error: Slurm job 42 has expired\n" + HINT),
        (
            {"owner": BOB, "state": JobState.RUNNING},
            "srun: error: Unable to create step for job 42: Access/permission denied\n",
        ),
    ],
)
def test_a_job_that_takes_no_step_is_named(fields: dict[str, Any], text: str) -> None:
    controller = running_job()
    for name, value in fields.items():
        setattr(controller.jobs[42], name, value)
    if fields["state"] is JobState.PENDING:
        controller.jobs[42].allocation = None
    heard = inside(controller, "true")
    assert (heard.err, heard.code) == (text, 1)


def test_overcommit_asks_the_job_for_few_cpus_and_the_step_for_many_tasks() -> None:
    heard, controller = ran("-O", "-n20", "-N1", "true")
    assert heard.code == 0
    assert controller.jobs[1].spec.cpus == 1
    assert (request_of(controller).ntasks, request_of(controller).overlap) == (20, True)


@given(
    st.lists(random_words(joboptions.SRUN), max_size=6),
    st.dictionaries(st.sampled_from(sorted(variables.SRUN)), st.text(max_size=6), max_size=3),
)
def test_nothing_raises(argv: list[str], environment: dict[str, str]) -> None:
    heard, controller = ran(*argv, environment=environment)
    assert 0 <= heard.code <= 255
    assert len(controller.called("finish_allocation")) >= len(controller.called("create_step"))


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        ("none", "quiet,none"),
        ("v,threads", "verbose,threads"),
        ("verbose", "verbose"),
        ("cores,rank", "quiet,cores,rank"),
        ("map_cpu:0,1", "quiet,map_cpu:0,1"),
    ],
)
def test_tasks_are_told_of_the_binding_that_was_asked_for(binding: str, expected: str) -> None:
    heard, controller = ran(f"--cpu-bind={binding}", "a")
    assert f"SLURM_CPU_BIND={expected}" in request_of(controller).environment
    assert heard.err == "srun: cluster configuration lacks support for cpu binding\n"


def test_the_copy_of_a_program_is_run_and_path_is_searched_for_it() -> None:
    controller = FakeController()
    controller.starts_at_once = True
    caller = Caller(controller)
    caller.copies = [FileNotFoundError(2, "none"), FileNotFoundError(2, "none")]
    call = call_of("srun", "--bcast=/there", "prog", "word", environment={"PATH": "/a:/b"})
    heard = converse(srun(call, controller), replies=caller)
    assert [each.source for each in heard.requests if isinstance(each, CopyFile)] == [
        *("/home/alice/work/prog", "/a/prog", "/b/prog"),
    ]
    assert request_of(controller).argv == ("/there", "word")


def test_a_copy_that_cannot_be_made_ends_srun_and_its_job() -> None:
    controller = FakeController()
    controller.starts_at_once = True
    caller = Caller(controller)
    caller.copies = [PermissionError(13, "Permission denied")]
    heard = converse(srun(call_of("srun", "--bcast", "/bin/a"), controller), replies=caller)
    assert heard.err == (
        "srun: error: REQUEST_FILE_BCAST(node1): Permission denied\n"
        "srun: error: Failed to broadcast '/bin/a'. Step launch aborted.\n"
    )
    assert controller.called("finish_allocation")


@pytest.mark.parametrize(("option", "code"), [("--mpi=list", 0), ("--mem-bind=help", 255)])
def test_what_is_only_asked_for_is_told_without_a_job(option: str, code: int) -> None:
    heard, controller = ran(option)
    assert (bool(heard.out), heard.err, heard.code) == (True, "", code)
    assert not controller.called("submit")


def test_a_step_that_never_begins_lets_go_of_its_descriptors() -> None:
    controller = FakeController()
    controller.start(controller.add(5))
    controller.refusals["create_step"] = InvalidSpec("no", "ESLURM_TOO_MANY_REQUESTED_CPUS")
    heard, _ = ran("--jobid=5", "a", controller=controller)
    assert heard.code == 1
    assert controller.called("detach") == [((HANDLE,),)]
