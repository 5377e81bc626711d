"""Signals that mean "stop" or "read the settings again": noted at once, acted on where it is safe.

A handler runs between any two instructions of the main thread, maybe while that holds the very
lock which a callback wants: so it only notes the signal. The callbacks run in the main loop, which
either waits here (`wait`) or selects on `fileno` and calls `run_pending`. The wake-up byte is
written by the interpreter's own C handler: a signal that comes just before a select, or to another
thread, is not slept through. A second signal to stop means that somebody has lost patience: the
process exits at once. However often it is told to reload before it comes to it, it does so once.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Self

log = logging.getLogger(__name__)

SHUTDOWN_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
RELOAD_SIGNAL: Final = signal.SIGHUP


class SignalHandler:
    """Runs callbacks in the main loop once a signal to shut down, or to reload, has come.

    As a context manager it is registered inside the ``with``.
    """

    def __init__(self, *, force_exit: Callable[[int], object] = os._exit) -> None:
        """*force_exit* is called with the exit status on a second signal; it is for tests."""
        self.received: int | None = None
        """The first signal that came, if any."""
        self._force_exit = force_exit
        self._callbacks: list[Callable[[], object]] = []
        self._has_run = False
        self._on_reload: Callable[[], object] | None = None
        self._is_to_reload = False
        self._previous: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._previous_wakeup = -1

    def on_shutdown(self, callback: Callable[[], object]) -> Self:
        """Call *callback* when a signal has come, after those that were added before."""
        self._callbacks.append(callback)
        return self

    def on_reload(self, callback: Callable[[], object]) -> Self:
        """Call *callback* after SIGHUP has come, each time."""
        self._on_reload = callback
        return self

    def register(self, signals: Iterable[int] | None = None) -> Self:
        """Handle *signals* (SIGTERM and SIGINT if not said) from now on, SIGHUP if it is wanted.

        Raises:
            RuntimeError: Not in the main thread, which alone can do it.
            OSError: One of them cannot be handled; none of them is.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "cannot register signal handlers: this is not the main thread; "
                "call register() there"
            )
        try:
            self._open_pipe()
            wanted = [*(SHUTDOWN_SIGNALS if signals is None else signals)]
            if self._on_reload is not None:
                wanted.append(RELOAD_SIGNAL)
            for number in wanted:
                previous = signal.signal(number, self._note)
                self._previous.setdefault(number, previous)
        except BaseException:
            self.restore()
            raise
        return self

    def restore(self) -> None:
        """Put back the handlers that were there before; harmless when there is nothing to do."""
        for number, previous in reversed(self._previous.items()):
            # Whoever has replaced ours since then keeps theirs.
            if signal.getsignal(number) == self._note:
                signal.signal(number, signal.SIG_DFL if previous is None else previous)
        self._previous.clear()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._previous_wakeup, warn_on_full_buffer=False)
            for descriptor in self._pipe:
                os.close(descriptor)
            self._pipe = None

    def __enter__(self) -> Self:
        return self.register()

    def __exit__(self, *_: object) -> None:
        self.restore()

    def fileno(self) -> int:
        """Return the descriptor that turns readable when a signal has come."""
        assert self._pipe is not None, "register() comes first"
        return self._pipe[0]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a signal and run the callbacks; return whether one has come within the time."""
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while self.received is None:
            left_s = None if give_up_at is None else give_up_at - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            select.select([self], [], [], left_s)
            self.run_pending()
        return self.run_pending()

    def run_pending(self) -> bool:
        """Run what is due, each callback of a stop once; return whether we are to stop."""
        self._drain()
        if self._is_to_reload and self._on_reload is not None:
            # Before it is done: who changes the settings meanwhile asks again.
            self._is_to_reload = False
            self._run(self._on_reload)
        if self.received is None:
            return False
        if not self._has_run:
            self._has_run = True
            log.info("stopping: %s", signal.Signals(self.received).name)
            for callback in self._callbacks:
                self._run(callback)
        return True

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == RELOAD_SIGNAL and self._on_reload is not None:
            self._is_to_reload = True
        elif self.received is None:
            self.received = number
        else:
            self._force_exit(128 + number)

    def _run(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception:
            log.exception("what a signal asked for failed; the next step follows")

    def _open_pipe(self) -> None:
        if self._pipe is None:
            self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self._previous_wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)

    def _drain(self) -> None:
        if self._pipe is not None:
            with suppress(BlockingIOError):
                os.read(self._pipe[0], 4096)
