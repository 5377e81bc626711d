"""Spans of time: limits, what has elapsed, what a processor spent.

Source: sbatch(1) "--time", squeue(1) "%M", sacct(1) "Elapsed" and "TotalCPU".
"""

from __future__ import annotations

import math
import re

from stoker.core.units.errors import NotationError

FOREVER = float("inf")
"""The time limit of what has none."""

_ENDLESS = frozenset({"-1", "infinite", "unlimited"})
_LIMIT = re.compile(
    r"""(?P<days>\d+)-(?P<day_hours>\d*)
      | (?P<more_days>\d+)-(?P<more_hours>\d+):(?P<day_minutes>\d+)(?::(?P<day_seconds>\d+))?
      | (?P<hours>\d+):(?P<hour_minutes>\d+):(?P<hour_seconds>\d+)
      | (?P<minutes>\d+)(?::(?P<seconds>\d+))?""",
    re.VERBOSE | re.ASCII,
)
_NEGATIVE = re.compile(r"-\d+", re.ASCII)
_TEXT_MAX = 64
_LIMIT_MAX_S = 60 * (2**32 - 2)
"""Slurm counts minutes in 32 bits, of which the last two values mean something else."""


def parse_time_limit(text: str) -> float:
    """Return a time limit in seconds; FOREVER where there is none.

    Slurm keeps limits in whole minutes. Here a job gets the seconds that it asked for; `as_shown`
    says what Slurm would print of them. No time means no limit, and so does less than none.

    Raises:
        NotationError: It is none of the six forms.
    """
    if text.lower() in _ENDLESS or (_NEGATIVE.fullmatch(text) and len(text) < _TEXT_MAX):
        return FOREVER
    match = _LIMIT.fullmatch(text) if len(text) < _TEXT_MAX else None
    if match is None:
        raise NotationError(
            "the time", text, "write minutes, M:SS, H:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED"
        )
    found = {name: int(value or 0) for name, value in match.groupdict().items()}
    seconds = (
        (found["days"] + found["more_days"]) * 86_400
        + (found["day_hours"] + found["more_hours"] + found["hours"]) * 3600
        + (found["day_minutes"] + found["hour_minutes"] + found["minutes"]) * 60
        + (found["day_seconds"] + found["hour_seconds"] + found["seconds"])
    )
    return float(seconds) if 0 < seconds < _LIMIT_MAX_S else FOREVER


def parse_patience(text: str) -> float:
    """Return for how long to wait, in seconds, written as a time limit; no time is none.

    Raises:
        NotationError: It is none of the six forms.
    """
    seconds = parse_time_limit(text)
    return seconds if text.strip("0:-") else 0.0


def as_shown(limit_s: float | None) -> float | None:
    """Return a limit as Slurm's commands print it: a begun minute is a minute."""
    if limit_s is None or limit_s == FOREVER:
        return limit_s
    return math.ceil(limit_s / 60) * 60.0


def format_time_limit(seconds: float | None) -> str:
    """Return a limit as scontrol and sacct print it: ``01:30:00``, ``UNLIMITED``."""
    shown_s = as_shown(seconds)
    if shown_s is None or shown_s == FOREVER:
        return "UNLIMITED"
    return format_duration(shown_s)


def elapsed_between(start_at: float, end_at: float, suspended_s: float = 0.0) -> int:
    """Return how long something took, counted as Slurm does: from whole second to whole second."""
    return max(0, int(end_at) - int(start_at) - int(suspended_s))


def format_elapsed(seconds: float | None) -> str:
    """Return a span as squeue prints it: ``0:03``, ``1:02:03``, ``1-02:03:04``, ``UNLIMITED``."""
    if seconds is None or seconds == FOREVER:
        return "UNLIMITED"
    if seconds < 0:
        return "INVALID"
    days, hours, minutes, rest = _split(seconds)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{rest:02}"
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"


def format_duration(seconds: float) -> str:
    """Return a span as scontrol and sacct print it: ``00:00:03``, ``1-02:03:04``."""
    days, hours, minutes, rest = _split(seconds)
    prefix = f"{days}-" if days else ""
    return f"{prefix}{hours:02}:{minutes:02}:{rest:02}"


def format_cpu_time(seconds: float) -> str:
    """Return processor time as sacct prints it: ``00:00.123``, from an hour on ``01:02:03``."""
    if seconds >= 3600:
        return format_duration(seconds)
    milliseconds = int(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def _split(seconds: float) -> tuple[int, int, int, int]:
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return days, hours, minutes, rest
