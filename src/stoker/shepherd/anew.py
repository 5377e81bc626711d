"""What becomes of us when a turn breaks: the same process begins anew, from its journal.

After a defect nobody knows what of our memory holds, but the journal does hold: what the next
shepherd could go on from, we can. Being the same process we stay the parent of all that runs, so
that no end is missed; whoever was about to start is withdrawn, and sent again by stokerd.

First is written what memory alone knows: processes that were made and those that were reaped.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from time import monotonic

from stoker.shepherd.processes import look
from stoker.shepherd.telling import death_record, start_record
from stoker.shepherd.units import DEAD, QUEUED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stoker.shepherd.journal import Journal
    from stoker.shepherd.units import Unit

OPTION = "--anew"

PAUSE_S = 0.1
PAUSE_S_MAX = 1.0
"""How long to wait before it, and how long if the last time was hardly longer ago than that."""


def write_down(units: Iterable[Unit], journal: Journal) -> None:
    """Put on record of *units* what else nobody would know."""
    for unit in units:
        with suppress(Exception):
            if unit.state == QUEUED and unit.pid:
                _note_start(unit, journal)
            elif unit.state == DEAD and unit.status is not None:
                journal.note_text(death_record(unit))
    with suppress(Exception):
        journal.write()


def _note_start(unit: Unit, journal: Journal) -> None:
    """Note a process that was made, though nobody had come to say so."""
    process = look(unit.pid)
    if process is not None:
        unit.ticks, unit.started_at, unit.clock = process.ticks, time.time(), monotonic()
        journal.note_text(start_record(unit))


def begin_anew(kept: Sequence[int]) -> None:
    """Execute our own program once more, which gets the descriptors *kept*; all others close.

    Lock and socket are kept, so that nobody takes our place, and who connects only has to wait.

    Raises:
        OSError: We go on as we are.
    """
    numbers = list(map(str, kept))
    # What a test had fail has failed.
    variables = {name: value for name, value in os.environ.items() if name != "STOKER_FAILPOINTS"}
    arguments = [*_without(sys.orig_argv, "--ready-fd", OPTION), OPTION, ",".join(numbers)]
    _set_flags(kept, 0)
    try:
        os.execve(sys.executable, arguments, variables)  # noqa: S606 - it is ourselves
    finally:  # Here we still are.
        _set_flags(kept, fcntl.FD_CLOEXEC)


def _without(words: list[str], *options: str) -> list[str]:
    """Return a command line without some options and their values."""
    found = words[:]
    for option in options:
        if option in found:
            place = found.index(option)
            del found[place : place + 2]
    return found


def kept_descriptors(value: str) -> list[int]:
    """Return the descriptors that our option's *value* hands on; no job is to inherit them."""
    numbers = list(map(int, value.split(",")))
    _set_flags(numbers, fcntl.FD_CLOEXEC)
    return numbers


def _set_flags(descriptors: Iterable[int], flags: int) -> None:
    for descriptor in descriptors:
        fcntl.fcntl(descriptor, fcntl.F_SETFD, flags)
