"""sacct against what a real one said of the same jobs, and on its own."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stoker.commands import sacct_selection
from stoker.commands.sacct import sacct
from stoker.commands.sacct_fields import names
from stoker.commands.sacct_options import OPTIONS
from stoker.commands.sacct_selection import Window
from stoker.core.enums import JobState
from stoker.core.models import Usage
from stoker.worker.call import Answer, Call
from support.recorded_cluster import (
    ALICE,
    BOB,
    NOW,
    ROOT,
    RecordedCluster,
    ended,
    recorded_jobs,
    requeued,
    running,
    waiting,
)

ROOM = Path(__file__).resolve().parents[3]
REFERENCE = Path(os.environ.get("STOKER_REFERENCE", ROOM.parent / "shared" / "reference"))

# Figures that were sampled there, and what the records here do not hold: command lines of steps,
# priorities from age, the run that an earlier version of the accounting still charged.
UNLIKE = {
    "sacct-help",
    "sacct-state-nodefailrq",
    "sacct-parsed-requeued",
    "sacct-parsed-nodefailrq",
    "sacct-default",
    "sacct-brief",
    "sacct-l",
    "sacct-l-P",
    "sacct-all-fields-P",
    "sacct-o-all",
    "sacct-units-K",
    "sacct-units-M",
    "sacct-units-T",
    "sacct-units-P",
    "sacct-maxrss",
    "sacct-json-two",
    "sacct-yaml",
    "sacct-batch-script",
    "sacct-dbd-time-running",
    "sacct-f-Priority",
    "sacct-f-SubmitLine",
    "sacct-f-Elapsed",
    "sacct-f-ElapsedRaw",
}
SAMPLED = ("Ave", "Max", "Min", "TRESUsage", "CPUTime", "SystemCPU", "TotalCPU", "UserCPU", "Cons")


@cache
def recorded() -> dict[str, dict]:
    path = REFERENCE / "slurm" / "sacct.jsonl"
    if not path.exists():
        return {}
    cases = map(json.loads, path.read_text().splitlines())
    return {case["id"]: case for case in cases if case["cmd"][0] == "sacct"}


def comparable() -> list[str]:
    return [
        name
        for name in recorded()
        if name not in UNLIKE and not name.removeprefix("sacct-f-").startswith(SAMPLED)
    ]


def ask(*argv: str, cluster: RecordedCluster | None = None, owner=ALICE, **env: str) -> Answer:
    cluster = cluster or RecordedCluster()
    call = Call("sacct", argv, {"TZ": "UTC", **env}, "/home/alice", owner, cluster.now())
    answer = sacct(call, cluster)
    text = answer.out if isinstance(answer.out, str) else "".join(answer.out)
    return Answer(text, answer.err, answer.code)


def lines(*argv: str, **options) -> list[str]:
    answer = ask("-n", "-P", *argv, **options)
    assert answer.err == ""
    assert isinstance(answer.out, str)
    return answer.out.splitlines()


@pytest.mark.skipif(not recorded(), reason="the recordings are not here (STOKER_REFERENCE)")
def test_enough_cases_are_compared() -> None:
    assert len(comparable()) > 150


@pytest.mark.parametrize("name", comparable())
def test_answers_as_a_real_sacct_did(name: str) -> None:
    case = recorded()[name]
    cluster = RecordedCluster() if case["setup"] else RecordedCluster([])
    answer = ask(*case["cmd"][1:], cluster=cluster, **case.get("env", {}))
    assert (answer.out, answer.err, answer.code) == (case["stdout"], case["stderr"], case["rc"])


def test_json_has_the_keys_and_types_of_a_real_one() -> None:
    if not recorded():
        pytest.skip("the recordings are not here (STOKER_REFERENCE)")
    theirs = json.loads(recorded()["sacct-json-two"]["stdout"])
    ours = json.loads(ask("--json", "-j", "1,21,24").out)
    assert list(ours["jobs"][0]) == list(theirs["jobs"][0])
    assert list(ours["jobs"][0]["steps"][0]) == list(theirs["jobs"][0]["steps"][0])
    assert list(ours["jobs"][0]["time"]) == list(theirs["jobs"][0]["time"])
    assert ours["meta"] == theirs["meta"]


def test_yaml_begins_and_ends_as_a_real_one() -> None:
    text = ask("--yaml", "-j", "4").out
    assert text.startswith("%YAML 1.1\n--- !!map\n!!str meta: !!map\n  !!str plugin: !!map\n")
    assert text.endswith("  !!str working_directory: !!str /home/alice/sacct\n...\n")


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RUNNING])
def test_who_came_into_a_state_in_this_very_second_is_in_it(state: JobState) -> None:
    """`sacct -s R` asks for this moment, which is a whole second."""
    start_at = 100.6 if state is JobState.RUNNING else 0.0
    span = SimpleNamespace(eligible_at=100.4, start_at=start_at, end_at=0.0)
    line: Any = SimpleNamespace(span=span, has_run=True, end=SimpleNamespace(state=state))
    assert not sacct_selection._was_in(state, line, Window(99, 99))
    assert sacct_selection._was_in(state, line, Window(100, 100))
    assert sacct_selection._was_in(state, line, Window(101, 101))


def test_root_sees_everybody_and_others_only_themselves() -> None:
    assert "29|bobjob" in lines("-X", "-o", "jobid,jobname", owner=ROOT)
    assert "29|bobjob" not in lines("-X", "-o", "jobid,jobname")


def test_a_job_that_waits_for_its_second_run_shows_the_first_until_it_may_start() -> None:
    again = requeued(
        5, "again", JobState.REQUEUED, (0, 15), span=("51:00", "51:00", "51:01"), begin="59:00"
    )
    assert lines("-X", "-o", "state", cluster=RecordedCluster([again])) == ["REQUEUED"]
    assert lines("-X", "-o", "state", "-j", "5", cluster=RecordedCluster([again])) == ["PENDING"]
    assert lines("-X", "-D", "-o", "state", "-j", "5", cluster=RecordedCluster([again])) == [
        "REQUEUED",
        "PENDING",
    ]


def test_an_exit_status_that_nobody_knows_is_shown_as_it_is() -> None:
    lost = ended(
        5, "lost", JobState.FAILED, (-999, 0), raw=(0, 0), span=("51:00", "51:00", "51:01")
    )
    assert lines("-j", "5", "-o", "state,exitcode", cluster=RecordedCluster([lost])) == [
        "FAILED|-999:0",
        "FAILED|-999:0",
    ]


def test_out_of_memory_is_said_of_the_job_and_of_its_script() -> None:
    eaten = ended(
        5, "oom", JobState.OUT_OF_MEMORY, (0, 125), raw=(0, 9), span=("51:00", "51:00", "51:01")
    )
    assert lines("-j", "5", "-o", "state,exitcode", cluster=RecordedCluster([eaten])) == [
        "OUT_OF_MEMORY|0:125",
        "OUT_OF_MEMORY|0:125",
    ]


def test_of_a_job_that_held_too_much_the_script_was_cancelled_by_root() -> None:
    eaten = ended(5, "big", JobState.FAILED, (0, 9), span=("51:00", "51:00", "51:01"))
    eaten.job.ended_by = 0
    assert lines("-j", "5", "-o", "state,exitcode", cluster=RecordedCluster([eaten])) == [
        "FAILED|0:9",
        "CANCELLED by 0|0:9",
    ]


def test_suspension_does_not_count_as_elapsed() -> None:
    record = running(5, "nap", span=("51:00", "51:00"), limit_s=600.0)
    record.job.state, record.job.suspended_s = JobState.SUSPENDED, 40.0
    found = lines(
        "-j", "5", "-X", "-o", "state,elapsed,suspended", cluster=RecordedCluster([record])
    )
    assert found == ["SUSPENDED|00:01:00|00:00:40"]


def test_tasks_stand_where_they_started_and_what_waits_after_the_first_of_them() -> None:
    cluster = RecordedCluster(
        [
            ended(6, "task", JobState.COMPLETED, task=(4, 1), span=("51:00", "51:02", "51:03")),
            ended(8, "late", JobState.COMPLETED, task=(4, 2), span=("51:00", "51:07", "51:09")),
            waiting(4, "rest", JobState.PENDING, span=("51:00", "", ""), array=("3-9", 1)),
            ended(5, "single", JobState.COMPLETED, span=("51:01", "51:06", "51:09")),
        ]
    )
    found = lines("-X", "-o", "jobid", "-j", "4,5", cluster=cluster)
    assert found == ["5", "4_1", "4_[3-9%1]", "4_2"]


def test_the_window_begins_at_the_callers_midnight() -> None:
    cluster = RecordedCluster([])
    ask(cluster=cluster, TZ="Asia/Tokyo")
    # 04:52 UTC is 13:52 in Tokyo, whose day began at 15:00 UTC.
    assert cluster.asked[0].start_at == NOW - (13 * 3600 + 52 * 60 + 40)


def test_several_jobs_options_add_up() -> None:
    assert lines("-X", "-j", "3", "-j", "4", "-o", "jobid") == ["3", "4"]


def test_scripts_and_environments_are_printed_on_request() -> None:
    assert ask("-B", "-j", "3").out == f"Batch Script for 3\n{'-' * 80}\n#!/bin/sh\ntrue\n\n"
    assert "\nA=1\nB=2\n" in ask("--env-vars", "-j", "3").out


@pytest.mark.parametrize("option", ["-B", "--env-vars"])
def test_scripts_and_environments_of_others_are_as_if_they_were_not_there(option: str) -> None:
    assert ask(option, "-j", "3", owner=BOB).out == ""


def test_jobs_are_chosen_by_features_and_by_who_started_them() -> None:
    everything = lines("-X", "-o", "jobid", "-a", "-S", "00:00", "--use-local-uid")
    assert lines("-X", "-o", "jobid", "-a", "-S", "00:00", "-C", "big") == []
    started = lines("-X", "-o", "jobid", "-a", "-S", "00:00", "-F", "SchedMain,SchedBackfill")
    assert started
    assert {*started} <= {*everything}
    assert lines("-X", "-o", "jobid", "-a", "-S", "00:00", "--flags=SchedBackfill") == []


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("-M", "mars"), "'mars' can't be reached now"),
        (("-I", "x"), 'Invalid numeric value "x" for requested cpu range.'),
        (("-i", "1-x"), 'Invalid numeric value "1-x" for requested node range.'),
        (("-g", "alice,nosuch"), "Invalid group id: nosuch"),
        (("-q", "nosuch"), "You gave a bad qos 'nosuch'. Valid QOS's are normal"),
        (("-F", "SchedMain,Odd"), "str_2_job_flags: Invalid job flag Odd"),
        (("-k", "soon"), "Invalid time limit specification: soon"),
        (("-N", "node[2"), ""),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(
    argv: tuple[str, ...], sentence: str
) -> None:
    answer = ask(*argv)
    assert sentence in answer.err


def test_every_field_can_be_shown_of_every_job_in_both_forms() -> None:
    every = ",".join(names()) + ","
    padded = ask("-a", "-D", "-o", every, "-S", "00:00").out.splitlines()
    assert len({len(line) for line in padded[:2]}) == 1
    width = len(names())
    assert {line.count("\x1f") for line in lines("-a", "-D", "--delimiter=\x1f", "-o", every)} == {
        width - 1
    }
    assert len(padded) > len(recorded_jobs())


def test_the_header_can_be_cut_into_names_as_clients_do() -> None:
    listed = ask("--helpformat").out.split()
    assert listed == names()
    assert ask("-P", "-X", "-o", ",".join(listed) + ",").code == 0


def test_no_option_is_listed_twice() -> None:
    words = [word for option in OPTIONS for word in (option.long, *option.aliases)]
    letters = [option.short for option in OPTIONS if option.short]
    assert len(words) == len(set(words))
    assert len(letters) == len(set(letters))


LONG = [
    [],
    ["-n", "-P"],
    ["-X", "-o", "JobID,State%20,Elapsed"],
    ["-D", "-T"],
    ["-s", "CD,F", "-E", "now"],
    ["-j", "8,1,13.0"],
    ["--json"],
    ["--yaml", "-D"],
    ["--json", "-s", "PD", "-j", "1", "-E", "now"],
    ["-B"],
    ["--env-vars", "-j", "1,5"],
]


def answered(argv: list[str], cluster: RecordedCluster) -> Answer:
    call = Call(
        program="sacct",
        argv=("-a", "-S", "2020-01-01", *argv),
        environment={"TZ": "UTC"},
        work_dir="/",
        owner=ROOT,
        now=NOW,
    )
    return sacct(call, cluster)  # type: ignore[arg-type]


@pytest.mark.parametrize("kept_max", [5, 10_000])
@pytest.mark.parametrize("argv", LONG, ids=" ".join)
def test_a_long_history_reads_as_a_short_one_would(argv, kept_max, monkeypatch):
    at_once = answered(argv, RecordedCluster(recorded_jobs()))
    monkeypatch.setattr("stoker.commands.sacct.LONG", 0)
    monkeypatch.setattr("stoker.commands.sacct_long.KEPT_MAX", kept_max)
    cluster = RecordedCluster(recorded_jobs())
    gradual = answered(argv, cluster)
    assert cluster.lookout.seen_at_once == 0, "records are read in the turn"
    assert "".join(gradual.out) == "".join(at_once.out)
    assert 0 < cluster.lookout.seen_at_once <= 3


def test_a_document_of_many_jobs_comes_a_job_at_a_time(monkeypatch):
    monkeypatch.setattr("stoker.commands.sacct.LONG", 0)
    pieces = list(answered(["--json", "-D"], RecordedCluster(recorded_jobs())).out)
    assert max(piece.count('"working_directory"') for piece in pieces) == 1


def test_what_a_job_gained_while_others_were_put_in_order_is_not_shown(monkeypatch):
    monkeypatch.setattr("stoker.commands.sacct.LONG", 0)
    cluster = RecordedCluster(recorded_jobs())
    pieces = iter(answered(["--json"], cluster).out)
    whole = json.loads("".join(answered(["--json"], RecordedCluster(recorded_jobs())).out))
    begun = ""
    while not begun:
        begun = next(pieces)
    gone = cluster.records.pop()
    shown = json.loads(begun + "".join(pieces))
    ids = [job["job_id"] for job in whole["jobs"] if job["job_id"] != gone.job.job_id]
    assert [job["job_id"] for job in shown["jobs"]] == ids


@pytest.mark.parametrize("size_kib", [0, 2920])
def test_a_size_is_told_among_the_others_where_it_was_seen(size_kib: int) -> None:
    names = "TRESUsageInTot,TRESUsageInMaxNode,TRESUsageInMaxTask"
    record = ended(5, "half", JobState.COMPLETED, cpus=2, span=("51:00", "51:00", "51:10"))
    record.attempts[0].usage = Usage(max_rss_kib=1780, max_size_kib=size_kib)
    (told,) = lines("-o", names, "-j", "5.batch", cluster=RecordedCluster([record]))
    seen = [f",vmem={each}" if size_kib else "" for each in ("2920K", "node1", "0")]
    assert told.split("|") == [
        f"cpu=00:00:00,energy=0,fs/disk=0,mem=1780K,pages=0{seen[0]}",
        f"cpu=node1,energy=node1,fs/disk=node1,mem=node1,pages=node1{seen[1]}",
        f"cpu=0,fs/disk=0,mem=0,pages=0{seen[2]}",
    ]
