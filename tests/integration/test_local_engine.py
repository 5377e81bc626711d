from __future__ import annotations

import errno
import itertools
import os
import signal
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stoker.core.errors import StoreError
from stoker.engines import local
from stoker.engines.base import Ended, Engine, EngineEvent, Evidence, Started, Warn
from stoker.engines.local import LocalEngine
from stoker.engines.starting import start_shepherd
from support.engine import CONTENTS, Events, clear, lines, local_engine, script, unit, until

NUMBERS = itertools.count(1000)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory):
    with local_engine(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture
def engine(opened: tuple[LocalEngine, Events, Evidence]) -> LocalEngine:
    return opened[0]


@pytest.fixture
def events(opened: tuple[LocalEngine, Events, Evidence]) -> Events:
    opened[1].all.clear()
    return opened[1]


class EngineConformance:
    """What every engine must do; its fixtures are ``engine``, ``events`` and ``tmp_path``."""

    def test_a_unit_starts_runs_and_ends_with_its_exit_code(
        self, engine: Engine, events: Events, tmp_path: Path
    ) -> None:
        engine.launch([script("1.0.batch", "echo out; exit 3", stdout=str(tmp_path / "out"))], {})
        end = events.ended("1.0.batch")
        assert (end.exit_code, end.signal, end.status_known, end.why) == (3, 0, True, None)
        assert [type(event) for event in events.of("1.0.batch")] == [Started, Ended]
        assert (tmp_path / "out").read_text() == "out\n"
        engine.acknowledge(["1.0.batch"])

    def test_a_signal_that_ends_a_unit_is_told(self, engine: Engine, events: Events) -> None:
        engine.launch([script("2.0.batch", "kill -SEGV $$")], {})
        end = events.ended("2.0.batch")
        assert (end.exit_code, end.signal) == (0, signal.SIGSEGV)

    def test_a_unit_that_is_known_is_not_run_again(
        self, engine: Engine, events: Events, tmp_path: Path
    ) -> None:
        witness = tmp_path / "witness"
        once = script("3.0.batch", f"echo ran >> {witness}")
        engine.launch([once], {})
        events.ended("3.0.batch")
        events.all.clear()
        engine.launch([once], {})
        events.ended("3.0.batch")
        assert witness.read_text() == "ran\n"

    def test_ends_are_kept_until_they_are_acknowledged(
        self, engine: Engine, events: Events
    ) -> None:
        engine.launch([script("4.0.batch", "exit 4")], {})
        end = events.ended("4.0.batch")
        assert end in engine.survey().events
        engine.acknowledge(["4.0.batch"])
        until(lambda: end not in engine.survey().events, "the end to be forgotten")

    def test_units_of_a_lane_run_one_after_the_other_in_their_order(
        self, engine: Engine, events: Events, tmp_path: Path
    ) -> None:
        witness = tmp_path / "witness"
        keys = [fresh_key() for _ in range(20)]
        text = f'echo "start $0" >> {witness}; echo "end $0" >> {witness}'
        units = [unit(key, "/bin/sh", "-c", text, key, lane="lane") for key in keys]
        engine.launch(units, {})
        events.ended(keys[-1])
        expected = [f"{what} {key}" for key in keys for what in ("start", "end")]
        assert witness.read_text().splitlines() == expected

    def test_a_waiting_unit_is_withdrawn_and_a_running_one_answers_that_it_runs(
        self, engine: Engine, events: Events
    ) -> None:
        engine.launch(
            [unit("6.0.batch", "sleep", "60", lane="w"), unit("7.0.batch", "true", lane="w")], {}
        )
        started = events.started("6.0.batch")
        engine.withdraw(["7.0.batch", "6.0.batch"])
        events.withdrawn("7.0.batch")
        events.wait(lambda: events.of("6.0.batch").count(started) == 2, "a second Started")
        engine.end("6.0", "cancelled", 0.0)
        assert events.ended("6.0.batch").signal == signal.SIGKILL

    def test_what_was_withdrawn_says_so_once_however_often_it_is_asked_for(
        self, engine: Engine, events: Events
    ) -> None:
        """Told again, it would be taken for the end of a unit launched later under that key."""
        engine.launch(
            [unit("86.0.batch", "sleep", "60", lane="w2"), unit("87.0.batch", "true", lane="w2")],
            {},
        )
        started = events.started("86.0.batch")
        for _ in range(3):
            engine.withdraw(["87.0.batch", "86.0.batch"])
        events.wait(lambda: events.of("86.0.batch").count(started) == 4, "a fourth Started")
        assert len(events.of("87.0.batch")) == 1
        engine.end("86.0", "cancelled", 0.0)
        events.ended("86.0.batch")

    def test_the_next_of_a_lane_does_not_wait_for_one_that_was_withdrawn(
        self, engine: Engine, events: Events
    ) -> None:
        names = ("11.0.batch", "12.0.batch", "13.0.batch")
        engine.launch([unit(name, "sleep", "60", lane="v") for name in names], {})
        events.started(names[0])
        engine.withdraw([names[1]])
        engine.end("11.0", "cancelled", 0.0)
        events.started(names[2])
        engine.end("13.0", "cancelled", 0.0)
        events.ended(names[2])

    def test_the_tree_gets_term_and_its_time_to_obey(
        self, engine: Engine, events: Events, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        # A shell's child has the shell's trap until it executes, and would lose the signal.
        text = "trap 'echo obeyed; exit 7' TERM; sh -c 'echo ready; exec sleep 60' & wait"
        engine.launch([script("14.0.batch", text, stdout=str(out))], {})
        lines(out)
        engine.end("14.0", "cancelled", 10.0)
        end = events.ended("14.0.batch", limit_s=5.0)
        assert (end.exit_code, end.why) == (7, "cancelled")
        assert lines(out) == ["ready", "obeyed"]

    def test_what_does_not_obey_is_killed(
        self, engine: Engine, events: Events, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        text = "trap '' TERM; echo ready; while :; do sleep 1; done"
        engine.launch([script("15.0.batch", text, stdout=str(out))], {})
        lines(out)
        engine.end("15.0", "cancelled", 0.2)
        assert events.ended("15.0.batch").signal == signal.SIGKILL

    def test_a_time_limit_ends_the_unit_and_says_so(self, engine: Engine, events: Events) -> None:
        engine.launch([unit("16.0.batch", "sleep", "60", time_limit_s=0.2)], {})
        end = events.ended("16.0.batch")
        assert (end.signal, end.why) == (signal.SIGTERM, "timeout")
        assert 0.2 <= end.at - events.started("16.0.batch").at < 1.2

    def test_a_warning_comes_before_the_limit(
        self, engine: Engine, events: Events, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        text = "trap 'echo warned; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
        warning = Warn(signal.SIGUSR1, before_end_s=29.5, leader_only=True)
        engine.launch(
            [script("17.0.batch", text, stdout=str(out), time_limit_s=30.0, warnings=(warning,))],
            {},
        )
        assert events.ended("17.0.batch").exit_code == 0
        assert lines(out, 2) == ["ready", "warned"]

    def test_a_changed_limit_counts_from_the_start(self, engine: Engine, events: Events) -> None:
        engine.launch([unit("18.0.batch", "sleep", "60", time_limit_s=3600.0)], {})
        events.started("18.0.batch")
        engine.limit("18.0", 0.1)
        assert events.ended("18.0.batch").why == "timeout"

    def test_suspended_time_does_not_count(self, engine: Engine, events: Events) -> None:
        engine.launch([unit("19.0.batch", "sleep", "60", time_limit_s=0.6)], {})
        pid = events.started("19.0.batch").pid
        engine.suspend("19.0")
        until(lambda: _state(pid) == "T", "a stopped process")
        with pytest.raises(AssertionError, match="waited"):
            events.ended("19.0.batch", limit_s=1.0)
        engine.resume("19.0")
        end = events.ended("19.0.batch")
        assert end.why == "timeout"
        assert end.at - events.started("19.0.batch").at > 1.5

    def test_a_suspended_unit_can_be_ended(self, engine: Engine, events: Events) -> None:
        engine.launch([unit("20.0.batch", "sleep", "60")], {})
        pid = events.started("20.0.batch").pid
        engine.suspend("20.0")
        until(lambda: _state(pid) == "T", "a stopped process")
        engine.end("20.0", "cancelled", 10.0)
        assert events.ended("20.0.batch", limit_s=5.0).signal == signal.SIGTERM

    def test_signals_reach_the_leader_alone_or_the_steps_alone(
        self, engine: Engine, events: Events, tmp_path: Path
    ) -> None:
        out, step_out = tmp_path / "out", tmp_path / "step"
        text = "trap 'echo got' USR1; echo ready; while :; do :; done"
        engine.launch(
            [
                script("21.0.batch", text, stdout=str(out)),
                script("21.0.0.0", text, stdout=str(step_out)),
            ],
            {},
        )
        lines(out)
        lines(step_out)
        engine.signal("21.0", signal.SIGUSR1, "leader")
        assert lines(out, 2) == ["ready", "got"]
        engine.signal("21.0", signal.SIGUSR1, "children")
        assert lines(step_out, 2) == ["ready", "got"]
        engine.signal_unit("21.0.0.0", signal.SIGUSR1)
        assert lines(step_out, 3) == ["ready", "got", "got"]
        assert lines(out) == ["ready", "got"]
        engine.end("21.0", "cancelled", 0.0)
        events.ended("21.0.batch")

    def test_when_the_leader_ends_its_steps_are_ended(self, engine: Engine, events: Events) -> None:
        engine.launch([unit("22.0.0.0", "sleep", "60"), script("22.0.batch", "sleep 0.1")], {})
        assert events.ended("22.0.batch").exit_code == 0
        step = events.ended("22.0.0.0")
        assert (step.signal, step.why) == (signal.SIGTERM, "leader")

    def test_a_unit_has_a_limit_of_its_own_that_may_change(
        self, engine: Engine, events: Events
    ) -> None:
        batch, step = unit("29.0.batch", "sleep", "60"), unit("29.0.0.0", "sleep", "60")
        engine.launch([batch, step], {})
        events.started("29.0.0.0")
        engine.limit_unit("29.0.0.0", 0.01)
        assert events.ended("29.0.0.0").why == "limit"
        assert "29.0.batch" in engine.survey().running
        engine.end("29.0", "cancelled", 0.0)
        events.ended("29.0.batch")

    def test_one_unit_ends_and_its_group_goes_on(self, engine: Engine, events: Events) -> None:
        engine.launch([unit("23.0.batch", "sleep", "60"), unit("23.0.0.0", "sleep", "60")], {})
        events.started("23.0.0.0")
        engine.end_unit("23.0.0.0", "cancelled", 5.0)
        assert events.ended("23.0.0.0").signal == signal.SIGTERM
        assert "23.0.batch" in engine.survey().running
        engine.end("23.0", "cancelled", 0.0)
        events.ended("23.0.batch")

    def test_a_program_that_is_not_there_fails_and_names_it(
        self, engine: Engine, events: Events
    ) -> None:
        engine.launch([unit("24.0.batch", "/no/such/program")], {})
        failure = events.failed("24.0.batch")
        assert (failure.step, failure.errno) == ("exec", errno.ENOENT)
        assert failure.path == "/no/such/program"


class TestLocalEngine(EngineConformance):
    """The shepherd on this machine."""


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


# What a process inherits.


def fresh_key() -> str:
    return f"{next(NUMBERS)}.0.batch"


def run(engine: LocalEngine, events: Events, tmp_path: Path, text: str, **changes: object) -> str:
    out = tmp_path / "output"
    key = fresh_key()
    engine.launch([script(key, text, **{"stdout": str(out), **changes})], {})
    events.ended(key)
    return out.read_text()


def test_directory_umask_and_files_are_as_asked(engine, events, tmp_path) -> None:
    output = run(engine, events, tmp_path, "pwd; umask; touch made", cwd=str(tmp_path), umask=0o027)
    assert output == f"{tmp_path}\n0027\n"
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "output").stat().st_mode) == 0o640


def test_a_missing_directory_is_said_in_the_output_and_the_job_runs_in_tmp(
    engine, events, tmp_path
) -> None:
    said = (
        "slurmstepd: error: couldn't chdir to `/no/such/dir': No such file or directory: "
        "going to /tmp instead\n"
    )
    assert run(engine, events, tmp_path, "pwd", cwd="/no/such/dir") == 2 * said + "/tmp\n"


def test_the_environment_is_the_named_one_with_its_overrides(engine, events, tmp_path) -> None:
    out = tmp_path / "out"
    changes = {"NEW": "with\nnewline", "HOME": None, "BYTES": "\udcff\udcfe"}
    engine.launch(
        [unit("31.0.batch", "env", "-0", environment=changes, stdout=str(out), token="t31")], {}
    )
    events.ended("31.0.batch")
    assert dict(entry.split(b"=", 1) for entry in out.read_bytes().split(b"\0")[:-1]) == {
        b"PATH": b"/usr/local/bin:/usr/bin:/bin",
        b"ODD": b"\xff\xfe",
        b"NEW": b"with\nnewline",
        b"BYTES": b"\xff\xfe",
        b"STOKER_TOKEN": b"t31",
    }


def test_paths_and_arguments_may_be_any_bytes(engine, events, tmp_path) -> None:
    name = os.fsdecode(b"out\xff\n")
    engine.launch([unit("32.0.batch", "printf", "%s", "\udcfe", stdout=f"{tmp_path}/{name}")], {})
    events.ended("32.0.batch")
    assert (tmp_path / name).read_bytes() == b"\xfe"


def test_a_job_holds_three_descriptors_and_no_signal_is_blocked_or_ignored(
    engine, events, tmp_path
) -> None:
    text = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status"
    output = run(engine, events, tmp_path, text)
    *descriptors, _, blocked, _, ignored = output.split()
    # The fourth is ls's own, of the directory that it lists.
    assert descriptors == ["0", "1", "2", "3"]
    assert int(blocked, 16) == 0
    # Two that the C library keeps to itself, and ignores in all that it spawns.
    assert int(ignored, 16) & ~(1 << 31 | 1 << 32) == 0


def test_a_job_leads_a_session_of_its_own(engine, events, tmp_path) -> None:
    engine.launch([unit("33.0.batch", "cat", "/proc/self/stat", stdout=str(tmp_path / "stat"))], {})
    events.ended("33.0.batch")
    fields = (tmp_path / "stat").read_text().rsplit(")", 1)[1].split()
    pid = str(events.started("33.0.batch").pid)
    assert fields[2:4] == [pid, pid]


def test_cores_are_as_asked_and_the_next_job_has_all(engine, events, tmp_path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    text = "grep Cpus_allowed_list /proc/self/status"
    one = run(engine, events, tmp_path, text, cpus=[cores[-1]])
    assert one.split()[1] == str(cores[-1])
    own = Path("/proc/self/status").read_text()
    assert run(engine, events, tmp_path, text) in own


def test_limits_hold_for_the_job_and_not_for_the_next(engine, events, tmp_path) -> None:
    """R31: a limit of processes is the job's own."""
    text = "ulimit -S -n; ulimit -H -n; ulimit -S -c; ulimit -S -t; ulimit -S -s"
    limits = {"nofile": (100, 200), "core": (0, 0), "cpu": (900, 1000), "stack": (4 << 20, -1)}
    before = run(engine, events, tmp_path, text)
    assert run(engine, events, tmp_path, text, rlimits=limits).split() == [
        *("100", "200", "0", "900", "4096"),
    ]
    assert run(engine, events, tmp_path, text) == before


def test_niceness_is_added(engine, events, tmp_path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert run(engine, events, tmp_path, "nice", nice=5).strip() == str(own + 5)


def test_a_job_can_be_told_its_own_pid(engine, events, tmp_path) -> None:
    text = "echo $$ $OWN; grep ^SigIgn /proc/self/status"
    own, told, _, ignored = run(engine, events, tmp_path, text, pid_variable="OWN").split()
    assert own == told
    # Two signals are the C library's own: whoever runs us may have been started ignoring them.
    of_the_library = 0b11 << 31
    assert int(ignored, 16) & ~of_the_library == 0


def test_units_of_a_lane_that_follow_one_another_are_not_told_their_pid(
    engine, events, tmp_path
) -> None:
    outs = [str(tmp_path / str(number)) for number in range(3)]
    keys = [fresh_key() for _ in outs]
    engine.launch(
        [
            script(key, "echo $OWN", stdout=out, lane="a", pid_variable="OWN")
            for key, out in zip(keys, outs, strict=True)
        ],
        {},
    )
    for key in keys:
        events.ended(key)
    assert [Path(out).read_text() for out in outs] == ["\n"] * 3


def test_a_unit_alone_in_its_lane_is_told_its_pid(engine, events, tmp_path) -> None:
    told = run(engine, events, tmp_path, "test $$ = $OWN; echo $?", lane="b", pid_variable="OWN")
    assert told == "0\n"


def test_truncate_and_append(engine, events, tmp_path) -> None:
    out = tmp_path / "output"
    out.write_text("old\n")
    assert run(engine, events, tmp_path, "echo new", open_mode="append") == "old\nnew\n"
    assert run(engine, events, tmp_path, "echo newer", open_mode="truncate") == "newer\n"


def test_output_and_errors_go_to_one_file_or_two(engine, events, tmp_path) -> None:
    text = "echo out; echo err >&2"
    assert run(engine, events, tmp_path, text) == "out\nerr\n"
    assert run(engine, events, tmp_path, text, stderr=str(tmp_path / "err")) == "out\n"
    assert (tmp_path / "err").read_text() == "err\n"
    same = run(engine, events, tmp_path, text, stderr=str(tmp_path / "output"))
    assert same == "out\nerr\n"


def test_descriptors_of_a_client_become_the_units(engine, events, tmp_path) -> None:
    reading, writing = os.pipe()
    with (tmp_path / "in").open("w+b") as stdin:
        stdin.write(b"typed\n")
        stdin.flush()
        stdin.seek(0)
        streams = {"stdin": {"fd": 0}, "stdout": {"fd": 1}, "stderr": {"fd": 1}}
        steps = [unit(f"34.0.0.{task}", "cat", **streams) for task in range(3)]
        try:
            engine.launch(steps, {step.key: [stdin.fileno(), writing] for step in steps})
        finally:
            os.close(writing)
        with os.fdopen(reading, "rb") as output:
            assert output.read() == b"typed\n"
    for step in steps:
        assert events.ended(step.key).exit_code == 0


def test_more_descriptors_than_one_frame_carries(engine, events) -> None:
    reading, writing = os.pipe()
    stdout = {"fd": 0}
    steps = [unit(f"35.0.0.{task}", "echo", "x", stdout=stdout) for task in range(300)]
    engine.launch(steps, {step.key: [writing] for step in steps})
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        assert output.read() == b"x\n" * 300
    for step in steps:
        events.ended(step.key)


def test_a_pipe_with_a_name_does_not_hold_up_the_shepherd(engine, events, tmp_path) -> None:
    """R21."""
    os.mkfifo(tmp_path / "pipe")
    engine.launch(
        [
            unit("36.0.batch", "true", stdout=str(tmp_path / "pipe")),
            unit("37.0.batch", "true", stdin=str(tmp_path / "pipe")),
        ],
        {},
    )
    failure = events.failed("36.0.batch")
    assert (failure.step, failure.errno) == ("stdout", errno.ENXIO)
    assert events.ended("37.0.batch").exit_code == 0


@pytest.mark.parametrize(
    ("make", "changes", "step", "number"),
    [
        ("directory", {"stdout": "{}"}, "stdout", errno.EISDIR),
        ("nothing", {"stdout": "{}/deeper/out"}, "stdout", errno.ENOENT),
        ("nothing", {"stdin": "{}"}, "stdin", errno.ENOENT),
        ("directory", {"stderr": "{}"}, "stderr", errno.EISDIR),
        ("plain", {"argv": ["{}"]}, "exec", errno.EACCES),
        ("binary", {"argv": ["{}"]}, "exec", errno.ENOEXEC),
        ("orphan", {"argv": ["{}"]}, "exec", errno.ENOENT),
        ("nothing", {"argv": ["nosuchcommand"]}, "exec", errno.ENOENT),
        ("nothing", {"argv": ["true", "x" * 200_000]}, "exec", errno.E2BIG),
        ("nothing", {"argv": ["true", "a\0b"]}, "exec", errno.EINVAL),
        ("nothing", {"argv": []}, "exec", errno.EINVAL),
        ("nothing", {"environment_key": ""}, "exec", errno.ENOENT),
        ("nothing", {"environment_key": "", "argv": ["/bin/true"]}, None, 0),
    ],
)
def test_what_cannot_start_says_at_which_step_and_why(
    engine, events, tmp_path, make, changes, step, number
) -> None:
    """R21: and the path."""
    place = tmp_path / "thing"
    if make == "directory":
        place.mkdir()
    elif make != "nothing":
        content = {"plain": "#!/bin/sh\n", "binary": "\0\1\2", "orphan": "#!/no/such/shell\n"}
        place.write_text(content[make])
        place.chmod(0o644 if make == "plain" else 0o755)
    key = fresh_key()
    filled = {
        name: value.format(place)
        if isinstance(value, str)
        else [word.format(place) for word in value]
        for name, value in changes.items()
    }
    engine.launch([unit(key, "true", lane="after", **filled)], {})
    if step is None:
        assert events.ended(key).exit_code == 0
        return
    failure = events.failed(key)
    assert (failure.step, failure.errno) == (step, number)
    after = fresh_key()
    engine.launch([unit(after, "true", lane="after")], {})
    events.ended(after)


def test_a_notice_is_written_when_a_job_is_ended(engine, events, tmp_path) -> None:
    out = tmp_path / "out"
    notices = {"cancelled": "*** CANCELLED AT {time} ***\n"}
    engine.launch(
        [script("38.0.batch", "echo ready; sleep 60", stdout=str(out), notices=notices)], {}
    )
    lines(out)
    engine.end("38.0", "cancelled", 5.0)
    events.ended("38.0.batch")
    first, second = lines(out, 2)
    assert first == "ready"
    assert second.startswith("*** CANCELLED AT 20")
    assert len(second) == len("*** CANCELLED AT 2026-11-24T23:53:19 ***")


def test_usage_is_what_the_kernel_counted(engine, events) -> None:
    text = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
    engine.launch([script("39.0.batch", text)], {})
    usage = events.ended("39.0.batch").usage
    assert usage is not None
    assert usage.utime_s + usage.stime_s > 0.002
    assert usage.maxrss_kib > 500


def test_status_names_the_shepherd_and_counts(engine, events) -> None:
    engine.launch([unit("40.0.batch", "sleep", "60")], {})
    events.started("40.0.batch")
    status = engine.status()
    assert status["running"] == 1
    assert Path(f"/proc/{status['pid']}/cwd").samefile("/")
    engine.end("40.0", "cancelled", 0.0)
    events.ended("40.0.batch")


# What goes wrong between the engine and its listener, or the shepherd.


def test_a_shepherd_that_dies_before_it_has_answered_is_replaced(tmp_path, monkeypatch) -> None:
    started: list[int] = []

    def start_and_kill(home: Path, **options: object) -> int:
        started.append(start_shepherd(home, **options))
        if len(started) == 1:
            # It listens, so that one can connect, but it will never answer.
            os.kill(started[0], signal.SIGSTOP)
            threading.Timer(0.2, os.kill, (started[0], signal.SIGKILL)).start()
        return started[-1]

    monkeypatch.setattr("stoker.engines.access.start_shepherd", start_and_kill)
    with local_engine(tmp_path) as (engine, events, evidence):
        assert len(started) == 2
        assert not evidence.running
        engine.launch([unit("1.0.batch", "true")], {})
        assert events.ended("1.0.batch").exit_code == 0


class Moody(Events):
    """A listener that raises as long as a test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.refused: list[EngineEvent] = []

    def __call__(self, told: Sequence[EngineEvent]) -> None:
        if self.error is not None:
            self.refused += told
            raise self.error
        super().__call__(told)


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[tuple[LocalEngine, Moody]]:
    engine, listener = LocalEngine(tmp_path, CONTENTS.__getitem__), Moody()
    engine.open(listener)
    yield engine, listener
    listener.error = None
    clear(engine)
    engine.close()


def test_what_the_listener_could_not_take_comes_again_in_its_order(moody) -> None:
    engine, events = moody
    events.error = RuntimeError("a defect")
    engine.launch([script("1.0.batch", "exit 3")], {})
    until(lambda: any(isinstance(each, Ended) for each in events.refused), "an end, refused")
    assert not events.all
    events.error = None
    assert events.ended("1.0.batch").exit_code == 3
    assert [type(each) for each in events.of("1.0.batch")] == [Started, Ended]


def test_what_the_listener_keeps_itself_does_not_come_again(moody) -> None:
    engine, events = moody
    events.error = StoreError("the disk is full")
    engine.launch([unit("1.0.batch", "true")], {})
    until(lambda: any(isinstance(each, Ended) for each in events.refused), "an end, refused")
    events.error = None
    engine.launch([unit("2.0.batch", "true")], {})
    events.ended("2.0.batch")
    assert not events.of("1.0.batch")


def test_the_end_of_a_unit_that_was_launched_anew_is_not_told_late(moody) -> None:
    engine, events = moody
    events.error = RuntimeError("a defect")
    engine.launch([script("1.0.batch", "exit 3")], {})
    until(lambda: any(isinstance(each, Ended) for each in events.refused), "an end, refused")
    engine.acknowledge(["1.0.batch"])
    engine.launch([script("1.0.batch", "exit 4")], {})
    events.error = None
    assert events.ended("1.0.batch").exit_code == 4
    assert [each.exit_code for each in events.of("1.0.batch") if isinstance(each, Ended)] == [4]


def test_a_thread_that_outlives_its_engine_reads_nothing_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_CLOSE_TIMEOUT_S", 0.1)
    stuck, goes_on = threading.Event(), threading.Event()

    def take(_: Sequence[EngineEvent]) -> None:
        stuck.set()
        goes_on.wait(20)

    engine, events = LocalEngine(tmp_path, CONTENTS.__getitem__), Events()
    engine.open(take)
    engine.launch([script("1.0.batch", "sleep 60")], {})
    assert stuck.wait(20)
    older = engine._thread
    engine.close()
    engine.open(events)
    try:
        goes_on.set()
        assert older is not None
        older.join(20)
        assert not older.is_alive()
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")
    finally:
        engine.close()


def test_a_machine_short_of_descriptors_for_a_while_does_not_leave_us_deaf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([OSError(errno.EMFILE, "none left"), OSError(errno.EAGAIN, "no room")])
    with local_engine(tmp_path) as (engine, events, _):
        engine.launch([script("1.0.batch", "sleep 60")], {})
        events.started("1.0.batch")
        start = engine._access.start

        def start_later(*, with_failpoints: bool) -> int:
            if (failure := next(failures, None)) is not None:
                raise failure
            return start(with_failpoints=with_failpoints)

        monkeypatch.setattr(engine._access, "start", start_later)
        os.kill(int(engine.status()["pid"]), signal.SIGKILL)
        until(lambda: engine.status().get("pid"), "another shepherd")
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")
