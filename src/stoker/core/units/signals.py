"""Signals by name or number.

Source: scancel(1) "--signal", signal(7).
"""

from __future__ import annotations

from signal import SIGRTMAX, Signals

from stoker.core.units.errors import NotationError


def parse_signal(text: str) -> int:
    """Read ``TERM``, ``SIGTERM``, ``sigterm`` or ``15``.

    Raises:
        NotationError: There is no such signal.
    """
    if text.isdecimal() and text.isascii() and len(text) <= 3 and int(text) <= SIGRTMAX:
        return int(text)
    name = text.upper()
    found = Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
    if found is None:
        raise NotationError("the signal", text, "write its name or number, as in TERM or 15")
    return int(found)


def signal_name(number: int) -> str:
    """Return the name without ``SIG``: ``TERM``; the number itself if it has none."""
    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)
