from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker import shepherd
from stoker.shepherd.failpoints import FAILPOINTS, arm, hit

TEST = {"STOKER_TEST_MODE": "1"}


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm({})


def test_table_and_code_name_the_same_points() -> None:
    """H1."""
    sources = Path(shepherd.__file__).parent.glob("*.py")
    hits = [name for path in sources for name in re.findall(r'\bhit\("(\w+)"\)', path.read_text())]
    assert sorted(hits) == sorted(FAILPOINTS)


def test_outside_of_a_test_a_start_with_failpoints_is_refused() -> None:
    with pytest.raises(ValueError, match="STOKER_FAILPOINTS"):
        arm({"STOKER_FAILPOINTS": "begin=kill"})
    arm({"STOKER_TEST_MODE": "1"})
    arm({})


def test_a_point_fails_the_nth_time_only() -> None:
    arm({**TEST, "STOKER_FAILPOINTS": "begin=error:ENOSPC@2,spawn=error:EAGAIN"})
    hit("begin")
    with pytest.raises(OSError, match="No space") as caught:
        hit("begin")
    assert caught.value.errno == errno.ENOSPC
    hit("begin")
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            hit("spawn")


def test_the_daemons_points_are_left_to_it() -> None:
    arm({**TEST, "STOKER_FAILPOINTS": "ended.before-commit=kill"})


@pytest.mark.parametrize(
    "text",
    ["nowhere=kill", "begin=explode", "begin=error:ENONSENSE", "begin=sleep:x", "begin=kill@x"],
)
def test_what_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot arm"):
        arm({**TEST, "STOKER_FAILPOINTS": text})
