"""What is left of the licences, and of whatever else limits jobs: pure.

Licences are counted for the whole machine: a job takes as many as it names for as long as it runs,
wherever that is. A job that waits for one lets those behind it pass, as in Slurm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stoker.core.enums import Reason
from stoker.core.models import NodeShare
from stoker.scheduling.snapshot import Allowance, Shape


class Licenses:
    """An `Allowance`: free licences by name, and what further limits leave, if there are any."""

    def __init__(self, free: Mapping[str, int], others: Allowance | None = None) -> None:
        """Begin with *free* ones; a shape of which no name is known finds none."""
        self._free = dict(free)
        self._others = others

    @classmethod
    def beside(
        cls, total: Mapping[str, int], running: Iterable[Shape], others: Allowance | None = None
    ) -> Licenses:
        """Return what running jobs leave of all there are; it may be less than nothing."""
        made = cls(total, others)
        for shape in running:
            made._take(shape)
        return made

    def copy(self) -> Licenses:
        """Return the same, to be taken from by itself."""
        return Licenses(self._free, self._others.copy() if self._others is not None else None)

    def refusal(self, shape: Shape) -> str:
        """Return why a job of the shape may not start now; "" if it may."""
        if any(count > self._free.get(name, 0) for name, count in shape.licenses):
            return Reason.LICENSES
        return self._others.refusal(shape) if self._others is not None else ""

    def start(self, shape: Shape, shares: Sequence[NodeShare]) -> None:
        """Count what a job of the shape takes that starts on these shares."""
        self._take(shape)
        if self._others is not None:
            self._others.start(shape, shares)

    def _take(self, shape: Shape) -> None:
        for name, count in shape.licenses:
            self._free[name] = self._free.get(name, 0) - count
