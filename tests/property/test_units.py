"""Readers and printers are each other's inverse, and no text whatever breaks a reader."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.units import (
    Condition,
    Dependency,
    JobRef,
    NotationError,
    PatternFields,
    TaskSet,
    compress_hosts,
    expand_hosts,
    expand_pattern,
    format_dependency,
    format_exit_code,
    format_memory,
    format_time,
    format_time_limit,
    parse_array,
    parse_begin,
    parse_dependency,
    parse_exit_code,
    parse_gres,
    parse_job_ref,
    parse_memory,
    parse_patience,
    parse_signal,
    parse_time_limit,
    zone_of,
)

NOW = 1_795_494_469.0
TASKS = st.sets(st.integers(0, 60)) | st.builds(
    lambda first, count, step: set(range(first, first + count * step, step)),
    st.integers(0, 1000),
    st.integers(0, 60),
    st.integers(1, 9),
)
NAMES = st.from_regex(r"[a-z][a-z-]{0,3}([0-9]{1,3})?([a-z][0-9]{0,2})?", fullmatch=True)
JOB_IDS = st.integers(1, 9_999_999)
CONDITIONS = st.one_of(
    st.just(Condition("singleton")),
    st.builds(
        Condition,
        st.sampled_from(["afterok", "afterany", "afternotok", "aftercorr"]),
        JOB_IDS,
        st.none() | st.integers(0, 4_000_000),
    ),
    st.builds(
        Condition,
        st.sampled_from(["after", "afterok", "aftercorr"]),
        JOB_IDS,
        is_array=st.booleans(),
    ),
    st.builds(Condition, st.just("after"), JOB_IDS, st.none(), st.integers(0, 10_000)),
)


@given(st.integers(1, 2**31).map(lambda minutes: minutes * 60.0))
def test_a_limit_that_was_printed_is_read_back(seconds):
    assert parse_time_limit(format_time_limit(seconds)) == seconds


@given(st.integers(0, 1 << 40))
def test_memory_that_was_printed_whole_is_read_back(mib):
    text = format_memory(mib)
    if "." not in text:
        assert parse_memory(text) == mib
    assert parse_memory(format_memory(mib, convert=False)) == mib


@given(st.integers(0, 4_000_000_000), st.sampled_from(["UTC", "EST5", "<+0545>-5:45"]))
def test_a_time_that_was_printed_is_read_back(at, name):
    zone = zone_of(name)
    # The first moment of 1970 is Slurm's word for no time at all.
    if at:
        assert parse_begin(format_time(at, zone), NOW, zone) == at


@given(TASKS)
def test_a_set_of_tasks_comes_back_from_both_of_its_texts(tasks):
    found = TaskSet(tasks)
    assert TaskSet.parse(found.format()) == found == TaskSet.parse(found.pack())
    assert TaskSet.parse(found.pack()).pack() == found.pack()
    assert list(found) == sorted(tasks)


@given(TASKS, TASKS)
def test_two_sets_have_in_common_what_sets_have(one, other):
    assert list(TaskSet(one).intersection(TaskSet(other))) == sorted(one & other)
    assert (TaskSet(one) == TaskSet(other)) == (one == other)


@given(TASKS, st.lists(st.tuples(st.booleans(), st.integers(0, 80))))
def test_a_set_of_tasks_behaves_as_a_set_whatever_is_done_to_it(tasks, steps):
    found = TaskSet(tasks)
    for adds, task in steps:
        if adds:
            found.add(task)
            tasks.add(task)
        else:
            found.discard(task)
            tasks.discard(task)
        assert len(found) == len(tasks)
        assert bool(found) == bool(tasks)
    assert list(found) == sorted(tasks)
    assert all(task in found for task in tasks)
    if tasks:
        assert (found.first, found.last) == (min(tasks), max(tasks))


@given(TASKS, st.integers(7, 70))
def test_a_set_that_is_cut_is_no_wider_than_allowed_and_begins_alike(tasks, width):
    found = TaskSet(tasks)
    cut = found.format(width)
    if found.format() != cut:
        assert len(cut) <= max(width, len("1000-1540:9"))
        assert cut.endswith("...")
        assert found.format().startswith(cut[:-3])


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40), st.integers(1, 7)), min_size=1))
def test_ranges_in_any_order_are_the_union_of_them(ranges):
    text = ",".join(f"{first}-{first + size}:{step}" for first, size, step in ranges)
    union = set().union(*(range(first, first + size + 1, step) for first, size, step in ranges))
    assert list(parse_array(text, 1000).tasks) == sorted(union)


@given(st.lists(NAMES, max_size=30))
def test_hosts_that_were_joined_come_apart_in_order(names):
    assert expand_hosts(compress_hosts(names)) == names


@given(st.lists(NAMES, max_size=30))
def test_sorted_hosts_are_the_same_hosts(names):
    joined = compress_hosts(names, sort=True)
    assert sorted(expand_hosts(joined)) == sorted(names)
    assert compress_hosts(reversed(names), sort=True) == joined


@given(st.booleans(), st.lists(CONDITIONS, min_size=1, max_size=8, unique=True))
def test_a_dependency_comes_back(any_of, conditions):
    dependency = Dependency(any_of and len(conditions) > 1, tuple(conditions))
    assert parse_dependency(format_dependency(dependency)) == dependency


@given(
    JOB_IDS,
    st.none() | TASKS.filter(bool).map(TaskSet),
    st.sampled_from(["", "batch", "extern", "0", "17"]),
)
def test_a_job_ref_comes_back(job_id, tasks, step):
    ref = JobRef(job_id, tasks, step)
    assert parse_job_ref(str(ref)) == ref
    assert hash(parse_job_ref(str(ref))) == hash(ref)


@given(st.integers(-999, 255), st.integers(0, 64))
def test_an_exit_code_comes_back(code, signal):
    assert parse_exit_code(format_exit_code(code, signal)) == (code, signal)


@given(st.text(), st.text(), st.text("%jxuAa5.s/_", max_size=12))
def test_no_name_of_job_or_user_adds_a_directory(job_name, user_name, pattern):
    fields = PatternFields(job_id=1, job_name=job_name, user_name=user_name)
    made = expand_pattern(pattern, fields)
    assert made.count("/") == pattern.count("/")
    assert "\0" not in made
    if ".." not in pattern:
        assert ".." not in made.split("/")


@pytest.mark.parametrize(
    "read",
    [
        parse_patience,
        parse_time_limit,
        parse_memory,
        parse_dependency,
        parse_exit_code,
        parse_gres,
        parse_job_ref,
        parse_signal,
        expand_hosts,
        TaskSet.parse,
        lambda text: parse_array(text, 1001),
        lambda text: parse_begin(text, NOW, UTC),
        lambda text: parse_begin(text, NOW, zone_of("Europe/Berlin"), past=True),
        zone_of,
    ],
    ids=lambda read: getattr(read, "__name__", "reader"),
)
@given(text=st.text() | st.text("0123456789-:,[]%+_.?/TMKGnowaftero", max_size=20))
def test_any_text_is_read_or_refused_and_nothing_else(read, text):
    try:
        read(text)
    except NotationError as error:
        assert error.text in text  # noqa: PT017 - refusing is as good as reading
