"""Who is known: units from their intent to the last event that is kept, and their groups.

Births bring them to life, deaths let them end; here stands what they are and what is on record.
"""

from __future__ import annotations

from stoker.shepherd.journal import text_of
from stoker.shepherd.telling import (
    begin_record,
    end_record,
    intent_record,
    known,
    start_record,
)
from stoker.shepherd.units import DEAD, ENDED, RUNNING, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stoker.shepherd.journal import Journal
    from stoker.shepherd.limits import Limits
    from stoker.shepherd.reports import Reports
    from stoker.shepherd.units import Unit


class Herd:
    """All units and groups.

    Attributes:
        units: By key, the ended ones that nobody has acknowledged included.
        groups: Those that have not ended.
    """

    def __init__(self, journal: Journal, limits: Limits, reports: Reports) -> None:
        """Keep nobody yet."""
        self.units: dict[str, Unit] = {}
        self.groups: dict[str, Group] = {}
        self._journal = journal
        self._limits = limits
        self._reports = reports

    def group_of(self, key: str) -> Group:
        """Return the group of that key; a new one is known from its first unit on."""
        return self.groups.get(key) or Group(key)

    def admit(self, unit: Unit) -> None:
        """Know a unit, its group, and what leads it."""
        group = self.groups.setdefault(unit.group.key, unit.group)
        unit.group = group
        self.units[unit.key] = group.units[unit.key] = unit
        if unit.recipe.leads:
            group.leader = unit

    def tell_again(self, unit: Unit) -> None:
        """Tell what is known of a unit that was sent before."""
        if unit.event is not None:
            self._reports.tell(unit.event, is_last=True)
        elif unit.state in (RUNNING, DEAD):
            self._reports.tell(unit, is_last=False)

    def acknowledge(self, keys: Iterable[str]) -> None:
        """Forget the units whose last event stokerd has on record."""
        forgotten = []
        for key in keys:
            unit = self.units.get(key)
            if unit is not None and unit.state == ENDED:
                del self.units[key]
                forgotten.append(key)
        if forgotten:
            self._journal.note("forget", forgotten)

    def note_pause(self, group: Group) -> None:
        """Put on record that a group was suspended, or goes on."""
        self._limits.watch_all(group)
        self._journal.note("pause", group.key, group.paused_s, group.paused_at)
        self._journal.write()

    def limit(self, group: Group, limit_s: float | None) -> None:
        """Change the time limit of a group's leader, or of all its units if it has none."""
        self.limit_units([group.leader] if group.leader else group.units.values(), limit_s)

    def limit_units(self, units: Iterable[Unit], limit_s: float | None) -> None:
        """Change the time limit of units."""
        for unit in units:
            unit.limit_s = limit_s
            self._journal.note("limit", unit.key, limit_s)
            self._limits.watch(unit)
        self._journal.write()

    def records(self) -> Iterator[str]:
        """Give what a fresh journal must hold, as JSON."""
        for unit in self.units.values():
            yield intent_record(unit)
            if unit.state in (RUNNING, DEAD):
                yield begin_record(unit)
                yield start_record(unit)
            elif unit.event is not None:
                yield end_record(unit)
        for group in self.groups.values():
            if group.paused_s or group.paused_at:
                yield text_of(["pause", group.key, group.paused_s, group.paused_at])

    def snapshot(self) -> str:
        """Return all units as the welcome tells them, as JSON."""
        return f"[{','.join(map(known, self.units.values()))}]"
