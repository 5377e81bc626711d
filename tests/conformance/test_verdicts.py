"""Points in time in a format of the case's own; and what is accepted where there is no root."""

from __future__ import annotations

import pytest

from conformance.cases import Case
from conformance.verdicts import accepted_reasons, accepted_statuses, judge


def kind(form: str, theirs: str, ours: str) -> str:
    raw = {"cmd": "squeue", "env": {"SLURM_TIME_FORMAT": form}, "stderr": "", "rc": 0}
    case = Case("squeue", "a-case", "squeue", (), {**raw, "stdout": theirs})
    return judge(case, {**raw, "stdout": ours, "then": [], "files": {}}, {}).kind


@pytest.mark.parametrize(
    ("form", "theirs", "ours"),
    [
        ("relative", "04:37:40|Tomorr 04:00", "11:22:33|Tomorr 04:00"),
        ("%H:%M", "StartTime=07:11 EndTime=07:13", "StartTime=09:40 EndTime=09:41"),
    ],
)
def test_the_clock_passes(form: str, theirs: str, ours: str) -> None:
    assert kind(form, theirs, ours) == "match"


@pytest.mark.parametrize(
    ("form", "theirs", "ours"),
    [
        ("relative", "04:37:40|Tomorr 04:00", "11:22:33|Ystday 04:00"),
        ("%H:%M", "StartTime=07:11", "StartTime=Unknown"),
        ("%H:%M", "StartTime=07:11", "StartTime=07:11:02"),
        ("%H:%M", "TimeLimit=1-02:03:00", "TimeLimit=1-02:04:00"),
        ("%H:%M", "ExitCode=0:15", "ExitCode=0:11"),
    ],
)
def test_all_else_does_not_pass(form: str, theirs: str, ours: str) -> None:
    assert kind(form, theirs, ours) == "differ"


@pytest.mark.parametrize(
    ("raw", "setup", "file", "kind"),
    [
        ({"user": "bob"}, (), "squeue", "accepted"),
        ({"user": "root"}, (), "squeue", "accepted"),
        ({}, ("[bob] sbatch -H --wrap true  # job 1",), "squeue", "accepted"),
        ({}, (), "limits", "accepted"),
        ({}, ("sbatch -H --wrap true  # job 1",), "squeue", "differ"),
    ],
)
def test_without_root_what_others_do_is_no_difference_of_ours(raw, setup, file, kind) -> None:
    said = {"cmd": "squeue", "stdout": "bob\n", "stderr": "", "rc": 0, **raw}
    case = Case(file, "x", "topic", setup, said)
    ours = {"stdout": "alice\n", "stderr": "", "rc": 0, "then": [], "files": {}}
    assert judge(case, {**ours, "has_second_user": False}, {}).kind == kind
    assert judge(case, {**ours, "has_second_user": True}, {}).kind == "differ"


def test_a_reason_covers_an_exit_status_only_where_that_is_said() -> None:
    raw = {"cmd": "srun", "stdout": "", "stderr": "", "rc": 0}
    differing = {**raw, "rc": 1, "then": [], "files": {}}
    for case_id in (*sorted(accepted_statuses()), "x"):
        kind = judge(Case("srun", case_id, "srun", (), raw), differing, {case_id: "So it is."}).kind
        assert kind == ("differ" if case_id == "x" else "accepted")
    assert accepted_statuses() <= accepted_reasons().keys()
