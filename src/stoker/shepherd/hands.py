"""A thread that makes processes, and what it has set on itself alone.

Directory, umask and limits belong to all threads of a process; the cores that a thread is bound to
are its own, and a child inherits those of the thread that made it.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Hand:
    """One thread of ours.

    Attributes:
        word: What the thread lets go of while a process it makes comes to its exec, so that others
            may act; None: it is the first, and all others stand while it acts.
        is_on_its_way: Held from letting go of the word until the process has executed.
        cpus: The cores it is bound to; None: all that are ours.
    """

    __slots__ = ("cpus", "is_on_its_way", "word")

    def __init__(self, word: _thread.LockType | None = None) -> None:
        """Be bound to nothing yet."""
        self.word = word
        self.is_on_its_way = _thread.allocate_lock()
        self.cpus: Sequence[int] | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the thread that all of us began with."""
        return self.word is None
