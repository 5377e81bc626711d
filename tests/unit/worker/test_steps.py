"""Steps: what they keep of an allocation, how they end, and that asking twice is asking once."""

from __future__ import annotations

import os

import pytest

from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec, UnknownJob
from stoker.core.models import SignalRequest
from stoker.core.units import JobRef
from stoker.engines.base import Ended, Evidence, Failed, Lost, Started, UnitUsage, Withdrawn
from stoker.worker.call import Attach
from stoker.worker.handed import Cloakroom
from support.recording_engine import ALICE, BOOT, ROOT, step_request


@pytest.fixture
def job(rooms):
    return rooms.running(ntasks=4)


def end_task(rooms, step, task, code=0, signal=0, **more):
    key = f"{step.job_id}.{step.attempt}.{step.step_id}.{task}"
    given = {"status_known": True, "at": rooms.now_s}
    rooms.report(Ended(key, code, signal, **(given | more)))


def end_step(rooms, step, code=0, signal=0):
    for task in range(step.ntasks):
        end_task(rooms, step, task, code, signal)


def recorded(rooms, job):
    return rooms.worker.repository.steps([job.job_id])


# Beginning.


def test_a_step_is_a_unit_for_each_task_in_the_jobs_group(rooms, job):
    step = rooms.step(job, ntasks=3, argv=("hostname",))
    units = rooms.engine.launched()[1:]
    assert [unit.key for unit in units] == ["1.0.0.0", "1.0.0.1", "1.0.0.2"]
    assert {unit.group for unit in units} == {"1.0"}
    assert {unit.recipe.argv for unit in units} == {("hostname",)}
    assert (step.step_id, step.nodes, step.tasks_per_node) == ("0", ("node1",), (3,))
    assert [unit.environment["SLURM_PROCID"] for unit in units] == ["0", "1", "2"]


def test_who_holds_too_much_is_ended_by_root(rooms, job):
    step = rooms.step(job)
    end_task(rooms, step, 0, signal=9, why="memory")
    [found] = recorded(rooms, job)
    assert (found.state, found.exit_signal, found.ended_by) == (JobState.CANCELLED, 9, 0)


def test_a_steps_own_limit_counts_for_its_tasks_and_the_jobs_does_not(rooms):
    job = rooms.running(time_limit_s=60.0)
    rooms.step(job)
    rooms.step(job, time_limit_s=30.0, overlap=True)
    rooms.step(job, time_limit_s=60.0, overlap=True)
    recipes = [unit.recipe for unit in rooms.engine.launched()]
    assert [recipe.time_limit_s for recipe in recipes] == [60.0, None, 30.0, None]


def test_the_steps_of_a_job_without_a_script_are_warned_of_its_end(rooms):
    warning = {"signal": SignalRequest(10, 55), "interactive": True}
    job = rooms.running(time_limit_s=60.0, **warning)
    rooms.now_s += 20.0
    for limit_s in (None, 60.0, 30.0):
        rooms.step(job, time_limit_s=limit_s, overlap=True)
    recipes = [unit.recipe for unit in rooms.engine.launched()]
    told = [(each.time_limit_s, [warn.before_end_s for warn in each.warnings]) for each in recipes]
    # The limit is behind the job's end, which the scheduler keeps; the warning is before that.
    assert told == [(50.0, [65.0]), (50.0, [65.0]), (30.0, [])]


def test_the_name_that_was_asked_for_is_the_jobs_name_to_the_tasks(rooms, job):
    rooms.step(job, name="inner", is_named=True)
    rooms.step(job, name="plain", overlap=True)
    names = [unit.environment["SLURM_JOB_NAME"] for unit in rooms.engine.launched()[1:]]
    assert names == ["inner", "work"]


def test_steps_are_numbered_as_they_come(rooms, job):
    for number in range(3):
        step = rooms.step(job, exact=True)
        assert step.step_id == str(number)
    end_step(rooms, step)
    assert rooms.step(job, exact=True).step_id == "3"


def test_a_step_keeps_the_whole_allocation_unless_it_asks_for_exactly_its_own(rooms, job):
    first = rooms.step(job)
    assert rooms.step(job) is None
    end_step(rooms, first)
    rooms.step(job, ntasks=2, exact=True)
    assert rooms.step(job, ntasks=3, exact=True) is None
    assert rooms.step(job, ntasks=2, exact=True).cpus == 2


