"""A client that says exactly what a test wants, byte by byte."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stoker.core.wire import DAEMON_LIMITS, CallMessage, Frame, FrameReader, encode_call
from stoker.worker.server import Limits, Server

LIMIT_S = 20.0


class RawClient:
    """A connection; `hear` reads frames up to the one that is wanted."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(str(path))
        self._reader = FrameReader(DAEMON_LIMITS)
        self._frames: list[Frame] = []

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(self, *argv: str, key: str = "") -> None:
        self.send(call_frame(*argv, key=key))

    def hear(self, kind: bytes) -> bytes:
        """Return the payload of the next frame of that kind; those before it are passed over."""
        while True:
            for number, frame in enumerate(self._frames):
                if frame.kind == kind:
                    del self._frames[: number + 1]
                    return frame.payload
            data = self.socket.recv(65536)
            assert data, f"the server hung up before {kind!r}; it said {self._frames}"
            self._frames += self._reader.feed(data)

    def has_heard(self, kind: bytes) -> bool:
        """Return whether a frame of that kind has come by now, and pass over all up to it."""
        while select.select([self.socket], [], [], 0)[0]:
            self._frames += self._reader.feed(self.socket.recv(65536))
        kinds = [frame.kind for frame in self._frames]
        if kind not in kinds:
            return False
        del self._frames[: kinds.index(kind) + 1]
        return True

    def ask(self, *argv: str, key: str = "") -> tuple[bytes, int]:
        """Make a call; return what it put out and its status."""
        self.call(*argv, key=key)
        out = b""
        while True:
            frame = self.next()
            if frame.kind == b"O":
                out += frame.payload
            elif frame.kind == b"X":
                return out, int(frame.payload)

    def next(self) -> Frame:
        """Return the next frame."""
        while not self._frames:
            data = self.socket.recv(65536)
            assert data, "the server hung up"
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def is_hung_up(self) -> bool:
        """Read to the end; return whether there is one."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True


def call_frame(*argv: str, key: str = "") -> bytes:
    return encode_call(CallMessage(program="prog", argv=argv, work_dir="/", key=key))


@contextmanager
def serving(directory: Path, service: object, **limits: float) -> Iterator[Server]:
    """Run a server in a thread; its socket is ``directory/run/stokerd.sock``."""
    server = Server(directory / "run" / "stokerd.sock", service, limits=Limits(**limits))
    with server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(LIMIT_S)
            assert not thread.is_alive(), "the server does not stop"


def cpu_s() -> float:
    """Return the CPU time that this process has used."""
    times = os.times()
    return times.user + times.system


def until(condition, seen) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"gave up after {LIMIT_S:g} s: {seen()}"
        time.sleep(0.005)
