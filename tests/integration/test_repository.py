"""The queries on a real database: what is recorded comes back, and each question has its answer."""

from __future__ import annotations

import copy
from itertools import chain

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stoker.core.database import Database
from stoker.core.enums import AllocationState, Hold, JobState, Reason
from stoker.core.historyfilter import HistoryFilter
from stoker.core.idpages import are_more_than, ended_pages, ended_tasks, id_pages
from stoker.core.models import (
    NO_TASK,
    Allocation,
    Job,
    JobSpec,
    NodeShare,
    Owner,
    SignalRequest,
    Step,
    TaskEnd,
    Usage,
)
from stoker.core.repository import NEXT_JOB_ID, NodeState, Repository
from stoker.core.rows import digest_of, encode_spec
from stoker.core.units import TaskSet, parse_dependency

ALICE = Owner(2001, "alice", 2001, "alice")
BOB = Owner(2002, "bob", 2002, "staff")


@pytest.fixture
def repository(database_url):
    with Database(database_url) as database:
        yield Repository(database)


def make(job_id: int, **fields: object) -> Job:
    spec = fields.pop("spec", None) or JobSpec(name=fields.pop("name", f"job{job_id}"))
    return Job(
        job_id=job_id,
        spec=spec,
        spec_digest=encode_spec(spec)[0],
        owner=fields.pop("owner", ALICE),
        submit_at=fields.pop("submit_at", 100.0),
        partition=fields.pop("partition", "debug"),
        **fields,
    )


def make_allocation(job_id: int, attempt: int = 0, **fields: object) -> Allocation:
    return Allocation(
        job_id=job_id,
        attempt=attempt,
        shares=(NodeShare("n1", (0, 3), 512, {"gpu": (1,)}), NodeShare("n2", (1,), 0)),
        token=f"token-{job_id}-{attempt}",
        reserved_at=101.0,
        **fields,
    )


def save(repository: Repository, *jobs: Job, allocations=(), steps=()) -> None:
    with repository.database.transaction() as connection:
        repository.add_specs(connection, dict(encode_spec(job.spec) for job in jobs))
        repository.save_jobs(connection, jobs)
        repository.save_allocations(connection, allocations)
        repository.save_steps(connection, steps)


def ids(jobs: list[Job]) -> list[int]:
    return [job.job_id for job in jobs]


# Round trips.


def test_a_job_comes_back_with_all_that_is_known_of_it(repository):
    spec = JobSpec(
        name="train",
        script=digest_of(b"#!/bin/sh"),
        argv=("a b", "ü", ""),
        rlimits={"nofile": (1024, -1)},
        time_limit_s=60.0,
        signal=SignalRequest(12, 90, shell_only=True),
        comment='it\'s a "comment"; DROP TABLE jobs',
    )
    job = make(
        7,
        spec=spec,
        state=JobState.COMPLETING,
        reason=Reason.TIME_LIMIT,
        priority=4_294_901_759,
        nice=-5,
        hold=Hold.ADMIN,
        time_limit_s=float("inf"),
        begin_at=102.0,
        eligible_at=103.25,
        start_at=104.0,
        suspended_at=105.0,
        suspended_s=0.5,
        restarts=2,
        requeue=False,
        exit_code=3,
        exit_signal=9,
        derived_code=1,
        derived_signal=2,
        message="killed\nby the kernel",
        ending=JobState.TIMEOUT,
        ended_by=2001,
        dependency=parse_dependency("afterok:1?after:2+5"),
        array_job_id=5,
        array_task_id=12,
    )
    held = make_allocation(
        7,
        2,
        state=AllocationState.ALLOCATED,
        allocated_at=104.0,
        pid=4711,
        start_ticks=1 << 40,
        boot_id="boot",
        lane=3,
    )
    job.allocation = held
    save(repository, job, allocations=[held])
    assert repository.jobs([7]) == [job]
    assert repository.active_jobs() == [job]


