"""What is said of a unit, to stokerd and to the journal, as JSON.

Each job costs several of these, so they are put together by hand.
"""

from __future__ import annotations

import os

from stoker.shepherd.journal import text_of
from stoker.shepherd.units import ENDED, QUEUED, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stoker.shepherd.spawn import SpawnError
    from stoker.shepherd.units import Unit

FIGURES = (
    "ru_utime",
    "ru_stime",
    "ru_maxrss",
    "ru_minflt",
    "ru_majflt",
    "ru_inblock",
    "ru_oublock",
)
"""What of the kernel's figures is told, in the order of a death's record."""

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024

# --- Events.


def started(unit: Unit) -> str:
    """Return the event that says who runs."""
    return (
        f'{{"event":"started","key":{unit.quoted_key},"pid":{unit.pid},'
        f'"start_ticks":{unit.ticks},"at":{unit.started_at}}}'
    )


def ended(unit: Unit, *, oom: bool) -> str:
    """Return the last event of a unit whose process has ended."""
    code, number = _split(unit.status)
    return (
        f'{{"event":"ended","key":{unit.quoted_key},"exit_code":{code},"signal":{number},'
        f'"status_known":{_truth(unit.status is not None)},"at":{unit.ended_at},'
        f'"why":{text_of(unit.why) if unit.why else "null"},"oom":{_truth(oom)},'
        f'"usage":{_figures(unit) if unit.usage is not None else "null"}}}'
    )


def failed(unit: Unit, error: SpawnError, at: float) -> str:
    """Return the last event of a unit that could not be started."""
    return text_of(
        {
            "event": "failed",
            "key": unit.key,
            "step": error.step,
            "errno": error.errno,
            "message": str(error),
            "at": at,
            "path": error.path,
        }
    )


def withdrawn(unit: Unit) -> str:
    """Return the last event of a unit that was taken back before it was spawned."""
    return f'{{"event":"withdrawn","key":{unit.quoted_key}}}'


def lost(unit: Unit) -> str:
    """Return the last event of a unit that may have run, but nobody knows how it ended."""
    return f'{{"event":"lost","key":{unit.quoted_key}}}'


def known(unit: Unit) -> str:
    """Return what the welcome says of a unit."""
    if unit.event is not None:
        return f'{{"key":{unit.quoted_key},"state":"{ENDED}","end":{unit.event}}}'
    state = QUEUED if unit.state == QUEUED else RUNNING
    return (
        f'{{"key":{unit.quoted_key},"state":"{state}","pid":{unit.pid},'
        f'"start_ticks":{unit.ticks},"started_at":{unit.started_at}}}'
    )


# --- Records.


def intent_record(unit: Unit) -> str:
    """Return the journal's record that a unit was taken on."""
    return f'["intent",{text_of(unit.intent())}]'


def begin_record(unit: Unit) -> str:
    """Return the journal's record that a unit is about to be spawned."""
    cgroup = text_of(unit.group.cgroup) if unit.group.cgroup else '""'
    return f'["begin",{unit.quoted_key},{cgroup}]'


def start_record(unit: Unit) -> str:
    """Return the journal's record of a unit's process."""
    key = unit.quoted_key
    return f'["start",{key},{unit.pid},{unit.ticks},{unit.started_at},{unit.clock}]'


def death_record(unit: Unit) -> str:
    """Return the journal's record of a process that was reaped, and how it ended."""
    usage = [getattr(unit.usage, name) for name in FIGURES]
    return text_of(["death", unit.key, unit.status, unit.ended_at, unit.why, usage])


def end_record(unit: Unit) -> str:
    """Return the journal's record of a unit's last event."""
    return f'["end",{unit.quoted_key},{unit.event}]'


def _truth(value: bool) -> str:  # noqa: FBT001 - it is what is said
    return "true" if value else "false"


def _split(status: int | None) -> tuple[int, int]:
    """Return exit code and signal of a wait status."""
    if status is None:
        return 0, 0
    code = os.waitstatus_to_exitcode(status)
    return (code, 0) if code >= 0 else (0, -code)


def _figures(unit: Unit) -> str:
    usage = unit.usage
    return (
        f'{{"utime_s":{usage.ru_utime},"stime_s":{usage.ru_stime},'
        f'"maxrss_kib":{usage.ru_maxrss},"minflt":{usage.ru_minflt},'
        f'"majflt":{usage.ru_majflt},"inblock":{usage.ru_inblock},'
        f'"oublock":{usage.ru_oublock}{_peaks(unit.peaks) if unit.peaks is not None else ""}}}'
    )


def _peaks(pages: list[int]) -> str:
    resident, mapped = pages
    return f',"peak_rss_kib":{resident * _PAGE_KIB},"peak_size_kib":{mapped * _PAGE_KIB}'
