"""What a message has asked for, from its coming until it is carried out."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Order:
    """What is still to be done about a message, and the descriptors that came with it."""

    __slots__ = ("_descriptors", "_rest")

    def __init__(self, rest: Callable[[], None], descriptors: list[int]) -> None:
        self._rest = rest
        self._descriptors = descriptors

    def carry_out(self) -> None:
        """Do it.

        Raises:
            ProtocolError: It says nothing that we understand, or may not say it.
        """
        try:
            self._rest()
        finally:
            self.drop()

    def drop(self) -> None:
        """Close the descriptors that nobody has taken over."""
        for descriptor in self._descriptors:
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptors = []
