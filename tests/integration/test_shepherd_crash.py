"""The lights go out: the shepherd, stokerd or both die, and every unit's story is finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stoker.engines.base import Ended, Started, Unit, Withdrawn
from stoker.engines.local import LocalEngine
from stoker.shepherd.failpoints import FAILPOINTS
from support.engine import CONTENTS, Events, clear, lines, local_engine, script, unit, until

_STOKERD = """
import os, sys
from pathlib import Path
from support.engine import CONTENTS, Events, script
from stoker.engines.local import LocalEngine
engine = LocalEngine(Path(sys.argv[1]), CONTENTS.__getitem__)
events = Events()
engine.open(events)
engine.launch([script("1.0.batch", sys.argv[2]), script("2.0.batch", sys.argv[3])], {})
events.started("2.0.batch")
print("ready", flush=True)
sys.stdin.read()
"""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def shepherd_of(engine: LocalEngine) -> int:
    pid: int = engine.status()["pid"]
    return pid


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    return tmp_path / "witness"


def test_a_running_job_outlives_the_shepherd_and_its_exit_code_is_known(
    tmp_path: Path, witness: Path
) -> None:
    """R13, R14: the daemon, a subreaper, is its parent then; nothing is lost."""
    go = tmp_path / "go"
    os.mkfifo(go)
    with local_engine(tmp_path / "home") as (engine, events, _):
        text = f"echo start >> {witness}; read x < {go}; echo end >> {witness}; exit 42"
        engine.launch([script("1.0.batch", text)], {})
        started = events.started("1.0.batch")
        lines(witness)
        first = shepherd_of(engine)
        kill(first)
        until(lambda: shepherd_of(engine) not in (0, first), "another shepherd")
        events.wait(lambda: events.of("1.0.batch").count(started) == 2, "the adopted unit")
        go.write_text("go\n")
        end = events.ended("1.0.batch")
        assert (end.exit_code, end.status_known) == (42, True)
        assert end.usage is not None
        assert witness.read_text() == "start\nend\n"


def test_what_ended_while_nobody_watched_is_told_by_the_parent_that_it_fell_to(
    tmp_path: Path,
) -> None:
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch([unit("1.0.batch", "sleep", "60")], {})
        started = events.started("1.0.batch")
        os.kill(shepherd_of(engine), signal.SIGSTOP)
        pid = engine._shepherd_pid
        kill(started.pid)
        kill(pid)
        end = events.ended("1.0.batch")
        assert (end.signal, end.status_known) == (signal.SIGKILL, True)


def test_an_adopted_job_keeps_its_time_limit(tmp_path: Path) -> None:
    """R13."""
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch([unit("1.0.batch", "sleep", "60", time_limit_s=1.0)], {})
        started = events.started("1.0.batch")
        kill(shepherd_of(engine))
        end = events.ended("1.0.batch")
        assert end.why == "timeout"
        assert 1.0 <= end.at - started.at < 2.5


def test_an_adopted_tree_is_ended_with_all_that_left_it(tmp_path: Path, witness: Path) -> None:
    text = f"setsid sh -c 'echo $$ >> {witness}; sleep 61' & echo $$ >> {witness}; sleep 62"
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch([script("1.0.batch", text)], {})
        pids = [int(line) for line in lines(witness, 2)]
        first = shepherd_of(engine)
        kill(first)
        until(lambda: shepherd_of(engine) not in (0, first), "another shepherd")
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")
        for pid in pids:
            until(lambda pid=pid: is_gone(pid), f"the end of {pid}")


def is_gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rsplit(")", 1)[1].split()[0] in "ZX"


def test_what_waited_in_a_lane_is_withdrawn_and_never_started_by_guessing(
    tmp_path: Path, witness: Path
) -> None:
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch(
            [
                unit("1.0.batch", "sleep", "60", lane="l"),
                script("2.0.batch", f"echo ran >> {witness}", lane="l"),
            ],
            {},
        )
        events.started("1.0.batch")
        kill(shepherd_of(engine))
        events.withdrawn("2.0.batch")
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")
        assert not witness.exists()
        engine.acknowledge(["2.0.batch"])
        until(lambda: not engine.survey().queued and _is_forgotten(engine, "2.0.batch"), "the ack")
        engine.launch([script("2.0.batch", f"echo ran >> {witness}")], {})
        events.ended("2.0.batch")
        assert witness.read_text() == "ran\n"


def _is_forgotten(engine: LocalEngine, key: str) -> bool:
    return key not in {event.key for event in engine.survey().events}


def test_no_end_is_lost_in_a_storm_of_kills(tmp_path: Path, witness: Path) -> None:
    count = 400
    keys = [f"{number}.0.batch" for number in range(count)]
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch(
            [
                script(key, f"echo {key} >> {witness}; exit 7", lane=str(number % 4))
                for number, key in enumerate(keys)
            ],
            {},
        )
        for round_ in range(4):
            events.wait(
                lambda round_=round_: len({e.key for e in events.all}) > 30 * (round_ + 1), "some"
            )
            if pid := shepherd_of(engine):
                kill(pid)
        final = {}

        def all_told() -> bool:
            final.update({e.key: e for e in events.all if not isinstance(e, Started)})
            return len(final) == count

        events.wait(all_told, f"{count} last events")
        ran = witness.read_text().splitlines()
        assert len(ran) == len(set(ran)), "a unit ran twice"
        withdrawn = {key for key, event in final.items() if isinstance(event, Withdrawn)}
        assert not withdrawn & set(ran), "a unit ran that was said not to have started"
        for key, event in final.items():
            if isinstance(event, Ended) and event.status_known:
                assert event.exit_code == 7
                assert key in ran


@pytest.mark.parametrize("point", list(FAILPOINTS))
def test_killed_at_each_point_a_unit_runs_at_most_once_and_is_heard_of(
    tmp_path: Path, witness: Path, point: str
) -> None:
    """R10, H1: the intent is synced before the spawn, which is the claim of an attempt."""
    environment = {
        **os.environ,
        "STOKER_TEST_MODE": "1",
        "STOKER_FAILPOINTS": f"{point}=kill@{2 if point == 'reap' else 1}",
    }
    with local_engine(tmp_path / "home", environment=environment) as (engine, events, _):
        engine.launch([script("1.0.batch", f"echo ran >> {witness}; exit 5")], {})
        events.wait(
            lambda: any(not isinstance(event, Started) for event in events.of("1.0.batch")),
            "a last event",
        )
        last = next(e for e in events.of("1.0.batch") if not isinstance(e, Started))
        ran = witness.read_text() if witness.exists() else ""
        expected = {
            "intent": ("withdrawn", ""),
            "begin": ("withdrawn", ""),
            "spawn": ("lost", ""),
            "start": ("ended or lost", "ran\n"),
            "reap": ("ended", "ran\n"),
            "record": ("ended", "ran\n"),
            "report": ("ended", "ran\n"),
        }[point]
        assert type(last).__name__.lower() in expected[0]
        if expected[1]:
            until(lambda: witness.exists() and witness.read_text(), "the unit to have run")
        assert (witness.read_text() if witness.exists() else "") == expected[1]
        assert ran in ("", "ran\n")
        if isinstance(last, Ended) and last.status_known:
            assert last.exit_code == 5


@pytest.mark.parametrize("point", ["begin", "spawn", "start", "reap", "record", "report"])
def test_killed_while_units_follow_one_another_none_runs_twice_and_all_are_heard_of(
    tmp_path: Path, witness: Path, point: str
) -> None:
    """Their intents and ends are synced by another thread meanwhile."""
    keys = [f"{number}.0.batch" for number in range(240)]
    environment = {
        **os.environ,
        "STOKER_TEST_MODE": "1",
        "STOKER_FAILPOINTS": f"{point}=kill@{2 if point in ('record', 'report') else 30}",
    }
    with local_engine(tmp_path / "home", environment=environment) as (engine, events, _):
        first = shepherd_of(engine)
        text = "echo {} >> {}; exit 7"
        engine.launch([script(key, text.format(key, witness), lane="l") for key in keys], {})
        final: dict[str, object] = {}

        def all_told() -> bool:
            final.update({e.key: e for e in events.all if not isinstance(e, Started)})
            return len(final) == len(keys)

        events.wait(all_told, "the last events of all")
        assert shepherd_of(engine) != first, "it was not killed"
        ran = witness.read_text().splitlines()
        assert len(ran) == len(set(ran)), "a unit ran twice"
        known = {key for key, e in final.items() if isinstance(e, Ended) and e.status_known}
        assert known <= set(ran)
        withdrawn = {key for key, event in final.items() if isinstance(event, Withdrawn)}
        assert withdrawn, "nobody stood in the lane when it was killed"
        assert not withdrawn & set(ran), "a unit ran that was said not to have started"


def test_a_begun_unit_without_a_start_is_found_by_its_token(tmp_path: Path, witness: Path) -> None:
    environment = {**os.environ, "STOKER_TEST_MODE": "1", "STOKER_FAILPOINTS": "start=kill@1"}
    go = tmp_path / "go"
    os.mkfifo(go)
    with local_engine(tmp_path / "home", environment=environment) as (engine, events, _):
        text = f"echo $$ >> {witness}; read x < {go}; exit 6"
        engine.launch([script("1.0.batch", text, token=f"the-one-{os.getpid()}")], {})
        started = events.started("1.0.batch")
        assert [str(started.pid)] == lines(witness)
        go.write_text("\n")
        assert events.ended("1.0.batch").exit_code == 6


def test_jobs_do_not_notice_that_stokerd_dies_and_their_ends_are_kept(
    tmp_path: Path, witness: Path
) -> None:
    """R12, R13."""
    home, go = tmp_path / "home", tmp_path / "go"
    os.mkfifo(go)
    long = f"echo start >> {witness}; read x < {go}; echo end >> {witness}; exit 9"
    with subprocess.Popen(
        [sys.executable, "-c", _STOKERD, str(home), "exit 4", long],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as stokerd:
        assert stokerd.stdout is not None
        assert stokerd.stdout.readline() == b"ready\n"
        lines(witness)
        stokerd.kill()
    engine, events = LocalEngine(home, CONTENTS.__getitem__), Events()
    try:
        evidence = engine.open(events)
        assert set(evidence.running) <= {"1.0.batch", "2.0.batch"}
        assert "2.0.batch" in evidence.running
        ended = {event.key: event for event in evidence.events}
        short = ended.get("1.0.batch") or events.ended("1.0.batch")
        assert isinstance(short, Ended)
        assert short.exit_code == 4
        go.write_text("\n")
        assert events.ended("2.0.batch").exit_code == 9
        assert witness.read_text() == "start\nend\n"
        clear(engine)
    finally:
        engine.close()


def _records_while_one_runs(home: Path, *ended: Unit) -> list[list[Any]]:
    """Return what the journal says while 1.0.batch runs and *ended* have ended; then end all."""
    from stoker.shepherd.journal import read

    with local_engine(home) as (engine, events, _):
        engine.launch([unit("1.0.batch", "sleep", "60"), *ended], {})
        for each in ended:
            events.ended(each.key)
        events.started("1.0.batch")
        pid = shepherd_of(engine)
        directory = os.open(home, os.O_RDONLY)
        records, _ = read(directory)
        os.close(directory)
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")
        clear(engine)
    until(lambda: is_gone(pid), "the shepherd to go")
    return records


def test_a_job_of_another_boot_is_lost(tmp_path: Path) -> None:
    """R14."""
    from stoker.shepherd.journal import line_of

    home = tmp_path / "home"
    records = _records_while_one_runs(home, script("2.0.batch", "exit 3"))
    records = [["journal", 1, "another boot"] if r[0] == "journal" else r for r in records]
    (home / "shepherd.journal").write_bytes(b"".join(map(line_of, records)))
    with local_engine(home) as (_engine, _events, evidence):
        told = {event.key: event for event in evidence.events}
        assert type(told["1.0.batch"]).__name__ == "Lost"
        assert isinstance(told["2.0.batch"], Ended)
        assert told["2.0.batch"].exit_code == 3
        assert not evidence.running


def test_a_reused_pid_is_neither_believed_nor_signalled(tmp_path: Path) -> None:
    """R15."""
    from stoker.shepherd.journal import line_of

    home = tmp_path / "home"
    records = _records_while_one_runs(home)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        for record in records:
            if record[0] == "start":
                record[2] = stranger.pid
        (home / "shepherd.journal").write_bytes(b"".join(map(line_of, records)))
        with local_engine(home) as (_engine, _events, evidence):
            assert not evidence.running or _ended_soon(_events)
        assert stranger.poll() is None
        stranger.kill()


def _ended_soon(events: Events) -> bool:
    return not events.ended("1.0.batch").status_known


# A turn that breaks.


@pytest.fixture(params=["start", "reap", "report"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[LocalEngine, Events]]:
    """Give an engine whose shepherd breaks a turn at that point, once somebody runs."""
    count = 2 if request.param == "reap" else 1
    environment = {
        **os.environ,
        "STOKER_TEST_MODE": "1",
        "STOKER_FAILPOINTS": f"{request.param}=error:EIO@{count}",
    }
    with local_engine(tmp_path / "home", environment=environment) as (engine, events, _):
        yield engine, events
    log = (tmp_path / "home" / "log" / "shepherd.log").read_text()
    assert log.count("a defect of ours") == 1, log


def test_after_a_defect_the_same_process_begins_anew_and_hears_how_its_jobs_end(
    broken: tuple[LocalEngine, Events], witness: Path
) -> None:
    engine, events = broken
    pid = shepherd_of(engine)
    engine.launch([script("1.0.batch", f"echo >> {witness}; sleep 0.3; exit 7")], {})
    end = events.ended("1.0.batch")
    assert (end.exit_code, end.status_known, end.why) == (7, True, None)
    assert end.usage is not None
    assert shepherd_of(engine) == pid
    assert len(lines(witness)) == 1
    engine.acknowledge(["1.0.batch"])
    engine.launch([script("2.0.batch", "exit 3")], {})
    assert events.ended("2.0.batch").exit_code == 3


def test_a_job_that_ends_while_its_shepherd_begins_anew_is_reaped(
    broken: tuple[LocalEngine, Events],
) -> None:
    engine, events = broken
    engine.launch([script("1.0.batch", "exit 7")], {})
    end = events.ended("1.0.batch")
    assert (end.exit_code, end.status_known) == (7, True)


def test_who_is_to_follow_is_withdrawn_or_runs_when_a_turn_breaks(
    broken: tuple[LocalEngine, Events], witness: Path
) -> None:
    engine, events = broken
    keys = [f"{number}.0.batch" for number in range(1, 6)]
    engine.launch([script(key, f"echo {key} >> {witness}", lane="l") for key in keys], {})
    for key in keys:
        events.wait(lambda key=key: any(map(_is_last, events.of(key))), f"the end of {key}")
    ended = [key for key in keys if any(isinstance(event, Ended) for event in events.of(key))]
    assert sorted(witness.read_text().split()) == ended
    for key in ended:
        assert events.ended(key).status_known


@pytest.mark.parametrize("point", ["start", "reap"])
def test_a_defect_in_one_lane_takes_no_end_from_another(tmp_path: Path, point: str) -> None:
    environment = {
        **os.environ,
        "STOKER_TEST_MODE": "1",
        "STOKER_FAILPOINTS": f"{point}=error:EIO@8",
    }
    slow, behind = "1.0.batch", "2.0.batch"
    quick = [f"{number}.0.batch" for number in range(3, 15)]
    with local_engine(tmp_path / "home", environment=environment) as (engine, events, _):
        engine.launch(
            [script(slow, "sleep 0.5; exit 9", lane="a"), script(behind, "exit 8", lane="a")], {}
        )
        events.started(slow)
        engine.launch([script(key, "exit 7", lane="b") for key in quick], {})
        end = events.ended(slow)
        assert (end.exit_code, end.status_known) == (9, True)
        for key in (behind, *quick):
            events.wait(lambda key=key: any(map(_is_last, events.of(key))), f"the end of {key}")
        known = [each for each in events.all if isinstance(each, Ended) and each.key in quick]
        assert {(each.exit_code, each.status_known) for each in known} == {(7, True)}
    log = (tmp_path / "home" / "log" / "shepherd.log").read_text()
    assert log.count("a defect of ours") == 1, log


def _is_last(event: object) -> bool:
    return isinstance(event, Ended | Withdrawn)


def test_what_a_dead_leader_left_is_ended_after_a_defect(tmp_path: Path, witness: Path) -> None:
    environment = {
        **os.environ,
        "STOKER_TEST_MODE": "1",
        "STOKER_FAILPOINTS": "reap=error:EIO@2",
    }
    with local_engine(tmp_path / "home", environment=environment) as (engine, events, _):
        text = f"setsid sh -c 'echo $$ >> {witness}; sleep 61' & sleep 0.2; exit 5"
        engine.launch([script("1.0.batch", text)], {})
        (pid,) = [int(line) for line in lines(witness)]
        assert events.ended("1.0.batch").exit_code == 5
        until(lambda: is_gone(pid), f"the end of {pid}")


def test_who_was_asked_to_go_puts_the_last_ends_on_record_before(tmp_path: Path) -> None:
    """Ends follow one another faster than they are synced, and the last one is nobody's reason."""
    keys = [f"{number}.0.batch" for number in range(1, 21)]
    with local_engine(tmp_path / "home") as (engine, events, _):
        units = [unit(key, "sleep", f"{0.5 + place / 1000}") for place, key in enumerate(keys)]
        engine.launch(units, {})
        events.started(keys[-1])
        os.kill(shepherd_of(engine), signal.SIGTERM)
        ends = [events.ended(key) for key in keys]
    assert [end.status_known for end in ends] == [True] * len(keys)
