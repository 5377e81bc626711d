"""What is done, and what is not left behind, when a turn broke."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from stoker.shepherd import anew
from stoker.shepherd.main import _House


def test_who_cannot_begin_anew_leaves_its_lock_to_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such")
    reading, writing = os.pipe()
    with pytest.raises(FileNotFoundError):
        anew.begin_anew([reading, writing])
    assert not os.get_inheritable(reading)
    assert not os.get_inheritable(writing)
    os.close(reading)
    os.close(writing)


def test_nobody_acts_any_more_when_it_is_written_down_how_things_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what another thread has made or reaped meanwhile would be nobody's."""
    done = []

    def begin_anew(_: object) -> None:
        done.append("begin anew")
        raise SystemExit

    def turn() -> None:
        raise ArithmeticError

    monkeypatch.setattr(anew, "write_down", lambda *_: done.append("write down"))
    monkeypatch.setattr(anew, "begin_anew", begin_anew)
    monkeypatch.setattr(anew, "PAUSE_S_MAX", 0.0)
    monkeypatch.setattr(anew, "PAUSE_S", 0.0)
    house: Any = SimpleNamespace(
        loop=SimpleNamespace(run=turn),
        runners=SimpleNamespace(halt=lambda: done.append("halt")),
        herd=SimpleNamespace(units={}),
        journal=None,
        _started_at=0.0,
        _listener=SimpleNamespace(fileno=lambda: -1),
    )
    with pytest.raises(SystemExit):
        _House.run(house, -1)
    assert done == ["halt", "write down", "begin anew"]