def test_no_limit_is_not_the_same_as_none_said(repository):
    endless = make(1, spec=JobSpec(name="a", time_limit_s=float("inf")))
    unsaid = make(2, spec=JobSpec(name="a"))
    save(repository, endless, unsaid)
    one, two = repository.jobs([1, 2])
    assert (one.spec, two.spec) == (endless.spec, unsaid.spec)


def test_the_waiting_rest_of_an_array_comes_back(repository):
    rest = make(5, array_job_id=5, array=TaskSet.parse("1-999999:2,4"), array_limit=4)
    save(repository, rest)
    (found,) = repository.jobs([5])
    assert found.array == rest.array
    assert (found.array_limit, found.array_task_id) == (4, NO_TASK)


def test_saving_again_records_the_present_state(repository):
    job = make(1)
    save(repository, job)
    job.state, job.end_at = JobState.COMPLETED, 200.0
    save(repository, job)
    assert repository.jobs([1]) == [job]
    assert repository.active_jobs() == []


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 50])
def test_however_many_are_recorded_at_once_each_comes_back_as_it_is(repository, count):
    jobs = [make(number, array_task_id=number) for number in range(1, count + 1)]
    save(repository, *jobs, allocations=[make_allocation(job.job_id) for job in jobs])
    for job in jobs:
        job.state, job.end_at, job.exit_code = JobState.FAILED, 200.0, job.job_id
    more = make(count + 1)
    save(repository, *jobs, more)
    assert repository.jobs(range(1, count + 2)) == [*jobs, more]
    assert ids(repository.attempts(ids(jobs))) == ids(jobs)


def test_an_attempt_comes_back_with_its_usage(repository):
    ended = make_allocation(
        1,
        state=AllocationState.RELEASED,
        released_at=109.0,
        end_state=JobState.OUT_OF_MEMORY,
        exit_code=1,
        exit_signal=9,
        usage=Usage(1.5, 0.25, 4096, 1, 2, 3, 4),
    )
    current = make_allocation(1, 1)
    save(repository, make(1), allocations=[current, ended])
    assert repository.attempts([1]) == [ended, current]


def test_a_step_comes_back_with_the_ends_of_its_tasks(repository):
    step = Step(
        1,
        0,
        "0",
        "hostname",
        JobState.FAILED,
        104.0,
        105.0,
        nodes=("n1", "n2"),
        tasks_per_node=(1, 1),
        ends=(TaskEnd(0, 0), TaskEnd(1, 2, failed=True, message="no such file")),
        usage=Usage(max_rss_kib=7),
    )
    batch = Step(1, 0, "batch", "batch", JobState.RUNNING, 104.0)
    save(repository, make(1), steps=[batch, step])
    assert repository.steps([1]) == [step, batch]
    step.state = JobState.COMPLETED
    save(repository, make(1), steps=[step])
    assert repository.steps([1]) == [step, batch]


def test_steps_come_by_their_numbers(repository):
    names = ["0", "1", "2", "9", "10", "11", "100", "batch"]
    made = [Step(1, 0, name, name, JobState.RUNNING, 104.0) for name in names]
    save(repository, make(1), steps=made[::-1])
    assert [step.step_id for step in repository.steps([1])] == names


NOT_TEXT = "caf\udce9/\udcff\ud800"


def test_names_that_are_no_text_are_stored_and_given_back(repository):
    spec = JobSpec(name=NOT_TEXT, argv=(NOT_TEXT,), work_dir=f"/{NOT_TEXT}", umask=0o77)
    job = make(1, spec=spec, message=f"cannot open {NOT_TEXT}")
    step = Step(1, 0, "0", NOT_TEXT, JobState.RUNNING, 1.0)
    save(repository, job, steps=[step])
    (found,) = repository.jobs([1])
    assert found.spec == spec
    assert found.message == "cannot open caf\\udce9/\\udcff\\ud800"
    assert repository.steps([1]) == [step]
    assert ids(repository.history(HistoryFilter(names=(NOT_TEXT,)))) == [1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(), st.lists(st.text(st.characters(codec=None))))
