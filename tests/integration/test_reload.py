"""A live daemon is told to read its settings again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from support.daemon import PrivateStoker, until


@pytest.fixture
def stoker() -> Iterator[PrivateStoker]:
    with PrivateStoker(total_cpus=2, total_memory="2000M") as private:
        yield private


def reload(stoker: PrivateStoker, text: str, answer: str) -> None:
    """Write the file, send SIGHUP, and wait until the log answers."""
    (stoker.home / "stoker.toml").write_text(text)
    os.kill(stoker.stokerd, signal.SIGHUP)
    log = stoker.home / "log" / "stokerd.log"
    until(lambda: answer in log.read_text(), log.read_text)


def test_a_changed_setting_counts_after_sighup_and_a_running_job_does_not_notice(stoker) -> None:
    """R28: SIGHUP reloads."""
    job_id = stoker.sbatch(script="sleep 600\n")
    stoker.wait_running(job_id)
    daemon = stoker.stokerd
    reload(stoker, "min_job_age_s = 77\nnodes = 'a,b'\n", "nodes will count after")
    shown = stoker.ok("scontrol", "show", "config")
    assert "MinJobAge               = 77 sec" in shown
    assert stoker.stokerd == daemon
    assert stoker.state(job_id) == "RUNNING"


def test_a_file_that_cannot_be_used_changes_nothing_and_the_log_says_why(stoker) -> None:
    """R28: nor does it stop the daemon."""
    stoker.ok("stoker", "up")
    before = stoker.ok("scontrol", "show", "config").splitlines()[1:]
    reload(stoker, "min_job_age_s = 'soon'\n", "the settings stay as they are: cannot use the")
    reload(stoker, "log_level = 'LOUD'\n", "the settings stay as they are: cannot use log_level")
    reload(stoker, "[\n", "the settings stay as they are: cannot read")
    assert stoker.ok("scontrol", "show", "config").splitlines()[1:] == before
