"""The kernel's own grouping: a control group for each group of units, where we may make one.

We may below the control group that we are in, if it was given to us: it is owned by our (ordinary)
user, or its maker said so in the attribute ``user.delegate`` (``Delegate=yes`` in a systemd unit).
A path may also be stated. Then nothing can escape: `kill` ends all with no race, whatever forks.
The shepherd moves itself in for the moment of a spawn, so that the child is born there; control
groups that have become empty are used again, for making and removing them costs more than a job.

Source: cgroups(7), the kernel's cgroup-v2.rst, systemd's CGROUP_DELEGATION.md.
"""

from __future__ import annotations

import os
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

AUTO, OFF = "auto", "off"
_SPARE_MAX = 64
_MOUNT_TYPE = "cgroup2"


class Cgroups:
    """The control groups below *base*, one for each group that runs; or none at all.

    Attributes:
        base: The directory below which they are made, or "" where we may not.
        has_memory: Whether memory can be limited.
    """

    def __init__(self, stated: str, name: str) -> None:
        """Look where we may.

        Args:
            stated: ``auto``, ``off`` or a directory.
            name: Tells our control groups from those of other homes.
        """
        self.base = ""
        self.has_memory = False
        self._way_back = -1
        self._spare: list[str] = []
        self._count = 0
        if stated == OFF:
            return
        parent = _own_directory() if stated == AUTO else stated
        if not parent or not (stated != AUTO or _is_ours(parent)):
            return
        with suppress(OSError):
            # Started from inside of a job of ours, we do not nest.
            self._settle(f"{parent.split(f'/{name}/')[0]}/{name}")

    def _settle(self, base: str) -> None:
        """Make our control group, and one in it for ourselves."""
        for directory in (base, f"{base}/shepherd"):
            with suppress(FileExistsError):
                os.mkdir(directory)
        os.stat(f"{base}/shepherd/cgroup.kill")
        self._way_back = os.open(f"{base}/shepherd/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        self.leave()
        with suppress(OSError):
            _write(f"{base}/cgroup.subtree_control", "+memory")
            self.has_memory = True
        self.base = base
        self._count = max(map(_number, os.listdir(base)), default=0)

    def take(self) -> str:
        """Return the name of an empty control group."""
        if self._spare:
            return self._spare.pop()
        self._count += 1
        name = f"group{self._count}"
        os.mkdir(f"{self.base}/{name}")
        return name

    def give(self, name: str, *, is_clean: bool) -> None:
        """Take back a control group in which nothing runs any more."""
        if is_clean and len(self._spare) < _SPARE_MAX:
            self._spare.append(name)
        else:
            _remove(f"{self.base}/{name}")

    def keep_only(self, names: set[str]) -> None:
        """Remove what a shepherd before us left, but for *names*."""
        if self.base:
            for entry in os.listdir(self.base):
                if _number(entry) and entry not in names:
                    _remove(f"{self.base}/{entry}")

    def close(self) -> None:
        """Remove the control groups that are of no use now."""
        for name in self._spare:
            _remove(f"{self.base}/{name}")
        self._spare.clear()
        if self._way_back >= 0:
            os.close(self._way_back)

    def enter(self, name: str) -> None:
        """Move ourselves in, so that the next child is born there."""
        _write(f"{self.base}/{name}/cgroup.procs", "0")

    def leave(self) -> None:
        """Move ourselves back; that needs no new descriptor, of which there may be none.

        Who stayed would be killed with the group.
        """
        os.pwrite(self._way_back, b"0", 0)

    def limit_memory(self, name: str, mib: int) -> None:
        """Have the kernel end whoever exceeds that much memory, all of the group together."""
        _write(f"{self.base}/{name}/memory.max", str(mib << 20))

    def oom_kills(self, name: str) -> int:
        """Return how many processes of the group the kernel ended for want of memory."""
        with suppress(OSError):
            for line in _read(f"{self.base}/{name}/memory.events").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def kill(self, name: str) -> None:
        """Kill every process in the control group, with no race."""
        _write(f"{self.base}/{name}/cgroup.kill", "1")

    def members(self, name: str) -> list[int]:
        """Return the processes in the control group and those that a job made in it."""
        found: list[int] = []
        for directory in _tree(f"{self.base}/{name}"):
            with suppress(OSError):
                found += map(int, _read(f"{directory}/cgroup.procs").split())
        return found


def _number(entry: str) -> int:
    digits = entry.removeprefix("group")
    return int(digits) if entry.startswith("group") and digits.isdecimal() else 0


def _tree(directory: str) -> Iterator[str]:
    yield directory
    with suppress(OSError):
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                yield from _tree(entry.path)


def _remove(directory: str) -> None:
    for each in reversed(list(_tree(directory))):
        with suppress(OSError):
            os.rmdir(each)


def _own_directory() -> str:
    """Return the directory of the control group that we are in, or "" if there is no v2."""
    for line in _read("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            mount = _mount_point()
            return f"{mount}{line[3:].rstrip('/')}" if mount else ""
    return ""


def _mount_point() -> str:
    for line in _read("/proc/self/mounts").splitlines():
        _, directory, kind, _ = line.split(" ", 3)
        if kind == _MOUNT_TYPE:
            return directory
    return ""


def _is_ours(directory: str) -> bool:
    """Whether the control group was given to us to make others in."""
    try:
        if os.geteuid() and os.stat(directory).st_uid == os.geteuid():
            return os.access(f"{directory}/cgroup.procs", os.W_OK)
        return os.getxattr(directory, "user.delegate") == b"1"
    except OSError:
        return False


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