def test_any_specification_comes_back(repository, name, argv):
    job = make(1, spec=JobSpec(name=name, argv=tuple(argv)))
    save(repository, job)
    assert repository.jobs([1])[0].spec == job.spec


def test_equal_specifications_are_stored_once(repository):
    save(repository, make(1, name="same"), make(2, name="same"), make(3, name="other"))
    with repository.database.reader() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM specs").scalar() == 2


def test_contents_are_stored_once_by_digest(repository):
    body = b"#!/bin/sh\n\0\xff"
    for _ in range(2):
        with repository.database.transaction() as connection:
            repository.add_contents(connection, {digest_of(body): body})
    assert repository.content(digest_of(body)) == body
    assert repository.content("") == b""
    with pytest.raises(AssertionError, match="is gone"):
        repository.content("missing")


# Ids and keys.


def test_ids_grow_beyond_every_one_that_was_given_out(repository):
    assert repository.next_job_id() == 1
    save(repository, make(41))
    assert repository.next_job_id() == 42
    with repository.database.transaction() as connection:
        repository.set_counter(connection, NEXT_JOB_ID, 100)
    assert repository.next_job_id() == 100


def test_a_submission_is_known_by_its_key_until_it_is_old(repository):
    with repository.database.transaction() as connection:
        repository.add_submissions(connection, {"old": 1}, 100.0)
        repository.add_submissions(connection, {"new": 2}, 200.0)
    assert repository.submission_keys(0.0) == {"old": 1, "new": 2}
    assert repository.submission_keys(150.0) == {"new": 2}
    with repository.database.transaction() as connection:
        repository.add_submissions(connection, {"new": 99}, 300.0)
        repository.forget_submissions(connection, 150.0)
    assert repository.submission_keys(0.0) == {"new": 2}


# Questions.


def test_active_jobs_wait_or_run_and_ended_ones_do_neither(repository):
    running = make(3, state=JobState.RUNNING, start_at=110.0)
    save(
        repository,
        make(1, priority=5),
        make(2, priority=9),
        running,
        make(4, state=JobState.FAILED, end_at=120.0),
        make(5, state=JobState.COMPLETED, end_at=130.0),
    )
    assert ids(repository.active_jobs()) == [1, 2, 3]
    assert ids(repository.ended_since(125.0)) == [5]
    [job] = repository.ended_since(125.0)
    assert repository.ended_since(125.0, before=job.end_at) == []
    assert ids(repository.ended_since(125.0, before=job.end_at + 1)) == [5]


def test_an_array_is_all_its_records(repository):
    rest = make(5, array_job_id=5, array=TaskSet.parse("3-9"))
    task = make(6, array_job_id=5, array_task_id=1, state=JobState.COMPLETED, end_at=120.0)
    save(repository, rest, task, make(7))
    assert ids(repository.family(5)) == [5, 6]
    assert repository.family(0) == []


def test_of_an_array_those_that_ended_since_can_be_asked_for(repository):
    ended = {"state": JobState.COMPLETED, "array_job_id": 5}
    save(
        repository,
        make(5, array_job_id=5, submit_at=1.0),
        make(6, array_task_id=1, end_at=100.0, **ended),
        make(7, array_task_id=2, end_at=200.0, **ended),
        make(8, array_task_id=3, array_job_id=5),
    )
    assert ids(repository.family(5, 150.0)) == [5, 7]
    assert ids(repository.family(6, 150.0)) == [6]
    assert ids(repository.family(5)) == [5, 6, 7, 8]


def test_only_what_is_still_held_comes_with_a_job(repository):
    old = make_allocation(1, 0, state=AllocationState.RELEASED, released_at=108.0)
    new = make_allocation(1, 1)
    save(repository, make(1), make(2), allocations=[old, new])
    one, two = repository.active_jobs()
    assert one.allocation == new
    assert two.allocation is None


