"""Submissions become jobs: once for each key, within limits, or not at all."""

from __future__ import annotations

import os

import pytest

from stoker.core import processes
from stoker.core.enums import Hold, JobState
from stoker.core.errors import Infeasible, InvalidSpec
from stoker.worker import intake
from stoker.worker.intake import KEYS_KEPT_S
from support.recording_engine import ALICE, BOB, ROOT, abandoned_turn, ref, submission


def test_only_operators_set_a_priority_and_others_wait_where_they_would(make_rooms):
    rooms = make_rooms(follow_depth_max=0, administrators="root")
    before, after = rooms.submit(), rooms.submit(priority=4_000_000_000)
    assert before.priority > after.priority
    assert after.spec.priority is None
    assert rooms.submit(priority=4_000_000_000, owner=ROOT).priority == 4_000_000_000


def test_a_job_is_on_record_with_what_was_asked_for(rooms):
    job = rooms.submit("fit", comment="hello", time_limit_s=60.0, hold=True)
    recorded = rooms.recorded(job)
    assert (recorded.name, recorded.spec.comment, recorded.time_limit_s) == ("fit", "hello", 60.0)
    assert (recorded.hold, recorded.partition) == (Hold.USER, "debug")


def test_ids_grow_and_priorities_fall_so_that_who_comes_first_goes_first(rooms):
    """R2."""
    one, two = rooms.submit(), rooms.submit()
    assert (one.job_id, two.job_id) == (1, 2)
    assert one.priority > two.priority
    assert rooms.submit(nice=100).priority < two.priority - 100


@pytest.mark.parametrize("every_s", [0.0, 30.5])
def test_no_jobs_memory_is_looked_at_less_often_than_that_of_others(make_rooms, every_s):
    with pytest.raises(InvalidSpec) as refused:
        make_rooms().submit(sample_every_s=every_s)
    assert refused.value.code == "ESLURMD_INVALID_ACCT_FREQ"


def test_unless_the_settings_say_so_nobody_looks_at_a_jobs_memory(make_rooms):
    rooms = make_rooms()
    rooms.running(sample_every_s=5.0)
    assert rooms.engine.launched()[0].recipe.memory_check_s is None


@pytest.mark.parametrize(("every_s", "looked_s"), [(None, 30.0), (5.0, 5.0)])
def test_a_jobs_memory_is_looked_at_as_often_as_it_asks(make_rooms, every_s, looked_s):
    rooms = make_rooms(over_memory_kill=True)
    rooms.running(sample_every_s=every_s)
    assert rooms.engine.launched()[0].recipe.memory_check_s == looked_s


def test_whether_a_job_may_be_requeued_is_said_by_the_job_or_else_by_the_settings(make_rooms):
    rooms = make_rooms(job_requeue=False)
    jobs = [rooms.submit(requeue=wanted) for wanted in (None, True, False)]
    assert [job.requeue for job in jobs] == [False, True, False]
    assert make_rooms().submit().requeue
    # What Slurm says of an interactive job, too, though there is nothing to be run again.
    assert make_rooms().submit(interactive=True).requeue


def test_script_and_environment_are_stored_once_however_many_jobs_share_them(rooms):
    said = {"script": b"#!/bin/sh\n", "environment": ("A=1", "ODD=\udcff")}
    one, two = rooms.submit(**said), rooms.submit(**said)
    assert one.spec_digest == two.spec_digest
    with rooms.queue.turn():
        assert rooms.control.script(two) == b"#!/bin/sh\n"
        assert rooms.control.environment(two) == ["A=1", "ODD=\udcff"]


def test_the_same_key_is_the_same_job_whatever_became_of_it(rooms):
    """R3: a client that tries again gets the id that it would have got."""
    job = rooms.submit(key="k")
    assert rooms.submit(key="k").job_id == job.job_id
    rooms.schedule()
    rooms.start(job)
    rooms.finish(job)
    assert rooms.submit(key="k").state is JobState.COMPLETED
    rooms.restart()
    assert rooms.submit(key="k").job_id == job.job_id
    assert rooms.worker.repository.next_job_id() == 2


def test_the_same_key_twice_in_one_turn_is_one_job_even_if_it_is_cancelled_between(rooms):
    with rooms.queue.turn():
        job = rooms.control.submit(submission(key="k"))
        rooms.control.cancel(ref(job.job_id), job.owner)
        again = rooms.control.submit(submission(key="k"))
    assert (again.job_id, again.state) == (job.job_id, JobState.CANCELLED)


def test_in_a_shared_queue_nobody_fills_more_than_half(make_rooms):
    rooms = make_rooms(max_job_count=4, shared=True)
    for _ in range(2):
        rooms.submit(hold=True)
    with pytest.raises(InvalidSpec, match="temporarily unable"):
        rooms.submit(hold=True)
    rooms.submit(hold=True, owner=BOB)
    rooms.ask("cancel", 1)
    rooms.submit(hold=True)


