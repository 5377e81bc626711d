"""A shared engine with real shepherds, in one process: who is let go, and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stoker.engines import attendant
from stoker.engines.shared import SharedEngine
from stoker.worker.layout import lay_out_shared
from support.engine import CONTENTS, Events, script, until
from support.world import ALICE, BOB, in_a_world

HOME = Path("/srv/stoker")
OWNERS = {1: ALICE, 2: BOB, 3: ALICE}


class Record:
    """Whose jobs are whose; nobody holds anything when the engine is opened."""

    def owners(self, job_ids: Collection[int]) -> Mapping[int, int]:
        return {job_id: OWNERS[job_id] for job_id in job_ids if job_id in OWNERS}

    def holders(self) -> Collection[int]:
        return ()


@contextmanager
def shared_engine() -> Iterator[tuple[SharedEngine, Events]]:
    lay_out_shared(HOME)
    engine, events = SharedEngine(HOME, CONTENTS.__getitem__, Record()), Events()
    engine.open(events)
    try:
        yield engine, events
    finally:
        engine.close()


def run(engine: SharedEngine, events: Events, job_id: int, text: str) -> int:
    """Run a job's script to its end; return its exit code."""
    key = f"{job_id}.0.batch"
    engine.launch([script(key, text, user_id=OWNERS[job_id])], {})
    code = events.ended(key).exit_code
    engine.acknowledge([key])
    return code


@in_a_world
def test_a_shepherd_with_nothing_to_do_is_let_go_and_started_when_it_is_needed() -> None:
    attendant._IDLE_S = 0.2
    with shared_engine() as (engine, events):
        assert run(engine, events, 1, "exit 3") == 3
        shepherd = int((HOME / "users" / str(ALICE) / "run" / "shepherd.lock").read_text())
        until(lambda: not Path(f"/proc/{shepherd}").exists(), "the shepherd to go, and be reaped")
        assert run(engine, events, 3, "exit 4") == 4
        assert int(engine.status()["users"][str(ALICE)]["pid"]) not in (0, shepherd)


@in_a_world
def test_files_that_a_user_cannot_open_are_opened_by_nobody() -> None:
    Path("/srv/secret").write_text("root's")
    Path("/srv/secret").chmod(0o600)
    Path("/home/bob").chmod(0o700)
    with shared_engine() as (engine, events):
        for key, changes in (
            ("1.0.batch", {"stdout": "/srv/secret"}),
            ("2.0.batch", {"stdin": "/srv/secret"}),
            ("3.0.batch", {"stderr": "/home/bob/err"}),
        ):
            user_id = OWNERS[int(key[0])]
            engine.launch([script(key, "true", user_id=user_id, **changes)], {})
            assert events.failed(key).message == "Permission denied"
        assert Path("/srv/secret").read_text() == "root's"


@in_a_world
def test_a_shepherd_serves_its_user_and_root_and_nobody_else() -> None:
    with shared_engine() as (engine, events):
        run(engine, events, 2, "true")
        ask = (
            "import socket, sys\n"
            "peer = socket.socket(socket.AF_UNIX)\n"
            "peer.connect(sys.argv[1])\n"
            'peer.sendall(b\'\\0\\0\\0\\x11{"type":"status"}\')\n'
            "print(len(peer.recv(4)))\n"
        )
        path = HOME / "users" / str(BOB) / "run" / "shepherd.sock"
        # Other users do not even get to the socket; so it is put where they do.
        os.link(path, "/srv/door")
        Path("/srv/door").chmod(0o777)
        answers = [
            subprocess.run(
                [sys.executable, "-B", "-c", ask, "/srv/door"],
                user=user_id,
                group=user_id,
                extra_groups=[],
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            for user_id in (BOB, ALICE)
        ]
        assert answers[0] == "4\n"
        assert answers[1] in ("0\n", "")


@in_a_world
def test_who_fell_to_us_from_a_foreign_session_is_reaped_and_no_job_is() -> None:
    with shared_engine() as (engine, events):
        text = (
            "(setsid sleep 1 & echo $! > /tmp/stray)\n"
            "trap : TERM\nwhile ! [ -e /tmp/on ]; do sleep 0.05; done\nexit 7\n"
        )
        engine.launch([script("1.0.batch", text, user_id=ALICE)], {})
        until(lambda: Path("/tmp/stray").exists(), "the stray")
        until(lambda: events.of("1.0.batch"), "the start")
        shepherd = int(engine.status()["users"][str(ALICE)]["pid"])
        os.kill(shepherd, signal.SIGKILL)
        stray = Path("/proc", Path("/tmp/stray").read_text().strip(), "stat")
        until(lambda: b") Z " in stray.read_bytes(), "the stray's end")
        engine.reap_strays()
        assert stray.exists(), "at the first look somebody may be about to wait for it"
        Path("/tmp/on").touch()
        for _ in range(20):
            engine.reap_strays()
        assert not stray.exists()
        assert events.ended("1.0.batch").exit_code == 7
