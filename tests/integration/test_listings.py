"""Long listings over a real worker: no turn reads many jobs, and others have theirs in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stoker.commands.table import SERVED
from stoker.worker.call import Answer, Call
from support.works import ALICE, Works

WAITING, ENDED = 90, 30
PER_TURN_MAX = 32
HISTORY = ("-a", "-S", "1970-01-01", "-E", "now")
MODULES = (
    *("everyjob", "squeue.command", "squeue.steps", "scontrol.jobs", "sprio", "sacct"),
    "rest.accounting",
)


@pytest.fixture
def works(tmp_path, monkeypatch) -> Iterator[Works]:
    for module in MODULES:
        monkeypatch.setattr(f"stoker.commands.{module}.LONG", 20)
    made = Works(tmp_path, priority_type="multifactor")
    ids = [made.submit(hold=each % 2 == 0).job_id for each in range(WAITING + ENDED)]
    for job_id in ids[1::4]:
        made.ask("cancel", job_id)
    yield made
    made.close()


class Watched:
    """Counts, for each turn of a worker, the jobs whose reason is told, or which are looked up."""

    def __init__(self, works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turns = 0
        self.read: Counter[tuple[int, str]] = Counter()
        self._works = works
        control, queue = works.worker.control, works.worker.queue
        turn, reason, factors = queue.turn, control.reason, control.priority_factors
        jobs = works.repository.jobs

        @contextmanager
        def counted_turn() -> Iterator[Any]:
            with turn() as inner:
                yield inner
            self.turns += 1

        def looked_up(job_ids: Any) -> Any:
            self.read[self.turns, "records"] += len(job_ids)
            return jobs(job_ids)

        def told(job: Any) -> str:
            self.read[self.turns, "reasons"] += 1
            return reason(job)

        def worked_out(job: Any, partition: str) -> Any:
            self.read[self.turns, "priorities"] += 1
            return factors(job, partition)

        monkeypatch.setattr(queue, "turn", counted_turn)
        monkeypatch.setattr(control, "reason", told)
        monkeypatch.setattr(control, "priority_factors", worked_out)
        monkeypatch.setattr(works.repository, "jobs", looked_up)

    def listed(self, program: str, *argv: str) -> str:
        """Return a listing, with another's submission between every ten of its pieces."""
        with self._works.worker.queue.turn() as turn:
            call = Call(program, argv, {}, "/", ALICE, turn.now)
            outcome = SERVED[program](call, self._works.worker.control)
            while not isinstance(outcome, Answer):
                try:
                    next(outcome)
                except StopIteration as stop:
                    outcome = stop.value
        assert not isinstance(outcome.out, str), "it was made within the turn"
        text = ""
        for number, piece in enumerate(outcome.out):
            text += piece
            if number % 10 == 0:
                self._works.submit(hold=True)
        return text


@pytest.mark.parametrize(
    "words",
    [
        ("squeue", "-h"),
        ("squeue", "-h", "-t", "all"),
        ("squeue", "-h", "-r"),
        ("squeue", "-h", "--start"),
        ("squeue", "-h", "-S", "S"),
        ("scontrol", "-o", "show", "job"),
        ("sprio", "-h"),
        ("sacct", "-n", "-X", *HISTORY),
    ],
    ids=" ".join,
)
def test_no_turn_of_a_listing_reads_many_jobs(works, monkeypatch, words):
    watched = Watched(works, monkeypatch)
    lines = watched.listed(*words).splitlines()
    assert 0 < max(watched.read.values()) <= PER_TURN_MAX, watched.read
    assert len(watched.read) > 2
    assert len(lines) >= WAITING // 3


@pytest.mark.parametrize(
    "words",
    [
        ("squeue", "--json"),
        ("slurmrestd", "GET", "/slurm/v0.0.38/jobs"),
        ("slurmrestd", "GET", "/slurmdb/v0.0.38/jobs"),
        ("sacct", "--json", *HISTORY),
    ],
    ids=" ".join,
)
def test_no_turn_of_a_document_reads_many_jobs(works, monkeypatch, words):
    watched = Watched(works, monkeypatch)
    jobs = json.loads(watched.listed(*words))["jobs"]
    assert 0 < max(watched.read.values()) <= PER_TURN_MAX, watched.read
    assert len(watched.read) > 2
    ids = [job["job_id"] for job in jobs]
    assert sorted(set(ids)) == sorted(ids)
    # A held job has no time yet at which sacct would look for it.
    first, step = (2, 2) if words[0] == "sacct" else (1, 1)
    assert set(range(first, WAITING + ENDED + 1, step)) <= set(ids)
