"""Sets of array tasks: reading, printing, taking tasks out, and staying small."""

from __future__ import annotations

import sys
from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.units import NotationError, TaskSet, parse_array
from support.recordings import cases, parameters

_CHECKED = [case for case in cases("sbatch") if case["id"].startswith("sbatch-e-array-")]


@pytest.mark.parametrize("case", parameters(_CHECKED))
def test_what_sbatch_refuses_is_refused_and_what_it_takes_is_taken(case):
    text = next(word for word in case["cmd"] if word.startswith("--array=")).partition("=")[2]
    if case["rc"]:
        with pytest.raises(NotationError):
            parse_array(text, 1001)
    else:
        assert parse_array(text, 1001).tasks


@pytest.mark.parametrize(
    ("text", "tasks", "limit"),
    [
        ("0-7%4", range(8), 4),
        ("1-10:3", (1, 4, 7, 10), 0),
        ("1,3,7", (1, 3, 7), 0),
        ("[1-10]", range(1, 11), 0),
        ("[1-3%2]", (1, 2, 3), 2),
        ("7,1,1-3", (1, 2, 3, 7), 0),
        ("1-4%0", (1, 2, 3, 4), 0),
        ("007", (7,), 0),
    ],
)
def test_an_array_is_its_tasks_and_its_limit(text, tasks, limit):
    spec = parse_array(text, 1001)
    assert (list(spec.tasks), spec.limit) == (list(tasks), limit)


@pytest.mark.parametrize(
    "text", ["", "abc", "5-1", "1-4:0", "-1", "1-", "1,,2", "1001", "0-1001", "1-2%", "1-2%x", "[1"]
)
def test_what_is_no_array_is_refused_by_name(text):
    with pytest.raises(NotationError, match="cannot read the array") as caught:
        parse_array(text, 1001)
    assert caught.value.text == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0-99", "0-99"),
        ("1-19:3", "1-19:3"),
        ("1-9:2", "1,3,5,7,9"),
        ("1-9:2,20,30-32", "1,3,5,7,9,20,30-32"),
        ("1,20", "1-20:19"),
        ("1-5:2,6-7", "1,3,5-7"),
        ("27,28", "27-28"),
        ("", ""),
    ],
)
def test_a_set_prints_as_squeue_prints_it(text, shown):
    assert TaskSet.parse(text).format() == shown


def test_a_long_set_is_cut_where_squeue_cuts_it():
    listed = "0,3,12,27-28,48,72,75,83,107-108,147,187,192,200,243,267,300"
    tasks = TaskSet.parse(f"{listed},323,332,352")
    assert tasks.format(63) == f"{listed}..."
    assert TaskSet.parse(listed).format(63) == listed


def test_a_million_tasks_cost_a_few_hundred_bytes():
    tasks = TaskSet.parse("0-999999")
    runs = tasks._runs
    assert len(tasks) == 1_000_000
    assert sys.getsizeof(tasks) + sys.getsizeof(runs) + sum(map(sys.getsizeof, runs)) < 300
    assert tasks.pack() == "0-999999"


def test_tasks_leave_from_the_front_one_by_one():
    tasks = TaskSet.parse("1-9:2,20")
    left = []
    while tasks:
        left.append(tasks.first)
        assert tasks.pop_first() == left[-1]
        assert len(tasks) == 6 - len(left)
    assert left == [1, 3, 5, 7, 9, 20]
    with pytest.raises(IndexError):
        _ = tasks.first
    with pytest.raises(IndexError):
        tasks.pop_first()


def test_a_task_leaves_from_the_middle_and_comes_back():
    tasks = TaskSet.parse("1-10")
    tasks.remove(5)
    assert (tasks.format(), len(tasks), 5 in tasks) == ("1-4,6-10", 9, False)
    tasks.add(5)
    assert (tasks.format(), tasks.pack(), tasks.last) == ("1-10", "1-10", 10)


def test_removing_what_is_not_there_is_an_error_and_discarding_is_not():
    tasks = TaskSet.parse("1-3")
    with pytest.raises(KeyError):
        tasks.remove(4)
    tasks.discard(4)
    assert len(tasks) == 3


def test_a_copy_lives_its_own_life():
    tasks = TaskSet.parse("1-3")
    other = copy(tasks)
    other.remove(1)
    assert (tasks.format(), other.format()) == ("1-3", "2-3")


def test_sets_are_equal_by_their_tasks_however_they_were_written():
    assert TaskSet.parse("1,3,5") == TaskSet.parse("1-5:2") == TaskSet([5, 3, 1])
    assert TaskSet.parse("1,3,5") != TaskSet.parse("1,3,6")
    assert TaskSet(range(1, 6, 2)) == TaskSet(range(5, 0, -2)) == TaskSet([1, 3, 5])
    assert TaskSet(range(3, 3)) == TaskSet()
    assert TaskSet.parse("1") != {1}


@pytest.mark.parametrize(
    "text", ["1-4000000:2,2-4000000:3", "1-1000000:7,2-1000000:5", "0-4000001", "1-99999999999"]
)
def test_a_few_characters_cannot_fill_the_memory(text):
    with pytest.raises(NotationError):
        TaskSet.parse(text)


def test_interleaved_steps_become_one_run_where_they_fill_up():
    assert TaskSet.parse("1-4000000:2,2-4000000:2").pack() == "1-4000000"


@given(st.sets(st.integers(0, 300)), st.sets(st.integers(0, 300), max_size=9))
def test_what_is_in_one_set_only_is_found_whatever_is_taken_out(
    ones: set[int], others: set[int]
) -> None:
    for left, right in ((ones, others), (others, ones)):
        assert [*TaskSet(left).difference(TaskSet(right))] == sorted(left - right)