def test_the_tasks_of_an_exact_step_are_bound_to_its_cores_alone(rooms, job):
    for _ in range(2):
        rooms.step(job, exact=True)
    script, *tasks = (unit.cpus for unit in rooms.engine.launched())
    assert [[core] for core in script[:2]] == [list(cores) for cores in tasks]


def test_who_overlaps_takes_nothing_from_others(rooms, job):
    rooms.step(job)
    step = rooms.step(job, overlap=True)
    assert (step.cpus, step.overlaps) == (4, True)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"ntasks": 5}, "ESLURM_TOO_MANY_REQUESTED_CPUS"),
        ({"nodes": 2}, "ESLURM_INVALID_NODE_COUNT"),
    ],
)
def test_what_can_never_fit_is_refused(rooms, job, said, code):
    with pytest.raises(InvalidSpec) as refusal:
        rooms.step(job, **said)
    assert refusal.value.code == code
    assert recorded(rooms, job) == []


@pytest.mark.parametrize("how", ["waits", "is ending", "has ended"])
def test_only_a_job_that_runs_takes_steps(rooms, how):
    job = rooms.submit(hold=True) if how == "waits" else rooms.running()
    if how != "waits":
        rooms.ask("cancel", job.job_id)
    if how == "has ended":
        rooms.finish(job)
    with pytest.raises(InvalidSpec, match="cannot begin a step in job 1") as refusal:
        rooms.step(job)
    assert refusal.value.code == "ESLURM_ALREADY_DONE"


def test_a_script_may_begin_a_step_before_its_own_start_was_heard_of(rooms):
    job = rooms.submit()
    rooms.schedule()
    assert rooms.step(rooms.active(job)) is not None


def test_a_step_that_cannot_be_described_is_not_begun(rooms, job, monkeypatch):
    monkeypatch.setattr("stoker.worker.taskunits.step_variables", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError), rooms.queue.turn():
        rooms.control.steps.create(job, ALICE, step_request())
    assert rooms.worker.steps.steps(job) == []


# Asking again.


def test_the_same_key_is_the_same_step_running_ended_or_long_gone(rooms, job):
    step = rooms.step(job, key="k")
    assert rooms.step(job, key="k").step_id == step.step_id
    rooms.restart()
    job = rooms.active(job)
    assert rooms.step(job, key="k").step_id == step.step_id
    end_step(rooms, step, code=3)
    assert rooms.step(job, key="k").exit_code == 3
    rooms.finish(job)
    assert rooms.step(rooms.recorded(job), key="k").exit_code == 3
    assert len(recorded(rooms, job)) == 1


def test_without_a_key_every_request_is_a_new_step(rooms, job):
    assert rooms.step(job, exact=True).step_id != rooms.step(job, exact=True).step_id


# Descriptors.


@pytest.fixture
def descriptors():
    """Three open descriptors; those that are still open are closed afterwards."""
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    yield opened
    for descriptor in filter(_is_open, opened):
        os.close(descriptor)


def _is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("is_shared", [False, True])
def test_an_output_is_a_terminal_or_none(rooms, job, descriptors, monkeypatch, is_shared):
    monkeypatch.setattr(type(rooms.worker.steps._units), "are_shared", is_shared)
    main, terminal = os.openpty()
    outputs = [(descriptors[0], each, descriptors[2]) for each in (terminal, descriptors[1])]
    handed = [Cloakroom().take(ALICE.user_id, each) for each in outputs]
    handles = [rooms.worker.steps.attach(Attach(job.job_id), each) for each in handed]
    are_terminals = map(rooms.control.steps.is_terminal, (*handles, 99))
    assert list(are_terminals) == [True, False, False]
    os.close(main)
    os.close(terminal)


def test_descriptors_go_with_the_units_and_are_closed_then(rooms, job, descriptors):
    handle = rooms.worker.steps.attach(
        Attach(job.job_id), Cloakroom().take(ALICE.user_id, descriptors)
    )
    rooms.step(job, stdout="", descriptors=(handle,))
    _, sent = rooms.engine.asked("launch")[-1]
    assert sent == {"1.0.0.0": tuple(descriptors)}
    assert rooms.engine.launched()[-1].stdout == {"fd": 1}
    assert not any(map(_is_open, descriptors))


