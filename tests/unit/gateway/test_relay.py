"""Answers of stokerd on their way to HTTP: short ones whole, long ones as they come."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stoker.gateway.relay import WHOLE_MAX, Answer, Relay, Request
from support.raw_client import RawClient, serving
from support.stub_daemon import StubService

_PIECE = 1000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with serving(tmp_path, StubService(tmp_path / "records")):
        yield tmp_path


def ask(home: Path, target: int) -> Answer:
    return Relay(home).answer(Request(method="rest", target=str(target), facts={}))


def text_of(count: int) -> bytes:
    return b"".join(b"%09d\n" % number * 100 for number in range(count))


def test_a_short_answer_comes_whole(home: Path) -> None:
    assert ask(home, 0) == Answer(200, "text/plain", b"brief")
    assert ask(home, 3) == Answer(200, "text/plain", text_of(3))


def test_of_a_long_answer_no_more_is_held_than_is_waited_for(home: Path) -> None:
    count = 4 * WHOLE_MAX // _PIECE
    answer = ask(home, count)
    assert (answer.status, answer.content_type) == (200, "text/plain")
    assert WHOLE_MAX < len(answer.body) < 2 * WHOLE_MAX
    assert answer.rest is not None
    with RawClient(home / "run" / "stokerd.sock") as client:
        assert client.ask("look") == (b"seen\n", 0)
    with closing(answer.rest):
        assert answer.body + b"".join(answer.rest) == text_of(count)


def test_a_short_answer_that_breaks_off_is_an_error(home: Path) -> None:
    answer = ask(home, -3)
    assert (answer.status, answer.content_type) == (500, "text/plain")
    assert b"the answer broke off" in answer.body


def test_a_long_answer_that_breaks_off_says_so_where_it_does(home: Path) -> None:
    answer = ask(home, -2 * WHOLE_MAX // _PIECE)
    assert answer.rest is not None
    with closing(answer.rest), pytest.raises(ConnectionError):
        list(answer.rest)


def test_a_long_answer_that_nobody_wants_leaves_nothing_open(home: Path) -> None:
    answer = ask(home, 4 * WHOLE_MAX // _PIECE)
    assert answer.rest is not None
    answer.rest.close()
    del answer
    gc.collect()  # A socket that is still open would warn.
