"""A world of a test's own: users alice and bob, no other processes, nothing left afterwards.

Namespaces of the kernel make it. What is in it ends with it: mounts, processes, a shared Stoker
that serves both users. Only root can make one with several users in it; elsewhere such a test is
skipped, and says why.
"""

from __future__ import annotations

import functools
import inspect
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

ALICE, BOB = 2001, 2002
STAFF = 3001
"""A group that alice belongs to besides her own."""

PROJECT = Path(__file__).resolve().parents[2]

PASSWD = f"""\
root:x:0:0:root:/root:/bin/bash
alice:x:{ALICE}:{ALICE}::/home/alice:/bin/bash
bob:x:{BOB}:{BOB}::/home/bob:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = f"root:x:0:\nalice:x:{ALICE}:\nbob:x:{BOB}:\nstaff:x:{STAFF}:alice\nnogroup:x:65534:\n"

WORLD = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
"""What is new in a world, in the words of unshare(1)."""

_INSIDE = "STOKER_TEST_WORLD"
_LIMIT_S = 115


def furnish(
    program: Sequence[str], *, shown: Iterable[str] = (), group: str = GROUP, **variables: str
) -> str:
    """Return shell lines that furnish a new world and run a program in it.

    Args:
        program: Is run in the folder of the tests.
        shown: Directories that are to be seen as they are, besides the project and Python.
        group: Is /etc/group there.
        **variables: For its environment.
    """
    # What lies under a directory that is replaced, or that a user may not enter, is shown again.
    roots = sorted({str(PROJECT), sys.prefix, sys.base_prefix, *shown})
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
        f"printf %s {shlex.quote(PASSWD)} >/tmp/passwd; mount --bind /tmp/passwd /etc/passwd",
        f"printf %s {shlex.quote(group)} >/tmp/group; mount --bind /tmp/group /etc/group",
        "for place in /srv /home /root; do mount -t tmpfs -o mode=755 none $place; done",
        "mkdir -p /home/alice /home/bob",
        f"chown {ALICE}:{ALICE} /home/alice 2>/dev/null || true",
        f"chown {BOB}:{BOB} /home/bob 2>/dev/null || true",
        *show,
        "hostname vm",
        f"cd {shlex.quote(str(PROJECT / 'tests'))}",
        shlex.join(["exec", "env", *(f"{name}={value}" for name, value in variables.items())])
        + f" {shlex.join(program)}",
    ]
    return "\n".join(lines)


@functools.cache
def obstacle() -> str:
    """Return why there can be no world with several users here; "" if there can."""
    if os.geteuid():
        return "only root can make a world with several users"
    done = subprocess.run(["unshare", *WORLD, "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else f"the kernel makes no new world: {done.stderr!r}"


def in_a_world(test: Callable[..., None]) -> Callable[..., None]:
    """Have a test, which takes parameters but no fixtures, run as root in a world of its own."""

    @functools.wraps(test)
    def outside(**parameters: object) -> None:
        if os.environ.get(_INSIDE):
            test(**parameters)
            return
        if reason := obstacle():
            pytest.skip(reason)
        _, _, name = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0].partition("::")
        name = f"{inspect.getfile(test)}::{name}"
        plain = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--no-header"]
        program = [sys.executable, "-B", "-m", "pytest", *plain, name]
        done = subprocess.run(
            ["unshare", *WORLD, "sh", "-c", furnish(program, **{_INSIDE: "1"})],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    return outside
