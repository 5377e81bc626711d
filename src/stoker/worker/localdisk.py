"""Refuses a home on a network file system.

There locks may hold on one machine only, and a write that was synced may not be there after a
crash: two daemons could serve one queue, and jobs could be lost.

Source: SQLite, "Write-Ahead Logging", which does not work over a network; proc(5), mountinfo.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from stoker.core.errors import UserError

MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORKED: Final = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "fuse.ceph", "fuse.glusterfs",
        "fuse.s3fs", "fuse.sshfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2",
        "smb3", "smbfs",
    }
)  # fmt: skip


def check_is_local(home: Path, mounts: Path = MOUNTS) -> None:
    """Look at the file system that *home*, which is there, stands on.

    Raises:
        UserError: It is one over a network.
    """
    kind = _kind_of(home.stat().st_dev, mounts)
    if kind in _NETWORKED:
        raise UserError(
            f"cannot keep jobs safe in {home}: it is on {kind}, a network file system; set "
            "STOKER_HOME to a local directory"
        )


def _kind_of(device: int, mounts: Path) -> str:
    """Return the type of the file system of a device, "" if it is not told."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, file_system = line.partition(" - ")
        if mount.split(" ")[2:3] == [number]:
            return file_system.split(" ")[0]
    return ""
