"""squeue against the recorded answers of a real Slurm, and what no recording shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from stoker.commands.squeue import squeue
from stoker.core.enums import Hold, JobState
from stoker.core.units import TaskSet
from support.controller import ALICE, call_of, converse
from support.recorded_queue import (
    RecordedQueue,
    at,
    job,
    queue_of_arrays,
    queue_of_squeue,
    queue_of_steps,
)
from support.recordings import cases, parameters

HEADING = "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n"

DIFFERENT = {
    "squeue-usage": "the usage text is our own",
    "squeue-O-allocsid": "sessions of submitting shells are not kept",
    "squeue-O-lastschedeval": "when the scheduler last looked at a job is not kept",
}


def is_of_the_eight(case: dict[str, Any]) -> bool:
    is_command = isinstance(case["cmd"], list) and case["cmd"][0] == "squeue"
    return is_command and len(case["setup"]) in (0, 8) and case["id"] not in DIFFERENT


@pytest.mark.parametrize("case", parameters(filter(is_of_the_eight, cases("squeue"))))
def test_answers_as_recorded(case: dict[str, Any]) -> None:
    answers = []
    for second in (40, 41, 42):
        queue = queue_of_squeue(at(f"04:51:{second}"))
        if not case["setup"]:
            queue.jobs = {}
        call = call_of("squeue", *case["cmd"][1:], environment=case.get("env"))
        heard = converse(squeue(call, queue))
        answers.append((without_artefacts(heard.out), heard.err, heard.code))
    told = "".join(
        line for line in case["stderr"].splitlines(keepends=True) if " loaded" not in line
    )
    recorded = (without_artefacts(case["stdout"]), told, case["rc"])
    assert recorded in answers, f"{answers[0]} instead of {recorded}"


@pytest.mark.parametrize(
    ("word", "code"),
    [(f"--iterate={'1' * 5000}", 1), ("--iterate=00", 1), (f"--user={'1' * 5000}", 0)],
)
def test_a_number_that_is_too_long_for_one_is_no_defect(word: str, code: int) -> None:
    assert converse(squeue(call_of("squeue", "-v", word), queue_of_squeue(0.0))).code == code


def without_artefacts(text: str) -> str:
    """Take out what Slurm gets from its own arithmetic, and when it looked last at a job."""
    lines = [
        line
        for line in text.splitlines()
        if "last_sched_evaluation" not in line and "1827039037" not in line
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "case", parameters(case for case in cases("more") if case["id"].startswith("more-arr-squeue"))
)
def test_arrays_are_shown_as_recorded(case: dict[str, Any]) -> None:
    queue = queue_of_arrays(at("05:01:21"))
    heard = converse(squeue(call_of("squeue", *case["cmd"][1:]), queue))
    assert (heard.out, heard.err, heard.code) == (case["stdout"], case["stderr"], case["rc"])


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("srun2-l-squeue-s", ["-s"]),
        ("srun2-l-squeue-s-step-unknown", ["-s", "41.7"]),
        (
            "srun2-l-squeue-s-O",
            ["-s", "-j41", "-O", "StepID,StepName,StepState,NumTasks,Nodes,tres-alloc,TimeUsed"],
        ),
        ("srun2-l-squeue-s-unknown-job", ["-s", "-j", "999999"]),
    ],
)
def test_steps_are_listed_as_recorded(name: str, argv: list[str]) -> None:
    case = next((case for case in cases("srun2") if case["id"] == name), None)
    if case is None:
        pytest.skip("no recordings at hand")
    heard = converse(squeue(call_of("squeue", *argv), queue_of_steps(at("06:53:16"))))
    assert (heard.out, heard.err, heard.code) == (case["stdout"], case["stderr"], case["rc"])


def test_ended_jobs_are_known_but_only_listed_when_asked_for() -> None:
    ended = job(29, "fin", submit="04:50:00", start="04:50:01", state=JobState.COMPLETED)
    ended.end_at = ended.start_at
    queue = RecordedQueue(at("04:51:00"), [ended])
    assert converse(squeue(call_of("squeue", "-j", "29"), queue)).out == HEADING
    asked = ["-h", "-j", "29", "-t", "all", "-o", "%T %r %N %M"]
    assert converse(squeue(call_of("squeue", *asked), queue)).out == "COMPLETED None node1 0:00\n"


@pytest.mark.parametrize(
    ("ids", "out", "err", "code"),
    [
        ("77", "", "slurm_load_jobs error: Invalid job id specified\n", 1),
        ("77,77", HEADING, "", 0),
        ("77,78", HEADING, "", 0),
    ],
)
def test_one_unknown_id_is_an_error_and_several_are_not(
    ids: str, out: str, err: str, code: int
) -> None:
    heard = converse(squeue(call_of("squeue", "-j", ids), RecordedQueue(at("04:51:00"))))
    assert (heard.out, heard.err, heard.code) == (out, err, code)


def test_client_command_lines_get_the_fields_they_count() -> None:
    queue = queue_of_squeue(at("04:51:40"))
    quoted = converse(squeue(call_of("squeue", '-o "%u"', "-u", "alice", "-h"), queue)).out
    assert quoted.splitlines() == [' "alice"'] * 7
    turm = "jobid:###turm###,name:###turm###,"
    rows = converse(squeue(call_of("squeue", "--array", "--noheader", "--Format", turm), queue)).out
    assert rows.splitlines()[0] == "6###turm###verylongnameofajob###turm###"
    words = ["-O", "JobArrayID,StateCompact,Reason", "-t", "all", "--me"]
    rows = converse(squeue(call_of("squeue", *words), queue)).out
    assert {len(row.split()) for row in rows.splitlines()} == {3}


def test_every_field_can_be_listed_at_once() -> None:
    heard = converse(squeue(call_of("squeue", "-o", "%all"), queue_of_squeue(at("04:51:40"))))
    heading, *rows = heard.out.splitlines()
    assert heading.startswith("ACCOUNT|TRES_PER_NODE|MIN_CPUS|")
    assert heading.endswith("|SCHEDNODES|WORK_DIR|")
    assert {row.count("|") for row in [heading, *rows]} == {heading.count("|")}


def test_json_names_every_job_in_order_and_is_json() -> None:
    heard = converse(squeue(call_of("squeue", "--json"), queue_of_squeue(at("04:51:40"))))
    found = json.loads(heard.out)
    assert [each["job_id"] for each in found["jobs"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (
        json.loads(converse(squeue(call_of("squeue", "--json"), RecordedQueue(0.0))).out)["jobs"]
        == []
    )


@pytest.mark.parametrize(
    ("states", "listed"),
    [
        ("R", "2 RUNNING\n"),
        ("ST", "1 STOPPED\n"),
        ("SE", "3 SPECIAL_EXIT\n"),
        ("PD", "4 PENDING\n"),
        ("PD,SE", "3 SPECIAL_EXIT\n4 PENDING\n"),
        ("S", ""),
    ],
)
def test_states_that_lie_over_others_are_listed_instead_of_them(states: str, listed: str) -> None:
    jobs = [
        job(1, "j", submit="04:50:00", start="04:50:00", state=JobState.STOPPED),
        job(2, "j", submit="04:50:00", start="04:50:00"),
        job(3, "j", submit="04:50:00", hold=Hold.SPECIAL),
        job(4, "j", submit="04:50:00"),
    ]
    call = call_of("squeue", "-h", "-S", "i", "-t", states, "-o", "%i %T")
    assert converse(squeue(call, RecordedQueue(at("04:51:00"), jobs))).out == listed


def test_json_says_how_gpus_were_asked_for() -> None:
    asked = {"TresPerJob": "gres:gpu:2", "CpusPerTres": "gres:gpu:4"}
    queue = RecordedQueue(
        at("04:51:00"), [job(1, "j", submit="04:50:00", spec={"tres_asked": asked})]
    )
    [told] = json.loads(converse(squeue(call_of("squeue", "--json"), queue)).out)["jobs"]
    assert [told[f"tres_per_{of}"] for of in ("job", "node")] == ["gres:gpu:2", ""]
    assert (told["cpus_per_tres"], told["memory_per_tres"]) == ("gres:gpu:4", "")


def test_suspended_time_is_no_running_time() -> None:
    stopped = job(1, "s", submit="04:50:00", start="04:50:00", state=JobState.SUSPENDED)
    stopped.suspended_at = at("04:50:30")
    queue = RecordedQueue(at("04:51:00"), [stopped])
    assert converse(squeue(call_of("squeue", "-h", "-o", "%M %t"), queue)).out == "0:30 S\n"


def test_of_jobs_that_have_run_for_as_many_seconds_the_later_one_has_run_for_less() -> None:
    jobs = [
        job(1, "first", submit="04:50:00", start="04:50:00"),
        job(2, "second", submit="04:50:00", start="04:50:00"),
        job(3, "waits", submit="04:50:00"),
    ]
    jobs[1].start_at += 0.25
    queue = RecordedQueue(at("04:50:10") + 0.5, jobs)
    listed = [
        converse(squeue(call_of("squeue", "-h", "-S", letter, "-o", "%j"), queue)).out.split()
        for letter in ("M", "-M")
    ]
    assert listed == [["waits", "second", "first"], ["first", "second", "waits"]]


def test_a_quality_of_service_that_there_is_not_is_shown_as_none() -> None:
    queue = RecordedQueue(at("04:51:00"), [job(1, "j", submit="04:50:00", spec={"qos": "nosuch"})])
    assert converse(squeue(call_of("squeue", "-h", "-o", "[%q]"), queue)).out == "[]\n"


def test_the_last_waiting_task_of_an_array_is_shown_as_a_task() -> None:
    rest = job(8, "arr", submit="04:50:00", array_job_id=8, array=TaskSet((5,)), array_limit=2)
    queue = RecordedQueue(at("04:51:00"), [rest])
    assert converse(squeue(call_of("squeue", "-h", "-o", "%i %K"), queue)).out == "8_5 5\n"


def test_tasks_that_wait_by_themselves_are_listed_with_their_array() -> None:
    sent = {
        "submit": "04:50:00",
        "array_job_id": 37,
        "reason": "BeginTime",
        "begin_at": at("05:50:00"),
    }
    rest = job(37, "wrap", array=TaskSet((1, 3, 4)), array_limit=2, **sent)
    held = job(38, "wrap", array_task_id=2, **{**sent, "reason": "JobHeldUser"})
    other = job(39, "renamed", array_task_id=7, **sent)
    queue = RecordedQueue(at("04:51:00"), [rest, held, other])
    asked = ["-h", "-o", "%i %r"]
    listed = converse(squeue(call_of("squeue", *asked), queue)).out
    assert listed == "37_[1-4] BeginTime,JobHeldUser\n37_7 BeginTime\n"
    tasks = converse(squeue(call_of("squeue", "-r", "-S", "K", *asked), queue)).out
    assert tasks.splitlines()[-2:] == ["37_2 JobHeldUser", "37_7 BeginTime"]
    assert rest.array is not None
    assert list(rest.array) == [1, 3, 4], "a listing changes nothing"


def test_the_letter_that_sorts_by_nothing_is_named() -> None:
    call = call_of("squeue", "-h", "-S", "i,?,j,!")
    heard = converse(squeue(call, RecordedQueue(at("04:51:00"))))
    assert (heard.err, heard.code) == ("squeue: error: Invalid sort specification: !\n", 1)


def test_a_time_format_that_is_none_is_told_of_where_times_are_shown() -> None:
    queue = queue_of_squeue(at("04:51:40"))
    odd = {"SLURM_TIME_FORMAT": "nonsense"}
    heard = converse(squeue(call_of("squeue", "-h", "-o", "%V", environment=odd), queue))
    assert heard.err == "squeue: error: invalid SLURM_TIME_FORMAT = 'nonsense'\n"
    assert heard.out.startswith("2026-11-24T04:50:37\n")
    assert converse(squeue(call_of("squeue", "-h", environment=odd), queue)).err == ""


def test_hosts_are_sorted_by_their_numbers() -> None:
    jobs = [
        job(number, "j", submit="04:50:00", start="04:50:00", node=f"n{number}")
        for number in (1, 10, 2)
    ]
    call = call_of("squeue", "-h", "-S", "N", "-o", "%N")
    assert converse(squeue(call, RecordedQueue(at("04:51:00"), jobs))).out == "n1\nn2\nn10\n"


def test_a_listing_that_is_made_as_it_is_read_does_not_see_what_changes_meanwhile() -> None:
    jobs = [job(number, f"job{number}", submit="04:50:00") for number in range(1, 901)]
    queue = RecordedQueue(at("04:51:00"), jobs)
    answer = squeue(call_of("squeue", "-h", "-S", "i", "-o", "%i %T %j"), queue)
    for each in jobs:
        each.state, each.array = JobState.RUNNING, TaskSet((1,))
    rows = converse(answer).out.splitlines()
    assert rows[0] == "1 PENDING job1"
    assert len(rows) == 900
    assert all(" PENDING " in row for row in rows)


def test_flags_overrule_the_environment() -> None:
    queue = queue_of_squeue(at("04:51:40"))
    call = call_of("squeue", "-h", "-t", "R", "-o", "%i", environment={"SQUEUE_STATES": "PD"})
    assert converse(squeue(call, queue)).out == "8\n1\n"
    call = call_of("squeue", "-h", "-o", "%i", environment={"SQUEUE_STATES": "R"}, owner=ALICE)
    assert converse(squeue(call, queue)).out == "8\n1\n"


def test_the_time_of_an_ended_job_is_the_difference_of_the_times_shown() -> None:
    ended = job(1, "one", submit="04:50:00", start="04:50:01", state=JobState.COMPLETED)
    ended.start_at += 0.9
    ended.end_at = at("04:50:03") + 0.1
    call = call_of("squeue", "-h", "-t", "all", "-o", "%M")
    assert converse(squeue(call, RecordedQueue(at("04:51:00"), [ended]))).out == "0:02\n"


def test_nodes_that_take_no_jobs_are_named_to_those_who_wait_for_them() -> None:
    machine = job(9, "w", submit="04:50:00", spec={"node_list": "node2"}, reason="ReqNodeNotAvail")
    queue = RecordedQueue(at("04:51:00"), [machine])
    queue.statuses = [
        replace(status, state="IDLE+DRAIN") if status.node.name == "node2" else status
        for status in queue.statuses
    ]
    listed = converse(squeue(call_of("squeue", "-h", "-o", "%r|%R"), queue)).out
    told = "ReqNodeNotAvail, UnavailableNodes:node2"
    assert listed == f"{told}|({told})\n"
    queue.statuses = RecordedQueue(0.0).statuses
    assert converse(squeue(call_of("squeue", "-h", "-o", "%r"), queue)).out == "ReqNodeNotAvail\n"


def parameters_of(*argv: str, **environment: str) -> dict[str, str]:
    """Return what ``squeue -v`` says of its parameters, by name."""
    heard = converse(
        squeue(call_of("squeue", "-v", *argv, environment=environment), RecordedQueue(0.0))
    )
    block = heard.out.split("-" * 29)[1]
    return {
        name.strip(): value for name, _, value in (row.partition("= ") for row in block.split("\n"))
    }


@pytest.mark.parametrize(
    ("argv", "environment", "said"),
    [
        ("--start", {}, {"sort": "S", "states": "PD", "start_flag": "1"}),
        ("--me", {}, {"users": str(ALICE.user_id)}),
        ("-p short -w node1,node2 -vv", {}, {"all": "true", "nodes": "node[1-2]", "verbose": "3"}),
        ("-s 7.0", {}, {"steps": "7.0", "step_flag": "1", "job_flag": "0"}),
        ("-j 7 -s", {}, {"jobs": "7", "step_flag": "1", "job_flag": "0"}),
        ("", {"SQUEUE_STATES": "R", "SQUEUE_ARRAY": "1"}, {"states": "R", "array": "true"}),
        ("-o %i -S -i", {}, {"format": "%i", "sort": "-i"}),
    ],
)
def test_parameters_are_told_as_they_are_understood(
    argv: str, environment: dict[str, str], said: dict[str, str]
) -> None:
    told = parameters_of(*argv.split(), **environment)
    assert {name: told[name] for name in said} == said


def test_how_many_jobs_are_looked_at_is_told_of_all_and_of_some() -> None:
    queue = queue_of_squeue(at("04:51:41"))

    def told(*argv: str) -> str:
        out = converse(squeue(call_of("squeue", "-v", "-h", *argv), queue)).out
        return next(line for line in out.splitlines() if line.startswith("last_update_time="))

    everyone = len(queue.jobs)
    assert told() == f"last_update_time={int(at('04:51:41'))} records={everyone}"
    assert told("-j", "1") == "last_update_time=0 records=1"
    assert told("-u", "bob") == "last_update_time=0 records=1"
    assert told("-s").startswith("last_update_time=1")


@pytest.mark.parametrize("option", ["-l", "-v", "-i 9"])
def test_when_it_was_is_told_above_a_heading_only(option: str) -> None:
    queue = queue_of_squeue(at("04:51:41"))

    def dates(*argv: str) -> int:
        out = converse(squeue(call_of("squeue", *option.split(), *argv), queue)).out
        return sum("04:51:41 2026" in line for line in out.splitlines())

    assert (dates(), dates("-h")) == (1, 0)
