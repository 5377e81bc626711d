"""What was used counts for whoever used it, once; and who used less goes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stoker.core.accounts import Account, Association, BookChange, User
from stoker.core.models import Job
from support.recording_engine import ALICE, BOB, ROOT, Rooms

HOUR_S = 3600.0


@pytest.fixture
def fair(make_rooms: Callable[..., Rooms]) -> Rooms:
    """Alice and Bob share an account in halves; what they use counts for an hour."""
    return make_shared(
        make_rooms(
            follow_depth_max=0,
            priority_type="multifactor",
            priority_weight_fairshare=1000,
            priority_decay_half_life="60",
        )
    )


def make_shared(rooms: Rooms) -> Rooms:
    entries = (
        Account("phys"),
        User("alice"),
        User("bob"),
        Association(id=3, account="phys", parent="root"),
        Association(id=4, account="phys", user="alice", is_default=True),
        Association(id=5, account="phys", user="bob", is_default=True),
    )
    with rooms.queue.turn():
        rooms.control.change_book(BookChange(puts=entries, next_association_id=6))
    return rooms


def used(rooms: Rooms) -> dict[int, float]:
    rooms.worker.usage.do_work()
    return {key: each.usage for key, each in rooms.control.standings().items() if each.usage}


def order(rooms: Rooms) -> list[int]:
    rooms.schedule()
    waiting = [job for queue in rooms.queue.table.waiting() for job in queue.jobs]
    return [job.job_id for job in sorted(waiting, key=lambda job: job.order)]


def full(rooms: Rooms, owner: Any = ALICE) -> Job:
    return rooms.running(owner=owner, ntasks=8)


def test_what_runs_counts_each_second_once(fair: Rooms) -> None:
    job = full(fair)
    fair.now_s += 100
    assert used(fair) == pytest.approx({1: 800, 3: 800, 4: 800}, rel=0.01)
    fair.now_s += 100
    before = used(fair)
    assert before[4] == pytest.approx(1600, rel=0.03)
    fair.finish(job)
    assert used(fair)[4] == pytest.approx(before[4])


def test_what_ended_in_between_counts(fair: Rooms) -> None:
    job = full(fair)
    fair.now_s += 60
    fair.finish(job)
    fair.now_s += HOUR_S
    assert used(fair)[4] == pytest.approx(240)


def test_what_ended_at_any_time_since_counts_once(fair: Rooms) -> None:
    for _ in range(5):
        job = full(fair)
        fair.now_s += 7
        fair.finish(job)
    assert used(fair)[4] == pytest.approx(5 * 7 * 8, rel=0.01)


def test_what_was_used_is_known_after_a_restart_and_so_is_what_came_since(fair: Rooms) -> None:
    full(fair)
    fair.now_s += 100
    used(fair)
    fair.now_s += 100
    fair.restart()
    assert used(fair)[4] == pytest.approx(1600, rel=0.03)


def test_what_ran_before_the_first_time_counts_after_a_crash(fair: Rooms) -> None:
    job = full(fair)
    fair.now_s += 100
    fair.finish(job)
    fair.restart()
    assert used(fair)[4] == pytest.approx(800, rel=0.01)


def test_what_only_fades_is_not_recorded_again(fair: Rooms) -> None:
    job = full(fair)
    fair.now_s += 100
    fair.finish(job)
    used(fair)
    recorded = fair.worker.usage._store.usage()
    fair.now_s += HOUR_S
    assert used(fair)[4] == pytest.approx(400)
    assert fair.worker.usage._store.usage() == recorded
    fair.restart()
    assert used(fair)[4] == pytest.approx(400)


def test_a_clock_that_is_set_back_adds_nothing(fair: Rooms) -> None:
    fair.finish(full(fair))
    fair.now_s += 100
    before = used(fair)
    fair.now_s -= 10 * HOUR_S
    assert used(fair) == before


def test_use_that_is_not_recorded_is_counted_again(
    fair: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(fair)
    fair.now_s += 100
    monkeypatch.setattr(fair.worker.usage._store, "save", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fair.worker.usage.do_work()
    monkeypatch.undo()
    assert used(fair)[4] == pytest.approx(800, rel=0.01)


def test_who_used_less_goes_first_from_the_next_time_on(fair: Rooms) -> None:
    full(fair)
    waiting = [fair.submit(owner=owner, ntasks=8).job_id for owner in (ALICE, BOB, ALICE, BOB)]
    assert order(fair) == waiting
    fair.now_s += 100
    fair.worker.usage.do_work()
    alices, bobs = waiting[::2], waiting[1::2]
    assert order(fair) == [*bobs, *alices]
    assert fair.active(bobs[0]).priority == 666
    assert fair.active(alices[0]).priority == 333


def test_what_somebody_said_stays_and_counts_among_the_others(fair: Rooms) -> None:
    full(fair)
    first = fair.submit(ntasks=8, owner=BOB).job_id
    stated = fair.submit(ntasks=8).job_id
    fair.ask("update", stated, ROOT, {"priority": 5})
    fair.now_s += 100
    fair.worker.usage.do_work()
    assert order(fair) == [first, stated]
    assert fair.active(stated).priority == 5
    fair.ask("update", stated, ALICE, {"priority": 4})
    fair.ask("update", first, BOB, {"nice": 100})
    assert fair.active(first).priority == 566
    fair.restart()
    assert order(fair) == [first, stated]
    assert fair.active(stated).priority == 4


def test_waiting_is_worth_more_and_more_up_to_a_time(make_rooms: Callable[..., Rooms]) -> None:
    rooms = make_rooms(
        follow_depth_max=0,
        priority_type="multifactor",
        priority_weight_age=1000,
        priority_weight_job_size=1000,
        priority_max_age="0:1000",
    )
    full(rooms)
    small = rooms.submit(ntasks=1).job_id
    rooms.now_s += 500
    large = rooms.submit(ntasks=4).job_id
    assert order(rooms) == [small, large]
    rooms.worker.usage.do_work()
    assert rooms.active(small).priority == 1062
    assert rooms.active(large).priority == 750
    rooms.now_s += 2000
    rooms.worker.usage.do_work()
    assert order(rooms) == [large, small]


def test_what_is_forgotten_stays_forgotten(make_rooms: Callable[..., Rooms]) -> None:
    rooms = make_shared(make_rooms(follow_depth_max=0, accounting_storage_enforce="safe"))
    rooms.submit(ntasks=8, time_limit_s=60.0)
    rooms.schedule()
    rooms.start(1)
    rooms.now_s += 100
    assert used(rooms)[4] == pytest.approx(800, rel=0.01)
    with rooms.queue.turn():
        rooms.control.forget_usage({4})
    assert 4 not in {key for key, each in rooms.control.standings().items() if each.usage}
    rooms.now_s += 10
    assert used(rooms)[4] == pytest.approx(80, rel=0.1)
    rooms.restart()
    assert used(rooms)[4] == pytest.approx(80, rel=0.1)


def test_use_is_counted_where_limits_depend_on_it(make_rooms: Callable[..., Rooms]) -> None:
    assert not make_rooms().worker.usage.is_wanted
    rooms = make_shared(make_rooms(follow_depth_max=0, accounting_storage_enforce="safe"))
    assert rooms.worker.usage.is_wanted
    before = rooms.submit(ntasks=8, time_limit_s=60.0).priority
    rooms.schedule()
    rooms.start(1)
    rooms.now_s += 100
    assert used(rooms)[4] == pytest.approx(800, rel=0.01)
    assert rooms.active(1).priority == before
