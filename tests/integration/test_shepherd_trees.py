"""Nothing of a job lives on: what it leaves behind, hides or multiplies is ended with it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stoker.engines.base import Ended
from stoker.engines.local import LocalEngine
from support.engine import Events, lines, local_engine, script, unit, until

_HOSTILE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
kind, count, witness = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def note():
    fd = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d\\n" % os.getpid())
    os.close(fd)

def rest():
    note()
    while True:
        if kind == "forking":
            if os.fork():
                os._exit(0)
            time.sleep(0.001)
        else:
            time.sleep(60)

for _ in range(count):
    if os.fork() == 0:
        if kind in ("sessions", "forking", "hidden"):
            os.setsid()
        if kind in ("double", "forking", "hidden"):
            if os.fork():
                os._exit(0)
        if kind == "hidden":
            os.setsid()
            os.execve("/bin/sh", ["sh", "-c", f"echo $$ >> {witness}; exec sleep 3600"], {})
        if kind == "stopped":
            note()
            os.kill(os.getpid(), signal.SIGSTOP)
        rest()
if kind == "leaves":
    sys.exit(3)
while len(open(witness).read().splitlines()) < count if os.path.exists(witness) else True:
    time.sleep(0.01)
os.write(1, b"ready\\n")
if sys.argv[4:] == ["exit"]:
    sys.exit(3)
time.sleep(3600)
"""


