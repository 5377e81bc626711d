"""A home on a network file system is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker.core.errors import UserError
from stoker.worker.localdisk import check_is_local


def mounted(tmp_path: Path, kind: str) -> Path:
    """Return a table of mounts in which the test's directory is of that kind."""
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / /home rw,noatime shared:1 master:2 - "
        f"{kind} server:/home rw,vers=4.2\n"
    )
    return table


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs", "lustre"])
def test_a_home_on_a_network_file_system_is_refused_with_the_remedy(tmp_path, kind) -> None:
    """R9: there, locks and syncs do not promise what we promise."""
    with pytest.raises(UserError, match=rf"on {kind}, a network file system; set STOKER_HOME"):
        check_is_local(tmp_path, mounted(tmp_path, kind))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "9p"])
def test_a_local_one_is_not(tmp_path, kind) -> None:
    check_is_local(tmp_path, mounted(tmp_path, kind))


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 3\n\n - nfs\n"])
def test_a_table_that_says_nothing_refuses_nobody(tmp_path, text) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(text)
    check_is_local(tmp_path, table)
    check_is_local(tmp_path, tmp_path / "absent")
