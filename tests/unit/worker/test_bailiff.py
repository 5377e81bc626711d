"""Who is overdue for long is ended by root, where the user's shepherd does not do it."""

from __future__ import annotations

import pytest

from stoker.core.enums import JobState
from stoker.worker.bailiff import PATIENCE_S, Bailiff
from stoker.worker.probe import Probe
from support.controller import ROOT
from support.recording_engine import ALICE


class Officer:
    """A bailiff whose probe only notes whom it is to end."""

    def __init__(self, rooms):
        self.rooms = rooms
        self.prodded = []
        self.ended = []
        self.can_end = True
        worker = rooms.worker
        self.bailiff = Bailiff(
            worker.ledger,
            worker.steps,
            Probe(terminate=self._terminate),
            rooms.engine,
            prod=self.prodded.append,
            report=worker.reports.take,
        )

    def _terminate(self, job):
        self.ended.append(job.job_id)
        return self.can_end

    def look(self, after_s=0.0):
        """Look twice: when something is due, and that much later."""
        self.bailiff.do_work()
        self.rooms.now_s += after_s
        self.bailiff.do_work()
        for ending in self.bailiff._endings.values():
            ending.join(20)
            assert not ending.is_alive()


@pytest.fixture
def officer(make_rooms):
    return Officer(make_rooms(follow_depth_max=0, shared=True))


def test_who_ends_in_time_never_sees_it(officer):
    rooms = officer.rooms
    job = rooms.running(time_limit_s=60.0)
    officer.look(59)
    rooms.ask("cancel", job.job_id)
    officer.look(PATIENCE_S)
    rooms.finish(job, signal=15)
    officer.look(1000)
    assert (officer.prodded, officer.ended) == ([], [])


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_the_shepherd_of_who_is_overdue_is_prodded_and_then_the_job_ended(officer, is_cancelled):
    rooms = officer.rooms
    job = rooms.running(time_limit_s=60.0)
    if is_cancelled:
        rooms.ask("cancel", job.job_id)
    else:
        rooms.now_s += 61
    officer.look(PATIENCE_S + 2)
    assert (officer.prodded, officer.ended) == ([ALICE.user_id], [])
    officer.look(PATIENCE_S)
    assert officer.ended == [job.job_id]
    assert rooms.recorded(job).state is (JobState.CANCELLED if is_cancelled else JobState.TIMEOUT)
    assert rooms.engine.asked("end")[-1] == ("1.0", "cancelled", 0.0)
    assert rooms.worker.tracker.used_cpus == 0


def test_a_job_whose_processes_cannot_be_ended_keeps_what_it_holds(officer):
    officer.can_end = False
    job = officer.rooms.running(time_limit_s=60.0)
    officer.rooms.now_s += 61
    officer.look(PATIENCE_S + 2)
    officer.look(PATIENCE_S)
    assert officer.rooms.state(job) == "RUNNING"
    officer.can_end = True
    officer.look()
    assert officer.rooms.state(job) == "TIMEOUT"


def test_a_job_that_is_never_begun_is_lost_and_not_begun_again_as_the_same(officer):
    rooms = officer.rooms
    job = rooms.submit()
    rooms.schedule()
    officer.look(PATIENCE_S + 2)
    officer.look(PATIENCE_S)
    assert (rooms.state(job), rooms.recorded(job).restarts) == ("PENDING", 1)


def test_an_allocation_whose_steps_do_not_end_is_ended_with_them(officer):
    rooms = officer.rooms
    job = rooms.running(interactive=True)
    step = rooms.step(job)
    rooms.ask("cancel", job.job_id)
    officer.look(PATIENCE_S + 2)
    officer.look(PATIENCE_S)
    assert rooms.state(job) == "CANCELLED"
    (recorded,) = rooms.worker.repository.steps([job.job_id])
    assert (recorded.step_id, recorded.end_at > 0) == (step.step_id, True)


def test_a_suspended_job_is_not_overdue(officer):
    rooms = officer.rooms
    job = rooms.running(time_limit_s=60.0)
    rooms.ask("suspend", job.job_id, ROOT)
    rooms.now_s += 1000
    officer.look(PATIENCE_S + 2)
    assert officer.prodded == []
