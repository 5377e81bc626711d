"""What the shepherd is told to run: messages in which units say once what they have in common.

Thousands of jobs of one queue differ in their numbers and little else. What is the same stands in a
recipe, its environment in a content by its key; a unit names its recipe. A frame holds all recipes
that it names, so that it can stand in the shepherd's journal by itself; an environment is sent once
over a connection.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from stoker.engines.base import Recipe, Surroundings, Unit
from stoker.engines.channel import DESCRIPTORS_MAX, encode

_UNITS_PER_FRAME = 512
_RECIPES_MAX = 16
_ENVIRONMENTS_MAX = 256
_ENVIRONMENTS_SIZE_MAX = 32 << 20


class _Written:
    """A recipe as it is written, with a number of its own."""

    __slots__ = ("body", "recipe")

    def __init__(self, recipe: Recipe, number: int) -> None:
        self.recipe = recipe
        self.body = encode({**msgspec.structs.asdict(recipe), "number": number})


class _Order(Surroundings, frozen=True, omit_defaults=True):
    """What is a unit's own; ``recipe`` is the place of its recipe in the frame."""

    key: str
    group: str
    token: str
    recipe: int
    descriptors: Sequence[int] = ()


class Orders:
    """Writes launch messages, and remembers what the shepherd has got."""

    def __init__(self, content: Callable[[str], bytes]) -> None:
        """*content* gives an environment (NUL-joined ``K=V``) by its key."""
        self._content = content
        self._sent: OrderedDict[str, int] = OrderedDict()
        self._recipes: deque[_Written] = deque(maxlen=_RECIPES_MAX)
        self._count = 0

    def clear(self) -> None:
        """Know that the shepherd has got nothing: the connection is a new one."""
        self._sent.clear()
        self._recipes.clear()

    def environments(self, units: Sequence[Unit]) -> bytes | None:
        """Return the message with the contents that the shepherd needs for *units* and lacks."""
        keys = {key: None for unit in units if (key := unit.recipe.environment_key)}
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
        places: dict[_Written, int] = {}
        recipe, place = None, 0
        orders = []
        for unit in units:
            if unit.recipe is not recipe:
                recipe = unit.recipe
                place = places.setdefault(self._written(recipe), len(places))
            own = descriptors.get(unit.key, ())
            numbers = range(len(passed), len(passed) + len(own))
            orders.append(_order(unit, place, tuple(numbers)))
            passed += own
        body = b'{"type":"launch","descriptors":%d,"recipes":[%b],"units":%b}' % (
            len(passed),
            b",".join(written.body for written in places),
            encode(orders),
        )
        return body, passed

    def _written(self, recipe: Recipe) -> _Written:
        """Return a recipe as it is written; mostly it has been before."""
        for written in self._recipes:
            if written.recipe == recipe:
                return written
        self._count += 1
        written = _Written(recipe, self._count)
        self._recipes.appendleft(written)
        return written


def _order(unit: Unit, recipe: int, descriptors: tuple[int, ...]) -> _Order:
    return _Order(
        unit.key,
        unit.group,
        unit.token,
        recipe,
        descriptors,
        lane=unit.lane,
        environment=unit.environment,
        stdin=unit.stdin,
        stdout=unit.stdout,
        stderr=unit.stderr,
        cpus=unit.cpus,
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
