"""Control groups, where files stand for the kernel's."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from stoker.shepherd.cgroups import Cgroups


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """Give a directory in which a Stoker's control groups can be made."""
    own = tmp_path / "stoker-1" / "shepherd"
    own.mkdir(parents=True)
    for name in ("cgroup.procs", "cgroup.kill"):
        (own / name).touch()
    return tmp_path


def test_without_a_free_descriptor_we_come_back_from_where_a_child_was_born(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the shepherd would be killed with that group."""
    made = Cgroups(str(parent), "stoker-1")
    assert made.base == str(parent / "stoker-1")
    group, own = parent / "stoker-1" / made.take(), parent / "stoker-1" / "shepherd"
    (group / "cgroup.procs").touch()
    (own / "cgroup.procs").write_text("")
    made.enter(group.name)
    assert (group / "cgroup.procs").read_text() == "0"

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        made.leave()
    assert (own / "cgroup.procs").read_text() == "0"
    made.close()


def test_where_the_kernel_cannot_kill_a_group_none_is_made(parent: Path) -> None:
    (parent / "stoker-1" / "shepherd" / "cgroup.kill").unlink()
    made = Cgroups(str(parent), "stoker-1")
    assert not made.base
    assert (parent / "stoker-1" / "shepherd" / "cgroup.procs").read_text() == ""
    made.close()
