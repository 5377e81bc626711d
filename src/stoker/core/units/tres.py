"""Trackable resources and amounts of them: ``cpu=12,mem=20G,gres/gpu=2``.

Source: sacctmgr(1), "GrpTRES"; the numbers are those that Slurm's database gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stoker.core.units.errors import NotationError
from stoker.core.units.memory import parse_memory

TRES_NAMES: Final = ("cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages")
"""The resources that there always are, in the order of their numbers, from 1."""

NO_AMOUNT: Final = -1
"""An amount that takes a limit away."""

_IN_MEMORY: Final = frozenset({"mem", "vmem"})
_GROUPS: Final = ("gres/", "license/")
_UNITS: Final = "MGTP"
_AMOUNT_MAX: Final = 2**63 - 1


class UnknownTres(NotationError):
    """An amount of a resource that there is not."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__("the resources", text, f"there is no resource {name}")
        self.name = name


def parse_tres(text: str) -> dict[str, int]:
    """Return amounts by resource, memory in MiB; -1 stays `NO_AMOUNT`.

    Raises:
        UnknownTres: There is no such resource.
        NotationError: It is no list of NAME=AMOUNT.
    """
    found: dict[str, int] = {}
    for word in text.lower().split(","):
        name, equals, amount = word.partition("=")
        if name not in TRES_NAMES and not name.startswith(_GROUPS):
            raise UnknownTres(text, name)
        if not equals:
            raise NotationError("the resources", text, "write NAME=AMOUNT, as in cpu=4,mem=8G")
        found[name] = _amount(text, name, amount)
    return found


def _amount(text: str, name: str, amount: str) -> int:
    if amount == "-1":
        return NO_AMOUNT
    if name in _IN_MEMORY:
        return parse_memory(amount)
    if not (amount.isascii() and amount.isdecimal()) or len(amount) > len(str(_AMOUNT_MAX)):
        raise NotationError("the resources", text, f"{amount!r} is no number")
    return min(int(amount), _AMOUNT_MAX)


def tres_number(name: str) -> int:
    """Return the number by which Slurm's records call a resource."""
    return TRES_NAMES.index(name) + 1 if name in TRES_NAMES else 1001


def format_tres(amounts: Mapping[str, int]) -> str:
    """Return amounts as sacctmgr prints them, memory in the largest unit that divides it."""
    return ",".join(f"{name}={_shown(name, amount)}" for name, amount in _in_order(amounts))


def format_tres_numbers(amounts: Mapping[str, int]) -> str:
    """Return amounts by the resources' numbers, as Slurm's records keep them: ``1=12,2=20480``."""
    return ",".join(f"{tres_number(name)}={amount}" for name, amount in _in_order(amounts))


def _in_order(amounts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(amounts.items(), key=lambda item: (tres_number(item[0]), item[0]))


def _shown(name: str, amount: int) -> str:
    if name not in _IN_MEMORY or amount <= 0:
        return str(amount)
    place = 0
    while amount % 1024 == 0 and place < len(_UNITS) - 1:
        amount //= 1024
        place += 1
    return f"{amount}{_UNITS[place]}"
