"""A long queue is listed a few rows at a time: the same rows, in the same order."""

from __future__ import annotations

import random

import pytest

from stoker.commands.squeue import command, squeue
from stoker.core.models import Job
from support.controller import FakeController, call_of, converse


def crowded() -> FakeController:
    """Return a controller with jobs of all kinds, in no order."""
    rng = random.Random(7)
    queue = FakeController()
    for job_id in rng.sample(range(1, 400), 200):
        name, partition = rng.choice("abc"), rng.choice(["debug", "short"])
        job = queue.add(job_id, spec={"name": name}, partition=partition)
        job.priority = rng.randrange(50)
        if rng.random() < 0.1:
            queue.start(job)
    return queue


class Parted(FakeController):
    """Shows its jobs a few at a time."""

    def look_through(self, read):
        jobs = list(self.active_jobs())
        return (read(jobs[start : start + 7]) for start in range(0, len(jobs), 7))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-h", "-o", "%i %j %P %t"],
        ["-S", "j,-P,i"],
        ["-S", "-j,p"],
        ["-S", "-i"],
        ["-t", "R"],
        ["-p", "short", "-O", "JobID,Name,State,TimeUsed"],
        ["-n", "a,b", "-S", "-t,-n,u"],
        ["-u", "nobody-at-all"],
    ],
    ids=" ".join,
)
def test_a_long_list_reads_as_a_short_one_would(argv, monkeypatch):
    queue = crowded()
    queue.__class__ = Parted
    at_once = converse(squeue(call_of("squeue", *argv), queue))
    monkeypatch.setattr(command, "LONG", 0)
    monkeypatch.setattr("stoker.commands.merging._ROWS_PER_CHUNK", 11)
    gradually = converse(squeue(call_of("squeue", *argv), queue))
    assert gradually == at_once


def test_what_ends_before_it_is_read_off_is_not_listed(monkeypatch):
    queue = crowded()
    queue.__class__ = Parted
    monkeypatch.setattr(command, "LONG", 0)
    answer = squeue(call_of("squeue", "-h", "-o", "%i"), queue)
    pieces = iter(answer.out)
    next(pieces)  # The heading.
    next(pieces)  # The first jobs are read off.
    last: Job = list(queue.jobs.values())[-1]
    last.state = "COMPLETED"
    assert str(last.job_id) not in "".join(pieces).split()