def test_a_key_as_long_as_a_novel_is_refused(rooms):
    with pytest.raises(InvalidSpec, match="256"):
        rooms.submit(key="k" * 257)


def test_keys_are_forgotten_when_no_client_tries_again(rooms):
    rooms.submit(key="old")
    rooms.now_s += KEYS_KEPT_S + 1
    rooms.submit(key="new")
    assert rooms.worker.intake._keys.keys() == {f"{ALICE.user_id} new"}
    rooms.restart()
    assert rooms.worker.repository.submission_keys(0.0).keys() == {f"{ALICE.user_id} new"}


def test_so_many_keys_are_remembered_and_no_more(rooms, monkeypatch):
    """R3, R30: the newest count; a client tries again for seconds."""
    monkeypatch.setattr(intake, "KEYS_KEPT_MAX", 2)
    jobs = [rooms.submit(key=key) for key in "abcd"]
    assert rooms.worker.intake._keys.keys() == {f"{ALICE.user_id} c", f"{ALICE.user_id} d"}
    rooms.restart()
    assert rooms.worker.intake._keys.keys() == {f"{ALICE.user_id} c", f"{ALICE.user_id} d"}
    assert rooms.submit(key="d").job_id == jobs[-1].job_id


def test_a_refused_submission_leaves_nothing_and_uses_no_id(rooms):
    """R4: no row, no content, no id."""
    with pytest.raises(InvalidSpec):
        rooms.submit(partition="nosuch")
    assert len(rooms.queue.table) == 0
    assert rooms.submit().job_id == 1


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"script": b"#!" + b"x" * 4096}, "ESLURM_JOB_SCRIPT_TOO_LARGE"),
        ({"environment": ("A=" + "x" * (9 << 20),)}, "ESLURM_ENVIRONMENT_TOO_LARGE"),
        ({"name": "n" * 2000}, "ESLURM_PATHNAME_TOO_LONG"),
        ({"array": "0-10"}, "ESLURM_INVALID_ARRAY"),
        ({"dependency": "afterok:" + ":".join(map(str, range(1, 2000)))}, "ESLURM_DEPENDENCY"),
        ({"partition": "nosuch"}, "ESLURM_INVALID_PARTITION_NAME"),
        ({"node_list": "mars"}, "ESLURM_INVALID_NODE_NAME"),
    ],
)
def test_what_exceeds_a_limit_is_refused_by_its_name(make_rooms, said, code):
    """R32: limits are checked before anything is stored."""
    rooms = make_rooms(max_script_size=1024, max_array_size=10)
    with pytest.raises(InvalidSpec) as refusal:
        rooms.submit(**{"name": "work"} | said)
    assert refusal.value.code == code


def test_a_full_queue_takes_no_more(make_rooms):
    rooms = make_rooms(max_job_count=2)
    rooms.submit(array="0-9", hold=True)
    rooms.submit(hold=True)
    with pytest.raises(InvalidSpec, match="temporarily unable to accept job"):
        rooms.submit()


def test_what_no_node_could_ever_give_is_refused_unless_it_is_held(rooms):
    with pytest.raises(Infeasible):
        rooms.submit(cpus_per_task=9)
    assert rooms.submit(cpus_per_task=9, hold=True).job_id == 1


def test_an_array_is_one_record_with_its_own_copy_of_the_tasks(rooms):
    job = rooms.submit(array="0-99999%4")
    assert (job.array_job_id, len(job.array), job.array_limit) == (1, 100_000, 4)
    rooms.schedule()
    assert len(rooms.recorded(1).array) == 99_996


def test_a_trial_is_not_kept_but_uses_up_an_id_as_in_slurm(rooms):
    with rooms.queue.turn():
        trial = rooms.control.try_submit(submission(ntasks=2))
    assert (trial.job_id, trial.cpus, trial.at) == (1, 2, rooms.now_s)
    assert len(rooms.queue.table) == 0
    assert rooms.worker.repository.next_job_id() == 2


def test_a_trial_meets_the_same_limits(make_rooms):
    rooms = make_rooms(max_array_size=10)
    with pytest.raises(InvalidSpec), rooms.queue.turn():
        rooms.control.try_submit(submission(array="0-10"))


def test_the_caller_of_an_interactive_job_is_known_by_more_than_its_pid(rooms):
    job = rooms.submit(interactive=True, caller_pid=os.getpid())
    assert rooms.recorded(job).spec.caller == processes.identify(os.getpid())
    assert rooms.submit().spec.caller is None


def test_a_turn_that_was_not_recorded_remembers_no_key(rooms):
    with abandoned_turn(rooms):
        rooms.control.submit(submission(key="k"))
    job = rooms.submit(key="k")
    assert [each.job_id for each in rooms.queue.table] == [job.job_id]
