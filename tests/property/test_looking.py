"""Long listings while the queue changes in any way: nobody is missed, and nobody is seen twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.core.errors import UserError
from stoker.core.models import Job
from support.works import Works

_PER_LOOK = 3
_CHANGES_MAX = 12


@contextmanager
def begun(changes: int, rng: Random) -> Iterator[Works]:
    with TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patched:
        patched.setattr("stoker.worker.looking._JOBS_PER_LOOK", _PER_LOOK)
        works = Works(Path(home))
        try:
            change(works, rng, changes)
            yield works
        finally:
            works.close()


def submit(works: Works, rng: Random) -> None:
    array = {"array": f"0-{rng.randint(1, 5)}"} if rng.random() < 0.5 else {}
    works.submit(hold=rng.random() < 0.3, **array)


def start(works: Works, rng: Random) -> None:
    if units := works.engine.startable():
        works.engine.start(rng.choice(units).key)
        works.engine.deliver()


def finish(works: Works, rng: Random) -> None:
    if units := works.engine.running():
        works.engine.finish(rng.choice(units).key)
        works.engine.deliver()


def interfere(works: Works, rng: Random) -> None:
    if job_ids := list(works.worker.queue.table.jobs):
        with suppress(UserError):
            works.ask(rng.choice(["cancel", "requeue"]), rng.choice(job_ids))
        works.engine.deliver()


CHANGES: Sequence[Callable[[Works, Random], None]] = (
    *(3 * [submit] + 4 * [lambda works, _: works.schedule()]),
    *(5 * [start] + 3 * [finish] + [interfere]),
)


def change(works: Works, rng: Random, count: int) -> None:
    for _ in range(count):
        rng.choice(CHANGES)(works, rng)


def names(jobs: Iterable[Job]) -> list[tuple[int, int]]:
    """Return jobs, and tasks of arrays, by what they are called."""
    return [
        (job.array_job_id or job.job_id, task)
        for job in jobs
        for task in (job.array if job.array is not None else [job.array_task_id])
    ]


def known(works: Works, *, with_recent: bool) -> set[tuple[int, int]]:
    control = works.worker.control
    recent = control.recent_jobs() if with_recent else ()
    return {*names(control.active_jobs()), *names(recent)}


@settings(max_examples=60, deadline=None)
@given(rng=st.randoms(use_true_random=False), is_wide=st.booleans(), before=st.integers(5, 40))
def test_who_is_there_all_the_time_is_seen_once_and_nobody_twice(
    rng: Random, is_wide: bool, before: int
) -> None:
    with begun(before, rng) as works:
        always = known(works, with_recent=is_wide)
        seen: Counter[tuple[int, int]] = Counter()
        firsts: list[int] = []
        lookout = works.worker.control.lookout
        for some in lookout.look_through(list, with_recent=is_wide):
            seen.update(names(some))
            firsts += [job.job_id for job in some[:1]]
            change(works, rng, rng.randint(0, _CHANGES_MAX))
            always &= known(works, with_recent=is_wide)
        assert {name: seen[name] for name in always} == dict.fromkeys(always, 1)
        assert set(seen.values()) <= {1}
        assert not is_wide or firsts == sorted(firsts)
