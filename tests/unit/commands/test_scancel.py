"""scancel against what a real one said, and what it asks of the controller."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.scancel import scancel
from stoker.core.enums import JobState
from stoker.core.errors import NotAllowed
from stoker.core.models import Step
from stoker.core.units import TaskSet
from stoker.worker.call import Say, next_input
from support.controller import ALICE, BOB, ROOT, FakeController, Heard, call_of, converse
from support.recordings import cases, parameters

UNLIKE = {
    "scancel-help": "the help is our own",
    "scancel-running-vv": "it names Slurm's plugins",
    "scancel-env-name": "it names Slurm's plugins",
    "scancel-signal-int-pending": "Slurm tries for ever",
    "scancel-signal-stop-cont": "the state is the controller's",
    "scancel-several": "a shell prints the status",
    "scancel-step-0": "the step is none of the controller's here",
}


def scancelled(
    controller: FakeController, *argv: str, stdin: str = "", **surroundings: Any
) -> Heard:
    call = call_of("scancel", *argv, **surroundings)
    return converse(scancel(call, controller), files={"-": stdin.encode()})


def is_replayed(case: Mapping[str, Any]) -> bool:
    return case["topic"] == "scancel" and case["id"] not in UNLIKE


def recorded_job(case: Mapping[str, Any], controller: FakeController) -> None:
    """Put the job of a case's setup in, running, held or ended."""
    for line in case["setup"]:
        words = shlex.split(line, comments=False)
        job_id = int(line.rpartition(" ")[2])
        options = dict(pairwise(words))
        spec = {"name": options.get("-J", "wrap"), "account": options.get("-A", "")}
        if "true" in words:
            controller.add(job_id, spec=spec, state=JobState.COMPLETED)
        elif "-H" in words or "-a" in words:
            array = TaskSet.parse(options["-a"].partition("%")[0]) if "-a" in words else None
            controller.add(job_id, spec=spec, array=array, array_job_id=job_id if array else 0)
        else:
            controller.start(controller.add(job_id, spec=spec))


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("-b 99999", "job id 99999"),
        ("-i 99999", "job id 99999"),
        ("-i --ctld 99999", "job id 99999"),
        ("-s USR1 99999", "job id 99999"),
        ("-f -s USR1 99999", "job id 99999"),
        ("-n x 99999", "job id 99999"),
        ("-t PD 99999", "job id 99999"),
        ("-b 99999.0", "job step id 99999.0"),
        ("-i 99999_1", "job id 99999_1"),
    ],
)
def test_an_unknown_id_is_an_error_where_jobs_are_looked_up_first(words: str, what: str) -> None:
    controller = FakeController()
    heard = scancelled(controller, *words.split())
    said = f"scancel: error: Kill job error on {what}: Invalid job id specified\n"
    assert (heard.out, heard.err, heard.code) == ("", said, 1)
    quiet = scancelled(controller, "-Q", *words.split())
    assert (quiet.out, quiet.err, quiet.code) == ("", "", 1)


@pytest.mark.parametrize("words", ["99999", "-f 99999", "--ctld 99999", "-Q 99999 99998"])
def test_an_unknown_id_is_nothing_where_it_is_only_cancelled(words: str) -> None:
    heard = scancelled(FakeController(), *words.split())
    assert (heard.out, heard.err, heard.code) == ("", "", 0)


def test_another_clusters_jobs_are_not_cancelled_here() -> None:
    controller = FakeController()
    controller.start(controller.add(1))
    heard = scancelled(controller, "-M", "elsewhere", "1")
    assert heard.err.startswith("scancel: error: No cluster 'elsewhere' known by database.\n")
    assert heard.code == 1
    assert not controller.called("cancel")


@pytest.mark.parametrize("case", parameters(filter(is_replayed, cases("scancel"))))
def test_says_what_slurm_said(case: dict[str, Any]) -> None:
    controller = FakeController()
    recorded_job(case, controller)
    line = case["cmd"][2] if case["cmd"][0] == "/bin/sh" else shlex.join(case["cmd"])
    stdin = "n\n" if line.startswith("echo n |") else ""
    words = shlex.split(line.removeprefix("echo n | ").removeprefix("sleep 1; "))
    variables = [word for word in words if word.startswith("SCANCEL_")]
    heard = scancelled(
        controller,
        *words[words.index("scancel") + 1 :],
        stdin=stdin,
        environment=dict(word.split("=") for word in variables),
        owner=ROOT if case.get("user") == "root" else ALICE,
    )
    assert (heard.out, heard.err, heard.code) == (case["stdout"], case["stderr"], case["rc"])
    # The job changed here if, and as, it did there.
    ended = any("CANCELLED" in after.get("stdout", "") for after in case.get("then", ()))
    whole_job = "_" not in line
    if whole_job and case["setup"]:
        assert bool(controller.called("cancel")) == ended


def test_a_job_is_cancelled_by_who_asks() -> None:
    controller = FakeController()
    controller.start(controller.add(42))
    assert scancelled(controller, "42").code == 0
    assert controller.called("cancel") == [("42", "alice")]


def test_options_may_follow_the_ids() -> None:
    controller = FakeController()
    controller.start(controller.add(42))
    scancelled(controller, "42", "--signal", "SIGUSR2")
    assert controller.called("signal") == [("42", "alice", 12, "children")]


