"""What is told when, as the disk allows."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stoker.shepherd.journal import Journal, read, text_of
from stoker.shepherd.reports import Reports
from stoker.shepherd.timers import Timers

LIMIT_S = 20.0
END = ["end", "1.0.batch", {}]


class Peer:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def send(self, text: str) -> None:
        self.heard.append(text)


class House:
    """A journal in a directory of its own, and who is told what stands in it."""

    def __init__(self, directory: int) -> None:
        self.directory = directory
        self.timers = Timers()
        self.journal = Journal(directory, lambda: [text_of(["journal", 1, "boot"])])
        assert self.journal.renew()
        self.reports = Reports(self.journal, self.timers)
        self.peer = Peer()
        self.reports.peer = self.peer  # type: ignore[assignment]

    def note_end(self, event: str) -> None:
        self.journal.note(*END)
        self.reports.tell(event, is_last=True)

    def await_disk(self) -> None:
        assert select.select([self.journal.done_fd], [], [], LIMIT_S)[0], "the sync does not end"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    directory = os.open(tmp_path, os.O_RDONLY)
    made = House(directory)
    yield made
    made.journal.close()
    os.close(directory)


def test_while_the_disk_is_waited_for_nothing_is_told_and_then_what_was_synced_is(
    house: House,
) -> None:
    house.note_end('"first"')
    house.reports.begin_commit()
    house.note_end('"second"')
    house.await_disk()
    assert not house.reports.is_due()
    assert not house.reports.is_safe
    assert house.peer.heard == []

    house.reports.end_commit()
    assert house.peer.heard == ['{"type":"events","events":["first"]}']
    assert house.reports.needs_sync, "the second end was noted after the sync had begun"

    house.reports.flush()
    assert house.peer.heard[1:] == ['{"type":"events","events":["second"]}']
    assert house.reports.is_safe
    assert read(house.directory)[0][1:] == [END, END]


def test_an_end_that_could_not_be_synced_is_told_once_the_journal_is_sound_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    troubles: list[Any] = []
    house.note_end('"first"')
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        house.reports.begin_commit(troubles.append)
        house.await_disk()
    house.reports.end_commit()
    assert [trouble.errno for trouble in troubles] == [errno.EIO]
    assert house.peer.heard == []
    assert not house.reports.is_due(), "it is tried again after a while, not at once"

    assert house.journal.renew()
    house.reports.flush()
    assert house.peer.heard == ['{"type":"events","events":["first"]}']


def test_who_connects_while_the_disk_is_waited_for_is_not_told_what_the_one_before_was(
    house: House,
) -> None:
    house.note_end('"first"')
    house.reports.begin_commit()
    house.reports.clear()
    house.note_end('"second"')
    house.await_disk()
    house.reports.end_commit()
    assert house.peer.heard == []