def test_descriptors_of_a_step_that_has_to_wait_are_kept_until_the_job_ends(
    rooms, job, descriptors
):
    rooms.step(job)
    handle = rooms.worker.steps.attach(
        Attach(job.job_id), Cloakroom().take(ALICE.user_id, descriptors)
    )
    assert rooms.step(job, descriptors=(handle,)) is None
    assert all(map(_is_open, descriptors))
    rooms.finish(job)
    assert not any(map(_is_open, descriptors))


def test_descriptors_for_a_step_that_is_there_already_are_closed(rooms, job, descriptors):
    rooms.step(job, key="k")
    handle = rooms.worker.steps.attach(
        Attach(job.job_id), Cloakroom().take(ALICE.user_id, descriptors)
    )
    rooms.step(job, key="k", descriptors=(handle,))
    assert not any(map(_is_open, descriptors))


# Ending.


def test_a_step_ends_with_its_last_task_and_a_signal_says_it_all(rooms, job):
    step = rooms.step(job, ntasks=3)
    end_task(rooms, step, 2, signal=11)
    end_task(rooms, step, 0)
    assert recorded(rooms, job)[0].end_at == 0
    end_task(rooms, step, 1, code=4)
    ended = recorded(rooms, job)[0]
    assert (ended.state, ended.exit_code, ended.exit_signal) == (JobState.CANCELLED, 0, 11)
    assert (rooms.recorded(job).derived_code, rooms.recorded(job).derived_signal) == (4, 0)


@pytest.mark.parametrize(
    ("code", "signal", "state"), [(0, 0, "COMPLETED"), (9, 0, "FAILED"), (0, 11, "CANCELLED")]
)
def test_the_state_of_a_step_is_as_recorded(rooms, job, code, signal, state):
    step = rooms.step(job)
    end_step(rooms, step, code, signal)
    assert recorded(rooms, job)[0].state == state


def test_an_end_that_is_told_twice_counts_once(rooms, job):
    step = rooms.step(job, ntasks=2)
    for _ in range(2):
        end_task(rooms, step, 0, usage=UnitUsage(1.0, 0.5, 100))
    end_task(rooms, step, 1, usage=UnitUsage(1.0, 0.5, 300))
    usage = recorded(rooms, job)[0].usage
    assert (usage.user_s, usage.system_s, usage.max_rss_kib) == (2.0, 1.0, 300)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Failed("1.0.0.0", "exec", 2, "No such file", 5.0), (2, 0, True, "exec")),
        (Failed("1.0.0.0", "stdout", 13, "denied", 5.0), (13, 0, True, "stdout")),
        (Withdrawn("1.0.0.0"), (0, 15, False, "")),
        (Lost("1.0.0.0"), (0, 9, False, "its end was not seen")),
        (Ended("1.0.0.0", 0, 0, status_known=False, at=5.0), (0, 9, False, "its end was not seen")),
    ],
)
def test_however_a_task_ends_the_step_ends(rooms, job, event, expected):
    rooms.step(job)
    rooms.report(event)
    (end,) = recorded(rooms, job)[0].ends
    assert (end.code, end.signal, end.failed, end.message) == expected
    assert rooms.worker.steps.open_steps(job.job_id) == []


def test_a_started_task_changes_nothing(rooms, job):
    rooms.step(job)
    rooms.report(Started("1.0.0.0", 7, 7, 7.0))
    assert recorded(rooms, job)[0].ends == ()


def test_a_job_that_ends_takes_its_steps_along(rooms, job):
    rooms.step(job)
    rooms.finish(job)
    (step,) = recorded(rooms, job)
    assert (step.state, step.exit_signal) == (JobState.CANCELLED, 15)
    assert step.end_at == rooms.now_s


def test_who_cancels_a_step_is_named(rooms, job):
    step = rooms.step(job)
    with rooms.queue.turn():
        rooms.control.steps.signal(job, "0", ALICE, 10)
    assert recorded(rooms, job)[0].ended_by == -1
    with rooms.queue.turn():
        rooms.control.steps.cancel(job, "0", ROOT)
    assert rooms.engine.asked("signal_unit") == [("1.0.0.0", 10), ("1.0.0.0", 9)]
    end_step(rooms, step, signal=9)
    assert recorded(rooms, job)[0].ended_by == ROOT.user_id


