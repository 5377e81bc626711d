"""Where tests make the shepherd fail: ``STOKER_FAILPOINTS="name=what[@n],..."``.

*what* is ``kill`` (as if by ``kill -9``), ``exit``, ``error:NAME`` (an OSError of that errno) or
``sleep:MS``; with ``@n`` it happens the nth time only, else each time. The daemon reads the same
variable: its names have a dot. Off, and a start with the variable refused, unless
``STOKER_TEST_MODE=1``.
"""

from __future__ import annotations

import errno
import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FAILPOINTS = {
    "intent": "before intents are written: nothing of the units is known",
    "begin": "before a begin is written: the unit was certainly not started",
    "spawn": "before the process is made: begun, but nobody runs",
    "start": "before a start is written: somebody runs, found by the token alone",
    "reap": "before an ended child is reaped",
    "record": "before ends are written and synced: reaped, and nobody else knows",
    "report": "before reports are sent: on record, but not told",
}
"""Each point and what a death there leaves behind."""

_armed: dict[str, _Armed] = {}


class _Armed:
    """What happens at a point, and when."""

    __slots__ = ("count", "nth", "what")

    def __init__(self, what: str, nth: int) -> None:
        self.what = what
        self.nth = nth
        self.count = 0

    def hit(self) -> None:
        self.count += 1
        if self.nth and self.count != self.nth:
            return
        kind, _, value = self.what.partition(":")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "exit":
            os._exit(1)
        if kind == "sleep":
            time.sleep(int(value) / 1000)
        if kind == "error":
            number = getattr(errno, value)
            raise OSError(number, os.strerror(number))


def arm(environment: Mapping[str, str]) -> None:
    """Take what the environment asks for.

    Raises:
        ValueError: This is no test, or a name or an action is unknown.
    """
    text = environment.get("STOKER_FAILPOINTS", "")
    if text and environment.get("STOKER_TEST_MODE") != "1":
        raise ValueError("cannot start: STOKER_FAILPOINTS is set; unset it, it is for tests only")
    _armed.clear()
    for entry in filter(None, text.split(",")):
        name, _, action = entry.partition("=")
        if "." not in name:
            _armed[name] = _read(name, action)


def _read(name: str, action: str) -> _Armed:
    what, _, nth = action.partition("@")
    kind, _, value = what.partition(":")
    is_known = {
        "kill": not value,
        "exit": not value,
        "sleep": value.isdecimal(),
        "error": isinstance(getattr(errno, value or "-", None), int),
    }.get(kind, False)
    if name not in FAILPOINTS or not is_known or not (nth or "1").isdecimal():
        names = ", ".join(FAILPOINTS)
        raise ValueError(f"cannot arm failpoint {name}={action}; the names: {names}")
    return _Armed(what, int(nth or 0))


def hit(name: str) -> None:
    """Fail here, if a test asked for it."""
    if _armed and name in _armed:
        _armed[name].hit()
