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
        ("CPULoad=0.38 FreeMem=22313", "CPULoad=12.20 FreeMem=9"),
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
        ("SubmitTime=2026-11-24T04:50:43", "SubmitTime=2026-11-24 04:50:43"),
        ("SubmitTime=2026-11-24T04:50:43", "SubmitTime=2026-11-24T04:50"),
        ("2026-11-24T04:50:43  x", "2026-11-24T04:50:43 x"),
        ("Priority=1281 Nice=0", "Priority=4294901759 Nice=0"),
        ("CPULoad=0.38", "CPULoad=N/A"),
        ("   LLN=NO", "   LLN=YES"),
        ("00:02:00", "00:01:00"),
        ("RunTime=00:00:00", "RunTime=00:00:09"),
        ("SLURM_PRIO_PROCESS=0", "SLURM_PRIO_PROCESS=5"),
        ("SLURM_TOPOLOGY_ADDR=node1", "SLURM_TOPOLOGY_ADDR=node2"),
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


@pytest.mark.parametrize(
    ("field", "theirs", "ours"),
    [
        ("MaxRSS", "1780K", "21000K"),
        ("MaxRSS", "1780K", ""),
        ("AveCPUFreq", "2.60M", "0"),
        ("UserCPU", "00:00.012", "00:00:00"),
        ("TotalCPU", "00:01.012", "00:00.120"),
        ("CPUTimeRAW", "4", "12"),
        ("DBIndex", "19", "7"),
        ("CPUTime", "00:00:04", "00:00:12"),
        ("Elapsed", "00:00:04", "00:00:06"),
        ("TRESUsageInTot", "cpu=00:00:00,energy=0,mem=1K", "energy=0"),
        ("TRESUsageInTot", "cpu=00:00:00,energy=0,mem=1K", "cpu=00:00:03,energy=0,mem=900K"),
    ],
)
def test_a_sampled_figure_passes_in_its_form(field: str, theirs: str, ours: str) -> None:
    row = f"JobID|{field}|State\n1.batch|{{}}|COMPLETED\n"
    assert alike(row.format(theirs), row.format(ours), "sacct -P")
    assert not alike(row.format(theirs), row.format(ours).replace("COMP", "COM"), "sacct -P")
    assert not alike(row.format(theirs), row.format(ours).replace(f"{ours}|", "", 1), "sacct -P")


@pytest.mark.parametrize(
    ("field", "theirs", "ours"),
    [
        ("MaxRSS", "1780K", "1780"),
        ("MaxRSS", "1780K", "1.74M"),
        ("MaxRSS", "1780K", "none"),
        ("MaxRSSNode", "node1", "vm"),
        ("CPUTime", "00:00:04", "4"),
        ("CPUTime", "00:00:04", ""),
        ("CPUTime", "00:00:04", "01:00:04"),
        ("CPUTimeRAW", "4", "00:00:04"),
        ("CPUTimeRAW", "4", ""),
        ("DBIndex", "19", ""),
        ("ElapsedRaw", "4", "4.0"),
        ("Elapsed", "00:00:04", "0:04"),
        ("Priority", "1281", "1"),
        ("TotalCPU", "00:01.012", "1.012"),
        ("TRESUsageInTot", "cpu=00:00:00,mem=1K,vmem=1K", "cpu=00:00:00,mem=1K"),
        ("TRESUsageInTot", "cpu=00:00:00,mem=1K", "cpu=0,mem=1K"),
        ("TRESUsageInTot", "cpu=00:00:00,mem=1K", "mem=1K,cpu=00:00:00"),
    ],
)
def test_a_figure_of_another_form_does_not_pass(field: str, theirs: str, ours: str) -> None:
    row = f"JobID|{field}|State\n1.batch|{{}}|COMPLETED\n"
    assert not alike(row.format(theirs), row.format(ours), "sacct -P")


def test_a_sampled_figure_stands_at_the_edge_where_it_stood() -> None:
    table = "JobID     MaxRSS State \n----- ---------- ----- \n1.0   {} OK    \n"
    theirs, ours = table.format("     1780K"), table.format("    21000K")
    assert alike(theirs, ours, "sacct")
    assert not alike(theirs, table.format("21000K    "), "sacct")
    assert alike(theirs, table.format(" " * 10), "sacct")
    assert not alike(theirs, table.format(" " * 9), "sacct")


