from __future__ import annotations

import _thread
import errno
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stoker.shepherd import rlimits
from stoker.shepherd.hands import Hand
from stoker.shepherd.spawn import Spawner, SpawnError, environment_of
from stoker.shepherd.units import Group, Recipe, Unit
from support.engine import LIMIT_S


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


@pytest.mark.parametrize(
    ("limits", "least"), [((-1, 5), 5), ((3, 5), 3), ((-1, -1), resource.RLIM_INFINITY), ((0,), 0)]
)
def test_of_limits_the_smallest_counts_and_minus_one_is_none(limits, least) -> None:
    assert rlimits._least(*limits) == least


def unit_in_a_lane(*argv: str, **own: object) -> Unit:
    recipe = {
        "leads": True,
        "argv": argv or ["/bin/true"],
        "executable": None,
        "search_path": True,
        "search_cwd": False,
        "environment_key": "",
        "common": {"A": "1"},
        "cwd": "/",
        "umask": 0o022,
        "open_mode": "truncate",
        "nice": 0,
        "rlimits": {},
        "time_limit_s": None,
        "kill_wait_s": 1.0,
        "warnings": [],
        "memory_mib": None,
        "notices": {},
        "pid_variable": None,
    }
    order = {"key": "1.0.batch", "group": "1.0", "token": "mark", "lane": "1", **own}
    return Unit(order, Recipe(recipe), Group("1.0"))


def test_ahead_of_its_turn_a_unit_gets_what_is_common_and_what_is_its_own() -> None:
    spawner = Spawner()
    unit = unit_in_a_lane(environment={"B": "2"})
    spawner.prepare(unit)
    assert sorted(filter(None, unit.environment)) == [b"A=1", b"B=2", b"STOKER_TOKEN=mark"]
    unit.close()
    assert unit.environment is None
    spawner.close()


def test_nonsense_in_an_environment_is_said_at_the_spawn_not_before() -> None:
    spawner = Spawner()
    unit = unit_in_a_lane(environment={"B": "\0"})
    spawner.prepare(unit)
    assert unit.environment is None
    with pytest.raises(SpawnError) as refused:
        spawner.spawn(unit, Hand(), tells_pid=False)
    assert (refused.value.step, refused.value.errno) == ("exec", errno.EINVAL)
    spawner.close()


def test_without_a_path_of_its_own_a_unit_finds_no_program_by_its_name() -> None:
    """As slurmstepd has it: `srun --export=NONE sh` is "execve(): sh: No such file"."""
    spawner = Spawner()
    unit = unit_in_a_lane("sh")
    with pytest.raises(SpawnError) as refused:
        spawner.spawn(unit, Hand(), tells_pid=False)
    assert (refused.value.step, refused.value.errno) == ("exec", errno.ENOENT)
    unit.close()
    spawner.close()


def with_limits(unit: Unit, **rlimits: tuple[Any, int] | None) -> Unit:
    unit.recipe.order["rlimits"] = {name: pair for name, pair in rlimits.items() if pair}
    return unit


def test_who_takes_in_descriptors_is_told_from_a_child_that_may_have_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spawner, limits = Spawner(), []

    def make(*_: object) -> int:
        limits.append(
            (resource.getrlimit(resource.RLIMIT_NOFILE), spawner.rlimits.are_lowered.locked())
        )
        return 1

    monkeypatch.setattr(spawner._spawning, "spawn", make)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    spawner.spawn(with_limits(unit_in_a_lane(), nofile=(99, -1)), Hand(), tells_pid=False)
    assert limits == [((99, before[1]), True)]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    assert not spawner.rlimits.are_lowered.locked()
    spawner.close()


def test_a_child_may_have_fewer_descriptors_than_we_have_open() -> None:
    spawner = Spawner()
    ours = [os.open(os.devnull, os.O_RDONLY) for _ in range(16)]
    unit = with_limits(unit_in_a_lane(), nofile=(16, -1))
    unit.recipe.order["pid_variable"] = "SLURM_TASK_PID"
    pid = spawner.spawn(unit, Hand(), tells_pid=True)
    assert os.waitpid(pid, 0)[1] == 0
    for descriptor in ours:
        os.close(descriptor)
    unit.close()
    spawner.close()


