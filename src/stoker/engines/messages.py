"""What the shepherd says."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import msgspec

from stoker.core.errors import EngineError
from stoker.engines.base import Ended, Evidence, Failed, Lost, Started, Withdrawn
from stoker.engines.channel import Channel, decode

_ANSWER_TIMEOUT_S = 10.0

_T = TypeVar("_T")
Event: TypeAlias = Started | Failed | Ended | Withdrawn | Lost


class Silence(EngineError):
    """The shepherd is there, and says nothing."""


class Events(msgspec.Struct, tag_field="type", tag="events"):
    """What happened."""

    events: list[Event]


class _KnownUnit(msgspec.Struct):
    key: str
    state: str
    pid: int = 0
    start_ticks: int = 0
    started_at: float = 0.0
    end: Event | None = None

    def started(self) -> Started:
        return Started(self.key, self.pid, self.start_ticks, self.started_at)


class Welcome(msgspec.Struct, tag_field="type", tag="welcome"):
    """Who answers, and all that it knows."""

    version: int
    pid: int
    boot_id: str
    remembers_since: float
    units: list[_KnownUnit]

    def evidence(self) -> Evidence:
        """Return the same as the seam puts it."""
        return Evidence(
            boot_id=self.boot_id,
            queued=frozenset(unit.key for unit in self.units if unit.state == "queued"),
            running={unit.key: unit.started() for unit in self.units if unit.state == "running"},
            events=[unit.end for unit in self.units if unit.end is not None],
            remembers_since=self.remembers_since,
        )


class Status(msgspec.Struct, tag_field="type", tag="status"):
    """What `stoker status` shows."""

    status: dict[str, Any]


class Replaced(msgspec.Struct, tag_field="type", tag="replaced"):
    """Somebody else has said hello: we are not told anything any more."""


Message: TypeAlias = Events | Welcome | Status | Replaced
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def read(frame: bytes) -> Message:
    """Return the message in a frame.

    Raises:
        EngineError: There is none.
    """
    return decode(frame, _decoder, Message)


def expect(channel: Channel, kind: type[_T]) -> _T:
    """Wait for the next message, which must be of *kind*.

    Raises:
        Silence: It does not come.
        EngineError: It says something else.
        EOFError: The shepherd has gone.
    """
    frame = channel.receive(_ANSWER_TIMEOUT_S)
    if frame is None:
        raise Silence("cannot talk to the shepherd: it does not answer; look into its log")
    message = read(frame)
    if not isinstance(message, kind):
        raise EngineError(f"cannot talk to the shepherd: it answers with {type(message).__name__}")
    return message