@pytest.mark.parametrize(("number", "is_ending"), [(15, True), (9, False), (10, False)])
def test_who_signals_a_step_is_not_named_and_term_is_told_to_its_srun(
    rooms, job, number, is_ending
):
    rooms.step(job)
    with rooms.queue.turn():
        rooms.control.steps.signal(job, "0", ALICE, number)
    (step,) = recorded(rooms, job)
    assert (step.ended_by, step.is_ending) == (-1, is_ending)


def test_a_step_whose_own_time_is_over_is_late_and_one_whose_jobs_is_was_cancelled(rooms, job):
    for why, state in (("limit", "TIMEOUT"), ("timeout", "CANCELLED")):
        step = rooms.step(job)
        end_task(rooms, step, 0, signal=15, why=why)
        assert (step.state, step.exit_signal) == (state, 15)
        assert recorded(rooms, job)[-1].ends[0].why == why


def test_a_steps_limit_may_change(rooms, job):
    rooms.step(job, ntasks=2)
    with rooms.queue.turn():
        rooms.control.steps.limit(job, "0", ALICE, 180.0)
    assert recorded(rooms, job)[0].time_limit_s == 180.0
    assert rooms.engine.asked("limit_unit") == [("1.0.0.0", 180.0), ("1.0.0.1", 180.0)]


def test_steps_follow_the_time_limit_of_a_job_without_a_script(rooms):
    warning = {"signal": SignalRequest(10, 55), "interactive": True}
    job = rooms.running(time_limit_s=60.0, **warning)
    for limit_s in (None, 90.0, 30.0):
        rooms.step(job, time_limit_s=limit_s, overlap=True)
    with rooms.queue.turn():
        rooms.control.update(JobRef(job.job_id), ROOT, {"time_limit_s": 120.0})
    assert rooms.engine.asked("limit_unit") == [
        ("1.0.0.0", 130.0),
        ("1.0.1.0", 90.0),
        ("1.0.2.0", 30.0),
    ]


def test_a_step_that_has_ended_takes_no_signal(rooms, job):
    step = rooms.step(job)
    end_step(rooms, step)
    with pytest.raises(UnknownJob, match=r"cannot find job 1\.0"), rooms.queue.turn():
        rooms.control.steps.signal(job, "0", ALICE, 9)


# After a restart.


def test_tasks_of_which_the_engine_knows_nothing_are_lost_and_whoever_waits_hears_of_it(rooms, job):
    rooms.step(job)
    running = {"1.0.batch": Started("1.0.batch", 1001, 1, rooms.now_s)}
    rooms.restart(Evidence(BOOT, frozenset(), running, ()))
    (step,) = recorded(rooms, job)
    assert (step.state, step.exit_signal) == (JobState.CANCELLED, 9)
    assert rooms.state(job) == "RUNNING"


def test_an_interactive_job_that_was_to_end_does_when_its_steps_are_lost(rooms):
    job = rooms.running(interactive=True)
    rooms.step(job)
    rooms.ask("cancel", job.job_id)
    assert rooms.state(job) == "COMPLETING"
    rooms.restart(Evidence("another boot", frozenset(), {}, ()))
    assert rooms.state(job) == "CANCELLED"


def test_many_steps_leave_nothing_open(rooms, job):
    for _ in range(40):
        step = rooms.step(job, exact=True)
        end_step(rooms, step)
    assert rooms.worker.steps.ended_count(job.job_id) == 40
    assert rooms.worker.steps._books[job.job_id].open == {}


def test_tasks_that_share_a_file_do_not_cut_what_the_first_wrote(rooms, job):
    rooms.step(job, ntasks=2, stdout="/tmp/one", stderr=None)
    assert [unit.recipe.open_mode for unit in rooms.engine.launched()[1:]] == ["truncate", "append"]


def test_tasks_with_files_of_their_own_begin_them_anew(rooms, job):
    rooms.step(job, ntasks=2, stdout="/tmp/out.%t", stderr=None)
    assert [unit.recipe.open_mode for unit in rooms.engine.launched()[1:]] == ["truncate"] * 2
