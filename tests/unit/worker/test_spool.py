"""Scripts on disk: written once, whole, and where many are served each its user's alone."""

from __future__ import annotations

import os
import stat

import pytest

from stoker.worker.spool import OwnSpool, SharedSpool

SCRIPT = b"#!/bin/sh\necho hello\n"
ME = os.geteuid()
"""To whom anybody may give a file."""


@pytest.mark.parametrize("kind", [OwnSpool, SharedSpool])
def test_scripts_are_written_once_and_again_if_they_have_gone(tmp_path, kind):
    reads = []
    spool = kind(tmp_path, lambda digest: reads.append(digest) or SCRIPT)
    path = spool.path_of("abc", ME)
    assert spool.path_of("abc", ME) == path
    assert path.name == "slurm_script"
    assert reads == ["abc"]
    path.unlink()
    assert spool.path_of("abc", ME).read_bytes() == SCRIPT
    assert reads == ["abc", "abc"]


def test_a_script_that_a_power_failure_cut_short_is_made_whole(tmp_path):
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "slurm_script").write_bytes(b"#!/b")
    assert OwnSpool(tmp_path, lambda _: SCRIPT).path_of("abc", ME).read_bytes() == SCRIPT


def test_the_same_of_a_users_script(tmp_path):
    own = tmp_path / str(ME) / "abc"
    own.mkdir(parents=True)
    for name in ("slurm_script", ".slurm_script.new"):
        (own / name).write_bytes(b"#!/b")
    assert SharedSpool(tmp_path, lambda _: SCRIPT).path_of("abc", ME).read_bytes() == SCRIPT


@pytest.mark.parametrize("kind", [OwnSpool, SharedSpool])
def test_scripts_that_nobody_needs_are_removed(tmp_path, kind):
    spool = kind(tmp_path, lambda _: SCRIPT)
    kept, gone = spool.path_of("kept", ME), spool.path_of("gone", ME)
    spool.keep_only({"kept"})
    assert kept.exists()
    assert not gone.exists()
    assert spool.path_of("gone", ME).exists()
    kind(tmp_path / "never made", lambda _: SCRIPT).keep_only(set())


def test_a_users_script_is_theirs_and_stands_where_nobody_looks_around(tmp_path):
    path = SharedSpool(tmp_path, lambda _: SCRIPT).path_of("abc", ME)
    assert path == tmp_path / str(ME) / "abc" / "slurm_script"
    assert path.stat().st_uid == ME
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, *path.parents[:2])]
    assert modes == [0o700, 0o711, 0o711]


@pytest.mark.skipif(ME != 0, reason="only root gives files away")
def test_two_users_have_a_script_each(tmp_path):
    spool = SharedSpool(tmp_path, lambda _: SCRIPT)
    paths = [spool.path_of("abc", user_id) for user_id in (2001, 2002)]
    assert [path.stat().st_uid for path in paths] == [2001, 2002]
