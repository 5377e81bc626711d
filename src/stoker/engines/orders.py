"""What the shepherd is told to run: messages in which units say once what they have in common.

Thousands of jobs of one queue differ in their numbers and little else. What is the same stands in a
recipe, its environment in a content by its key; a unit names its recipe. A frame holds all recipes
that it names, so that it can stand in the shepherd's journal by itself; an environment is sent once
over a connection.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from stoker.engines.base import Unit
from stoker.engines.channel import DESCRIPTORS_MAX, encode

_UNITS_PER_FRAME = 512
_RECIPES_MAX = 16
_ENVIRONMENTS_MAX = 256
_ENVIRONMENTS_SIZE_MAX = 32 << 20

_SHARED = (
    "leads",
    "argv",
    "executable",
    "search_path",
    "search_cwd",
    "environment_key",
    "common",
    "cwd",
    "umask",
    "open_mode",
    "nice",
    "rlimits",
    "time_limit_s",
    "kill_wait_s",
    "warnings",
    "memory_mib",
    "memory_check_s",
    "notices",
    "pid_variable",
)
"""The attributes of a unit that make its recipe."""

_shared_of = attrgetter(*_SHARED)


class _Recipe:
    """What units have in common, and how it is written."""

    __slots__ = ("body", "number", "shared")

    def __init__(self, shared: tuple[Any, ...], number: int) -> None:
        self.shared = shared
        self.number = number
        self.body = encode(dict(zip(_SHARED, shared, strict=True)) | {"number": number})


class _Order(msgspec.Struct, omit_defaults=True):
    """What is a unit's own; ``recipe`` is the place of its recipe in the frame."""

    key: str
    group: str
    token: str
    recipe: int
    lane: str | None = None
    environment: Mapping[str, str | None] = {}
    stdin: str | Mapping[str, int] = "/dev/null"
    stdout: str | Mapping[str, int] = "/dev/null"
    stderr: str | Mapping[str, int] | None = None
    cpus: Sequence[int] | None = None
    descriptors: Sequence[int] = ()


class Orders:
    """Writes launch messages, and remembers what the shepherd has got."""

    def __init__(self, content: Callable[[str], bytes]) -> None:
        """*content* gives an environment (NUL-joined ``K=V``) by its key."""
        self._content = content
        self._sent: OrderedDict[str, int] = OrderedDict()
        self._recipes: deque[_Recipe] = deque(maxlen=_RECIPES_MAX)
        self._count = 0

    def clear(self) -> None:
        """Know that the shepherd has got nothing: the connection is a new one."""
        self._sent.clear()
        self._recipes.clear()

    def environments(self, units: Sequence[Unit]) -> bytes | None:
        """Return the message with the contents that the shepherd needs for *units* and lacks."""
        keys = {unit.environment_key: None for unit in units if unit.environment_key}
        # All are read before one counts as sent: a content may be out of reach.
        fresh = {
            key: self._content(key).decode("utf-8", "surrogateescape")
            for key in keys
            if key not in self._sent
        }
        for key in keys:
            if key in fresh:
                self._sent[key] = len(fresh[key])
            else:
                self._sent.move_to_end(key)
        forgotten = []
        while len(self._sent) > len(keys) and (
            len(self._sent) > _ENVIRONMENTS_MAX or sum(self._sent.values()) > _ENVIRONMENTS_SIZE_MAX
        ):
            forgotten.append(self._sent.popitem(last=False)[0])
        if not fresh and not forgotten:
            return None
        return encode({"type": "environments", "contents": fresh, "forget": forgotten})

    def launch(
        self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]
    ) -> tuple[bytes, list[int]]:
        """Return the message that has *units* run, and the descriptors that go with it."""
        passed: list[int] = []
        recipes: dict[_Recipe, int] = {}
        orders = []
        for unit in units:
            recipe = recipes.setdefault(self._recipe_of(unit), len(recipes))
            own = descriptors.get(unit.key, ())
            numbers = range(len(passed), len(passed) + len(own))
            orders.append(_order(unit, recipe, tuple(numbers)))
            passed += own
        body = b'{"type":"launch","descriptors":%d,"recipes":[%b],"units":%b}' % (
            len(passed),
            b",".join(recipe.body for recipe in recipes),
            encode(orders),
        )
        return body, passed

    def _recipe_of(self, unit: Unit) -> _Recipe:
        """Return the recipe of a unit; mostly it is that of the one before."""
        shared = _shared_of(unit)
        for recipe in self._recipes:
            if recipe.shared == shared:
                return recipe
        self._count += 1
        made = _Recipe(shared, self._count)
        self._recipes.appendleft(made)
        return made


def _order(unit: Unit, recipe: int, descriptors: tuple[int, ...]) -> _Order:
    return _Order(
        unit.key,
        unit.group,
        unit.token,
        recipe,
        unit.lane,
        unit.environment,
        unit.stdin,
        unit.stdout,
        unit.stderr,
        unit.cpus,
        descriptors,
    )


def batches(
    units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]
) -> Iterator[list[Unit]]:
    """Cut units into frames, none with more descriptors than the kernel passes."""
    batch: list[Unit] = []
    passed = 0
    for unit in units:
        count = len(descriptors.get(unit.key, ()))
        if batch and (len(batch) == _UNITS_PER_FRAME or passed + count > DESCRIPTORS_MAX):
            yield batch
            batch, passed = [], 0
        batch.append(unit)
        passed += count
    if batch:
        yield batch
