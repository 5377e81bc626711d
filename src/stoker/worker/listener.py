"""The listening socket: its place on disk, its modes, and what is done when descriptors run out.

The directory is 0700 and the socket 0600; of a Stoker that serves all users they are 0755 and 0666,
and the kernel says who asks. The path may be longer than the 107 bytes of unix(7): it is reached
through the directory's descriptor. One descriptor is kept in reserve: when there are no more, it is
given up to take a client in, tell it so and close it, so that nobody hangs and the listening socket
does not stay readable for ever.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from pathlib import Path

from stoker.core.errors import UserError
from stoker.core.wire import encode, to_bytes

EXHAUSTED = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})
_BACKLOG = 4096


class Listener:
    """Listens at *path*; whoever makes one holds the home directory's lock."""

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self._directory = _own_directory(path.parent, 0o755 if is_shared else 0o700)
        self._mode = 0o666 if is_shared else 0o600
        self._name = path.name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._reserve: int | None = None
        try:
            self._inode = self._bind(path)
            self.keep_reserve()
        except BaseException:
            self._socket.close()
            os.close(self._directory)
            raise

    def _bind(self, path: Path) -> int:
        address = f"/proc/self/fd/{self._directory}/{self._name}"
        if _answers(address):
            raise UserError(f"cannot listen at {path}: another stokerd answers there already")
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._directory)
        self._socket.bind(address)
        os.chmod(self._name, self._mode, dir_fd=self._directory)
        self._socket.listen(_BACKLOG)
        return os.stat(self._name, dir_fd=self._directory).st_ino

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def accept(self) -> socket.socket | None:
        """Return the next client, or None if nobody waits.

        Raises:
            OSError: Its errno is in `EXHAUSTED` when there are no descriptors or no memory.
        """
        try:
            return self._socket.accept()[0]
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None

    def turn_away(self, why: str) -> bool:
        """Tell the next client to come back later; return whether there was one."""
        self._give_up_reserve()
        try:
            client = self.accept()
            if client is None:
                return False
            send_away(client, why)
        except OSError:
            return False
        finally:
            self.keep_reserve()
        return True

    def keep_reserve(self) -> None:
        """Take a descriptor into reserve, if there is one."""
        if self._reserve is None:
            with suppress(OSError):
                self._reserve = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def _give_up_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def close(self) -> None:
        """Stop listening and remove the socket, unless another has taken its place."""
        self._give_up_reserve()
        with suppress(OSError):
            if os.stat(self._name, dir_fd=self._directory).st_ino == self._inode:
                os.unlink(self._name, dir_fd=self._directory)
        self._socket.close()
        os.close(self._directory)


def send_away(client: socket.socket, why: str) -> None:
    """Tell a client to come back later, if it listens, and close its connection."""
    with client, suppress(OSError):
        client.send(encode(b"B", to_bytes(why)), socket.MSG_DONTWAIT)


def _own_directory(path: Path, mode: int) -> int:
    """Make the directory, check that it is ours and no wider than *mode*; give a descriptor."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o777 & ~mode:
        os.fchmod(descriptor, mode)
        return descriptor
    os.close(descriptor)
    raise UserError(
        f"cannot listen in {path}: it must be its owner's (user {os.geteuid()}, mode {mode:04o}), "
        f"but is user {status.st_uid}'s with mode {stat.S_IMODE(status.st_mode):04o}; "
        f"`chmod {mode:o} {path}` or choose another STOKER_HOME"
    )


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(address)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True
