from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.shepherd import journal
from stoker.shepherd.journal import Journal, line_of, read, record_of, text_of

NAME = "shepherd.journal"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def written(directory: int) -> Iterator[Journal]:
    fresh = Journal(directory, lambda: [text_of(["journal", 1, "boot"])])
    assert fresh.renew()
    yield fresh
    fresh.close()


def test_a_line_holds_its_record_whatever_the_text() -> None:
    record = ["intent", {"key": "1.0.batch", "path": "\udcff\n\0é", "n": None}]
    line = line_of(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert record_of(line[:-1]) == record


@pytest.mark.parametrize(
    "line", [b"", b"x", b"00000000 []", b"zzzzzzzz {}", line_of([1])[:-2], line_of([1])[1:]]
)
def test_a_damaged_line_is_no_record(line: bytes) -> None:
    assert record_of(line) is None


def test_no_journal_is_an_empty_one(directory: int) -> None:
    assert read(directory) == ([], [])


def test_a_torn_last_line_is_said_and_the_rest_counts(tmp_path: Path, directory: int) -> None:
    whole = line_of(["begin", "1"])
    (tmp_path / NAME).write_bytes(whole + line_of(["begin", "2"])[:-5])
    records, damage = read(directory)
    assert records == [["begin", "1"]]
    assert len(damage) == 1
    assert "torn" in damage[0]


def test_a_damaged_line_in_the_middle_is_said_with_what_it_holds(
    tmp_path: Path, directory: int
) -> None:
    lines = [line_of(["begin", str(number)]) for number in range(3)]
    lines[1] = lines[1].replace(b'"1"', b'"7"')
    (tmp_path / NAME).write_bytes(b"".join(lines))
    records, damage = read(directory)
    assert records == [["begin", "0"], ["begin", "2"]]
    assert len(damage) == 1
    assert "line 2" in damage[0]
    assert '"7"' in damage[0]


def test_what_is_committed_is_read_again(directory: int, written: Journal) -> None:
    written.note("begin", "1", "")
    written.note_text('["end","1",{}]')
    assert written.commit()
    records, damage = read(directory)
    assert records == [["journal", 1, "boot"], ["begin", "1", ""], ["end", "1", {}]]
    assert damage == []


def test_what_is_written_survives_us_before_it_is_synced(directory: int, written: Journal) -> None:
    written.note("begin", "1", "")
    assert written.write()
    assert ["begin", "1", ""] in read(directory)[0]


def test_it_is_written_anew_when_it_has_grown(
    tmp_path: Path, written: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "GROWTH_MAX", 1000)
    assert written.renew()
    for _ in range(100):
        written.note("begin", "x" * 100, "")
        assert written.commit()
        assert (tmp_path / NAME).stat().st_size < 2000
    assert not (tmp_path / "shepherd.journal.new").exists()


def test_after_a_failed_write_nothing_is_trusted_until_it_is_written_anew(
    directory: int, written: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "write", full)
    written.note("begin", "1", "")
    assert not written.write()
    assert written.trouble is not None
    assert written.trouble.errno == errno.ENOSPC
    assert not written.renew()
    monkeypatch.undo()
    written.note("begin", "2", "")
    assert not written.commit()
    assert written.renew()
    assert written.trouble is None
    assert read(directory) == ([["journal", 1, "boot"]], [])


def test_a_failed_sync_is_never_taken_back(
    written: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        written.note("begin", "1", "")
        assert not written.commit()
    assert not written.commit()
    assert written.renew()
    assert written.commit()


def test_a_short_write_is_finished(
    directory: int, written: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:7]))
    written.note("begin", "a long name of a unit", "")
    written.commit()
    monkeypatch.undo()
    records, damage = read(directory)
    assert ["begin", "a long name of a unit", ""] in records
    assert damage == []
