"""What stokerd asks, and what is done about it.

    hello      {"version"}                     makes this peer the one that is told; answer: welcome
    environments {"contents", "forget"}
    launch     {"recipes", "units", "descriptors"}
    withdraw   {"keys"}                        each answers: withdrawn, or with its start
    end        {"group", "why", "kill_wait_s"}      end_unit {"key", ...}
    signal     {"group", "number", "scope"}         signal_unit {"key", "number"}
    suspend, resume {"group"}
    limit      {"group", "time_limit_s"}       a unit's key stands for that unit alone
    ack        {"keys"}                        their last events are on record
    status, survey                             may be asked by anyone; answer: status, welcome
    shutdown                                   go, if nothing runs and nothing is untold

A unit names its descriptors by their numbers in the frame, and its recipe, which says all that it
has in common with others, by its place there. A recipe's own ``number`` tells it from others of the
same connection, so that what was made of it serves again. An environment is sent once, before the
first recipe that names it, and kept until stokerd says that it may be forgotten or is gone.

What touches nothing that runs is done as soon as a message has come, while runners go on; the rest
when they stand.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from functools import partial
from operator import index

from stoker.shepherd.connection import ProtocolError
from stoker.shepherd.orders import Order
from stoker.shepherd.spawn import environment_of
from stoker.shepherd.units import (
    NONSENSE,
    QUEUED,
    RUNNING,
    Group,
    Recipe,
    Unit,
    seconds,
    signal_number,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from stoker.shepherd.births import Births
    from stoker.shepherd.connection import Connection
    from stoker.shepherd.deaths import Deaths
    from stoker.shepherd.endings import Endings
    from stoker.shepherd.herd import Herd
    from stoker.shepherd.reports import Reports
    from stoker.shepherd.spawn import Spawner

VERSION = 2
_ENVIRONMENTS_MAX = 4096
_RECIPES_MAX = 256


class Requests:
    """Does what messages ask for.

    Attributes:
        on_shutdown: Called when stokerd says that we may go.
        remembers_since: From when on nothing that we were told was lost, in epoch seconds.
    """

    def __init__(
        self,
        *,
        herd: Herd,
        births: Births,
        deaths: Deaths,
        endings: Endings,
        spawner: Spawner,
        reports: Reports,
        status: Callable[[], dict[str, Any]],
        boot_id: str,
    ) -> None:
        """Act on *herd*; *status* gives what is shown of us."""
        self.on_shutdown: Callable[[], None] = lambda: None
        self.remembers_since = time.time()
        self._herd = herd
        self._births = births
        self._deaths = deaths
        self._recipes: dict[int, Recipe] = {}
        self._endings = endings
        self._spawner = spawner
        self._environments = spawner.environments
        self._reports = reports
        self._status = status
        self._boot_id = boot_id
        self._open: dict[str, Callable[[Connection, dict[str, Any]], None]] = {
            "hello": self._hello,
            "status": self._tell_status,
            "survey": self._welcome,
        }
        self._at_once: dict[str, Callable[[dict[str, Any], str, list[int]], Callable[[], None]]] = {
            "launch": self._begin_launch,
            "environments": self._keep_environments,
        }
        self._private: dict[str, Callable[[dict[str, Any]], None]] = {
            "withdraw": self._withdraw,
            "end": self._end,
            "end_unit": self._end_unit,
            "signal": self._signal,
            "signal_unit": self._signal_unit,
            "suspend": self._suspend,
            "resume": self._resume,
            "limit": self._limit,
            "ack": self._acknowledge,
            "shutdown": lambda _: self.on_shutdown(),
        }

    def begin(
        self, connection: Connection, message: dict[str, Any], text: str, descriptors: list[int]
    ) -> Order:
        """Do what touches nothing that runs; return what else a message asks for.

        Args:
            connection: Who says it.
            message: What it says.
            text: How it said it.
            descriptors: What came with it.
        """
        kind = message.get("type")
        rest: Callable[[], None] = partial(self._serve, connection, message, text, descriptors)
        try:
            if kind in self._at_once and connection.is_primary:
                rest = self._at_once[kind](message, text, descriptors)
        except NONSENSE as error:
            rest = partial(_refuse, kind, error)
        return Order(rest, descriptors)

    def _serve(
        self, connection: Connection, message: dict[str, Any], text: str, descriptors: list[int]
    ) -> None:
        kind = message.get("type")
        try:
            if kind in self._open:
                self._open[kind](connection, message)
            elif kind in self._private and connection.is_primary:
                self._private[kind](message)
            elif kind in self._at_once and connection.is_primary:
                # It was not when this was read: it has said hello since.
                self._at_once[kind](message, text, descriptors)()
            else:
                raise ProtocolError(f"it may not say {kind!r}")
        except NONSENSE as error:
            _refuse(kind, error)

    # --- For anyone of our user.

    def _hello(self, connection: Connection, message: dict[str, Any]) -> None:
        older, self._reports.peer = self._reports.peer, connection
        if older is not None and older is not connection:
            older.is_primary = False
            with suppress(ProtocolError):
                older.send('{"type":"replaced"}')
            self._reports.on_break(older, "a newer stokerd has connected")
        self._environments.clear()
        self._recipes.clear()
        self._reports.clear()
        self._reports.peer = connection
        connection.is_primary = True
        self._welcome(connection, message)

    def _welcome(self, connection: Connection, _: dict[str, Any]) -> None:
        connection.send(
            f'{{"type":"welcome","version":{VERSION},"pid":{os.getpid()},'
            f'"boot_id":{json.dumps(self._boot_id)},"remembers_since":{self.remembers_since},'
            f'"units":{self._herd.snapshot()}}}'
        )

    def _tell_status(self, connection: Connection, _: dict[str, Any]) -> None:
        connection.send(json.dumps({"type": "status", "status": self._status()}))

    # --- For the one stokerd.

    def _keep_environments(
        self, message: dict[str, Any], _text: str, _descriptors: list[int]
    ) -> Callable[[], None]:
        for key in message["forget"]:
            self._environments.pop(key, None)
        for key, text in message["contents"].items():
            self._environments[key] = environment_of(text)
        if len(self._environments) > _ENVIRONMENTS_MAX:
            raise ValueError("it sends more environments than it forgets")
        return lambda: None

    def _begin_launch(
        self, message: dict[str, Any], text: str, descriptors: list[int]
    ) -> Callable[[], None]:
        """Read the units of a launch, and make ready those that will follow others."""
        recipes = [self._recipe(order) for order in message["recipes"]]
        units = [_read_unit(order, recipes, len(descriptors)) for order in message["units"]]
        for unit in units:
            if unit.lane is not None:
                self._spawner.prepare(unit)
        return partial(self._launch, units, text, descriptors)

    def _launch(self, units: Collection[Unit], text: str, descriptors: list[int]) -> None:
        if descriptors:
            _hand_over(units, descriptors)
        fresh: dict[str, Unit] = {}
        for unit in units:
            if unit.key not in fresh and unit.key not in self._herd.units:
                fresh[unit.key] = unit
                continue
            unit.close()
            if unit.key not in fresh:
                self._herd.tell_again(self._herd.units[unit.key])
        # Said of new ones alone, and in one line, it is a record as it stands.
        is_record = len(fresh) == len(units) and "\n" not in text
        self._births.take_on(fresh.values(), f'["launch",{text}]' if is_record else "")

    def _recipe(self, order: dict[str, Any]) -> Recipe:
        """Return the recipe that a message holds, as it was read before if it was."""
        recipe = self._recipes.get(order["number"])
        if recipe is None:
            if len(self._recipes) >= _RECIPES_MAX:
                self._recipes.clear()
            content = self._environments.get(order["environment_key"])
            recipe = self._recipes[order["number"]] = Recipe(order, content)
        return recipe

    def _withdraw(self, message: dict[str, Any]) -> None:
        for key in message["keys"]:
            unit = self._herd.units.get(key)
            if unit is not None and unit.state == QUEUED:
                self._deaths.withdraw(unit)
                self._deaths.settle(unit.group)
            elif unit is not None and unit.event is None:
                # The end of one that has ended is on its way. Told twice, it would be taken for
                # that of the next unit of this key.
                self._herd.tell_again(unit)

    def _end(self, message: dict[str, Any]) -> None:
        if group := self._group(message):
            self._deaths.end(group, str(message["why"]), seconds(message["kill_wait_s"]))

    def _end_unit(self, message: dict[str, Any]) -> None:
        unit = self._herd.units.get(message["key"])
        if unit is not None and unit.state == QUEUED:
            self._deaths.withdraw(unit)
            self._deaths.settle(unit.group)
        elif unit is not None and unit.state == RUNNING:
            self._endings.end_unit(unit, str(message["why"]), seconds(message["kill_wait_s"]))

    def _signal(self, message: dict[str, Any]) -> None:
        if group := self._group(message):
            number = signal_number(message["number"])
            self._endings.signal(group, number, str(message["scope"]))

    def _signal_unit(self, message: dict[str, Any]) -> None:
        unit = self._herd.units.get(message["key"])
        if unit is not None and unit.state == RUNNING:
            self._endings.signal_unit(unit, signal_number(message["number"]))

    def _suspend(self, message: dict[str, Any]) -> None:
        if group := self._group(message):
            self._endings.suspend(group)

    def _resume(self, message: dict[str, Any]) -> None:
        if group := self._group(message):
            self._endings.resume(group)

    def _limit(self, message: dict[str, Any]) -> None:
        limit_s = None if message["time_limit_s"] is None else seconds(message["time_limit_s"])
        unit = self._herd.units.get(message["group"])
        if group := self._group(message):
            self._herd.limit(group, limit_s)
        elif unit is not None and unit.state in (QUEUED, RUNNING):
            self._herd.limit_units([unit], limit_s)

    def _acknowledge(self, message: dict[str, Any]) -> None:
        self._herd.acknowledge(message["keys"])

    def _group(self, message: dict[str, Any]) -> Group | None:
        return self._herd.groups.get(message["group"])


def _read_unit(order: dict[str, Any], recipes: list[Recipe], descriptors: int) -> Unit:
    """Return a unit; *descriptors* is how many came with the message."""
    unit = Unit(order, recipes[order["recipe"]], Group(order["group"]))
    if any(not 0 <= index(number) < descriptors for number in order.get("descriptors", ())):
        raise IndexError("it names descriptors that did not come")
    return unit


def _hand_over(units: Iterable[Unit], descriptors: list[int]) -> None:
    """Give units the descriptors that they name: nobody else closes them now."""
    for unit in units:
        assert unit.order is not None, f"{unit.key} was spawned before"
        for number in unit.order.get("descriptors", ()):
            unit.descriptors.append(descriptors[number])
            descriptors[number] = -1


def _refuse(kind: Any, error: Exception) -> None:
    raise ProtocolError(f"cannot make sense of {kind!r}: {error!r}") from None
