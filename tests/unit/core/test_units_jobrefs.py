"""Names of jobs, tasks and steps."""

from __future__ import annotations

import pytest

from stoker.core.units import JobRef, NotationError, TaskSet, parse_job_ref


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("42", JobRef(42)),
        ("42_7", JobRef(42, TaskSet([7]))),
        ("42_[1-3,5]", JobRef(42, TaskSet([1, 2, 3, 5]))),
        ("42.0", JobRef(42, step="0")),
        ("42_7.batch", JobRef(42, TaskSet([7]), "batch")),
        ("42+0", JobRef(42, component=0)),
        ("42+1.0", JobRef(42, step="0", component=1)),
    ],
)
def test_a_name_is_read_and_given_back(text, ref):
    assert parse_job_ref(text) == ref
    assert str(ref) == text
    assert {ref: 1}[parse_job_ref(text)] == 1


def test_the_limit_that_squeue_prints_may_be_pasted():
    assert str(parse_job_ref("42_[3-10%2]")) == "42_[3-10]"


@pytest.mark.parametrize(
    "text",
    ["", "abc", "0", "-1", "42_", "42_[", "42_[3-1]", "42.", "42.x", " 42", "42 ", "1" * 40, "٤٢"],
)
def test_what_names_no_job_is_refused_by_name(text):
    with pytest.raises(NotationError) as caught:
        parse_job_ref(text)
    assert isinstance(caught.value, ValueError)
