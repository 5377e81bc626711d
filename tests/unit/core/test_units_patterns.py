"""File name patterns: what the letters stand for, and that names stay names."""

from __future__ import annotations

import re

import msgspec
import pytest

from stoker.core.units import PatternFields, expand_pattern
from support.recordings import cases, parameters

FIELDS = PatternFields(
    job_id=207, job_name="nm", user_name="alice", node="vm.example.org", array_job_id=0
)
_RECORDED = [
    case
    for case in cases("sbatch")
    if case["topic"] == "sbatch: output files"
    and case["cmd"][1] == "-o"
    and not case["cmd"][2].startswith("/")
    and len(case.get("files", {})) == 1
]


@pytest.mark.parametrize("case", parameters(_RECORDED))
def test_a_recorded_pattern_names_the_file_that_slurm_made(case):
    pattern = case["cmd"][2]
    job_id = int(re.search(r"job (\d+)", case["stdout"])[1])
    fields = msgspec.structs.replace(FIELDS, job_id=job_id)
    assert expand_pattern(pattern, fields) in case["files"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("%j %A %a", "207 207 4294967294"),
        ("%5j-%05j-%15j", "00207-00207-0000000207"),
        ("%x.%u@%N", "nm.alice@vm"),
        ("%n %t %s %J", "0 0 batch 207"),
        ("%% %q %b %5q 100%", "% %q %b %5q 100%"),
        (r"o-\%j", "o-%j"),
        ("%", "%"),
        ("%%j", "%j"),
    ],
)
def test_letters_stand_for_what_the_job_is(pattern, expected):
    assert expand_pattern(pattern, FIELDS) == expected


def test_a_task_of_an_array_has_its_array_and_its_number():
    fields = PatternFields(job_id=227, array_job_id=226, array_task_id=1)
    assert expand_pattern("o-%A-%a-%4a-%j", fields) == "o-226-1-0001-227"


def test_a_step_is_part_of_the_name():
    fields = PatternFields(job_id=5, step="0", task=7, node="n2", node_id=1)
    assert expand_pattern("%J/%s-%3t-%N-%n", fields) == "5.0/0-007-n2-1"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", ".", "a/b", "a\nb", "\0", "/abs", "...", "x/../../y"]
)
@pytest.mark.parametrize("pattern", ["logs/%x", "logs/%u", "logs/%x%x", "logs/.%x"])
def test_no_name_leads_out_of_the_directory(name, pattern):
    fields = PatternFields(job_id=1, job_name=name, user_name=name)
    made = expand_pattern(pattern, fields)
    assert made.startswith("logs/")
    assert made.count("/") == 1
    assert made.removeprefix("logs/") not in ("", ".", "..")
    assert not re.search(r"[\x00-\x1f]", made)


def test_dots_that_the_pattern_says_itself_stay():
    assert expand_pattern("../%x/./o", FIELDS) == "../nm/./o"


def test_an_empty_name_between_dots_makes_no_way_up():
    assert expand_pattern("logs/.%x.", PatternFields(job_id=1)) == "logs/__"


def test_names_are_not_patterns_themselves():
    fields = PatternFields(job_id=1, job_name="%j%u")
    assert expand_pattern("%x", fields) == "%j%u"
