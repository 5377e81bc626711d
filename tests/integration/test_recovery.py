"""Recovery with real records and real processes: whatever is found, record and machine agree."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stoker.core.enums import AllocationState, Hold, JobState, Reason
from stoker.core.errors import StoreError, UserError
from stoker.core.models import Job
from stoker.core.processes import TOKEN_VARIABLE, ProcessIdentity, boot_id, identify, is_alive
from stoker.worker.homelock import only_daemon
from stoker.worker.probe import Probe
from stoker.worker.recovery import RecoveryManager, RecoveryResult
from stoker.worker.recovery_strategies import (
    CompositeRecoveryStrategy,
    OrphanJobRecoveryStrategy,
    RecoveryStrategy,
    TimeoutJobRecoveryStrategy,
)
from support.records import Records

LIMIT_S = 20.0
ENDLESS_HOURS = 1e6


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of ours catches it."""


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(tmp_path / "stoker.db")
    yield records
    records.tracker.check()
    records.database.close()


Spawn = Callable[..., ProcessIdentity]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    started: list[subprocess.Popen] = []

    def start(token: str = "") -> ProcessIdentity:
        environment = {**os.environ, TOKEN_VARIABLE: token}
        argv = ["sleep", "600"]
        started.append(subprocess.Popen(argv, env=environment, start_new_session=True))
        identity = identify(started[-1].pid)
        assert identity is not None
        return identity

    yield start
    for process in started:
        process.kill()
        process.wait(LIMIT_S)


@pytest.fixture
def gone(spawn: Spawn) -> ProcessIdentity:
    """A process of this boot that is there no more."""
    identity = spawn()
    os.kill(identity.pid, signal.SIGKILL)
    os.waitpid(identity.pid, 0)
    return identity


def quick_probe(**more: object) -> Probe:
    return Probe(kill_wait_s=0.5, **more)


def recover(
    records: Records, strategy: RecoveryStrategy | None = None, **more: object
) -> RecoveryResult:
    manager = RecoveryManager(strategy, ledger=records.ledger, probe=quick_probe(**more))
    return manager.recover_on_startup()


def counts(result: RecoveryResult) -> tuple[int, int, int]:
    return result.recovered_jobs, result.skipped_jobs, result.adopted_jobs


# Orphans.


def test_an_orphan_that_may_be_requeued_waits_again_as_its_next_attempt(records, gone):
    """R10, R14."""
    job = records.running(gone)
    assert counts(recover(records)) == (1, 0, 0)
    job = records.on_record(job.job_id)
    assert (job.state, job.restarts, job.end_at) == (JobState.PENDING, 1, 0.0)
    (attempt,) = records.repository.attempts([job.job_id])
    assert attempt.end_state is JobState.NODE_FAIL
    assert records.tracker.used_cpus == 0


def test_an_orphan_that_was_requeued_too_often_waits_held(records, gone):
    job = records.running(gone, restarts=5)
    assert counts(recover(records)) == (1, 0, 0)
    job = records.on_record(job.job_id)
    assert (job.state, job.hold, job.restarts) == (JobState.PENDING, Hold.USER, 6)
    assert records.tracker.used_cpus == 0


def test_an_orphan_that_may_not_be_requeued_has_failed(records, gone):
    """R14: FAILED -999:0 here, with the reason, where Slurm says NODE_FAIL."""
    job = records.running(gone, requeue=False)
    assert counts(recover(records)) == (1, 0, 0)
    job = records.on_record(job.job_id)
    assert (job.state, job.exit_code, job.exit_signal) == (JobState.FAILED, -999, 0)
    assert "worker exited abnormally" in job.message
    assert records.tracker.used_cpus == 0


def test_a_reused_pid_does_not_pass_for_the_job_and_is_not_ended(records, spawn):
    stranger = spawn()
    job = records.running(stranger._replace(start_ticks=1), requeue=False)
    assert counts(recover(records)) == (1, 0, 0)
    assert records.on_record(job.job_id).state is JobState.FAILED
    assert is_alive(stranger), "a stranger was ended"


def test_a_record_of_another_boot_is_an_orphan_whoever_has_its_pid(records, spawn):
    stranger = spawn()
    job = records.running(stranger._replace(boot_id="another"), requeue=False)
    assert counts(recover(records)) == (1, 0, 0)
    assert records.on_record(job.job_id).exit_code == -999
    assert is_alive(stranger), "a stranger was ended"


