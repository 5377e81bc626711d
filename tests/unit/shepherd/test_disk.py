from __future__ import annotations

import _thread
import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.shepherd.disk import Disk

LIMIT_S = 20.0


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.close()


def outcome(disk: Disk) -> OSError | None:
    assert disk.is_busy
    assert select.select([disk.done_fd], [], [], LIMIT_S)[0], "the sync does not end"
    return disk.end()


def test_one_file_after_the_other_is_synced_beside_us(disk: Disk, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        for _ in range(3):
            file.write(b"something")
            disk.begin(file.fileno())
            assert outcome(disk) is None
            assert not disk.is_busy


def test_what_goes_wrong_is_said_and_the_next_sync_may_succeed(disk: Disk, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    disk.begin(reading)
    trouble = outcome(disk)
    assert trouble is not None
    assert trouble.errno == errno.EINVAL, "a pipe cannot be synced"
    os.close(reading)
    os.close(writing)
    with (tmp_path / "file").open("wb") as file:
        disk.begin(file.fileno())
        assert outcome(disk) is None


def test_without_another_thread_the_first_waits_and_asks_for_one_again(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with (tmp_path / "file").open("wb") as file:
        with monkeypatch.context() as patch:
            patch.setattr(_thread, "start_new_thread", refuse)
            disk.begin(file.fileno())
        assert outcome(disk) is None
        disk.begin(file.fileno())
        assert outcome(disk) is None
