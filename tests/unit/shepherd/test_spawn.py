from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.shepherd import spawn
from stoker.shepherd.spawn import SpawnError, environment_of


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    directory, mask = Path.cwd(), os.umask(0o022)
    os.umask(mask)
    yield
    os.chdir(directory)
    os.umask(mask)


def test_an_environment_is_read_with_the_first_of_doubles() -> None:
    text = "A=1\0B=x=y\0A=2\0=odd\0alone\0C="
    assert environment_of(text) == {"A": "1", "B": "x=y", "C": ""}
    assert environment_of("") == {}


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_want_of_the_machine_is_told_from_what_is_wrong_with_a_unit(number: int) -> None:
    assert SpawnError("exec", number).step == "fork"
    assert SpawnError("stdout", number).step == "fork"
    assert SpawnError("journal", number).step == "journal"
    assert SpawnError("exec", errno.ENOENT).step == "exec"


def test_a_program_is_found_as_execvp_finds_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
    (first / "tool").write_text("")
    (first / "tool").chmod(0o644)
    (second / "tool").write_text("")
    (second / "tool").chmod(0o755)
    path = f"/no/such:{first}:{second}"
    assert spawn._find("tool", path) == f"{second}/tool"
    with pytest.raises(SpawnError) as refused:
        spawn._find("tool", str(first))
    assert refused.value.errno == errno.EACCES
    with pytest.raises(SpawnError) as missing:
        spawn._find("nothing", path)
    assert missing.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("limits", "least"), [((-1, 5), 5), ((3, 5), 3), ((-1, -1), resource.RLIM_INFINITY), ((0,), 0)]
)
def test_of_limits_the_smallest_counts_and_minus_one_is_none(limits, least) -> None:
    assert spawn._least(*limits) == least