@pytest.mark.parametrize(
    ("flag", "scope"), [("-b", "leader"), ("--full", "all"), ("-v", "children")]
)
def test_a_signal_goes_to_script_all_or_steps(flag: str, scope: str) -> None:
    controller = FakeController()
    controller.start(controller.add(42))
    scancelled(controller, flag, "-s", "USR1", "42")
    assert controller.called("signal") == [("42", "alice", 10, scope)]


def test_only_the_batch_script_is_killed_with_b() -> None:
    controller = FakeController()
    controller.start(controller.add(42))
    scancelled(controller, "-b", "42")
    assert controller.called("signal") == [("42", "alice", 9, "leader")]
    assert not controller.called("cancel")


def test_a_waiting_job_is_cancelled_even_with_b() -> None:
    controller = FakeController()
    controller.add(42)
    scancelled(controller, "-b", "42")
    assert controller.called("cancel") == [("42", "alice")]


def test_filters_select_among_own_jobs_only() -> None:
    controller = FakeController()
    controller.add(1, spec={"name": "x"})
    controller.add(2, spec={"name": "x"}, owner=BOB)
    controller.add(3, spec={"name": "y"})
    scancelled(controller, "-n", "x")
    assert controller.called("cancel") == [("1", "alice")]


def test_root_selects_among_everybodys_jobs() -> None:
    controller = FakeController()
    controller.add(1)
    controller.add(2, owner=BOB)
    scancelled(controller, "-t", "PD", owner=ROOT)
    assert [ref for ref, _ in controller.called("cancel")] == ["1", "2"]


def test_a_state_takes_the_waiting_tasks_and_leaves_the_running_ones() -> None:
    controller = FakeController()
    controller.add(9, array=TaskSet.parse("3-6"), array_job_id=9)
    controller.start(controller.add(10, array_job_id=9, array_task_id=2))
    scancelled(controller, "-t", "PENDING", "9")
    assert controller.called("cancel") == [("9_[3-6]", "alice")]


def test_a_step_is_killed_at_once() -> None:
    controller = FakeController()
    job = controller.start(controller.add(42))
    controller.step_records[42] = [Step(42, 0, "0", "sleep", JobState.RUNNING, controller.moment)]
    heard = scancelled(controller, "-v", "42.0")
    assert controller.called("cancel_step") == [(job.job_id, "0", "alice")]
    assert heard.err == "scancel: Terminating step 42.0\n"


@pytest.mark.parametrize(
    ("options", "method", "rest"),
    [
        (["-s", "KILL"], "signal_step", (9,)),
        (["-s", "TERM"], "signal_step", (15,)),
        (["--ctld"], "cancel_step", ()),
        (["--ctld", "-s", "KILL"], "cancel_step", ()),
    ],
)
def test_a_named_signal_does_not_cancel_a_step(
    options: Sequence[str], method: str, rest: tuple[int, ...]
) -> None:
    controller = FakeController()
    controller.start(controller.add(42))
    controller.step_records[42] = [Step(42, 0, "0", "sleep", JobState.RUNNING, controller.moment)]
    scancelled(controller, *options, "42.0")
    assert controller.called(method) == [(42, "0", "alice", *rest)]


def test_others_jobs_are_refused_with_slurms_number() -> None:
    controller = FakeController()
    controller.add(42, owner=BOB)
    controller.refusals["cancel"] = NotAllowed("not yours")
    heard = scancelled(controller, "42")
    assert heard.err == ("scancel: error: Kill job error on job id 42: Access/permission denied\n")
    assert heard.code == 2002 & 0xFF


def test_each_job_is_asked_about_and_silence_is_no() -> None:
    controller = FakeController()
    controller.add(1)
    controller.add(2)
    controller.add(3)
    heard = scancelled(controller, "-i", "1", "2", "3", stdin="y\nn\n")
    assert controller.called("cancel") == [("1", "alice")]
    assert [request for request in heard.requests if isinstance(request, Say)] == [
        Say(out=f"Cancel job_id={number} name=wrap partition=debug [y/n]? ") for number in (1, 2, 3)
    ]


def test_a_terminal_answers_each_question_by_itself() -> None:
    controller = FakeController()
    for job_id in (1, 2, 3):
        controller.add(job_id)
    lines = {"-\n1": b"what?\n", "-\n2": b"Y\n", "-\n3": b"n\n", "-\n4": b"yes\n"}
    heard = converse(scancel(call_of("scancel", "-i", "1", "2", "3"), controller), files=lines)
    assert controller.called("cancel") == [("1", "alice"), ("3", "alice")]
    asked = [request for request in heard.requests if not isinstance(request, Say)]
    assert asked == [next_input(number) for number in (1, 2, 3, 4)]
    assert isinstance(heard.requests[0], Say), "the question comes before its answer"


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_command_line_raises(argv: list[str]) -> None:
    controller = FakeController()
    controller.add(1)
    heard = scancelled(controller, *argv)
    assert 0 <= heard.code <= 255


@given(st.from_regex(r"[0-9_.,\[\]+-]{1,12}", fullmatch=True))
def test_no_job_id_raises(word: str) -> None:
    controller = FakeController()
    controller.add(1)
    assert 0 <= scancelled(controller, "--", word).code <= 255
