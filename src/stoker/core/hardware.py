"""What this host has to give out, as far as can be seen: cores, memory, a name, temporary space."""

from __future__ import annotations

import os

import msgspec


class Detected(msgspec.Struct, frozen=True):
    """What this host has: usable cores, memory, name, space for temporary files."""

    cpus: tuple[int, ...]
    memory_mib: int
    host: str
    tmp_disk_mib: int = 0


def detect() -> Detected:
    """Look at the host."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    host = os.uname().nodename.split(".")[0]
    return Detected(tuple(sorted(os.sched_getaffinity(0))), memory, host, _tmp_disk_mib())


def _tmp_disk_mib() -> int:
    """Return how large the file system of /tmp is; 0 if nobody says."""
    try:
        found = os.statvfs("/tmp")  # noqa: S108 - where jobs put their temporary files
    except OSError:
        return 0
    return found.f_frsize * found.f_blocks >> 20