def test_permission_denied_is_a_living_job_not_an_orphan(records, monkeypatch):
    init = identify(1) or ProcessIdentity(1, 1, boot_id())
    monkeypatch.setattr("stoker.core.processes._stat", lambda _: None)
    records.running(init)
    assert counts(recover(records)) == (0, 0, 1)


def test_a_cancelled_job_whose_process_is_gone_is_cancelled_and_not_run_again(records, gone):
    job = records.running(gone)
    with records.queue.turn() as turn:
        job.ending = JobState.CANCELLED
        turn.touch(job)
    assert counts(recover(records)) == (1, 0, 0)
    assert records.on_record(job.job_id).state is JobState.CANCELLED


def test_what_an_orphan_left_behind_is_ended_before_its_resources_are_given_back(
    records, gone, spawn, monkeypatch
):
    job = records.running(gone)
    left_behind = spawn(job.allocation.token)
    release, seen = records.tracker.release, []

    def watched_release(job_id: int) -> object:
        seen.append(is_alive(left_behind))
        return release(job_id)

    monkeypatch.setattr(records.tracker, "release", watched_release)
    assert counts(recover(records)) == (1, 0, 0)
    assert seen == [False]


def test_an_orphan_whose_processes_cannot_be_ended_keeps_its_resources(records, gone):
    """R18."""
    job = records.running(gone)
    assert counts(recover(records, terminate=lambda _: False)) == (0, 1, 0)
    assert records.on_record(job.job_id).state is JobState.RUNNING
    assert records.tracker.used_cpus == 1


@pytest.mark.parametrize("requeue", [True, False])
def test_an_orphans_resources_and_its_record_change_together_or_not_at_all(
    records, gone, monkeypatch, requeue
):
    """The transaction breaks between the two writes: the next daemon finds neither done."""
    job = records.running(gone, requeue=requeue)
    save = records.repository.save_allocations

    def break_off(connection: object, changed: object) -> None:
        save(connection, changed)
        raise StoreError("the power failed")

    monkeypatch.setattr(records.repository, "save_allocations", break_off)
    assert counts(recover(records)) == (0, 1, 0)
    records.reopen()
    assert records.on_record(job.job_id).state is JobState.RUNNING
    assert any(each.is_active for each in records.repository.attempts([job.job_id]))
    assert records.tracker.used_cpus == 1

    assert counts(recover(records)) == (1, 0, 0)
    records.reopen()
    assert records.on_record(job.job_id).state is not JobState.RUNNING
    assert not any(each.is_active for each in records.repository.attempts([job.job_id]))
    assert records.tracker.used_cpus == 0


# Reservations.


def test_a_reservation_that_was_surely_never_launched_waits_as_the_same_attempt(records):
    job = records.reserved()
    assert counts(recover(records, never_ran=lambda _: True)) == (1, 0, 0)
    job = records.on_record(job.job_id)
    assert (job.state, job.restarts, job.allocation) == (JobState.PENDING, 0, None)
    assert records.tracker.used_cpus == 0


def test_a_reservation_that_may_have_run_is_a_new_attempt_or_has_failed(records):
    again, never = records.reserved(), records.reserved(requeue=False)
    assert counts(recover(records)) == (2, 0, 0)
    assert records.on_record(again.job_id).restarts == 1
    assert records.on_record(never.job_id).state is JobState.FAILED


def test_a_reservation_whose_process_runs_is_adopted_with_its_true_identity(records, spawn):
    job = records.reserved()
    process = spawn(job.allocation.token)
    adopted: list[int] = []
    result = recover(records, adopt=lambda job: adopted.append(job.job_id))
    assert counts(result) == (0, 0, 1)
    assert adopted == [job.job_id]
    job = records.on_record(job.job_id)
    assert job.state is JobState.RUNNING
    allocation = job.allocation
    assert allocation.state is AllocationState.ALLOCATED
    assert (allocation.pid, allocation.start_ticks, allocation.boot_id) == process


# Healthy jobs.


def test_a_healthy_job_counts_as_adopted_not_as_a_failure(records, spawn):
    process = spawn()
    job = records.running(process)
    result = recover(records)
    assert counts(result) == (0, 0, 1)
    assert (result.total_jobs, result.success_rate) == (0, 100.0)
    assert records.on_record(job.job_id).state is JobState.RUNNING
    assert is_alive(process)


def test_a_job_that_the_engine_knows_is_left_to_it(records, gone):
    records.running(gone)
    records.reserved()
    assert counts(recover(records, is_known=lambda _: True)) == (0, 0, 2)
    assert records.tracker.used_cpus == 2


