"""Accepts connections, each served by a thread of its own, up to a limit; stops when told.

Nothing polls: one selector waits for the sockets and for the word to stop. Callers above the limit
are told to come again.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from contextlib import ExitStack, suppress
from errno import ECONNREFUSED
from pathlib import Path
from typing import Self

from stoker.core.errors import UserError
from stoker.gateway.http import Exchange, Policy
from stoker.gateway.relay import Relay

_BACKLOG = 128
_BUSY = b"HTTP/1.1 503 SERVICE UNAVAILABLE\r\nConnection: Close\r\nRetry-After: 1\r\n\r\n"
_log = logging.getLogger(__name__)


class Gate:
    """Serves the listening sockets that were opened, until `stop`."""

    def __init__(self, relay: Relay, connections_max: int) -> None:
        self._relay = relay
        self._places = threading.Semaphore(connections_max)
        self._selector = selectors.DefaultSelector()
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._stop_fd, selectors.EVENT_READ)
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        self._selector.close()
        os.close(self._stop_fd)

    def open_unix(self, path: Path, policy: Policy) -> None:
        """Listen at *path*; what a dead gateway left there is taken away.

        Raises:
            UserError: Somebody serves there already, or it cannot be made.
        """
        listener = self._opened.enter_context(socket.socket(socket.AF_UNIX))
        try:
            if path.is_socket():
                _clear(path)
            listener.bind(str(path))
            path.chmod(0o666)  # Whoever connects is asked for more than that.
        except OSError as error:
            raise UserError(
                f"cannot listen at {path}: {error.strerror or error}; name another path, as in "
                "`slurmrestd unix:/path/to/socket`"
            ) from None
        self._opened.callback(path.unlink, missing_ok=True)
        self._listen(listener, policy)

    def open_tcp(self, host: str, port: int, policy: Policy) -> int:
        """Listen at a port of an address; return the port, which for 0 is any free one.

        Raises:
            UserError: It cannot be had.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = self._opened.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise UserError(
                f"cannot listen at {host}:{port}: {error.strerror or error}; name another port"
            ) from None
        self._listen(listener, policy)
        return int(listener.getsockname()[1])

    def _listen(self, listener: socket.socket, policy: Policy) -> None:
        listener.listen(_BACKLOG)
        listener.settimeout(0)
        self._selector.register(listener, selectors.EVENT_READ, policy)

    def serve(self) -> None:
        """Accept and serve until told to stop; requests under way may end by themselves."""
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._stop_fd:
                    return
                self._accept(key.fileobj, key.data)  # type: ignore[arg-type]

    def stop(self) -> None:
        """Let `serve` return; may be called from a signal handler and from any thread."""
        os.eventfd_write(self._stop_fd, 1)

    def _accept(self, listener: socket.socket, policy: Policy) -> None:
        with suppress(BlockingIOError, InterruptedError):
            connection, _ = listener.accept()
            if not self._places.acquire(blocking=False):
                with connection:
                    connection.send(_BUSY)
                return
            thread = threading.Thread(target=self._serve, args=(connection, policy), daemon=True)
            thread.start()

    def _serve(self, connection: socket.socket, policy: Policy) -> None:
        try:
            with connection:
                Exchange(connection, policy, self._relay)
        except OSError:
            return  # The caller went away; nobody is left to tell.
        except Exception:  # noqa: BLE001 - the top of a thread
            _log.exception("a connection of %s broke", policy.name)
        finally:
            self._places.release()


def _clear(path: Path) -> None:
    """Take a socket away behind which nobody is.

    Raises:
        OSError: Somebody is, or one may not.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno == ECONNREFUSED:
                path.unlink()
                return
            raise
    raise OSError("another slurmrestd serves there")
