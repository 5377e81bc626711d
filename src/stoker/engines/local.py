"""The engine of one machine: the shepherd, spoken to over its private socket.

One connection, kept. If it breaks, the shepherd has died (its jobs are this process's children now,
if this process started it) or was replaced: a shepherd is started where none answers, and the
listener gets its evidence as events, just as after a restart of the daemon. Frames are JSON after
a length of four bytes; the shepherd's own files describe them.
"""

from __future__ import annotations

import logging

import msgspec

from stoker.engines.base import (
    Ended,
    Failed,
    Lost,
    Started,
    Withdrawn,
)

log = logging.getLogger(__name__)

_PR_SET_CHILD_SUBREAPER = 36
_START_TIMEOUT_S = 15.0
_DESCRIPTORS_PER_FRAME = 240


class _Events(msgspec.Struct, tag_field="type", tag="events"):
    events: list[Started | Failed | Ended | Withdrawn | Lost]


class _KnownUnit(msgspec.Struct):
    key: str
    state: str
    pid: int = 0
    start_ticks: int = 0
    started_at: float = 0.0
    end: Failed | Ended | None = None


class _Welcome(msgspec.Struct, tag_field="type", tag="welcome"):
    version: int
    pid: int
    boot_id: str
    cgroup: bool
    units: list[_KnownUnit]


_decode = msgspec.json.Decoder(_Events | _Welcome).decode
