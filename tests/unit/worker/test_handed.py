"""Descriptors of callers: closed in time, and never at another user's expense."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stoker.worker import handed
from stoker.worker.handed import Cloakroom
from support.engine import until

ALICE, BOB, CAROL = 2001, 2002, 2003


class Files:
    """Descriptors that are none, of which some do not close until they are let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.closed: list[int] = []
        self.hung = threading.Event()
        self.may_close = threading.Event()
        monkeypatch.setattr(handed.os, "close", self.close)

    def close(self, number: int) -> None:
        if number >= 1_000_000:
            self.hung.set()
            assert self.may_close.wait(20), "nobody lets it close"
        self.closed.append(number)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    found = Files(monkeypatch)
    yield found
    found.may_close.set()


def test_of_ones_own_daemon_all_is_closed_at_once(files):
    Cloakroom().take(ALICE, [1_000, 1_001]).let_go()
    assert files.closed == [1_000, 1_001]


def test_a_file_that_does_not_close_keeps_its_own_user_waiting_alone(files):
    cloakroom = Cloakroom(is_shared=True)
    cloakroom.take(ALICE, [1_000_000]).let_go()
    assert files.hung.wait(20)
    cloakroom.take(ALICE, [1_000]).let_go()
    cloakroom.take(BOB, [2_000]).let_go()
    until(lambda: 2_000 in files.closed, "bob's file")
    assert files.closed == [2_000]
    files.may_close.set()
    until(lambda: len(files.closed) == 3, "alice's files")


def test_nobody_hands_over_all_there_are(files):
    cloakroom = Cloakroom(is_shared=True)
    kept = [cloakroom.take(ALICE, range(256)) for _ in range(8)]
    assert not cloakroom.may_take(ALICE)
    assert cloakroom.may_take(BOB)
    assert cloakroom.may_take(os.geteuid())
    assert Cloakroom().may_take(ALICE)
    kept[0].let_go()
    until(lambda: cloakroom.may_take(ALICE), "room for alice")


def test_who_closes_for_a_user_goes_when_there_is_nothing_to_do(files, monkeypatch):
    monkeypatch.setattr(handed, "_IDLE_S", 0.01)
    cloakroom = Cloakroom(is_shared=True)

    def is_idle() -> bool:
        return not any(each.name == f"closes for {CAROL}" for each in threading.enumerate())

    for number in range(3):
        cloakroom.take(CAROL, [number]).let_go()
        until(is_idle, "the end of who closes")
    assert files.closed == [0, 1, 2]


def test_a_descriptor_that_is_closed_already_does_no_harm(monkeypatch):
    def failing(_: int) -> Any:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(handed.os, "close", failing)
    Cloakroom().take(CAROL, [5]).let_go()
