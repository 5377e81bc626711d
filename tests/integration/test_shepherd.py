"""The shepherd in hostile surroundings: bad peers, no descriptors, no disk, stray signals."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import stoker
from stoker.core.errors import EngineError
from stoker.engines.base import Ended, Withdrawn
from stoker.engines.local import LocalEngine
from support.engine import CONTENTS, Events, clear, lines, local_engine, script, unit, until

_PROGRAM = Path(stoker.__file__).parent / "shepherd" / "__main__.py"
_LIMIT_S = 20.0


@contextlib.contextmanager
def shepherd(home: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a shepherd by itself; on the way out it is killed."""
    home.mkdir(exist_ok=True)
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", _PROGRAM, home, "--ready-fd", str(writing)],
        pass_fds=(writing,),
        env={"PATH": os.environ["PATH"], **environment},
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            process.verdict = ready.read().decode()  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            process.kill()


def connect(home: Path) -> socket.socket:
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(socket.socket(socket.AF_UNIX))
        peer.settimeout(_LIMIT_S)
        directory = os.open(home / "run", os.O_PATH)
        stack.callback(os.close, directory)
        peer.connect(f"/proc/self/fd/{directory}/shepherd.sock")
        stack.pop_all()
        os.close(directory)
        return peer


def frame(message: object) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body


def receive(peer: socket.socket) -> dict[str, object]:
    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = peer.recv(count - len(data))
            assert chunk, "the shepherd hung up"
            data += chunk
        return data

    (length,) = struct.unpack("!I", exactly(4))
    message: dict[str, object] = json.loads(exactly(length))
    return message


