"""Where programs are, as execvp(3) would find them."""

from __future__ import annotations

import os
import stat
from errno import EACCES, ENOENT, ENOTDIR
from time import monotonic

_FOUND_S = 0.25
"""How long we remember where a program was found: thousands follow that want the same."""
_FOUND_MAX = 64


class Programs:
    """Finds programs, and remembers for a moment where they were."""

    def __init__(self) -> None:
        """Know of none."""
        self._found: dict[tuple[str, str], tuple[str, float]] = {}

    def find(self, program: str, path: str) -> str:
        """Return where a program is in a list of directories.

        Raises:
            OSError: It is in none of them, or may not be run.
        """
        now = monotonic()
        found, until = self._found.get((program, path), ("", 0.0))
        if now < until:
            return found
        if len(self._found) >= _FOUND_MAX:
            self._found.clear()
        found = _find(program, path)
        # What a relative directory leads to is another matter in every directory.
        if all(directory.startswith("/") for directory in path.split(":")):
            self._found[program, path] = found, now + _FOUND_S
        return found


def is_program(path: str) -> bool:
    """Return whether a file may be run."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except OSError:
        return False


def _find(program: str, path: str) -> str:
    trouble = ENOENT
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{program}"
        try:
            mode = os.stat(candidate).st_mode
        except OSError as error:
            if error.errno not in (ENOENT, ENOTDIR):
                trouble = EACCES
            continue
        if stat.S_ISREG(mode) and os.access(candidate, os.X_OK):
            return candidate
        trouble = EACCES
    raise OSError(trouble, os.strerror(trouble), program)
