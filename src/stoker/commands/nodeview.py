"""What a node shows: its state in Slurm's several spellings, its resources, and who changed it.

Source: sinfo(1) "NODE STATE CODES", scontrol(1) "show node"; the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stoker.core.models import Partition
from stoker.worker.controller import NodeStatus

_COMPACT: Final = {
    "allocated": "alloc",
    "down": "down",
    "drained": "drain",
    "draining": "drng",
    "idle": "idle",
    "maint": "maint",
    "mixed": "mix",
    "reserved": "resv",
}
_KEPT: Final[Mapping[str, Sequence[str]]] = {
    "maint": ("MAINT", "RESERVED"),
    "reserved": ("RESERVED",),
}
_RANKS: Final = ("unknown", "down", "idle", "allocated", "error", "mixed", "future")
"""Slurm's base states in the order of their numbers; one that drains ranks above all."""


class NodeState(msgspec.Struct, frozen=True):
    """A node's base state in lower case, whether it drains, and for what it is reserved.

    ``kept`` is ``reserved``, ``maint`` or "".
    """

    base: str
    is_draining: bool
    kept: str = ""

    @classmethod
    def of(cls, status: NodeStatus) -> NodeState:
        """Read it off a status."""
        base, *flags = status.state.lower().split("+")
        kept = next((flag for flag in ("maint", "reserved") if flag in flags), "")
        return cls(base, "drain" in flags, kept)

    @property
    def has_jobs(self) -> bool:
        """Whether jobs run on the node."""
        return self.base in ("allocated", "mixed")

    @property
    def accepts(self) -> bool:
        """Whether the node takes new jobs."""
        return not self.is_draining and self.base in ("idle", "mixed")

    @property
    def long(self) -> str:
        """Return the word of ``sinfo %T``: ``drained``, ``draining``, ``mixed``."""
        if self.is_draining:
            return "draining" if self.has_jobs else "drained"
        return self.kept if self.kept and self.base == "idle" else self.base

    @property
    def compact(self) -> str:
        """Return the word of ``sinfo %t``: ``drain``, ``drng``, ``mix``."""
        return _COMPACT.get(self.long, self.long)

    @property
    def complete(self) -> str:
        """Return base and flags: ``idle+drain``."""
        return "+".join([self.base, *self.flags]).lower()

    @property
    def flags(self) -> list[str]:
        """Return the flags: ``DRAIN``, ``MAINT``, ``RESERVED``."""
        return [*(["DRAIN"] if self.is_draining else []), *_KEPT.get(self.kept, ())]

    @property
    def rank(self) -> int:
        """Return what states are sorted by."""
        base = _RANKS.index(self.base) if self.base in _RANKS else 0
        return base + (len(_RANKS) if self.is_draining else 0)

    def matches(self, word: str) -> bool:
        """Whether ``--states=word`` lets it through: a base state, or one of the drain words."""
        match word:
            case "all":
                return True
            case "drain":
                return self.is_draining
            case "drained" | "draining":
                return self.long == word
            case "reserved":
                return bool(self.kept)
            case "maint":
                return self.kept == word
        return self.base == word


STATE_WORDS: Final = (
    *("unknown", "down", "idle", "allocated", "?", "mixed", "future", "drain", "drained"),
    *("draining", "no_respond", "reserved", "perfctrs", "cloud", "completing", "powering_down"),
    *("powered_down", "power_down", "powering_up", "fail", "maint", "reboot", "reboot^", "unknown"),
)
"""The words that ``sinfo --states`` knows, in the order in which Slurm lists them."""


def gres_text(status: NodeStatus) -> str | None:
    """Return the node's generic resources: ``gpu:2``; None if it has none."""
    return ",".join(f"{name}:{count}" for name, count in status.node.gres.items()) or None


def gres_used_text(status: NodeStatus) -> str | None:
    """Return what of the generic resources is in use: ``gpu:1``; None if there are none."""
    used = status.allocated_gres
    return ",".join(f"{name}:{used.get(name, 0)}" for name in status.node.gres) or None


def features_text(status: NodeStatus) -> str | None:
    """Return the node's features; None if it has none."""
    return ",".join(status.node.features) or None


def partition_names(status: NodeStatus, partitions: list[Partition]) -> list[str]:
    """Return the partitions that the node is in."""
    return [each.name for each in partitions if status.node.name in each.nodes]
