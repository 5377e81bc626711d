"""A long queue is listed a few rows at a time: the same rows, in the same order."""

from __future__ import annotations

import random

import pytest

from stoker.commands import everyjob
from stoker.commands.rest import slurmrestd
from stoker.commands.scontrol import scontrol
from stoker.commands.squeue import command, squeue
from stoker.core.enums import JobState
from stoker.core.models import Job
from stoker.core.units import TaskSet
from support.controller import FakeController, call_of, converse


class Foreseeing(FakeController):
    """Knows of some jobs when they will start."""

    def expected_starts(self, job_ids):
        return {job_id: self.moment + 60 * (job_id % 7 + 1) for job_id in job_ids if job_id % 3}


def crowded() -> FakeController:
    """Return a controller with jobs of all kinds, in no order."""
    rng = random.Random(7)
    queue = Foreseeing()
    for job_id in rng.sample(range(1, 400), 200):
        name, partition = rng.choice("abc"), rng.choice(["debug", "short"])
        job = queue.add(job_id, spec={"name": name}, partition=partition)
        job.priority = rng.randrange(50)
        if rng.random() < 0.3:
            queue.start(job)
        if job.state is JobState.RUNNING and rng.random() < 0.5:
            job.state, job.end_at = JobState.COMPLETED, queue.moment
    for job_id in (500, 510):
        rest = queue.add(job_id)
        rest.array_job_id, rest.array = job_id, TaskSet(range(40))
    return queue


def gradually(program, argv, monkeypatch):
    """Return the answer about many jobs."""
    with monkeypatch.context() as patched:
        patched.setattr(command, "LONG", 0)
        patched.setattr(everyjob, "LONG", 0)
        patched.setattr("stoker.commands.squeue.steps.LONG", 0)
        patched.setattr("stoker.commands.scontrol.jobs.LONG", 0)
        patched.setattr("stoker.commands.merging._ROWS_PER_CHUNK", 11)
        queue = crowded()
        answer = converse(program(call_of(program.__name__, *argv), queue))
    assert 0 < queue.lookout.seen_at_once <= 7
    return answer


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-h", "-o", "%i %j %P %t"],
        ["-S", "j,-P,i"],
        ["-S", "-j,p"],
        ["-S", "-i"],
        ["-t", "R"],
        ["-t", "all"],
        ["-t", "all", "-S", "-T,j", "-o", "%i %T %N"],
        ["-t", "CD", "-v"],
        ["-v", "-u", "alice"],
        ["-v", "-u", "bob"],
        ["-l", "-S", "?"],
        ["-v", "-S", "?"],
        ["-r"],
        ["-r", "-t", "all", "-S", "-i"],
        ["-r", "-S", "S", "-o", "%i %S %K"],
        ["--start"],
        ["--start", "-S", "-i"],
        ["-S", "-S,i", "-o", "%i %S %e %Y"],
        ["-p", "short", "-O", "JobID,Name,State,TimeUsed"],
        ["-n", "a,b", "-S", "-t,-n,u"],
        ["-u", "nobody-at-all"],
        ["--json"],
        ["--yaml"],
        ["-s"],
        ["-s", "-v", "-p", "short"],
        ["-s", "-u", "bob"],
    ],
    ids=" ".join,
)
def test_a_long_list_reads_as_a_short_one_would(argv, monkeypatch):
    # In a short list jobs that the keys do not tell apart stand by when they will start.
    monkeypatch.setattr("stoker.commands.squeue.rows._FORESEEN_MAX", 0)
    at_once = converse(squeue(call_of("squeue", *argv), crowded()))
    assert gradually(squeue, argv, monkeypatch) == at_once


@pytest.mark.parametrize(
    ("program", "argv"),
    [
        (scontrol, ["show", "job"]),
        (scontrol, ["-o", "-d", "show", "job"]),
        (scontrol, ["show", "step"]),
        (slurmrestd, ["GET", "/slurm/v0.0.38/jobs"]),
    ],
)
def test_many_jobs_are_shown_as_a_few_would_be(program, argv, monkeypatch):
    at_once = converse(program(call_of(program.__name__, *argv), crowded()))
    assert at_once.code == 0
    assert gradually(program, argv, monkeypatch) == at_once


