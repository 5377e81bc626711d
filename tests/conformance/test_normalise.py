"""What the comparison lets pass, and above all what it does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.cases import Case, load
from conformance.ids import learnt, translated, translated_argv
from conformance.normalise import RECORDED, Side, same
from conformance.verdicts import accepted_reasons, judge

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("STOKER_REFERENCE", ROOT.parent / "shared" / "reference"))


def alike(
    theirs: str, ours: str, command: str = "scontrol show job 1", side: Side = RECORDED
) -> bool:
    return same(theirs, ours, side, command)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("SubmitTime=2026-11-24T04:50:43 x", "SubmitTime=2027-01-02T11:22:33 x"),
        ("Priority=1281 Nice=0", "Priority=4294901759 Nice=0"),
        ("AllocNode:Sid=vm:1234", "AllocNode:Sid=box:7"),
        ("RunTime=00:00:03 TimeLimit=01:00:00", "RunTime=00:00:01 TimeLimit=01:00:00"),
        ("slurmstepd-node1: error: x", "slurmstepd: error: x"),
    ],
)
def test_what_differs_between_two_runs_passes(theirs: str, ours: str) -> None:
    assert alike(theirs, ours)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ExitCode=0:15", "ExitCode=0:11"),
        ("JobState=TIMEOUT", "JobState=FAILED"),
        ("TimeLimit=01:00:00", "TimeLimit=02:00:00"),
        ("RunTime=00:00:03 TimeLimit=00:01:00", "RunTime=00:00:01 TimeLimit=00:02:00"),
        ("TimeMin=00:01:00", "TimeMin=00:01:30"),
        ("TimeLimit=1-02:03:00", "TimeLimit=1-02:04:00"),
        ("NumCPUs=2", "NumCPUs=1"),
        ("Reason=None ", "Reason=None"),
        ("a  b", "a b"),
        ("line\n", "line"),
        ("SubmitTime=Unknown", "SubmitTime=2026-11-24T04:50:43"),
    ],
)
def test_what_a_user_would_see_does_not_pass(theirs: str, ours: str) -> None:
    assert not alike(theirs, ours)


def test_the_end_of_a_job_without_a_limit_passes_in_its_place() -> None:
    theirs, ours = "  !!str end_time: !!int 6090470273", "  !!str end_time: !!int 6090575868"
    assert alike(theirs, ours, "squeue --yaml")
    assert not alike(theirs, ours.replace("6090575868", "0"), "squeue --yaml")
    assert not alike(theirs, ours.replace("end_time", "start_time"), "squeue --yaml")


def test_reports_count_and_name_no_jobs() -> None:
    side = Side({6: 5})
    assert alike("test|bob||chem|6|0", "test|bob||chem|6|0", "sreport -P user top", side)
    assert not alike("test|bob||chem|5|0", "test|bob||chem|6|0", "sreport -P user top", side)
    assert alike("5|COMPLETED", "6|COMPLETED", "sacct -P", side)


def test_a_stamp_may_be_cut_to_its_date_where_the_next_column_follows_at_once() -> None:
    theirs, ours = "2026-11-24 2026-11-24T04:50", "2027-01-02 2027-01-02T11:22"
    assert alike(theirs.replace(" ", ""), ours.replace(" ", ""), "sinfo")
    assert not alike(theirs, ours, "sinfo"), "a date by itself is no stamp"


def test_exit_codes_are_no_times() -> None:
    assert not alike("1|0:15", "1|0:11", "sacct -P")
    assert alike("    0:15 1", "    0:11 1", "squeue")


def test_ids_are_compared_as_the_recorded_ones_and_padding_follows() -> None:
    side = Side({7: 42})
    assert alike("                42 debug", "                 7 debug", "squeue", side)
    assert not alike("                43 debug", "                 7 debug", "squeue", side)


def test_numbers_that_count_something_are_no_ids() -> None:
    side = Side({7: 42, 9: 43})
    assert alike("42_[5,7,9%2] x 00:00:07 NumCPUs=7", "7_[5,7,9%2] x 00:00:07 NumCPUs=7", side=side)
    assert alike("JobId=42 afterok:43(failed)", "JobId=7 afterok:9(failed)", side=side)
    assert alike("42_1 42.0 slurm-42.out", "7_1 7.0 slurm-42.out", side=side)
    assert alike("srun: verbose   : 7", "srun: verbose   : 7", "srun -v", side=side)
    assert not alike("srun: verbose   : 42", "srun: verbose   : 7", "srun -v", side=side)
    assert alike("srun: jobid   : 42", "srun: jobid   : 7", "srun -v", side=side)
    told = "srun: jobid {}: nodes(7):`node7', cpu counts: 7(x7)\nsrun: node7: task 7: Completed"
    assert alike(told.format(42), told.format(7), "srun -v", side=side)
    assert not alike(told.format(42), told.format(7).replace("task 7", "task 42"), side=side)


def test_sampled_figures_of_accounting_do_not_count_but_their_column_does() -> None:
    theirs = "JobID|MaxRSS|State\n1.batch|1780K|COMPLETED\n"
    assert alike(theirs, "JobID|MaxRSS|State\n1.batch||COMPLETED\n", "sacct -P")
    assert not alike(theirs, "JobID|MaxRSS|State\n1.batch||FAILED\n", "sacct -P")
    assert not alike(theirs, "JobID|State\n1.batch|COMPLETED\n", "sacct -P")


def test_a_sampled_column_without_a_heading_is_known_by_the_format() -> None:
    command = "sstat -n -P -j 41.0 --format=JobID,NTasks,MaxRSS,Nodelist"
    assert alike("41.0|2|1644K|node1\n", "41.0|2|1780K|node1\n", command)
    assert not alike("41.0|2|1644K|node1\n", "41.0|3|1644K|node1\n", command)


def test_a_sampled_column_is_known_by_its_cut_heading() -> None:
    dashes = "-------- -------- \n"
    theirs = "MaxDiskR State    \n" + dashes + "0.01M    FAILED   \n"
    assert alike(theirs, theirs.replace("0.01M", "     "), "sacct")
    assert not alike(theirs, theirs.replace("FAILED", "OK    "), "sacct")


def test_documents_are_compared_by_keys_and_types() -> None:
    command = "squeue --json"
    theirs = json.dumps({"jobs": [{"id": 1, "name": "a", "flags": [], "account": None}]})
    assert alike(
        theirs,
        json.dumps({"jobs": [{"id": 9, "name": "b", "flags": ["X"], "account": "x"}]}),
        command,
    )
    assert not alike(
        theirs,
        json.dumps({"jobs": [{"id": "9", "name": "b", "flags": [], "account": None}]}),
        command,
    )
    assert not alike(theirs, json.dumps({"jobs": [{"id": 9, "name": "b", "flags": []}]}), command)


def test_commands_are_said_with_our_ids_where_ids_stand() -> None:
    ids = {13: 11, 9: 4, 1: 2}
    assert translated("sacct -j 13,9_2 -n 13", ids) == "sacct -j 11,4_2 -n 13"
    assert translated_argv(["scancel", "9", "13_[1-2]"], ids) == ["scancel", "4", "11_[1-2]"]
    assert (
        translated("sleep 1; scontrol show job 13 | head -9", ids)
        == "sleep 1; scontrol show job 11 | head -9"
    )
    assert translated("sbatch -d afterok:13:9 -n 9 x", ids) == "sbatch -d afterok:11:4 -n 9 x"


def test_ids_are_learnt_from_what_both_printed() -> None:
    assert learnt("Submitted batch job 57\n", "Submitted batch job 12\n", range(12, 13)) == {57: 12}
    assert learnt("Submitted batch job 57\n", "error: no\n", range(12, 13)) == {}


def test_a_line_that_comes_or_not_does_not_set_ids_off() -> None:
    granted = "salloc: Granted job allocation {}\nsalloc: Granted job allocation {}\n"
    theirs = granted.format(33, 34) + "salloc: Job allocation 34 has been revoked.\n"
    assert learnt(theirs, granted.format(1, 2), range(1, 3)) == {33: 1, 34: 2}


def test_what_a_job_and_its_steps_write_at_once_is_compared_line_by_line_in_any_order() -> None:
    script = "#!/bin/sh\nsrun sleep 9\n"
    raw = {"cmd": "sbatch job.sh", "stdout": "", "stderr": "", "rc": 0}
    case = Case("srun", "srun-x", "srun", (), {**raw, "script": script, "files": {"out": "a\nb\n"}})
    result = {**raw, "then": [], "directory": "/home/alice/srun", "home": "/srv/home"}
    for said, kind in (("b\na\n", "match"), ("b\nb\n", "differ"), ("a\n", "differ")):
        assert judge(case, {**result, "files": {"out": said}}, {}).kind == kind
    alone = Case("srun", "srun-x", "srun", (), {**case.raw, "script": "#!/bin/sh\n"})
    assert judge(alone, {**result, "files": {"out": "b\na\n"}}, {}).kind == "differ"


@given(st.text(max_size=60), st.text(max_size=60))
def test_comparing_is_symmetric_and_every_text_is_like_itself(one: str, other: str) -> None:
    assert same(one, one, RECORDED, "squeue")
    assert same(one, other, RECORDED, "squeue") == same(other, one, RECORDED, "squeue")


def recordings() -> list:
    return load(REFERENCE / "slurm") if (REFERENCE / "slurm").is_dir() else []


def test_every_recording_matches_itself() -> None:
    cases = recordings()
    if not cases:
        pytest.skip("the recordings are not here (STOKER_REFERENCE)")
    for case in cases:
        result = {
            **{name: case.raw[name] for name in ("stdout", "stderr", "rc")},
            "then": [{"waited": True, **each} for each in case.raw.get("then") or []],
            "files": case.raw.get("files") or {},
            "directory": "/home/alice/x",
        }
        assert judge(case, result, {}).kind == "match", case.id


def test_each_accepted_difference_is_of_a_recorded_case() -> None:
    reasons = accepted_reasons()
    assert all(reason.endswith(".") for reason in reasons.values())
    known = {case.id for case in recordings()}
    if not known:
        pytest.skip("the recordings are not here (STOKER_REFERENCE)")
    assert set(reasons) <= known


def test_spans_without_a_blank_between_them_are_found() -> None:
    assert alike("1:05   1:05 1:051:05 +x", "0:11   0:11 0:110:11 +x", "squeue -O timeused")
    assert not alike("1:05 1:051:05", "0:11 0:112:05", "squeue -O timeused")
    assert not alike("5:00", "1:00", "squeue"), "no machine is that much slower"