def test_waiting_jobs_are_not_looked_at(records):
    records.reserved()
    recover(records)
    assert counts(recover(records, adopt=pytest.fail)) == (0, 0, 0)


# Jobs past the maximum.


def test_a_job_past_the_maximum_is_ended_and_then_recorded_as_timeout(records, spawn):
    process = spawn()
    job = records.running(process)
    result = recover(records, TimeoutJobRecoveryStrategy(1e-9))
    assert counts(result) == (1, 0, 0)
    assert not is_alive(process)
    job = records.on_record(job.job_id)
    assert (job.state, job.exit_code, job.exit_signal) == (JobState.TIMEOUT, -998, 0)
    assert job.reason == Reason.TIME_LIMIT
    assert "exceeded the maximum run time" in job.message
    assert records.tracker.used_cpus == 0


def test_no_timeout_is_recorded_while_the_process_lives(records, spawn):
    process, seen = spawn(), []
    job = records.running(process)

    def look_and_fail(each: Job) -> bool:
        seen.append(records.on_record(each.job_id).state)
        return False

    strategy = TimeoutJobRecoveryStrategy(1e-9)
    assert counts(recover(records, strategy, terminate=look_and_fail)) == (0, 1, 0)
    assert seen == [JobState.COMPLETING]
    job = records.on_record(job.job_id)
    assert (job.state, job.end_at) == (JobState.COMPLETING, 0.0)
    assert records.tracker.used_cpus == 1
    assert is_alive(process)


def test_a_job_within_the_maximum_is_left_alone(records, spawn):
    process = spawn()
    records.running(process)
    assert counts(recover(records, TimeoutJobRecoveryStrategy(ENDLESS_HOURS))) == (0, 0, 1)
    assert is_alive(process)


def test_a_wall_clock_that_was_set_ends_no_job(records, spawn):
    process = spawn()
    job = records.running(process)
    with records.queue.turn() as turn:
        job.start_at -= 1000 * 3600
        turn.touch(job)
    assert counts(recover(records, TimeoutJobRecoveryStrategy(72))) == (0, 0, 1)
    assert is_alive(process)


@pytest.mark.parametrize("hours", [0, -1])
def test_a_maximum_of_nothing_is_refused(hours):
    with pytest.raises(ValueError, match="every job would be ended"):
        TimeoutJobRecoveryStrategy(hours)


def test_the_maximum_is_the_sites_and_none_by_default(tmp_path, spawn):
    for hours, state in ((0.0, JobState.RUNNING), (1e-9, JobState.TIMEOUT)):
        records = Records(tmp_path / f"{hours}.db", max_runtime_hours=hours)
        job = records.running(spawn())
        recover(records)
        assert records.on_record(job.job_id).state is state
        records.database.close()


@pytest.mark.parametrize("dies_after_the_end", [False, True])
def test_a_kill_during_an_end_for_age_does_not_make_an_orphan_of_it(
    tmp_path, spawn, dies_after_the_end
):
    records = Records(tmp_path / "stoker.db", max_runtime_hours=1e-9)
    job = records.running(spawn())
    probe = quick_probe()

    def die(each: Job) -> bool:
        if dies_after_the_end:
            assert probe.terminate(each)
        raise Killed

    with pytest.raises(Killed):
        recover(records, terminate=die)
    records.reopen()
    assert counts(recover(records)) == (1, 0, 0)
    job = records.on_record(job.job_id)
    assert (job.state, job.exit_code) == (JobState.TIMEOUT, -998)
    records.database.close()


def test_an_end_that_the_engine_reports_meanwhile_stands(records, spawn):
    """Whoever records first wins; the other finds that the attempt is over."""
    job = records.running(spawn())

    def end_and_report(each: Job) -> bool:
        with records.queue.turn() as turn:
            records.ledger.lose(turn, records.ledger.table.get(each.job_id))
        return True

    strategy = TimeoutJobRecoveryStrategy(1e-9)
    assert counts(recover(records, strategy, terminate=end_and_report)) == (1, 0, 0)
    assert records.on_record(job.job_id).end_at > 0
    assert records.tracker.used_cpus == 0


# All of it.


class Scripted(RecoveryStrategy):
    """Says and does what it is told to, and keeps a list."""

    def __init__(self, name: str, calls: list[str], *, wants: bool, can: bool) -> None:
        self.name, self.calls, self.wants, self.can = name, calls, wants, can

    def should_recover(self, job: Job) -> bool:
        return self.wants

    def recover_job(self, job: Job) -> bool:
        self.calls.append(self.name)
        return self.can


