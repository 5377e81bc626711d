"""What we have to say to people: lines in the log, which is our standard error output."""

from __future__ import annotations

import os
from contextlib import suppress


class Refusal(Exception):
    """Why this shepherd does not start; the text is for a person."""


def say(text: str) -> None:
    """Write a line into the log."""
    with suppress(OSError):
        os.write(2, f"shepherd {os.getpid()}: {text}\n".encode("utf-8", "backslashreplace"))


def trace_of(defect: Exception) -> str:
    """Return how it came to a defect; without a descriptor to read the sources by, only what."""
    try:
        import traceback  # noqa: PLC0415 - megabytes for what should never be needed

        return "".join(traceback.format_exception(defect))
    except (ImportError, OSError):
        return repr(defect)