@pytest.mark.parametrize(("others", "is_left"), [(0, True), (1, False)])
def test_while_one_of_a_group_of_several_is_on_its_way_nobody_else_acts(
    monkeypatch: pytest.MonkeyPatch, others: int, is_left: bool
) -> None:
    """Who settles the group would take back whoever in it has not been started."""
    spawner, word, seen = Spawner(), _thread.allocate_lock(), []
    unit = unit_in_a_lane()
    unit.group.units = dict.fromkeys(map(str, range(1 + others)), unit)
    monkeypatch.setattr(spawner._spawning, "spawn", lambda *_: seen.append(word.locked()) or 1)
    with word:
        spawner.spawn(unit, Hand(word), tells_pid=False)
    assert seen == [not is_left]
    spawner.close()


def test_cores_that_are_there_no_more_are_no_reason_not_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    spawner = Spawner()
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    pid = spawner.spawn(unit_in_a_lane(cpus=[0]), Hand(), tells_pid=False)
    assert os.waitpid(pid, 0)[1] == 0
    spawner.close()


def test_a_niceness_beyond_all_numbers_is_said_to_be_none() -> None:
    spawner = Spawner()
    unit = unit_in_a_lane()
    unit.recipe.order["nice"] = 1 << 40
    with pytest.raises(SpawnError) as refused:
        spawner.spawn(unit, Hand(), tells_pid=False)
    assert (refused.value.step, refused.value.errno) == ("exec", errno.EINVAL)
    unit.close()
    spawner.close()


class OnTheirWay:
    """Two hands that spawn a unit each, with a limit of its own below ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *below: int) -> None:
        self.spawner, self.word = Spawner(), _thread.allocate_lock()
        self.ours = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limits: list[int] = []
        self.meets: list[bool] = []
        self._meeting = threading.Barrier(2)
        monkeypatch.setattr(self.spawner._spawning, "spawn", self._make)
        threads = [threading.Thread(target=self._spawn, args=(each,)) for each in below]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        self.spawner.close()

    def _spawn(self, below: int) -> None:
        unit = with_limits(unit_in_a_lane(), nofile=(self.ours[0] - below, -1) if below else None)
        with self.word:
            self.spawner.spawn(unit, Hand(self.word), tells_pid=False)

    def _make(self, *_: object) -> int:
        self.limits.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        try:
            self._meeting.wait(0.5)
        except threading.BrokenBarrierError:
            self.meets.append(False)
        else:
            self.meets.append(True)
        return 1


@pytest.mark.parametrize(
    ("below", "meets"), [((1, 1), True), ((0, 0), True), ((1, 2), False), ((0, 1), False)]
)
def test_two_are_on_their_way_at_once_if_they_want_the_same_limits(
    monkeypatch: pytest.MonkeyPatch, below: tuple[int, int], meets: bool
) -> None:
    two = OnTheirWay(monkeypatch, *below)
    assert sorted(two.limits) == sorted(two.ours[0] - each for each in below)
    assert two.meets == [meets] * 2
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == two.ours
    assert not two.spawner.rlimits.are_lowered.locked()


def test_a_limit_that_cannot_be_set_leaves_ours_as_they_were() -> None:
    spawner, word = Spawner(), _thread.allocate_lock()
    ours = resource.getrlimit(resource.RLIMIT_CORE)
    unit = with_limits(unit_in_a_lane(), core=("much", -1))
    with word, pytest.raises(SpawnError):
        spawner.spawn(unit, Hand(word), tells_pid=False)
    assert resource.getrlimit(resource.RLIMIT_CORE) == ours
    assert not spawner.rlimits.are_lowered.locked()
    spawner.close()
