"""Settings that are read again while the daemon runs."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from stoker.core.settings import Settings
from stoker.worker.reload import CHANGEABLE, reloaded
from support.project import ROOT


def test_what_can_change_while_running_changes_and_the_rest_waits_for_the_next_start() -> None:
    before = Settings(kill_wait_s=30.0, total_cpus=4)
    found = reloaded(before, msgspec.structs.replace(before, kill_wait_s=5.0, total_cpus=8))
    assert (found.settings.kill_wait_s, found.settings.total_cpus) == (5.0, 4)
    assert str(found) == (
        "the settings were read again: kill_wait_s is 5.0; "
        "total_cpus will count after `stoker down`, `stoker up`"
    )


def test_the_same_settings_change_nothing() -> None:
    found = reloaded(Settings(), Settings())
    assert found.settings == Settings()
    assert str(found) == "the settings were read again: nothing has changed"


def test_the_page_lists_what_can_change_while_running() -> None:
    text = Path(ROOT / "docs" / "settings.md").read_text()
    (listed,) = re.findall(r"`SIGHUP`.*?these:(.*?)\.\s", text, re.DOTALL)
    assert tuple(re.findall(r"`(\w+)`", listed)) == CHANGEABLE
