"""From a reservation to what the engine runs; what cannot be made concerns one job only."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from stoker.core.enums import AllocationState, Reason
from stoker.core.errors import StoreFull
from stoker.core.models import SignalRequest
from stoker.worker.spool import OwnSpool

SCRIPT = b"#!/bin/sh\necho hello\n"


def launched(rooms):
    (unit,) = rooms.engine.launched()
    return unit


# Units.


def test_a_script_is_run_from_the_spool_with_its_arguments(rooms):
    rooms.submit(script=SCRIPT, argv=("one", "two"))
    rooms.schedule()
    recipe = launched(rooms).recipe
    path, *arguments = recipe.argv
    assert arguments == ["one", "two"]
    assert path.endswith("/slurm_script")
    assert not recipe.search_path
    assert Path(path).read_bytes() == SCRIPT
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o700


def test_a_command_is_looked_for_in_the_jobs_path(rooms):
    rooms.submit(argv=("hostname", "-f"))
    rooms.schedule()
    recipe = launched(rooms).recipe
    assert (recipe.argv, recipe.search_path) == (("hostname", "-f"), True)


def test_a_unit_has_all_that_the_job_asked_for(rooms):
    rooms.submit(
        stdout="%x-%j.out",
        stderr="%j.err",
        open_mode="append",
        work_dir="/work",
        umask=0o077,
        cpus_per_task=2,
        time_limit_s=90.0,
        signal=SignalRequest(10, 30, shell_only=True),
        rlimits={"nofile": (64, 64)},
    )
    rooms.schedule()
    unit = launched(rooms)
    recipe = unit.recipe
    assert (unit.stdout, unit.stderr, recipe.open_mode) == ("work-1.out", "1.err", "append")
    assert (recipe.cwd, recipe.umask, recipe.time_limit_s) == ("/work", 0o077, 90.0)
    assert (unit.cpus, recipe.memory_mib, recipe.leads) == ((0, 1), 200, True)
    (warning,) = recipe.warnings
    assert (warning.signal, warning.before_end_s, warning.leader_only) == (10, 30, True)
    assert recipe.rlimits == {"nofile": (64, 64)}
    assert unit.token == rooms.active(1).allocation.token


def test_a_warning_needs_a_limit_to_come_before(rooms):
    rooms.submit(signal=SignalRequest(10))
    rooms.schedule()
    assert launched(rooms).recipe.warnings == ()


def test_the_jobs_output_is_told_why_it_ends(rooms):
    rooms.submit(mem_per_node_mib=50)
    rooms.schedule()
    start = "slurmstepd: error: *** JOB {job} ON node1 CANCELLED AT {time}"
    assert launched(rooms).recipe.notices == {
        "memory": "slurmstepd: error: StepId={job}.batch exceeded memory limit "
        "({number} > 52428800), being killed\n"
        f"slurmstepd: error: Exceeded job memory limit\n{start} ***\n",
        "oom": "slurmstepd: error: Detected {number} oom-kill event(s) in StepId={job}.batch. "
        "Some of your processes may have been killed by the cgroup out-of-memory handler.\n",
        "cancelled": f"{start} ***\n",
        "timeout": f"{start} DUE TO TIME LIMIT ***\n",
        "requeued": f"{start} DUE TO JOB REQUEUE ***\n",
    }


def test_array_tasks_have_their_own_numbers_in_file_names(rooms):
    rooms.submit(array="3,7", stdout="%A_%a.out")
    rooms.schedule()
    assert [unit.stdout for unit in rooms.engine.launched()] == ["1_3.out", "1_7.out"]


def test_jobs_of_one_message_that_are_alike_share_a_recipe_and_no_others_do(rooms):
    for _ in range(2):
        rooms.submit(array="0-1", argv=("true",), name="same", mem_per_node_mib=10)
    rooms.submit(argv=("false",), name="other", mem_per_node_mib=10)
    rooms.submit(argv=("true",), name="same", mem_per_node_mib=10, time_limit_s=60.0)
    rooms.schedule()
    recipes = [unit.recipe for unit in rooms.engine.launched()]
    assert [recipe.argv for recipe in recipes] == [("true",)] * 4 + [("false",), ("true",)]
    assert len({recipe.time_limit_s for recipe in recipes[:4]}) == 1
    assert recipes[5].time_limit_s == 60.0


def test_jobs_of_one_turn_go_in_one_message(rooms):
    for _ in range(5):
        rooms.submit()
    rooms.schedule()
    assert [len(units) for units, _ in rooms.engine.asked("launch")] == [5]


# What cannot be made.


@pytest.fixture
def full_spool(monkeypatch):
    """Let the disk be full for scripts, for as long as the list says so."""
    trouble = [OSError(errno.ENOSPC, "No space left on device", "/spool/x")]
    write = OwnSpool._write

    def fail(spool, digest):
        if trouble:
            raise trouble[0]
        return write(spool, digest)

    monkeypatch.setattr(OwnSpool, "_write", fail)
    return trouble


def test_a_script_that_cannot_be_written_lets_the_job_wait_with_nothing_leaked(rooms, full_spool):
    job = rooms.submit(script=SCRIPT)
    rooms.schedule()
    waiting = rooms.recorded(job)
    assert (waiting.state, waiting.restarts, waiting.allocation) == ("PENDING", 0, None)
    (attempt,) = rooms.worker.repository.attempts([1])
    assert attempt.state is AllocationState.RELEASED
    assert rooms.worker.tracker.used_cpus == 0
    assert rooms.engine.launched() == []


def test_it_is_tried_again_after_a_while_and_runs(rooms, full_spool):
    job = rooms.submit(script=SCRIPT)
    rooms.schedule()
    rooms.schedule()
    assert len(rooms.worker.repository.attempts([1])) == 1
    full_spool.clear()
    assert rooms.worker.scheduler.next_wakeup_s() <= 2.0
    rooms.wait_s(2.1)
    rooms.start(job)
    rooms.finish(job)
    assert rooms.state(job) == "COMPLETED"


def test_others_of_the_same_turn_are_launched(rooms, full_spool):
    rooms.submit(script=SCRIPT)
    rooms.submit()
    rooms.schedule()
    assert [unit.key for unit in rooms.engine.launched()] == ["2.0.batch"]


def test_a_full_disk_on_which_the_failure_cannot_be_recorded_either_loses_no_job(
    rooms, full_spool, monkeypatch
):
    job = rooms.submit(script=SCRIPT)
    record = type(rooms.queue)._record
    turns = iter([record])

    def record_once(queue, turn):
        if (step := next(turns, None)) is None and not turn.is_empty:
            raise StoreFull("cannot record anything: the disk is full")
        return (step or record)(queue, turn)

    monkeypatch.setattr(type(rooms.queue), "_record", record_once)
    rooms.schedule()
    assert rooms.recorded(job).allocation is not None
    assert rooms.worker.reports.is_behind
    monkeypatch.setattr(type(rooms.queue), "_record", record)
    full_spool.clear()
    rooms.wait_s(3)
    assert not rooms.worker.reports.is_behind
    rooms.wait_s(3)
    assert [unit.key for unit in rooms.engine.launched()] == ["1.0.batch"]


def test_a_defect_in_describing_one_job_fails_that_job_and_says_so(rooms, monkeypatch):
    monkeypatch.setattr("stoker.worker.launching.BatchVariables.own", lambda *_: 1 / 0)
    job = rooms.submit()
    rooms.schedule()
    ended = rooms.recorded(job)
    assert (ended.state, ended.reason) == ("FAILED", Reason.JOB_LAUNCH_FAILURE)
    assert "division by zero" in ended.message
    assert rooms.worker.tracker.used_cpus == 0
