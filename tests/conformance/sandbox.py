"""A world like the recorded one: users alice and bob, /home/alice, a host called vm, no other pids.

Namespaces of the kernel make it, as root or as an ordinary user where the kernel lets one; what is
in them ends with them, so that a replay leaves nothing behind. Where there are none, the replay
runs as whoever calls it, in a directory of its own, and names and paths differ more.
"""

from __future__ import annotations

import os
import subprocess
import sys

from support.world import ALICE, BOB, GROUP, PROJECT, STAFF, WORLD, furnish

__all__ = ["ALICE", "BOB", "PROJECT", "command"]

_GROUP = GROUP.replace(f"staff:x:{STAFF}:alice\n", "")
"""The recorded alice was in no group but her own."""


def command() -> list[str]:
    """Return what a replay is started with: a new world if the kernel gives us one."""
    replay = [sys.executable, "-m", "conformance.replay"]
    for form in _forms():
        if subprocess.run([*form, "true"], capture_output=True, check=False).returncode == 0:
            return [*form, "sh", "-c", furnish(replay, group=_GROUP, CONFORMANCE_WORLD="1")]
    return replay


def _forms() -> list[list[str]]:
    if os.geteuid() == 0:
        return [["unshare", *WORLD]]
    mapped = ["--user", f"--map-user={ALICE}", f"--map-group={ALICE}", "--keep-caps"]
    return [["unshare", *mapped, *WORLD]]
