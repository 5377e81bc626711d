"""A home that the stub daemon serves, and thin commands that call it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import support.stub_daemon
from stoker.cli.names import ensure_names

LIMIT_S = 30.0
STUB = support.stub_daemon.__file__


class StubHome:
    """A directory with launchers, and at most one stub daemon; `close` ends what was started."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="stub-"))
        self.bin = ensure_names(self.home)
        self.records = self.home / "records"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "STOKER_HOME": str(self.home),
            "STOKER_AUTOSTART": "0",
            "LANG": "C.UTF-8",
        }
        self._daemon: subprocess.Popen[bytes] | None = None
        self._callers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> StubHome:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The daemon.

    def start(self) -> int:
        """Start the stub daemon; return its pid when it listens."""
        reading, writing = os.pipe()
        self._daemon = subprocess.Popen(
            [sys.executable, STUB, str(self.home), str(writing)],
            pass_fds=(writing,),
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            assert file.read(1) == b"1", "the stub daemon said nothing"
        return self._daemon.pid

    def wait_dead(self) -> None:
        """Wait until the stub daemon has died."""
        assert self._daemon is not None
        self._daemon.wait(LIMIT_S)

    def kill(self) -> None:
        """End the stub daemon as a crash would."""
        assert self._daemon is not None
        self._daemon.kill()
        self.wait_dead()

    def pause(self) -> None:
        """Keep the stub daemon from answering."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused stub daemon answer."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGCONT)

    def die_at(self, point: str) -> None:
        """Have the stub daemon kill itself, once, at the point of that name in `MortalService`."""
        (self.home / point).touch()

    def keys(self) -> list[str]:
        """Return the keys of the submissions on record."""
        return self.records.read_text().split() if self.records.exists() else []

    # Commands.

    def run(
        self,
        program: str,
        *argv: str | bytes,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        options = {"capture_output": True, **options}
        return subprocess.run(
            [self.bin / program, *argv],
            env={**self.environment, **(env or {})},
            timeout=LIMIT_S,
            check=False,
            **options,
        )

    def begin(
        self,
        program: str,
        *argv: str,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a command; its output comes through pipes unless *options* say otherwise."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        caller = subprocess.Popen(
            [self.bin / program, *argv],
            env={**self.environment, **(env or {})},
            **options,
        )
        self._callers.append(caller)
        return caller

    def close(self) -> None:
        """End everything and remove the directory."""
        for process in [*self._callers, *([self._daemon] if self._daemon else [])]:
            process.kill()
            process.wait(LIMIT_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        shutil.rmtree(self.home)


def read_until(descriptor: int, wanted: bytes, limit_s: float = LIMIT_S) -> bytes:
    """Read until *wanted* was seen; return all that was read."""
    seen = b""
    deadline = time.monotonic() + limit_s
    while wanted not in seen:
        left_s = deadline - time.monotonic()
        ready = select.select([descriptor], [], [], max(0.0, left_s))[0]
        assert ready, f"gave up after {limit_s:g} s: saw {seen!r}, not {wanted!r}"
        chunk = os.read(descriptor, 65536)
        assert chunk, f"the stream ended: saw {seen!r}, not {wanted!r}"
        seen += chunk
    return seen


def until(condition: Callable[[], object], seen: Callable[[], str]) -> None:
    """Wait until *condition* holds; fail with what was *seen* when the time is up."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"gave up after {LIMIT_S:g} s: {seen()}"
        time.sleep(0.01)