@pytest.mark.parametrize(
    ("program", "argv"),
    [
        (scontrol, ["show", "job", "{waiting}"]),
        (scontrol, ["show", "job", "500"]),
        (slurmrestd, ["GET", "/slurm/v0.0.38/job/{waiting}"]),
    ],
)
def test_when_one_of_many_starts_is_found_out_bit_by_bit(program, argv, monkeypatch):
    queue = crowded()
    waiting = next(job for job in queue.active_jobs() if job.state == "PENDING" and job.job_id % 3)
    call = call_of(program.__name__, *(word.format(waiting=waiting.job_id) for word in argv))
    at_once = converse(program(call, queue))
    monkeypatch.setattr(everyjob, "LONG", 0)
    monkeypatch.setattr("stoker.commands.everyjob.starts_of", None)
    assert converse(program(call, queue)) == at_once


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_no_jobs_make_a_whole_document_too(kind, monkeypatch):
    empty = squeue(call_of("squeue", f"--{kind}"), FakeController())
    monkeypatch.setattr(everyjob, "LONG", -1)
    gradual = squeue(call_of("squeue", f"--{kind}"), FakeController())
    assert converse(gradual) == converse(empty)


@pytest.mark.parametrize(
    ("program", "argv"),
    [
        (squeue, ["-t", "all"]),
        (squeue, ["--start"]),
        (squeue, ["-r"]),
        (squeue, ["--json"]),
        (squeue, ["--yaml"]),
        (squeue, ["-s"]),
        (scontrol, ["show", "job"]),
        (scontrol, ["show", "step"]),
    ],
)
def test_nothing_of_a_long_list_is_read_in_the_turn_that_begins_it(program, argv, monkeypatch):
    for module in ("everyjob", "squeue.command", "squeue.steps", "scontrol.jobs"):
        monkeypatch.setattr(f"stoker.commands.{module}.LONG", 0)
    queue = crowded()
    answer = program(call_of(program.__name__, *argv), queue)
    assert queue.lookout.seen_at_once == 0
    converse(answer)
    assert queue.lookout.seen_at_once == 7


def test_what_ends_before_it_is_read_off_is_not_listed(monkeypatch):
    queue = crowded()
    monkeypatch.setattr(command, "LONG", 0)
    answer = squeue(call_of("squeue", "-h", "-o", "%i"), queue)
    pieces = iter(answer.out)
    next(pieces)  # The heading.
    next(pieces)  # Nothing is read off yet.
    next(pieces)  # The first jobs are read off.
    last: Job = list(queue.jobs.values())[-1]
    last.state = JobState.COMPLETED
    assert f"{last.job_id}" not in "".join(pieces).replace("_[0-39]", "").split()


def test_a_million_tasks_with_a_line_each_are_made_as_they_are_read():
    queue = FakeController()
    rest = queue.add(1)
    rest.array_job_id, rest.array = 1, TaskSet(range(1_000_000))
    answer = squeue(call_of("squeue", "-h", "-r", "-o", "%i"), queue)
    assert not isinstance(answer.out, str)
    piece = next(filter(None, answer.out))
    assert piece.startswith("1_0\n1_1\n")
    assert len(piece.splitlines()) < 1000


def test_a_long_list_makes_the_lines_of_an_array_as_they_are_read(monkeypatch):
    monkeypatch.setattr(command, "LONG", 0)
    queue = FakeController()
    rest = queue.add(1)
    rest.array_job_id, rest.array = 1, TaskSet(range(1_000_000))
    answer = squeue(call_of("squeue", "-h", "-r", "-o", "%i"), queue)
    piece = next(filter(None, answer.out))
    assert piece.startswith("1_0\n1_1\n")
    assert len(piece.splitlines()) < 1000


def test_records_of_an_array_that_came_early_stand_in_their_places(monkeypatch):
    """Those of an array are seen together; among the others each stands where its id belongs."""
    queue = FakeController()
    for job_id in (1, 2, 3, 4, 5, 6, 7):
        job = queue.add(job_id)
        if job_id in (2, 5, 7):
            job.array_job_id, job.array_task_id = 2, job_id

    def look_through(read, *, with_recent=False):
        assert with_recent
        for job_ids in ((), (1,), (2, 5, 7), (3, 4), (6,)):
            yield read([queue.jobs[each] for each in job_ids])

    queue.lookout.look_through = look_through
    monkeypatch.setattr(everyjob, "LONG", 0)
    answer = scontrol(call_of("scontrol", "-o", "show", "job"), queue)
    shown = [line.split()[0] for line in "".join(answer.out).splitlines()]
    assert shown == [f"JobId={each}" for each in range(1, 8)]
