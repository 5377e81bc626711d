"""Failpoints: off by default, refused by accident, and in step with the code."""

from __future__ import annotations

import errno
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import stoker
from stoker.core.settings import SettingsError
from stoker.worker import failpoints
from stoker.worker.failpoints import NAMES, arm, hit

NAME = "submit.after-commit"
SOURCES = Path(stoker.__file__).parent / "worker"
"""The shepherd, which imports nothing of ours, has a table of its own."""


@pytest.fixture(autouse=True)
def disarmed():
    yield
    arm({})


def arm_for_test(text: str) -> None:
    arm({"STOKER_FAILPOINTS": text, "STOKER_TEST_MODE": "1"})


def called_names() -> list[str]:
    texts = (path.read_text() for path in SOURCES.rglob("*.py"))
    return [name for text in texts for name in re.findall(r'\bhit\("([^"]*)"\)', text)]


def test_each_call_is_in_the_table():
    assert set(called_names()) <= set(NAMES)


def test_each_name_of_the_table_is_called_somewhere():
    """H1: table and code are in step."""
    assert set(NAMES) <= set(called_names())


def test_off_they_do_nothing_and_look_into_an_empty_dict():
    arm({})
    hit(NAME)
    assert failpoints._armed == {}


def test_a_plain_start_with_failpoints_is_refused():
    """H1."""
    for mode in ({}, {"STOKER_TEST_MODE": "0"}, {"STOKER_TEST_MODE": ""}):
        with pytest.raises(SettingsError, match="cannot start with STOKER_FAILPOINTS set"):
            arm({"STOKER_FAILPOINTS": f"{NAME}=kill", **mode})
    arm({"STOKER_FAILPOINTS": ""})
    hit(NAME)


def test_an_error_is_raised_each_time():
    arm_for_test(f"{NAME}=error:ENOSPC")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left") as caught:
            hit(NAME)
        assert caught.value.errno == errno.ENOSPC
    hit("ack.before")


def test_with_a_number_only_that_time_counts():
    arm_for_test(f"{NAME}=error:EIO@3")
    hit(NAME)
    hit(NAME)
    with pytest.raises(OSError, match="Input/output error"):
        hit(NAME)
    hit(NAME)


def test_several_can_be_listed():
    arm_for_test(f"{NAME}=error:EIO, ack.before=sleep:0")
    hit("ack.before")
    with pytest.raises(OSError, match="Input/output error"):
        hit(NAME)


@pytest.mark.parametrize(
    "text",
    [
        "submit.nowhere=kill",
        NAME,
        f"{NAME}=",
        f"{NAME}=die",
        f"{NAME}=kill:9",
        f"{NAME}=error:NONE",
        f"{NAME}=error:errorcode",
        f"{NAME}=sleep:long",
        f"{NAME}=kill@0",
        f"{NAME}=kill@x",
        f"{NAME}=kill@",
    ],
)
def test_what_cannot_be_read_is_refused_and_arms_nothing(text):
    with pytest.raises(SettingsError, match="cannot read the failpoint"):
        arm_for_test(f"ack.before=kill,{text}")
    assert failpoints._armed == {}


@pytest.mark.parametrize(
    ("action", "status"), [("kill", -signal.SIGKILL), ("exit", failpoints.EXIT_STATUS)]
)
def test_a_process_ends_there(action, status):
    program = (
        "from stoker.worker.failpoints import arm, hit\n"
        f"arm({{'STOKER_FAILPOINTS': '{NAME}={action}@2', 'STOKER_TEST_MODE': '1'}})\n"
        f"hit('{NAME}'); print('once', flush=True); hit('{NAME}'); print('twice', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("once\n", status), done.stderr