@pytest.fixture
def past(repository):
    ended = {"state": JobState.COMPLETED}
    save(
        repository,
        make(1, submit_at=100.0, start_at=110.0, end_at=120.0, **ended),
        make(2, submit_at=100.0, start_at=110.0, end_at=200.0, owner=BOB, **ended),
        make(3, submit_at=150.0, name="other", partition="long"),
        make(4, submit_at=150.0, start_at=160.0, state=JobState.RUNNING, array_job_id=4),
        make(5, submit_at=300.0, array_job_id=4, array_task_id=1, owner=BOB),
    )
    return repository


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (HistoryFilter(), [1, 2, 3, 4, 5]),
        (HistoryFilter(job_ids=(2, 9)), [2]),
        (HistoryFilter(array_job_ids=(4,)), [4, 5]),
        (HistoryFilter(job_ids=(1,), array_job_ids=(4,)), [1, 4, 5]),
        (HistoryFilter(job_ids=(2, 2), array_job_ids=(4, 4)), [2, 4, 5]),
        (HistoryFilter(user_ids=(2002,)), [2, 5]),
        (HistoryFilter(user_ids=(2002, 2002)), [2, 5]),
        (HistoryFilter(names=("other", "job1")), [1, 3]),
        (HistoryFilter(partitions=("long",)), [3]),
        (HistoryFilter(start_at=130.0), [2, 3, 4, 5]),
        (HistoryFilter(end_at=140.0), [1, 2]),
        (HistoryFilter(start_at=130.0, end_at=160.0, user_ids=(2001,)), [3, 4]),
        (HistoryFilter(start_at=120.0, end_at=120.0), [1, 2]),
    ],
)
def test_history_is_who_lived_in_the_window_and_fits(past, wanted, found):
    assert ids(past.history(wanted)) == found

    for size in (1, 2, 100):
        pages = list(id_pages(past.database, wanted, size))
        assert sorted(job_id for page in pages for job_id in page) == found
        assert all(len(page) <= size or wanted.job_ids for page in pages)
    assert are_more_than(past.database, wanted, len(found) - 1)
    assert not are_more_than(past.database, wanted, len(found))


def test_who_ends_between_two_pages_is_on_one_of_them(past):
    pages = id_pages(past.database, HistoryFilter(), 1)
    found = list(next(pages))
    for job_id, at in ((3, 400.0), (5, 90.0)):
        save(past, make(job_id, submit_at=80.0, end_at=at, state=JobState.CANCELLED))
    found += [job_id for page in pages for job_id in page]
    assert sorted(found) == [1, 2, 3, 4, 5]


def test_those_that_ended_since_come_in_the_order_of_their_ends(past):
    for size in (1, 2, 100):
        assert list(chain(*ended_pages(past.database, 120.0, size))) == [1, 2]
        assert list(chain(*ended_pages(past.database, 120.5, size))) == [2]
        assert list(chain(*ended_pages(past.database, 500.0, size))) == []


def test_of_arrays_those_tasks_are_known_that_ended_and_were_numbered_since(past):
    ended = {"state": JobState.COMPLETED, "end_at": 400.0, "array_job_id": 4}
    save(past, make(6, array_task_id=2, **ended), make(7, array_task_id=3, **ended))
    assert sorted(ended_tasks(past.database, (4,), 0)) == [6, 7]
    assert ended_tasks(past.database, (1, 4), 6) == [7]
    assert ended_tasks(past.database, (1,), 0) == []


def test_what_would_take_long_to_count_counts_as_many(past):
    save(past, *(make(job_id, end_at=130.0, state=JobState.COMPLETED) for job_id in range(10, 90)))
    rare = HistoryFilter(names=("other",))
    assert not are_more_than(past.database, rare, 100)
    assert are_more_than(past.database, rare, 2)
    assert list(chain(*id_pages(past.database, rare, 3))) == [3]


