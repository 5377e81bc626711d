"""Where a Stoker stands: as stated, as root has it for all, or at the user's own place."""

from __future__ import annotations

import os
from pathlib import Path

from stoker.core import homes
from stoker.core.homes import home_directory, is_shared_home


def test_the_home_is_what_is_said_or_the_usual_place(monkeypatch):
    monkeypatch.setattr(homes, "SHARED_HOME", Path("/no/such/place"))
    assert home_directory({"STOKER_HOME": "/a/../b"}) == Path("/b")
    assert home_directory({"XDG_STATE_HOME": "/state", "HOME": "/h"}) == Path("/state/stoker")
    assert home_directory({"HOME": "/h"}) == Path("/h/.local/state/stoker")


def test_the_stoker_of_all_users_comes_before_a_users_own_and_after_what_is_stated(monkeypatch):
    # The root directory is root's, and /run stands in it, as in a home.
    monkeypatch.setattr(homes, "SHARED_HOME", Path("/"))
    assert home_directory({"XDG_STATE_HOME": "/state", "HOME": "/h"}) == Path("/")
    assert home_directory({"STOKER_HOME": "/mine", "HOME": "/h"}) == Path("/mine")


def test_only_root_leads_all_users_somewhere(tmp_path, monkeypatch):
    assert is_shared_home(Path("/"))
    assert not is_shared_home(tmp_path / "nowhere")
    assert not is_shared_home(tmp_path)
    (tmp_path / "run").symlink_to("/run")
    assert not is_shared_home(tmp_path)
    (tmp_path / "run").unlink()
    (tmp_path / "run").mkdir()
    assert is_shared_home(tmp_path) is (os.geteuid() == 0)
    if os.geteuid() == 0:
        os.chown(tmp_path, 2001, 2001)
        assert not is_shared_home(tmp_path)
