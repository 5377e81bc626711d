"""The caller's standard input, asked for as it is needed: a terminal answers line by line.

Who asks a question shows it first; then no answer is read that was meant for a later one, and a
terminal is not waited for until its input ends. What is no terminal gives what there is.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from stoker.worker.call import ReadFile, Request, Say, next_input


class StandardInput:
    """What was read of it and not taken yet, in ``text``."""

    def __init__(self) -> None:
        self.text = ""
        self.is_at_terminal = False
        """Whether it is a terminal, as far as is known."""
        self.is_over = False
        self._parts = 0

    @property
    def has_line(self) -> bool:
        """Whether the next line needs no more reading."""
        return self.is_over or "\n" in self.text

    def read(self) -> Generator[ReadFile, bytes, None]:
        """Read on; a closed one is at its end."""
        self._parts += 1
        try:
            part = yield next_input(self._parts)
        except OSError:
            part = b"p"
        self.is_at_terminal = part[:1] == b"t"
        self.is_over = len(part) < 2
        self.text += part[1:].decode("utf-8", "replace")

    def take_line(self) -> str | None:
        """Return the next line of what was read, without its end; None if there is none."""
        if not self.text:
            return None
        line, _, self.text = self.text.partition("\n")
        return line

    def line(self) -> Generator[ReadFile, bytes, str | None]:
        """Return the next line without its end; None if there is none."""
        while not self.has_line:
            yield from self.read()
        return self.take_line()

    def line_after(self, prompt: str) -> Generator[Request, Any, str | None]:
        """Show a prompt and return the line that follows it; None at the end.

        Where a terminal has not shown it the line is printed, as readline(3) does it.
        """
        yield Say(out=prompt)
        line = yield from self.line()
        if line is None or not self.is_at_terminal:
            yield Say(out=f"{line or ''}\n")
        return line
