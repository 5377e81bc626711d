"""A lock that may be taken again by its holder, and that is fair.

Who lets go of Python's own locks and takes them again at once mostly gets them, however long others
have waited. Here who comes again stands behind who waits: a long listing, which looks at the queue
a little at a time, delays a turn by no more than one look.
"""

from __future__ import annotations

import threading


class FairLock:
    """Use it as a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Whoever waits for the lock holds this one, and whoever comes later waits for this one.
        self._turnstile = threading.Lock()
        self._holder: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._holder != me:
            with self._turnstile:
                self._lock.acquire()
            self._holder = me
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder = None
            self._lock.release()
