"""Several lanes that move at once: each in its order, each unit as it was asked for, none lost."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stoker.engines.base import Ended, Started, Unit
from stoker.engines.local import LocalEngine
from support.engine import Events, lines, local_engine, script, unit, until

LANES, LENGTH = 4, 25


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[tuple[LocalEngine, Events]]:
    with local_engine(tmp_path / "home") as (engine, events, _):
        yield engine, events


def keys_of(lane: int, length: int = LENGTH) -> list[str]:
    return [f"{100 * (lane + 1) + place}.0.batch" for place in range(length)]


def in_turn(units: list[list[Unit]]) -> list[Unit]:
    """Return units so that one of each lane comes after the other."""
    return [each for together in zip(*units, strict=True) for each in together]


def threads_of(engine: LocalEngine) -> list[Path]:
    return list(Path(f"/proc/{engine.status()['pid']}/task").iterdir())


def test_each_lane_keeps_its_order_and_each_unit_runs_and_ends_once(
    at_work: tuple[LocalEngine, Events], tmp_path: Path
) -> None:
    engine, events = at_work
    text = 'echo "start $0" >> {0}; echo "end $0" >> {0}; exit 3'
    lanes = [
        [
            unit(key, "/bin/sh", "-c", text.format(tmp_path / str(lane)), key, lane=str(lane))
            for key in keys_of(lane)
        ]
        for lane in range(LANES)
    ]
    engine.launch(in_turn(lanes), {})
    for lane in range(LANES):
        assert [events.ended(key).exit_code for key in keys_of(lane)] == [3] * LENGTH
        expected = [f"{what} {key}" for key in keys_of(lane) for what in ("start", "end")]
        assert lines(tmp_path / str(lane)) == expected
        for key in keys_of(lane):
            assert [type(event) for event in events.of(key)] == [Started, Ended]
    until(lambda: len(threads_of(engine)) <= 2, "the threads that went along to have gone")


def test_who_stands_in_one_lane_does_not_wait_for_another(
    at_work: tuple[LocalEngine, Events], tmp_path: Path
) -> None:
    """Each unit of the one lane goes on only when it has heard of one of the other, and told it."""
    engine, events = at_work
    ask, answer = tmp_path / "ask", tmp_path / "answer"
    os.mkfifo(ask)
    os.mkfifo(answer)
    texts = (f"echo 1 > {ask}; read told < {answer}", f"read told < {ask}; echo 1 > {answer}")
    lanes = [
        [script(key, text, lane=str(lane)) for key in keys_of(lane)]
        for lane, text in enumerate(texts)
    ]
    engine.launch(lanes[0] + lanes[1], {})
    ends = [events.ended(key).exit_code for lane in range(2) for key in keys_of(lane)]
    assert ends == [0] * (2 * LENGTH)


def test_what_one_lane_sets_on_the_shepherd_does_not_show_in_another(
    at_work: tuple[LocalEngine, Events], tmp_path: Path
) -> None:
    """R31: directory, umask, cores, limits and niceness are each unit's own."""
    engine, events = at_work
    cores = sorted(os.sched_getaffinity(0))
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    asked: list[dict[str, Any]] = [
        {"cwd": str(tmp_path), "umask": 0o027, "cpus": cores[:1]},
        {"cwd": "/", "umask": 0o002, "cpus": cores[-1:], "rlimits": {"nofile": (77, -1)}},
        {"cwd": "/proc", "umask": 0o077, "rlimits": {"nofile": (99, 99)}},
        {"cwd": "/", "umask": 0o022, "nice": 1},
    ]
    tell = (
        "pwd; umask; ulimit -S -n; sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status; "
        "cut -d' ' -f19 /proc/self/stat"
    )
    lanes = [
        [
            script(key, tell, lane=str(lane), stdout=str(tmp_path / key), **changes)
            for key in keys_of(lane)
        ]
        for lane, changes in enumerate(asked)
    ]
    (plain_key,) = keys_of(LANES, 1)
    engine.launch([script(plain_key, tell, stdout=str(tmp_path / plain_key))], {})
    events.ended(plain_key)
    _, _, files, all_cores, _ = lines(tmp_path / plain_key)
    engine.launch(in_turn(lanes), {})
    expected = [
        [str(tmp_path), "0027", files, str(cores[0]), str(nice)],
        ["/", "0002", "77", str(cores[-1]), str(nice)],
        ["/proc", "0077", "99", all_cores, str(nice)],
        ["/", "0022", files, all_cores, str(min(nice + 1, 19))],
    ]
    for lane, told in enumerate(expected):
        for key in keys_of(lane):
            events.ended(key)
            assert lines(tmp_path / key) == told, f"of lane {lane}, {key}"