def test_the_name_of_an_interactive_job_passes_and_no_other_cell() -> None:
    command = "sacct -n -P -j 3 --format=JobID,JobName,State"
    assert alike("3|allocation|COMPLETED\n", "3|sh|COMPLETED\n", command)
    assert not alike("3|allocation|COMPLETED\n", "3|sh|FAILED\n", command)
    assert not alike("3|sh|COMPLETED\n", "3|allocation|COMPLETED\n", command)
    assert not alike("3|allocation|COMPLETED\n", "3|sh|COMPLETED\n", "sacct -n -P -o State,User")


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
    assert not alike(theirs, json.dumps({"jobs": []}), command)
    assert not alike(theirs, theirs.replace("1", "1.0"), command)


def test_a_document_that_was_cut_off_is_compared_as_far_as_it_goes() -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    theirs = head + '{"meta": {"name": "x", "type": "y"}, "jobs": [{"a": 1,'
    assert alike(theirs, theirs.replace('"x"', '"longer"'), "curl")
    assert not alike(theirs, theirs.replace("name", "title"), "curl")
    assert not alike(theirs, head, "curl")
    assert not alike(theirs, theirs + '"b": 2}]}', "curl")


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


@pytest.mark.parametrize(
    ("command", "said", "passes"),
    [
        ("srun -n2 x", "b\na\n", True),
        ("srun -N 2 x", "b\na\n", True),
        ("srun a & srun b; wait", "b\na\n", True),
        ("srun -n2 x", "b\nb\n", False),
        ("srun -n2 x", "a\n", False),
        ("srun x", "b\na\n", False),
        ("salloc -n2 x", "b\na\n", False),
        ("sbatch -n2 x", "b\na\n", False),
    ],
)
def test_what_several_write_at_once_comes_in_any_order(command, said, passes) -> None:
    assert alike("a\nb\n", said, command) is passes
    script = f"#!/bin/sh\n{command}\n"
    raw = {"cmd": "sbatch job.sh", "stdout": "", "stderr": "", "rc": 0}
    case = Case("srun", "srun-x", "srun", (), {**raw, "script": script, "files": {"out": "a\nb\n"}})
    result = {**raw, "then": [], "directory": "/home/alice/srun", "home": "/srv/home"}
    kind = judge(case, {**result, "files": {"out": said}}, {}).kind
    assert kind == ("match" if passes else "differ")


def test_what_a_task_wrote_stands_in_its_order_among_others() -> None:
    assert alike("0: a\n0: b\n1: c\n", "1: c\n0: a\n0: b\n", "cat out")
    assert not alike("0: a\n0: b\n1: c\n", "1: c\n0: b\n0: a\n", "cat out")
    assert not alike("a\n0: b\n", "0: b\na\nc\n", "cat out")


def test_what_srun_says_itself_stands_in_its_order_beside_its_task() -> None:
    theirs, ours = (
        "srun: a\nsrun: b\nUser defined signal 1\n",
        "User defined signal 1\nsrun: a\nsrun: b\n",
    )
    assert alike(theirs, ours, "srun x")
    assert not alike(theirs, "srun: b\nsrun: a\nUser defined signal 1\n", "srun x")


def test_each_slurmstepd_says_when_its_own_part_ends() -> None:
    told = "slurmstepd: error: *** {} ON node1 CANCELLED AT 2026-11-24T06:57:42 ***\n"
    step, job = told.format("STEP 8.0"), told.format("JOB 8")
    assert alike(step + job, job + step, "sbatch job.sh")
    assert not alike(step + job, step, "sbatch job.sh")
    assert not alike(step + job, step + told.format("STEP 8.1"), "sbatch job.sh")


def test_a_signal_of_timeouts_comes_once_or_twice_at_any_moment() -> None:
    again = "srun: got SIGCONT\n"
    theirs, ours = f"srun: a\n{again}srun: b\n", f"{again}{again}srun: a\nsrun: b\n"
    assert alike(theirs, ours, "timeout 2 srun x")
    assert not alike(theirs, ours.replace(again, ""), "timeout 2 srun x")
    assert not alike(theirs, "srun: b\nsrun: a\n" + again, "timeout 2 srun x")


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


def test_columns_beside_a_span_stand_where_they_stood() -> None:
    assert alike("  0:36  node1", "  0:02  node1", "squeue")
    assert not alike("  0:36  node1", "  0:02 node1", "squeue")
    assert alike("   9:59 node1", "  10:02 node1", "squeue")


def test_spans_without_a_blank_between_them_are_found() -> None:
    assert alike("1:05   1:05 1:051:05 +x", "0:11   0:11 0:110:11 +x", "squeue -O timeused")
    assert not alike("1:05 1:051:05", "0:11 0:112:05", "squeue -O timeused")
    assert not alike("5:00", "1:00", "squeue"), "no machine is that much slower"
