"""A world like the recorded one: users alice and bob, /home/alice, a host called vm, no other pids.

Namespaces of the kernel make it, as root or as an ordinary user where the kernel lets one; what is
in them ends with them, so that a replay leaves nothing behind. Where there are none, the replay
runs as whoever calls it, in a directory of its own, and names and paths differ more.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ALICE, BOB = 2001, 2002
PROJECT = Path(__file__).resolve().parents[2]

_PASSWD = f"""\
root:x:0:0:root:/root:/bin/bash
alice:x:{ALICE}:{ALICE}::/home/alice:/bin/bash
bob:x:{BOB}:{BOB}::/home/bob:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\nalice:x:{ALICE}:\nbob:x:{BOB}:\nnogroup:x:65534:\n"


def command() -> list[str]:
    """Return what a replay is started with: a new world if the kernel gives us one."""
    replay = [sys.executable, "-m", "conformance.replay"]
    for form in _forms():
        if subprocess.run([*form, "true"], capture_output=True, check=False).returncode == 0:
            return [*form, "sh", "-c", _script(replay)]
    return replay


def _forms() -> list[list[str]]:
    world = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() == 0:
        return [["unshare", *world]]
    mapped = ["--user", f"--map-user={ALICE}", f"--map-group={ALICE}", "--keep-caps"]
    return [["unshare", *mapped, *world]]


def _script(replay: list[str]) -> str:
    """Return shell lines that furnish the new world and start the replay in it."""
    # What lies under a directory that is replaced, or that alice may not enter, is shown again.
    roots = sorted({str(PROJECT), sys.prefix, sys.base_prefix})
    hidden = [root for root in roots if root.startswith(("/home/", "/srv/", "/root/", "/tmp/"))]
    keep = [
        f"mkdir -p /mnt/{at}; mount --rbind {shlex.quote(root)} /mnt/{at}"
        for at, root in enumerate(hidden)
    ]
    show = [
        f"mkdir -p {shlex.quote(root)}; mount --rbind /mnt/{at} {shlex.quote(root)}"
        for at, root in enumerate(hidden)
    ]
    lines = [
        "set -e",
        "mount -t tmpfs -o mode=755 none /mnt",
        *keep,
        "mount -t tmpfs -o mode=1777 none /tmp",
        f"printf %s {shlex.quote(_PASSWD)} >/tmp/passwd; mount --bind /tmp/passwd /etc/passwd",
        f"printf %s {shlex.quote(_GROUP)} >/tmp/group; mount --bind /tmp/group /etc/group",
        "for place in /srv /home /root; do mount -t tmpfs -o mode=755 none $place; done",
        "mkdir -p /home/alice /home/bob",
        f"chown {ALICE}:{ALICE} /home/alice 2>/dev/null || true",
        f"chown {BOB}:{BOB} /home/bob 2>/dev/null || true",
        *show,
        "hostname vm",
        f"cd {shlex.quote(str(PROJECT / 'tests'))}",
        f"CONFORMANCE_WORLD=1 exec {shlex.join(replay)}",
    ]
    return "\n".join(lines)