def test_strategies_are_tried_in_order_and_the_first_that_acts_wins(records, gone):
    job, calls = records.running(gone), []
    strategy = CompositeRecoveryStrategy(
        [
            Scripted("has no part in it", calls, wants=False, can=True),
            Scripted("cannot", calls, wants=True, can=False),
            Scripted("acts", calls, wants=True, can=True),
            Scripted("comes too late", calls, wants=True, can=True),
        ]
    )
    assert strategy.should_recover(job)
    assert strategy.recover_job(job)
    assert calls == ["cannot", "acts"]
    assert not CompositeRecoveryStrategy([]).should_recover(job)
    assert not CompositeRecoveryStrategy([]).recover_job(job)


def test_once_more_does_no_harm(records, gone, spawn):
    records.running(gone, requeue=False)
    records.running(gone)
    records.running(spawn())
    assert counts(recover(records)) == (2, 0, 1)
    before = [records.on_record(job_id) for job_id in (1, 2, 3)]
    assert counts(recover(records)) == (0, 0, 1)
    assert counts(recover(records.reopen())) == (0, 0, 1)
    assert [records.on_record(job_id) for job_id in (1, 2, 3)] == before


def test_one_job_that_cannot_be_recovered_stops_no_other(records, gone, caplog):
    first, second, third = (records.running(gone, requeue=False) for _ in range(3))

    class Stumbling(OrphanJobRecoveryStrategy):
        def recover_job(self, job: Job) -> bool:
            if job.job_id != second.job_id:
                return super().recover_job(job)
            with records.queue.turn() as turn:
                records.ledger.lose(turn, job)
                raise ValueError("no luck")

    result = recover(records, Stumbling())
    assert counts(result) == (2, 1, 0)
    assert "ValueError: no luck" in caplog.text
    states = [records.on_record(job.job_id).state for job in (first, second, third)]
    assert states == [JobState.FAILED, JobState.RUNNING, JobState.FAILED]


@pytest.mark.parametrize("dies_at", range(1, 5))
def test_a_kill_at_any_commit_leaves_what_the_next_recovery_goes_on_from(
    records, gone, monkeypatch, dies_at
):
    """R11."""
    jobs = [records.running(gone, requeue=number % 2 == 0) for number in range(4)]
    commits = []
    transaction = records.database.transaction

    def count() -> object:
        commits.append(1)
        if len(commits) == dies_at:
            raise Killed
        return transaction()

    monkeypatch.setattr(records.database, "transaction", count)
    with pytest.raises(Killed):
        recover(records)
    records.reopen()
    recovered = recover(records).recovered_jobs
    assert recovered == len(jobs) - (dies_at - 1)
    found = [records.on_record(job.job_id) for job in jobs]
    assert [job.state for job in found] == [JobState.PENDING, JobState.FAILED] * 2
    assert [job.restarts for job in found] == [1, 0] * 2
    assert records.tracker.used_cpus == 0


def test_a_result_prints_as_one_line():
    result = RecoveryResult(recovered_jobs=2, skipped_jobs=1, total_jobs=3, duration_seconds=0.1234)
    assert str(result) == "Recovery: 2/3 jobs recovered (66.7% success) in 0.12s"
    assert str(RecoveryResult(0, 0, 0, 0.0, 7)) == (
        "Recovery: 0/0 jobs recovered (100.0% success) in 0.00s, 7 adopted"
    )


# Standing alone.


def test_without_arguments_it_works_on_the_home_directory(tmp_path, monkeypatch, gone):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))
    monkeypatch.setenv("STOKER_NODES", "node")
    monkeypatch.setenv("STOKER_TOTAL_CPUS", "8")
    records = Records(tmp_path / "stoker.db")
    job = records.running(gone, requeue=False)
    assert counts(RecoveryManager().recover_on_startup()) == (1, 0, 0)
    assert records.on_record(job.job_id).exit_code == -999
    records.database.close()


def test_it_does_not_touch_a_home_whose_daemon_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))
    Records(tmp_path / "stoker.db").database.close()
    with only_daemon(tmp_path), pytest.raises(UserError, match="serves it already"):
        RecoveryManager().recover_on_startup()
    assert counts(RecoveryManager().recover_on_startup()) == (0, 0, 0)


def test_recovery_holds_no_thread(records, gone):
    records.running(gone)
    before = threading.active_count()
    recover(records)
    assert threading.active_count() == before
