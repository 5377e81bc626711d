"""Jobs whose engine forgot them are seen to their end, and reported as an engine would."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.core.enums import JobState
from stoker.core.models import Job
from stoker.core.processes import TOKEN_VARIABLE, identify, is_alive
from stoker.engines.base import Ended
from stoker.worker.probe import Probe
from stoker.worker.watch import ProcessWatch
from support.records import Records

LIMIT_S = 20.0


class Watched:
    """A job of a real process, watched; its reports come through a queue."""

    def __init__(self, path: Path) -> None:
        self.records = Records(path)
        self.reports: queue.Queue[list[Ended]] = queue.Queue()
        self.watch = ProcessWatch(self.reports.put, Probe(kill_wait_s=0.2))
        self.processes: list[subprocess.Popen] = []

    def job(self, script: str) -> Job:
        job = self.records.reserved()
        process = subprocess.Popen(
            ["sh", "-c", script],
            env={**os.environ, TOKEN_VARIABLE: job.allocation.token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        with self.records.queue.turn() as turn:
            self.records.ledger.start(turn, job, identify(process.pid), turn.now)
        return job

    def report(self) -> Ended:
        (end,) = self.reports.get(timeout=LIMIT_S)
        return end

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(LIMIT_S)
            process.stdin.close()
            process.stdout.close()
        self.records.database.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "stoker.db")
    yield watched
    watched.close()


def test_the_end_of_our_own_child_is_reported_with_its_status(watched):
    job = watched.job("read line; exit 7")
    watched.watch.watch(job)
    watched.watch.watch(job)
    watched.processes[0].stdin.close()
    end = watched.report()
    assert (end.key, end.exit_code, end.signal, end.status_known) == ("1.0.batch", 7, 0, True)
    assert end.why is None
    assert watched.reports.empty(), "watched twice"


def test_the_end_of_somebody_elses_child_is_reported_without_a_status(watched, monkeypatch):
    monkeypatch.setattr("stoker.core.processes.exit_status", lambda _: None)
    job = watched.job("read line; exit 7")
    watched.watch.watch(job)
    watched.processes[0].stdin.close()
    assert not watched.report().status_known


def test_what_the_job_left_behind_is_ended_before_its_end_is_reported(watched):
    job = watched.job("sleep 600 >/dev/null & echo $!; read line; exit 0")
    left_behind = identify(int(watched.processes[0].stdout.readline()))
    watched.watch.watch(job)
    assert is_alive(left_behind)
    watched.processes[0].stdin.close()
    assert watched.report().status_known
    assert not is_alive(left_behind)


def test_a_job_whose_time_is_up_is_ended(watched):
    job = watched.job("exec sleep 600")
    job.time_limit_s = 0.01
    watched.watch.watch(job)
    end = watched.report()
    assert (end.why, end.signal) == ("timeout", signal.SIGTERM)


def test_a_job_that_is_to_end_is_ended(watched):
    job = watched.job("exec sleep 600")
    job.ending = JobState.CANCELLED
    watched.watch.watch(job)
    end = watched.report()
    assert (end.why, end.signal) == (None, signal.SIGTERM)


def test_one_that_ended_before_it_was_watched_is_reported_all_the_same(watched):
    job = watched.job("exit 0")
    watched.processes[0].wait(LIMIT_S)
    watched.watch.watch(job)
    assert not watched.report().status_known