def test_who_cannot_be_started_leaves_the_lane_to_the_next(
    at_work: tuple[LocalEngine, Events],
) -> None:
    engine, events = at_work
    keys = keys_of(0, 6)
    programs = ["true", "/no/such", "true", "/", "/no/such", "true"]
    units = [unit(key, program, lane="l") for key, program in zip(keys, programs, strict=True)]
    engine.launch(units, {})
    for key, program in zip(keys, programs, strict=True):
        if program == "true":
            assert events.ended(key).exit_code == 0
        else:
            assert events.failed(key).step == "exec"


def test_one_that_is_ended_for_its_time_or_by_somebody_lets_the_next_follow(
    at_work: tuple[LocalEngine, Events],
) -> None:
    engine, events = at_work
    keys = keys_of(0, 4)
    engine.launch(
        [
            unit(keys[0], "true", lane="l"),
            unit(keys[1], "sleep", "60", lane="l", time_limit_s=0.1, kill_wait_s=0.0),
            unit(keys[2], "sleep", "60", lane="l"),
            unit(keys[3], "true", lane="l"),
        ],
        {},
    )
    assert events.ended(keys[1]).why == "timeout"
    events.started(keys[2])
    engine.end(keys[2].rpartition(".")[0], "cancelled", 0.0)
    assert events.ended(keys[2]).why == "cancelled"
    assert events.ended(keys[3]).exit_code == 0


def test_the_end_of_who_stands_in_no_lane_is_told_while_lanes_move(
    at_work: tuple[LocalEngine, Events],
) -> None:
    engine, events = at_work
    moving = [
        [unit(key, "sleep", "0.05", lane=str(lane)) for key in keys_of(lane)] for lane in (0, 1)
    ]
    engine.launch(in_turn(moving), {})
    events.ended(keys_of(0)[1])
    (alone,) = keys_of(LANES, 1)
    engine.launch([script(alone, "exit 5")], {})
    assert events.ended(alone).exit_code == 5
    assert not events.of(keys_of(0)[-1]), "the lanes were through before"
    for lane in (0, 1):
        events.ended(keys_of(lane)[-1])


def test_who_waits_in_a_lane_that_moves_can_be_withdrawn(
    at_work: tuple[LocalEngine, Events],
) -> None:
    engine, events = at_work
    keys = keys_of(0)
    engine.launch([unit(key, "sleep", "0.05", lane="l") for key in keys], {})
    events.ended(keys[2])
    engine.withdraw(keys[-3:])
    for key in keys[-3:]:
        events.withdrawn(key)
        assert len(events.of(key)) == 1
    assert [events.ended(key).exit_code for key in keys[:-3]] == [0] * (LENGTH - 3)


def test_a_shepherd_that_is_asked_to_go_lets_its_lanes_come_to_their_end(tmp_path: Path) -> None:
    keys = keys_of(0)
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch([unit(key, "sleep", "0.02", lane="l") for key in keys], {})
        events.started(keys[1])
        os.kill(engine.status()["pid"], signal.SIGTERM)
        assert [events.ended(key).exit_code for key in keys] == [0] * LENGTH


def test_each_has_the_descriptors_it_asked_for_whoever_is_on_the_way_beside_it(
    at_work: tuple[LocalEngine, Events], tmp_path: Path
) -> None:
    """Many ask for the same, which is not ours: a shell's limit is mostly below the daemon's."""
    engine, events = at_work
    ours, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    below = [1, 1, 2, 0]
    lanes = [
        [
            script(
                key,
                "ulimit -S -n",
                lane=str(lane),
                stdout=str(tmp_path / key),
                rlimits={"nofile": (ours - each, -1)} if each else {},
            )
            for key in keys_of(lane)
        ]
        for lane, each in enumerate(below)
    ]
    engine.launch(in_turn(lanes), {})
    for lane, each in enumerate(below):
        for key in keys_of(lane):
            assert events.ended(key).exit_code == 0
            assert lines(tmp_path / key) == [str(ours - each)], f"of lane {lane}, {key}"
