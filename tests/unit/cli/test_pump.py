"""The pipes between srun and its tasks, with this process on both ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stoker.cli.pump import Follower, Pump
from stoker.core.errands import encode_follow
from stoker.core.wire import DAEMON_LIMITS, FrameReader


@contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    kept = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


class Shown:
    def __init__(self) -> None:
        self.text = {1: b"", 2: b""}

    def __call__(self, target: int, data: bytes) -> None:
        self.text[target] += data


def write_all(ends: list[int], *texts: bytes) -> None:
    for end, text in zip(ends, texts, strict=True):
        os.write(end, text)
        os.close(end)


def test_each_line_carries_its_task_as_wide_as_the_highest_number() -> None:
    shown = Shown()
    pump = Pump(shown, 11)
    write_all(pump.open("O", (3, 10)), b"a\n\nb\n", b"c\n")
    pump.finish()
    assert sorted(shown.text[1].splitlines()) == [b" 3: ", b" 3: a", b" 3: b", b"10: c"]


def test_output_and_errors_stay_apart_and_a_last_line_is_made_whole() -> None:
    shown = Shown()
    pump = Pump(shown, 1)
    write_all(pump.open("OE", [0]), b"half", b"whole\n")
    pump.finish()
    assert shown.text == {1: b"0: half\n", 2: b"0: whole\n"}


def test_without_labels_lines_are_whole_and_the_last_stays_as_it_is() -> None:
    shown = Shown()
    pump = Pump(shown, 2)
    ends = pump.open("o", range(2))
    os.write(ends[0], b"one ")
    pump.drain()
    os.write(ends[1], b"other\n")
    pump.drain()
    write_all(ends, b"line\n", b"end")
    pump.finish()
    assert shown.text[1] == b"other\none line\nend"


def test_what_was_written_is_shown_while_the_task_goes_on() -> None:
    shown = Shown()
    pump = Pump(shown, 1)
    (end,) = pump.open("O", [0])
    os.write(end, b"so far\nand ")
    pump.drain()
    assert shown.text[1] == b"0: so far\n"
    os.close(end)
    pump.finish()
    assert shown.text[1] == b"0: so far\n0: and \n"


@pytest.mark.parametrize("count", [1, 3])
def test_every_task_gets_all_of_the_input_and_then_its_end(count: int) -> None:
    data = b"line\n" * 1000
    pump = Pump(Shown(), count)
    reading, writing = os.pipe()
    with standard_input(data):
        ends = pump.open("i", range(count))
        os.write(writing, b"!")
        pump.run_until(reading)
        got = [b""] * count
        while data != got[-1]:
            pump.run_until(reading)
            got = [so_far + os.read(end, 65536) for so_far, end in zip(got, ends, strict=True)]
        pump.run_until(reading)
    assert got == [data] * count
    assert [os.read(end, 1) for end in ends] == [b""] * count
    for end in (*ends, reading, writing):
        os.close(end)


def test_a_task_that_reads_nothing_harms_nobody() -> None:
    pump = Pump(Shown(), 2)
    reading, writing = os.pipe()
    with standard_input(b"x" * 1000):
        gone, stays = pump.open("i", range(2))
        os.close(gone)
        os.write(writing, b"!")
        pump.run_until(reading)
        pump.run_until(reading)
    pump.finish()
    assert os.read(stays, 2000) == b"x" * 1000
    for end in (stays, reading, writing):
        os.close(end)


_GONE = """
import os, signal
from stoker.cli.pump import Pump
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
pump = Pump(lambda *_: None, 1)
for end in pump.open("i", (0,)):
    os.close(end)
reading, writing = os.pipe()
os.write(writing, b"!")
pump.run_until(reading)
assert signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL
"""


def test_a_task_that_is_gone_ends_nobody_who_would_die_of_a_closed_output() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _GONE], input=b"line\n", capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_follower_shows_what_has_come_since_the_offset_in_whole_lines(tmp_path: Path) -> None:
    shown = Shown()
    file, late = tmp_path / "a", tmp_path / "late"
    file.write_bytes(b"before\nafter")
    (frame,) = FrameReader(DAEMON_LIMITS).feed(
        encode_follow([(str(file), 7, "0: "), (str(late), 0, "")])
    )
    follower = Follower(shown, frame.payload)
    follower.drain()
    assert shown.text[1] == b""
    with file.open("ab") as more:
        more.write(b" that\nhalf")
    late.write_bytes(b"late\n")
    follower.drain()
    assert shown.text[1] == b"0: after that\nlate\n"
    follower.finish()
    assert shown.text[1] == b"0: after that\nlate\n0: half\n"


def test_a_follower_is_not_broken_by_what_is_no_file(tmp_path: Path) -> None:
    shown = Shown()
    Follower(shown, b"\0".join([bytes(tmp_path), b"0", b""])).finish()
    assert shown.text[1] == b""


def test_in_pieces_all_is_shown_at_once_and_labelled_pieces_are_lines_of_their_own() -> None:
    shown = Shown()
    pump = Pump(shown, 1, in_pieces=True)
    labelled, plain = pump.open("Oe", [0])
    for piece in (b"a", b"b\nc", b"d\n"):
        os.write(labelled, piece)
        os.write(plain, piece)
        pump.drain()
    assert shown.text == {1: b"0: a\n0: b\n0: c\n0: d\n", 2: b"ab\ncd\n"}
    os.close(labelled)
    os.close(plain)
    pump.finish()