def _cgroup_directory() -> str:
    """Return where control groups can be made for a test, or "" if they cannot."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, directory, kind, _ = line.split(" ", 3)
        if kind == "cgroup2" and os.access(directory, os.W_OK) and os.geteuid() == 0:
            return directory
    return ""


@pytest.fixture(params=["scan", "cgroup"], scope="module")
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalEngine, Events]]:
    where = "off"
    if request.param == "cgroup":
        parent = _cgroup_directory()
        if not parent:
            pytest.skip("control groups cannot be made here: no cgroup v2, or no root")
        where = f"{parent}/stoker-test-{os.getpid()}"
        Path(where).mkdir()
    home = tmp_path_factory.mktemp("home")
    with local_engine(home, cgroup=where) as (engine, events, _):
        assert engine.status()["mode"] == request.param
        yield engine, events
    if where != "off":
        until(lambda: _removed(Path(where)), f"{where} to be left empty")


def _removed(directory: Path) -> bool:
    for child in [*directory.glob("*/shepherd"), *directory.glob("stoker-*"), directory]:
        try:
            child.rmdir()
        except OSError:
            return False
    return True


@pytest.fixture
def engine(opened: tuple[LocalEngine, Events]) -> LocalEngine:
    return opened[0]


@pytest.fixture
def events(opened: tuple[LocalEngine, Events]) -> Events:
    opened[1].all.clear()
    return opened[1]


def hostile(key: str, kind: str, count: int, witness: Path, *more: str, **changes: object):
    argv = [sys.executable, "-S", "-c", _HOSTILE, kind, str(count), str(witness), *more]
    return unit(key, *argv, **changes)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def survivors(witness: Path) -> list[int]:
    return [pid for pid in map(int, witness.read_text().split()) if is_alive(pid)]


@pytest.mark.parametrize("kind", ["plain", "sessions", "double", "stopped", "hidden"])
def test_what_a_job_leaves_behind_is_gone_when_its_end_is_told(
    engine: LocalEngine, events: Events, tmp_path: Path, kind: str
) -> None:
    witness = tmp_path / "pids"
    engine.launch([hostile("1.0.batch", kind, 5, witness, "exit")], {})
    end = events.ended("1.0.batch")
    assert end.exit_code == 3
    assert len(witness.read_text().split()) == 5
    assert survivors(witness) == []
    engine.acknowledge(["1.0.batch"])


@pytest.mark.parametrize("kind", ["plain", "sessions", "double", "stopped", "forking", "hidden"])
def test_a_cancelled_tree_is_gone_within_its_wait_and_a_second(
    engine: LocalEngine, events: Events, tmp_path: Path, kind: str
) -> None:
    """R16, R31: whatever forks while it is killed."""
    witness, out = tmp_path / "pids", tmp_path / "out"
    engine.launch([hostile("2.0.batch", kind, 8, witness, stdout=str(out))], {})
    lines(out)
    began = time.monotonic()
    engine.end("2.0", "cancelled", 0.2)
    events.ended("2.0.batch")
    assert time.monotonic() - began < 1.2
    assert survivors(witness) == []
    engine.acknowledge(["2.0.batch"])


def test_a_thousand_processes_that_ignore_term_are_gone_within_a_second_of_the_kill(
    engine: LocalEngine, events: Events, tmp_path: Path
) -> None:
    """R16."""
    witness, out = tmp_path / "pids", tmp_path / "out"
    engine.launch([hostile("3.0.batch", "sessions", 1000, witness, stdout=str(out))], {})
    lines(out)
    began = time.monotonic()
    engine.end("3.0", "cancelled", 0.0)
    events.ended("3.0.batch")
    assert time.monotonic() - began < 1.0
    assert survivors(witness) == []
    engine.acknowledge(["3.0.batch"])


def test_a_job_that_daemonizes_does_not_take_its_neighbours_with_it(
    engine: LocalEngine, events: Events, tmp_path: Path
) -> None:
    witness = tmp_path / "pids"
    engine.launch([unit("4.0.batch", "sleep", "3600")], {})
    events.started("4.0.batch")
    engine.launch([hostile("5.0.batch", "hidden", 3, witness, "exit")], {})
    events.ended("5.0.batch")
    if engine.status()["mode"] == "cgroup":
        assert survivors(witness) == []
    assert "4.0.batch" in engine.survey().running
    # Without cgroups nobody can tell whose the hidden ones are while both jobs run.
    engine.end("4.0", "cancelled", 0.0)
    events.ended("4.0.batch")
    until(lambda: not survivors(witness), "the hidden ones to go with the last candidate")
    engine.acknowledge(["4.0.batch", "5.0.batch"])


def test_a_job_with_hundreds_of_orphans_leaves_no_zombie(
    engine: LocalEngine, events: Events
) -> None:
    """R17: they fall to the shepherd, which reaps them."""
    text = "i=0; while [ $i -lt 500 ]; do (:&) ; i=$((i+1)); done; exit 3"
    engine.launch([script("6.0.batch", text)], {})
    assert events.ended("6.0.batch", limit_s=60.0).exit_code == 3
    shepherd = engine.status()["pid"]
    until(lambda: not _children(shepherd), "no child of the shepherd")
    engine.acknowledge(["6.0.batch"])


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def test_the_next_of_a_lane_starts_when_what_the_last_one_left_is_gone(
    engine: LocalEngine, events: Events, tmp_path: Path
) -> None:
    witness, out = tmp_path / "pids", tmp_path / "out"
    text = f"for p in $(cat {witness}); do kill -0 $p && echo alive; done; echo looked"
    engine.launch(
        [
            hostile("7.0.batch", "sessions", 5, witness, "exit", lane="l"),
            script("8.0.batch", text, lane="l", stdout=str(out), stderr="/dev/null"),
        ],
        {},
    )
    events.ended("8.0.batch")
    assert lines(out) == ["looked"]
    engine.acknowledge(["7.0.batch", "8.0.batch"])


def test_steps_without_a_leader_end_with_what_they_left(
    engine: LocalEngine, events: Events, tmp_path: Path
) -> None:
    witness = tmp_path / "pids"
    engine.launch([hostile("9.0.0.0", "double", 3, witness, "exit")], {})
    assert events.ended("9.0.0.0").exit_code == 3
    assert survivors(witness) == []
    engine.acknowledge(["9.0.0.0"])


def test_a_step_has_ended_before_what_a_cancelled_leader_left_behind(
    engine: LocalEngine, events: Events, tmp_path: Path
) -> None:
    # As srun in a cancelled batch job: it outlives the script, and waits for the end of its step.
    pid, told = tmp_path / "pid", tmp_path / "told"
    waits = f"trap '' TERM; echo $$ > {pid}; until [ -e {told} ]; do sleep 0.01; done"
    leader = script("10.0.batch", f"({waits}) & exec sleep 3600")
    engine.launch([leader, script("10.0.0.0", "exec sleep 3600")], {})
    lines(pid)
    events.started("10.0.0.0")

    engine.end("10.0", "cancelled", 60.0)

    assert events.ended("10.0.0.0").signal == signal.SIGTERM
    assert not any(isinstance(event, Ended) for event in events.of("10.0.batch"))
    told.touch()
    assert events.ended("10.0.batch").signal == signal.SIGTERM
    engine.acknowledge(["10.0.0.0", "10.0.batch"])


def test_who_waits_for_a_step_that_a_script_left_may_tell_of_its_end(
    engine: LocalEngine, events: Events, tmp_path: Path
) -> None:
    # As srun in the background: it hears of the end of its step a moment after the script's.
    pid, told, said = tmp_path / "pid", tmp_path / "told", tmp_path / "said"
    waits = f"echo $$ > {pid}; until [ -e {told} ]; do sleep 0.01; done; echo farewell > {said}"
    leader = script("11.0.batch", f"({waits}) & until [ -e {pid} ]; do sleep 0.01; done; sleep 0.2")
    engine.launch([leader, script("11.0.0.0", "exec sleep 3600")], {})
    events.started("11.0.0.0")
    step = events.ended("11.0.0.0")
    assert (step.signal, step.why) == (signal.SIGTERM, "leader")
    told.touch()
    assert events.ended("11.0.batch").exit_code == 0
    assert lines(said) == ["farewell"]
    engine.acknowledge(["11.0.0.0", "11.0.batch"])


def test_who_stays_after_such_a_step_is_killed(
    engine: LocalEngine, events: Events, tmp_path: Path
) -> None:
    witness = tmp_path / "pids"
    text = f"(trap '' TERM; echo $$ >> {witness}; exec sleep 3600) & sleep 0.2"
    engine.launch([script("12.0.batch", text), script("12.0.0.0", "exec sleep 3600")], {})
    assert events.ended("12.0.batch").exit_code == 0
    assert survivors(witness) == []
    engine.acknowledge(["12.0.0.0", "12.0.batch"])


def test_who_is_stopped_goes_on_to_end(engine: LocalEngine, events: Events, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # It forks nothing more: a child born after the last look would be waited for before the trap.
    text = "trap 'echo obeyed; exit 3' TERM; echo ready; kill -STOP $$; while :; do :; done"
    engine.launch([script("13.0.batch", text, stdout=str(out))], {})
    stat = Path(f"/proc/{events.started('13.0.batch').pid}/stat")
    until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "a stopped script")
    engine.end("13.0", "cancelled", 60.0)
    assert events.ended("13.0.batch").exit_code == 3
    assert lines(out, 2) == ["ready", "obeyed"]
    engine.acknowledge(["13.0.batch"])
