"""Failpoints: where a test can make the daemon die, fail or stall, between every two hops.

``STOKER_FAILPOINTS`` lists ``name=action[@n]``, separated by commas; with ``@n`` only the n-th time
counts. Names without a dot are the shepherd's, which reads the same variable. It is read only where
``STOKER_TEST_MODE=1``, and refused otherwise: nobody meets a failpoint by accident. Off, a
failpoint costs a look into an empty dict.

    kill        SIGKILL to this process
    exit        leave at once, without unwinding
    error:E     raise OSError with that errno, as in error:ENOSPC
    sleep:MS    stand still for so many milliseconds
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NoReturn

from stoker.core.settings import SettingsError

NAMES: Final[Mapping[str, str]] = {
    "submit.before-commit": "a submission is read, nothing of it is on record",
    "submit.after-commit": "a submission is on record, nobody was told",
    "submit.after-reply": "the submitter was told the id",
    "reserve.after-commit": "a reservation is on record, the engine knows nothing",
    "launch.after-send": "the engine was told to start a job",
    "started.before-commit": "the engine said that a job runs",
    "started.after-commit": "that a job runs is on record",
    "ended.before-commit": "the engine said that a job ended",
    "ended.after-commit": "the end and the release are on record",
    "ack.before": "the engine is about to be told that it may forget an end",
    "ack.after": "the engine was told",
}
"""Every failpoint and what is true there; a test compares it with the calls of `hit`."""

EXIT_STATUS: Final = 70


class _Failpoint:
    """An action, and at which time it counts; 0 is every time."""

    def __init__(self, act: Callable[[], None], turn: int) -> None:
        self._act = act
        self._turn = turn
        self._hits = 0

    def reach(self) -> None:
        self._hits += 1
        if self._turn in (0, self._hits):
            self._act()


_armed: dict[str, _Failpoint] = {}


def hit(name: str) -> None:
    """Do here what a test asked for; nothing otherwise."""
    point = _armed.get(name)
    if point is not None:
        point.reach()


def arm(environment: Mapping[str, str] = os.environ) -> None:
    """Take the failpoints from the environment; the daemon does so once, when it starts.

    Raises:
        SettingsError: Failpoints without test mode, or something that cannot be read.
    """
    text = environment.get("STOKER_FAILPOINTS", "")
    if text and environment.get("STOKER_TEST_MODE") != "1":
        raise SettingsError(
            "cannot start with STOKER_FAILPOINTS set: failpoints make the daemon fail; "
            "unset it, or set STOKER_TEST_MODE=1 if this is a test"
        )
    items = [item.strip() for item in text.split(",")]
    points = dict(_parse(item) for item in items if "." in item.partition("=")[0])
    _armed.clear()
    _armed.update(points)


def _parse(item: str) -> tuple[str, _Failpoint]:
    name, _, action = item.partition("=")
    action, at, turn = action.partition("@")
    if name not in NAMES:
        raise _unreadable(item, f"there is no failpoint {name!r}; there are {', '.join(NAMES)}")
    if at and not (turn.isdecimal() and int(turn) > 0):
        raise _unreadable(item, "a number of at least 1 follows the @")
    return name, _Failpoint(_action(item, action), int(turn or 0))


def _action(item: str, action: str) -> Callable[[], None]:
    verb, _, argument = action.partition(":")
    number = getattr(errno, argument, None)
    match verb:
        case "kill" if not argument:
            return _kill
        case "exit" if not argument:
            return partial(os._exit, EXIT_STATUS)
        case "error" if isinstance(number, int):
            return partial(_raise, number)
        case "sleep" if argument.isdecimal():
            return partial(time.sleep, int(argument) / 1000)
    raise _unreadable(item, "write kill, exit, error:ENOSPC or sleep:100 after the =")


def _unreadable(item: str, why: str) -> SettingsError:
    return SettingsError(f"cannot read the failpoint {item!r} in STOKER_FAILPOINTS: {why}")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
