"""Whoever waits for the disk while others work: a thread that does nothing else.

A sync takes half a millisecond or twenty, as the disk likes. Meanwhile jobs end, and the next of
their lanes could run: where somebody stands in line, the shepherd does not wait for it itself.
Nothing but a descriptor and the outcome passes to and from this thread; all that the shepherd knows
is the others', and whatever they set on themselves for a child cannot harm this one.

Always holds: one sync is on its way at most.
"""

from __future__ import annotations

import _thread
import os
from contextlib import suppress


class Disk:
    """Syncs a file at a time, beside us.

    Attributes:
        is_busy: Whether a sync has begun whose outcome was not taken.
        done_fd: Can be read when there is an outcome to take.
    """

    def __init__(self) -> None:
        """Have nobody wait yet: the thread comes with the first sync."""
        self.is_busy = False
        self.done_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._descriptor = -1
        self._error: OSError | None = None
        self._has_thread = False
        self._orders = _thread.allocate_lock()
        self._orders.acquire()

    def close(self) -> None:
        """Send the thread away; no sync is on its way."""
        self._descriptor = -1
        self._orders.release()
        os.close(self.done_fd)

    def begin(self, descriptor: int) -> None:
        """Sync that file, beside us if there is a thread to be had.

        The file stays open until the outcome was taken.
        """
        assert not self.is_busy, "a sync is on its way"
        self.is_busy = True
        self._descriptor = descriptor
        if self._has_thread or self._start_thread():
            self._orders.release()
        else:
            self._sync()

    def end(self) -> OSError | None:
        """Take the outcome, which is there: what went wrong, or None."""
        os.eventfd_read(self.done_fd)
        self.is_busy = False
        return self._error

    def _start_thread(self) -> bool:
        """Return whether somebody can wait: a user may have no leave for one more thread."""
        with suppress(RuntimeError):
            _thread.start_new_thread(self._work, ())
            self._has_thread = True
        return self._has_thread

    def _work(self) -> None:
        while self._orders.acquire() and self._descriptor >= 0:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
            self._error = None
        except OSError as error:
            self._error = error
        os.eventfd_write(self.done_fd, 1)