def says_nothing_more(peer: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return peer.recv(1) == b""
    return True


# Starting and going.


def test_it_starts_quickly_in_a_long_path_and_is_small(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    with shepherd(home) as process:
        assert process.verdict == "1"
        with connect(home) as peer:
            peer.sendall(frame({"type": "hello", "version": 1}))
            assert receive(peer)["pid"] == process.pid
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        (pss,) = [int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:"]
        assert pss < 15 * 1024, f"{pss} KiB"
        modules = Path(f"/proc/{process.pid}/maps").read_text()
        assert "msgspec" not in modules


def test_its_files_are_private(tmp_path: Path) -> None:
    with shepherd(tmp_path):
        modes = {
            name: (tmp_path / name).stat().st_mode & 0o777
            for name in ("run", "run/shepherd.sock", "run/shepherd.lock", "shepherd.journal")
        }
    assert modes == {
        "run": 0o700,
        "run/shepherd.sock": 0o600,
        "run/shepherd.lock": 0o600,
        "shepherd.journal": 0o600,
    }


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run").chmod(0o755)
    with shepherd(tmp_path) as process:
        assert "must be ours alone" in process.verdict
        assert process.wait(_LIMIT_S) == 1


def test_a_second_one_goes_and_names_the_first(tmp_path: Path) -> None:
    """R9: for the shepherd, too."""
    with shepherd(tmp_path) as first, shepherd(tmp_path) as second:
        assert f"shepherd {first.pid} does" in second.verdict
        assert second.wait(_LIMIT_S) == 1
        with connect(tmp_path) as peer:
            peer.sendall(frame({"type": "status"}))
            assert receive(peer)["type"] == "status"


def test_failpoints_outside_of_a_test_are_refused(tmp_path: Path) -> None:
    with shepherd(tmp_path, STOKER_FAILPOINTS="begin=kill") as process:
        assert "STOKER_FAILPOINTS" in process.verdict
        assert process.wait(_LIMIT_S) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_sends_it_away_when_nothing_runs(tmp_path: Path, number: int) -> None:
    with shepherd(tmp_path) as process:
        process.send_signal(number)
        assert process.wait(_LIMIT_S) == 0
        assert not (tmp_path / "run" / "shepherd.sock").exists()


def test_signals_do_not_take_running_jobs_their_parent(tmp_path: Path) -> None:
    """R28."""
    with local_engine(tmp_path) as (engine, events, _):
        engine.launch([unit("1.0.batch", "sleep", "60")], {})
        events.started("1.0.batch")
        pid = engine.status()["pid"]
        harmless = signal.valid_signals() - {
            *(signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE),
            *(signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS),
        }
        for number in harmless:
            os.kill(pid, number)
        assert engine.status()["pid"] == pid
        assert engine.status()["running"] == 1
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")


def test_an_idle_one_goes_with_its_engine(tmp_path: Path) -> None:
    engine = LocalEngine(tmp_path, CONTENTS.__getitem__)
    engine.open(Events())
    pid = engine.status()["pid"]
    engine.close()
    until(lambda: not Path(f"/proc/{pid}").exists(), "the shepherd to go")


def test_the_engine_says_why_a_shepherd_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(EngineError, match="must be ours alone"):
        LocalEngine(tmp_path, CONTENTS.__getitem__).open(Events())


def test_an_engine_that_was_replaced_comes_back_when_nobody_else_is_there(
    tmp_path: Path,
) -> None:
    with local_engine(tmp_path) as (engine, events, _):
        with connect(tmp_path) as other:
            other.sendall(frame({"type": "hello"}))
            assert receive(other)["type"] == "welcome"
            engine.launch([script("1.0.batch", "exit 3")], {})
        assert isinstance(events.withdrawn("1.0.batch"), Withdrawn)


# Bad peers.


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!I", 0xFFFFFFFF),
        frame(b"{not json"),
        frame(b"[1, 2]"),
        frame(b"[" * 100_000),
        frame({"type": "nonsense"}),
        frame({"type": ["list"]}),
        frame({"type": "launch", "units": []}),
        frame({"type": "hello"}) + frame({"type": "launch", "units": [{"key": 1}]}),
        frame({"type": "hello"}) + frame({"type": "launch", "units": 7}),
        frame({"type": "hello"}) + frame({"type": "launch", "units": [], "descriptors": 9}),
        frame({"type": "hello"}) + frame({"type": "launch", "units": [], "descriptors": -1}),
        frame({"type": "hello"}) + frame({"type": "ack", "keys": 3}),
        frame({"type": "hello"}) + frame({"type": "signal", "number": 9}),
    ],
)
def test_a_peer_that_talks_nonsense_loses_its_connection_only(
    tmp_path: Path, content: bytes
) -> None:
    with shepherd(tmp_path), connect(tmp_path) as peer, connect(tmp_path) as other:
        with contextlib.suppress(BrokenPipeError):
            peer.sendall(content)
        while not says_nothing_more(peer):
            pass
        other.sendall(frame({"type": "status"}))
        assert receive(other)["type"] == "status"


def test_a_frame_in_single_bytes_is_understood(tmp_path: Path) -> None:
    with shepherd(tmp_path), connect(tmp_path) as peer:
        for byte in frame({"type": "status"}):
            peer.sendall(bytes([byte]))
        assert receive(peer)["type"] == "status"


def test_descriptors_that_nobody_asked_for_are_closed(tmp_path: Path) -> None:
    with shepherd(tmp_path) as process:
        before = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208 - names only
        with connect(tmp_path) as peer:
            socket.send_fds(peer, [frame({"type": "hello"})], [0] * 50)
            with contextlib.suppress(AssertionError, ConnectionResetError):
                while receive(peer):
                    pass
        until(
            lambda: len(os.listdir(f"/proc/{process.pid}/fd")) == before,  # noqa: PTH208
            "as few descriptors as before",
        )


def test_a_newer_stokerd_replaces_the_older(tmp_path: Path) -> None:
    with shepherd(tmp_path), connect(tmp_path) as older, connect(tmp_path) as newer:
        older.sendall(frame({"type": "hello"}))
        assert receive(older)["type"] == "welcome"
        newer.sendall(frame({"type": "hello"}))
        assert receive(newer)["type"] == "welcome"
        assert receive(older)["type"] == "replaced"
        assert says_nothing_more(older)


def test_a_peer_that_never_reads_is_dropped_and_jobs_go_on(tmp_path: Path) -> None:
    with local_engine(tmp_path) as (engine, events, _), connect(tmp_path) as deaf:
        with contextlib.suppress(OSError):
            deaf.settimeout(0.2)
            for _ in range(20_000):
                deaf.sendall(frame({"type": "status"}))
        engine.launch([script("1.0.batch", "exit 2")], {})
        assert events.ended("1.0.batch").exit_code == 2


# Want.


def test_without_descriptors_units_are_put_off_and_peers_served_when_there_are_some_again(
    tmp_path: Path,
) -> None:
    """R26."""
    with local_engine(tmp_path) as (engine, events, _), contextlib.ExitStack() as stack:
        pid = engine.status()["pid"]
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        engine.launch([unit("1.0.batch", "true", stdout=str(tmp_path / "out"))], {})
        failure = events.failed("1.0.batch")
        assert (failure.step, failure.errno) == ("fork", errno.EMFILE)
        before = _cpu_ticks(pid)
        peers = [stack.enter_context(connect(tmp_path)) for _ in range(3)]
        for peer in peers:
            peer.sendall(frame({"type": "status"}))
        with pytest.raises(AssertionError, match="waited"):
            events.ended("1.0.batch", limit_s=1.0)
        assert _cpu_ticks(pid) - before < 30, "it spins"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for peer in peers:
            assert receive(peer)["type"] == "status"
        engine.launch([script("2.0.batch", "exit 5", stdout=str(tmp_path / "out"))], {})
        assert events.ended("2.0.batch").exit_code == 5


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_fork_refused_puts_a_unit_off(tmp_path: Path) -> None:
    """R22."""
    environment = {
        **os.environ,
        "STOKER_TEST_MODE": "1",
        "STOKER_FAILPOINTS": "spawn=error:EAGAIN@1",
    }
    with local_engine(tmp_path, environment=environment) as (engine, events, _):
        engine.launch(
            [unit("1.0.batch", "true", lane="l"), unit("2.0.batch", "true", lane="l")], {}
        )
        failure = events.failed("1.0.batch")
        assert (failure.step, failure.errno) == ("fork", errno.EAGAIN)
        assert events.ended("2.0.batch").exit_code == 0


def test_with_a_full_disk_nothing_new_starts_and_ends_are_told_when_there_is_room(
    tmp_path: Path,
) -> None:
    """R24: ends are kept by the shepherd, which stands where a supervisor of each job would."""
    go = tmp_path / "go"
    os.mkfifo(go)
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch([script("1.0.batch", f"read x < {go}; exit 8")], {})
        events.started("1.0.batch")
        pid = engine.status()["pid"]
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        # A limit on the size of files stands for a full disk: the next write fails.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, unlimited[1]))
        engine.launch([unit("2.0.batch", "true")], {})
        go.write_text("\n")
        until(lambda: engine.status()["running"] == 0, "the end of the job")
        assert not [event for event in events.of("1.0.batch") if isinstance(event, Ended)]
        assert engine.status()["trouble"]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
        began = time.monotonic()
        assert events.ended("1.0.batch").exit_code == 8
        assert time.monotonic() - began < 5.0
        assert events.failed("2.0.batch").step == "journal"
        engine.launch([unit("3.0.batch", "true")], {})
        assert events.ended("3.0.batch").exit_code == 0
        assert engine.status()["trouble"] == ""


def test_the_journal_stays_small_however_many_units_have_run(tmp_path: Path) -> None:
    with local_engine(tmp_path) as (engine, events, _):
        keys = [f"{number}.0.batch" for number in range(600)]
        notices = {"cancelled": "x" * 20_000}
        for start in range(0, len(keys), 100):
            batch = keys[start : start + 100]
            engine.launch([unit(key, "true", lane="l", notices=notices) for key in batch], {})
            events.ended(batch[-1])
            engine.acknowledge(batch)
        until(lambda: not engine.survey().events, "all to be forgotten")
        assert engine.status()["journal_bytes"] < 10 << 20
        assert (tmp_path / "shepherd.journal").stat().st_size < 10 << 20


# Clocks.


def test_the_engine_and_its_shepherd_sleep_when_nothing_happens(tmp_path: Path) -> None:
    with local_engine(tmp_path) as (engine, events, _):
        engine.launch([unit("1.0.batch", "sleep", "60", time_limit_s=3600.0)], {})
        events.started("1.0.batch")
        pid = engine.status()["pid"]
        until(lambda: _is_asleep(pid), "the shepherd to sleep")
        before = _switches(pid)
        # What is awaited here is that nothing happens.
        with pytest.raises(AssertionError, match="waited"):
            events.ended("1.0.batch", limit_s=1.5)
        assert _switches(pid) - before <= 1
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")


def _is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S"


def _switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("nonvoluntary_ctxt_switches")[0].rsplit("voluntary_ctxt_switches:")[1])


def test_other_code_of_the_process_keeps_its_children(tmp_path: Path) -> None:
    with local_engine(tmp_path / "home") as (engine, events, _):
        engine.launch([script("1.0.batch", f"echo > {tmp_path / 'up'}; exec sleep 60")], {})
        lines(tmp_path / "up")
        os.kill(engine.status()["pid"], signal.SIGKILL)
        with subprocess.Popen(["sh", "-c", "exit 9"], start_new_session=True) as child:
            until(lambda: _looked_twice(engine), "the engine to have looked at its children")
            assert child.wait(_LIMIT_S) == 9
        engine.end("1.0", "cancelled", 0.0)
        events.ended("1.0.batch")
        clear(engine)


def _looked_twice(engine: LocalEngine) -> bool:
    for _ in range(2):
        engine._orphans.look()
    return bool(engine.status()["pid"])
