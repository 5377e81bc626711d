"""What each user may have of the server, whatever another does."""

from __future__ import annotations

import os
from typing import Any

import pytest

from stoker.core.models import Owner
from stoker.worker.shares import Shares

ALICE, BOB, CAROL = 2001, 2002, 2003


class Client:
    """A connection as `Shares` sees it."""

    def __init__(self, user_id: int, name: str = "") -> None:
        self.owner = Owner(user_id, str(user_id), user_id, str(user_id))
        self.held_size = 0
        self.spent_s = 0.0
        self.name = name


class Hall:
    """Shares with clients in them; time is a number."""

    def __init__(self, *, is_shared: bool = True, most: int = 4096) -> None:
        self.now_s = 0.0
        self.shares = Shares(most, most, is_shared=is_shared, clock=lambda: self.now_s)

    def enter(self, user_id: int, name: str = "") -> Any:
        client: Any = Client(user_id, name)
        self.shares.enter(client)
        return client

    def crowd(self, user_id: int) -> int:
        """Let a user connect as often as they may; return how often that was."""
        count = 0
        while self.shares.may_enter(user_id):
            self.enter(user_id)
            count += 1
        return count

    def hold(self, client: Any, size: int) -> bool:
        client.held_size = size
        return self.shares.weigh(client)


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_one_user_gets_a_quarter_of_the_connections_and_no_more(hall):
    assert hall.crowd(ALICE) == 1024
    assert hall.shares.may_enter(BOB)


def test_however_many_crowd_in_others_and_root_find_room(hall):
    for user_id in range(3000, 3010):
        hall.crowd(user_id)
    assert [hall.crowd(each) for each in (ALICE, BOB)] == [64, 64]
    assert hall.crowd(0) == 4096 - 3072 - 7 * 64 - 2 * 64


def test_who_has_left_makes_room(hall):
    clients = [hall.enter(ALICE) for _ in range(1024)]
    assert not hall.shares.may_enter(ALICE)
    hall.shares.leave(clients[0])
    hall.shares.leave(clients[0])
    assert hall.crowd(ALICE) == 1


def test_a_user_of_their_own_stoker_has_all_of_it():
    assert Hall(is_shared=False).crowd(ALICE) == 4096
    assert Hall().crowd(os.geteuid()) == 4096


def test_what_one_user_sends_and_nobody_takes_up_is_bounded(hall):
    clients = [hall.enter(ALICE) for _ in range(3)]
    assert hall.hold(clients[0], 600)
    assert hall.hold(clients[1], 424)
    assert not hall.hold(clients[2], 1)
    assert hall.hold(hall.enter(BOB), 1000)
    assert hall.hold(clients[0], 0)
    assert hall.hold(clients[2], 1)


def test_the_last_quarter_is_for_small_calls(hall):
    for user_id in (ALICE, BOB, CAROL):
        assert hall.hold(hall.enter(user_id), 1024)
    other = hall.enter(2004)
    assert hall.hold(other, 64)
    assert not hall.hold(other, 65)
    hall.shares.leave(other)
    assert hall.hold(hall.enter(2005), 64)


def test_everyones_first_call_comes_before_anybodys_second(hall):
    crowd = [hall.enter(ALICE, f"alice{number}") for number in range(100)]
    two = [hall.enter(BOB, "bob0"), hall.enter(BOB, "bob1")]
    names = [each.name for each in hall.shares.in_turn([*crowd, *two])]
    assert set(names[:2]) == {"alice0", "bob0"}
    assert set(names[2:4]) == {"alice1", "bob1"}


def test_who_has_kept_the_others_waiting_for_least_comes_first(hall):
    alice, bob = hall.enter(ALICE), hall.enter(BOB)
    hall.shares.note(alice, 1.0)
    hall.shares.note(bob, 0.1)
    fresh = hall.enter(ALICE)
    assert hall.shares.in_turn([alice, fresh, bob]) == [bob, fresh, alice]


def test_what_was_long_ago_counts_no_more(hall):
    alice, bob = hall.enter(ALICE), hall.enter(BOB)
    hall.shares.note(alice, 1.0)
    hall.now_s = 100.0
    hall.shares.note(bob, 0.1)
    assert hall.shares.in_turn([bob, alice]) == [alice, bob]
    assert hall.shares._spent_s.keys() == {BOB}