def test_history_over_very_many_ids_asks_in_parts(past):
    many = tuple(range(1, 40_000))
    assert ids(past.history(HistoryFilter(job_ids=many))) == [1, 2, 3, 4, 5]
    assert ids(past.history(HistoryFilter(array_job_ids=many, user_ids=(2002,)))) == [5]
    assert ids(past.jobs(many)) == [1, 2, 3, 4, 5]
    assert sorted(chain(*id_pages(past.database, HistoryFilter(job_ids=many)))) == [1, 2, 3, 4, 5]
    assert not are_more_than(past.database, HistoryFilter(job_ids=many), 5)
    assert ids(past.jobs([5, 1] * 5000)) == [1, 5]
    assert past.attempts(many) == []


def test_a_name_that_looks_like_sql_is_a_name(past):
    assert past.history(HistoryFilter(names=("' OR 1=1 --", "%", "job_"))) == []


# Nodes.


def test_what_an_operator_said_of_a_node_stands_until_it_is_taken_back(repository):
    drained = NodeState("n1", "DRAIN", "bad disk", 100.0, "root")
    down = NodeState("n2", "DOWN", "", 101.0, "alice")
    with repository.database.transaction() as connection:
        repository.save_node_state(connection, drained)
        repository.save_node_state(connection, down)
    assert sorted(repository.node_states(), key=lambda each: each.name) == [drained, down]
    with repository.database.transaction() as connection:
        repository.save_node_state(connection, NodeState("n1", "", "", 0.0, ""))
        repository.save_node_state(connection, msgspec.structs.replace(down, reason="fan"))
    assert repository.node_states() == [msgspec.structs.replace(down, reason="fan")]


@pytest.mark.parametrize("bad", ["a\0b", "a\udcffb", "ünï\0\udc80", "\\", "'; DROP TABLE jobs; --"])
def test_what_is_no_text_is_recorded_all_the_same(repository, bad):
    owner = Owner(2003, bad, 2003, bad)
    save(repository, make(1, name=bad, partition=bad, owner=owner, message=bad, reason=bad))
    (job,) = repository.history(HistoryFilter(names=(bad,)))
    assert job.spec.name == bad
    with repository.database.transaction() as connection:
        repository.add_submissions(
            connection, {bad.replace("\udcff", "").replace("\udc80", ""): 1}, 5.0
        )
        repository.save_node_state(connection, NodeState(bad, "DOWN", bad, 1.0, bad))
    (said,) = repository.node_states()
    assert said.state == "DOWN"
    assert list(repository.submission_keys(1.0).values()) == [1]


# One state.


def test_what_is_rolled_back_was_never_there(repository):
    job = make(1)

    def fail_half_way() -> None:
        with repository.database.transaction() as connection:
            repository.add_specs(connection, dict([encode_spec(job.spec)]))
            repository.save_jobs(connection, [job])
            repository.save_allocations(connection, [make_allocation(1)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert repository.active_jobs() == []
    assert repository.attempts([1]) == []
    assert repository.next_job_id() == 1


def test_records_that_are_read_are_nobody_elses(repository):
    save(repository, make(1, array_job_id=1, array=TaskSet.parse("1-3")))
    (one,) = repository.jobs([1])
    before = copy.deepcopy(repository.jobs([1]))
    assert one.array is not None
    one.array.remove(1)
    assert repository.jobs([1]) == before


def plan_of(database: Database, query: str) -> list[str]:
    """Return how the database would answer, as it says it."""
    with database.reader() as connection:
        if database.path is not None:
            return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
        # The few rows of a test are read at once, unless that is made dear.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {query}")]


@pytest.mark.parametrize(
    "condition",
    [
        "user_id IN (2001) AND submit_at <= 1e10 AND (end_at >= 5 OR end_at = 0)",
        "end_at = 0",
        "end_at > 0 AND end_at >= 5",
        "job_id IN (1, 2)",
        "job_id IN (1, 2) OR (array_job_id > 0 AND array_job_id IN (1, 2))",
    ],
)
def test_a_question_reads_no_other_rows(past, condition):
    """The plan, not the clock, says whether a million ended jobs would slow it down."""
    plan = plan_of(past.database, f"SELECT * FROM jobs WHERE {condition}")
    assert not [step for step in plan if "SCAN" in step or "Seq Scan" in step], plan
