"""The short form of the fault campaign: see ``tests/campaign``, ``make faults`` for all of it."""

from __future__ import annotations

import random

import pytest

from campaign import crowd, disks, endurance, failpoints, machine, simulation, surroundings, sweeps
from campaign.crashloop import crash_loop
from campaign.driver import StokerDriver
from campaign.tally import Row
from stoker.worker.ledger import Ledger
from stoker.worker.queue import JobQueue, Turn
from support.daemon import PrivateStoker

SEED = 4


def check(*rows: Row) -> None:
    for row in rows:
        if "skipped" in row.fault:
            pytest.skip(row.fault)
        assert row.is_good, f"{row.fault}: {row.numbers}\n" + "\n".join(row.notes)
        assert row.tries, f"{row.fault}: nothing was tried"


@pytest.mark.parametrize("parts", [("daemon",), ("daemon", "shepherd")])
def test_killed_at_random_while_four_clients_work_nothing_is_lost_or_run_twice(parts) -> None:
    """R1, R2, R3, R10, R11, R19, H3, H5."""
    with PrivateStoker(total_cpus=8, total_memory="4000M") as stoker:
        check(crash_loop(StokerDriver(stoker), random.Random(SEED), 3.0, "killed", parts))


def test_two_failpoints_at_once_do_no_harm() -> None:
    """R10, H1."""
    row, is_met = failpoints.try_points("reserve.after-commit=kill@1,ended.before-commit=kill@2")
    assert is_met
    check(row)


def test_a_shepherd_that_cannot_fork_tries_again() -> None:
    """R22, H2."""
    if not sweeps.can_trace():
        pytest.skip("strace is not here or may not trace")
    sweep = next(each for each in sweeps.SWEEPS if "EAGAIN" in each.what)
    row, was_met = sweeps.try_call(sweep, 1)
    assert was_met
    check(row)


@pytest.mark.parametrize("n", [2, 3])
def test_a_shepherd_without_a_descriptor_to_look_at_its_child_does_not_forget_it(n) -> None:
    if not sweeps.can_trace():
        pytest.skip("strace is not here or may not trace")
    row, _ = sweeps.try_call(sweeps.Sweep("shepherd", "openat", "error=EMFILE"), n)
    check(row)


def test_the_simulated_worker_keeps_its_promises() -> None:
    """R2, R10, R11, R19, H4, H6: whatever the order, whichever transaction fails or kills."""
    check(simulation.simulation(random.Random(SEED), 3.0))


def test_the_same_seed_takes_the_same_walk() -> None:
    """H4: a finding can be looked at again."""
    assert simulation.walk(SEED, 300) == simulation.walk(SEED, 300)


def test_the_simulation_notices_what_was_not_recorded(monkeypatch) -> None:
    """H4: a check that cannot fail shows nothing."""
    monkeypatch.setattr(JobQueue, "_record", lambda *_: None)
    assert "in one of memory and record only" in simulation.walk(SEED, 300).trouble


def test_the_simulation_notices_what_changed_without_being_recorded(monkeypatch) -> None:
    """H4: the same, for a job that is changed when its turn is over."""

    def change(_: JobQueue, turn: Turn) -> None:
        for job in turn.jobs.values():
            job.nice += 1

    monkeypatch.setattr(JobQueue, "_act", change)
    assert "another in memory" in simulation.walk(SEED, 300).trouble


def test_the_simulation_notices_an_attempt_that_runs_twice(monkeypatch) -> None:
    """H4: the same, for a requeue that makes no new attempt."""
    requeue = Ledger.requeue

    def forgetful(ledger, turn, job) -> None:
        requeue(ledger, turn, job)
        job.restarts -= 1

    monkeypatch.setattr(Ledger, "requeue", forgetful)
    assert simulation.walk(SEED, 2000).trouble


def test_on_a_full_disk_submissions_are_refused_and_all_else_goes_on() -> None:
    """R24."""
    check(disks.full_disk())


def test_on_a_read_only_disk_submissions_are_refused_and_all_else_goes_on() -> None:
    """R24: the kernel remounts a disk that is in trouble, and takes it back when it is mended."""
    check(disks.read_only_disk())


def test_without_descriptors_the_daemon_lives_and_serves_again_at_once() -> None:
    """R26."""
    check(surroundings.no_descriptors())


def test_stray_signals_end_neither_daemon_nor_shepherd() -> None:
    """R28: SIGHUP among them, which makes the daemon read its settings again."""
    check(surroundings.signal_storm(random.Random(SEED)))


def test_after_a_reboot_jobs_run_again_or_failed_and_no_stranger_is_taken_for_one() -> None:
    """R14, R15: the boot id is another one; there is a process with a recorded pid and time."""
    check(machine.reboot())


def test_while_no_process_can_be_made_jobs_wait_and_say_why() -> None:
    """R22."""
    check(machine.forks_refused())


@pytest.mark.parametrize("by_s", [-machine.DAY_S, machine.DAY_S])
def test_time_limits_hold_when_the_clock_is_set_by_a_day(by_s) -> None:
    """R27: the shepherd measures with the monotonic clock, the daemon notices that it was set."""
    check(machine.clock_set(by_s))


def test_a_thousand_clients_at_once_are_answered_beside_half_open_ones() -> None:
    """R29: with the usual limit of 1024 descriptors, which the daemon raises for itself."""
    check(crowd.clients(200, 1000))


def test_a_tree_of_processes_that_ignore_sigterm_is_gone_at_once() -> None:
    """R16."""
    check(crowd.tree(200))


def test_running_jobs_are_adopted_and_their_ends_are_true() -> None:
    """R12, R13."""
    check(crowd.adoption(20))


def test_memory_stays_what_it_was_while_jobs_come_and_go() -> None:
    """R30."""
    check(endurance.memory(1000))
