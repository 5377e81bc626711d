"""Settings that count while the daemon runs, when it is told to read them again (SIGHUP).

Those are numbers that are looked at each time they are needed. What the machine is made of (nodes,
partitions, CPUs, memory) and where things stand counts from the next start.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from stoker.core.settings import Settings

CHANGEABLE: Final = (
    "backup_interval_hours",
    "backup_keep",
    "check_interval_s",
    "history_archive",
    "history_days",
    "job_acct_gather_frequency_s",
    "job_requeue",
    "kill_invalid_depend",
    "kill_wait_s",
    "log_level",
    "mail_prog",
    "max_array_size",
    "max_job_count",
    "max_script_size",
    "min_job_age_s",
    "notify_prog",
    "notify_types",
    "over_memory_kill",
    "requeue_delay_s",
    "requeue_max",
)
"""The names; docs/settings.md lists them, and a test compares the two."""


class Reloaded(NamedTuple):
    """What comes of new settings: those that count now; which have changed; which have to wait."""

    settings: Settings
    changed: tuple[str, ...]
    waiting: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as a line of the log."""
        words = [f"{name} is {getattr(self.settings, name)}" for name in self.changed]
        if self.waiting:
            words.append(f"{', '.join(self.waiting)} will count after `stoker down`, `stoker up`")
        return f"the settings were read again: {'; '.join(words) or 'nothing has changed'}"


def reloaded(before: Settings, read: Settings) -> Reloaded:
    """Return what becomes of the settings *before* now that others were *read*."""
    differing = [
        name for name in Settings.__struct_fields__ if getattr(read, name) != getattr(before, name)
    ]
    changed = tuple(name for name in differing if name in CHANGEABLE)
    waiting = tuple(name for name in differing if name not in CHANGEABLE)
    now = {name: getattr(read, name) for name in changed}
    return Reloaded(msgspec.structs.replace(before, **now), changed, waiting)
