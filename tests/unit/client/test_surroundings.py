from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from stoker.client.surroundings import look_around
from stoker.core.errors import UserError


def test_a_submission_carries_what_this_process_has(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT", "one\ntwo")
    before = os.umask(0o027)
    try:
        around = look_around()
    finally:
        os.umask(before)
    assert around.work_dir == str(tmp_path)
    assert "TEXT=one\ntwo" in around.environment
    assert around.umask == 0o027
    assert tuple(around.rlimits["nofile"]) == resource.getrlimit(resource.RLIMIT_NOFILE)


def test_looking_at_the_umask_does_not_change_it():
    before = os.umask(0o022)
    os.umask(before)
    look_around()
    after = os.umask(before)
    assert after == before


def test_bytes_that_are_no_text_travel(monkeypatch):
    monkeypatch.setitem(os.environb, b"NOISE", b"\xff\xfe")
    entries = look_around().environment
    assert b"NOISE=\xff\xfe" in [entry.encode("utf-8", "surrogateescape") for entry in entries]


def test_a_directory_that_is_gone_is_refused_with_a_remedy(monkeypatch):
    def gone() -> Path:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "cwd", gone)
    with pytest.raises(UserError, match=r"the current directory is gone .*; cd first"):
        look_around()
