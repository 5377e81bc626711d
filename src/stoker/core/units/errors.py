"""What is raised for a text that follows no notation."""

from __future__ import annotations

from stoker.core.errors import UserError


class NotationError(UserError, ValueError):
    """A text that cannot be read: ``text`` is the whole of it, ``position`` where it went wrong.

    ``position`` is -1 where the notation has no use for one.
    """

    def __init__(self, what: str, text: str, why: str, position: int = -1) -> None:
        super().__init__(f"cannot read {what} {text!r}: {why}")
        self.text = text
        self.position = position
