"""What stokerd asks its caller to do: programs with real processes, copies with real files."""

from __future__ import annotations

import errno
import os
import signal
import socket
from pathlib import Path

import pytest

from stoker.cli.errands import Child, copied, written
from stoker.core.errands import decode_ending, encode_copy, encode_program, encode_write

HEAD = 5
"""Bytes before a frame's payload."""


def child(*argv: str, entries: tuple[str, ...] = (), noted: tuple[int, ...] = ()) -> Child:
    return Child(encode_program("/", argv, entries)[HEAD:], noted)


def ended(child: Child, orders: tuple[int, ...] = ()) -> tuple[int, int, int, int]:
    """Wait for the end; *orders* are signals that stokerd asks for meanwhile."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for number in orders:
            theirs.send(bytes([number]))

        def receive() -> bool:
            data = ours.recv(1)
            for number in data:
                child.signal(number)
            return bool(data)

        return decode_ending(child.wait(ours.fileno(), receive))


def copy(source: Path, target: Path, *, replaces: bool = False, preserves: bool = False) -> int:
    request = encode_copy(str(source), str(target), replaces=replaces, preserves=preserves)
    return decode_ending(copied(request[HEAD:]))[2]


def test_a_program_gets_the_entries_and_its_code_comes_back() -> None:
    assert ended(child("sh", "-c", "exit $CODE", entries=("CODE=7",))) == (7, 0, 0, 0)


def test_a_program_that_is_not_there_says_so() -> None:
    assert ended(child("no-such-program"))[2] == errno.ENOENT


def test_an_order_to_signal_reaches_the_program_while_it_runs() -> None:
    assert ended(child("sleep", "60"), (signal.SIGTERM,))[1] == signal.SIGTERM


def test_a_signal_of_ours_is_noted_and_ends_neither() -> None:
    program = child("sh", "-c", f"kill -USR1 {os.getpid()}", noted=(signal.SIGUSR1,))
    assert ended(program) == (0, 0, 0, signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_connection_that_breaks_does_not_keep_us_from_the_end() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        end = child("sh", "-c", "exit 3").wait(ours.fileno(), lambda: bool(ours.recv(1)))
    assert decode_ending(end)[0] == 3


def test_a_copy_has_content_and_mode_and_if_asked_the_times(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b c\nd\udcff"
    source.write_bytes(b"x" * (3 << 20))
    source.chmod(0o751)
    os.utime(source, (1, 2))
    assert copy(source, target, preserves=True) == 0
    assert target.read_bytes() == source.read_bytes()
    assert (target.stat().st_mode & 0o777, target.stat().st_mtime) == (0o751, 2)


def test_what_is_there_is_replaced_only_if_that_is_wanted(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("new")
    target.write_text("old, and longer")
    assert copy(source, target) == errno.EEXIST
    assert target.read_text() == "old, and longer"
    assert copy(source, target, replaces=True) == 0
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("none", "b", errno.ENOENT), (".", "b", errno.EISDIR), ("a", "no/b", errno.ENOENT)],
)
def test_what_cannot_be_copied_leaves_nothing_behind(
    tmp_path: Path, source: str, target: str, expected: int
) -> None:
    (tmp_path / "a").write_text("text")
    assert copy(tmp_path / source, tmp_path / target) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def write(path: Path, content: bytes, mode: int = 0o700) -> int:
    return decode_ending(written(encode_write(str(path), content, mode)[HEAD:]))[2]


def test_a_file_is_written_with_its_mode_and_anew_where_there_was_one(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.sh"
    assert write(path, b"old, and longer\0") == 0
    assert path.stat().st_mode & 0o777 == 0o700
    assert write(path, b"new\0and zero") == 0
    assert path.read_bytes() == b"new\0and zero"


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    assert write(tmp_path / "no" / "a", b"") == errno.ENOENT
    assert write(tmp_path, b"") == errno.EISDIR
