"""One daemon for many users: what goes wrong with one user's shepherd is that user's trouble."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading

import pytest

from stoker.core import processes
from stoker.core.enums import JobState, Reason
from stoker.core.models import Job, Owner
from stoker.core.processes import ProcessIdentity
from stoker.engines.base import Evidence, Failed, Started
from stoker.worker.probe import Probe
from stoker.worker.recovery_strategies import OrphanJobRecoveryStrategy
from stoker.worker.stepoutputs import outputs_of
from support.engine import unit, until
from support.recording_engine import ALICE, BOOT, Rooms, key_of

BOB = Owner(2002, "bob", 2002, "bob")


@pytest.fixture
def house(make_rooms):
    """A daemon that serves many; nobody is handed over in advance."""
    return make_rooms(follow_depth_max=0, shared=True)


def no_shepherd(rooms: Rooms, job) -> None:
    rooms.report(Failed(key_of(rooms.active(job)), "shepherd", 0, "cannot do it: no", rooms.now_s))


# Who cannot be started.


@pytest.mark.parametrize("step", ["shepherd", "fork", "journal", "spool"])
def test_a_user_whose_job_cannot_be_started_waits_alone(house, step):
    first = house.submit(owner=BOB)
    house.schedule()
    house.fail(first, step, 11)
    others = [house.submit(), house.submit(owner=BOB)]
    house.schedule()
    assert house.active(others[0]).allocation is not None
    assert house.active(others[1]).allocation is None
    assert house.active(first).allocation is None
    assert house.worker.scheduler.reason(house.active(others[1])) == Reason.JOB_LAUNCH_FAILURE
    house.wait_s(10.1)
    assert house.active(first).allocation is not None


def test_a_job_without_a_shepherd_says_why_until_it_starts(house):
    job = house.submit()
    house.schedule()
    no_shepherd(house, job)
    assert (house.state(job), house.recorded(job).message) == ("PENDING", "cannot do it: no")
    house.wait_s(10.1)
    house.start(job)
    assert (house.state(job), house.recorded(job).message) == ("RUNNING", "")


def test_a_task_without_a_shepherd_waits_with_its_array_which_says_why(house):
    job = house.submit(array="0-3%1")
    house.schedule()
    (task,) = [each for each in house.queue.table if each.allocation is not None]
    no_shepherd(house, task)
    (rest,) = house.queue.table
    assert (rest.job_id, len(rest.array), rest.message) == (job.job_id, 4, "cannot do it: no")


def test_somebody_wakes_when_a_user_may_be_tried_again(house):
    job = house.submit(owner=BOB)
    house.schedule()
    no_shepherd(house, job)
    assert 9 < house.worker.scheduler.next_wakeup_s() <= 10
    house.wait_s(10.1)
    assert house.worker.scheduler.next_wakeup_s() > 10


def test_one_users_daemon_lets_nothing_start_where_the_machine_is_short(rooms):
    first = rooms.submit()
    rooms.schedule()
    rooms.fail(first, "fork", 11)
    second = rooms.submit(owner=BOB)
    rooms.schedule()
    assert rooms.active(second).allocation is None


# Lanes.


def test_a_lane_holds_jobs_of_one_user_only(make_rooms):
    house = make_rooms(shared=True)
    for owner in (ALICE, BOB):
        for _ in range(6):
            job = house.submit(owner=owner, cpus_per_task=8)
            house.schedule()
            house.start(job)
            house.now_s += 0.001
            house.finish(job)
    jobs = [house.submit(owner=owner, cpus_per_task=8) for owner in (ALICE, ALICE, BOB, ALICE, BOB)]
    house.schedule()
    lanes = [list(line) for _, line in house.worker.ledger.lanes.lines()]
    assert lanes == [[jobs[0].job_id, jobs[1].job_id]]


# Who is absent when the daemon starts.


def evidence(*running: Started, absent: frozenset[int] = frozenset(), **since: float) -> Evidence:
    users = {ALICE.user_id: since.get("alice", math.inf), BOB.user_id: since.get("bob", math.inf)}
    return Evidence(
        BOOT,
        frozenset(),
        {each.key: each for each in running},
        (),
        remembers_since=math.inf,
        users_since=users,
        absent=absent,
    )


def test_jobs_of_who_is_absent_stay_as_they_are_until_they_are_met(house):
    alices, bobs = house.running(requeue=False), house.running(owner=BOB, requeue=False)
    bobs_next = house.submit(owner=BOB)
    house.schedule()
    bobs_step = house.step(house.running(owner=BOB, interactive=True))
    house.restart(evidence(absent=frozenset({BOB.user_id})))
    assert house.state(alices) == "FAILED"
    assert house.state(bobs) == "RUNNING"
    assert house.active(bobs_next).allocation is not None
    assert list(house.worker.steps.open_units())
    house.worker.recover_user(BOB.user_id, evidence(bob=0.0))
    assert (house.state(bobs), house.recorded(bobs).exit_code) == ("FAILED", -999)
    assert not list(house.worker.steps.open_units()), bobs_step
    # It was reserved and surely never begun: it waits, and is started as the same attempt.
    house.schedule()
    assert house.active(bobs_next).allocation is not None
    assert house.active(bobs_next).restarts == 0


def test_who_is_met_later_with_jobs_that_run_keeps_them(house):
    bobs = house.running(owner=BOB)
    house.restart(evidence(absent=frozenset({BOB.user_id})))
    house.worker.recover_user(BOB.user_id, evidence(Started(key_of(bobs), 1001, 1, house.now_s)))
    assert house.state(bobs) == "RUNNING"
    house.finish(bobs, 3)
    assert house.recorded(bobs).exit_code == 3


def test_what_a_user_is_not_known_of_since_long_enough_is_no_word_of_another(house):
    reserved = [house.submit(owner=owner, requeue=False) for owner in (ALICE, BOB)]
    house.schedule()
    house.restart(evidence(alice=0.0, bob=house.now_s + 1))
    assert house.active(reserved[0]).state is JobState.PENDING
    assert house.state(reserved[1]) == "FAILED"


def test_whose_processes_keep_us_waiting_keep_their_own_user_waiting_alone(house, monkeypatch):
    monkeypatch.setattr("stoker.worker.worker._RECOVERY_S", 0.2)
    alices, bobs = house.running(requeue=False), house.running(owner=BOB, requeue=False)
    goes_on = threading.Event()

    def slow(probe: Probe, job: Job) -> bool:
        return job.owner != BOB or goes_on.wait(20)

    monkeypatch.setattr(Probe, "terminate", slow)
    house.restart(evidence())
    assert (house.state(alices), house.state(bobs)) == ("FAILED", "RUNNING")
    goes_on.set()
    until(lambda: house.state(bobs) == "FAILED", "bob's recovery")


# Whose processes they are.


def test_a_process_of_another_user_is_no_jobs_whatever_its_shepherd_said(house):
    job = house.running(owner=Owner(os.getuid() + 1, "x", 1, "x"))
    environment = {"STOKER_TOKEN": job.allocation.token}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, env=environment) as sleeper:
        identity = processes.identify(sleeper.pid)
        assert isinstance(identity, ProcessIdentity)
        job.allocation.pid, job.allocation.start_ticks, job.allocation.boot_id = identity
        probe = Probe(by_owner=True, kill_wait_s=0.0)
        strategy = OrphanJobRecoveryStrategy(ledger=house.worker.ledger, probe=probe)
        assert probe.leader(job) is None
        assert strategy.should_recover(job)
        assert probe.terminate(job)
        assert sleeper.poll() is None
        assert Probe(kill_wait_s=0.0).leader(job) == identity
        sleeper.communicate(b"\n")


# Whose files they are.


def test_root_looks_at_no_file_by_a_users_path(monkeypatch):
    monkeypatch.setattr(os, "stat", lambda path, **_: pytest.fail(f"looked at {path}"))
    task = unit("1.0.0.0", "true", stdout="/home/alice/out", open_mode="append")
    (output,) = outputs_of([task], {}, may_look=False)
    assert (output.path, output.offset) == ("/home/alice/out", 0)
