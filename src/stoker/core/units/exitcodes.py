"""Exit codes as Slurm prints them: ``code:signal``.

Source: sacct(1) "ExitCode".
"""

from __future__ import annotations

import re

from stoker.core.units.errors import NotationError

_EXIT = re.compile(r"(-?\d{1,9})(?::(\d{1,3}))?", re.ASCII)


def format_exit_code(code: int, signal: int = 0) -> str:
    """Return ``3:0`` for exit status 3, ``0:9`` for a kill."""
    return f"{code}:{signal}"


def parse_exit_code(text: str) -> tuple[int, int]:
    """Return code and signal of ``3:0``, ``0:9`` or ``3``.

    Raises:
        NotationError: It is none of these.
    """
    match = _EXIT.fullmatch(text)
    if match is None:
        raise NotationError("the exit code", text, "write CODE:SIGNAL, as in 3:0")
    return int(match[1]), int(match[2] or 0)
