"""Who may be spawned: units without a lane at once, those of a lane one after the other.

Always holds: of a lane one unit is ready or has not gone with all that it left; the next is readied
the moment it has. Of a lane that somebody follows, that one takes the next without a word.
"""

from __future__ import annotations

from collections import deque

from stoker.shepherd.units import QUEUED, Lane

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stoker.shepherd.units import Unit


class Lanes:
    """The lanes in which somebody stands.

    Attributes:
        ready: Those whose turn it is; some may have been taken back since.
    """

    def __init__(self) -> None:
        """Open none."""
        self.ready: deque[Unit] = deque()
        self._lanes: dict[str, Lane] = {}
        self._waiting = 0

    def join(self, unit: Unit) -> None:
        """Let a queued unit be spawned when its turn comes."""
        if unit.lane is None:
            self.ready.append(unit)
            return
        lane = self._lanes.get(unit.lane)
        if lane is None:
            lane = self._lanes[unit.lane] = Lane()
        lane.waiting.append(unit)
        self._waiting += 1
        self._advance(unit.lane, lane)

    def leave(self, unit: Unit) -> None:
        """Let the next of a unit's lane follow, if this one was in front."""
        if unit.lane is None:
            return
        lane = self._lanes.get(unit.lane)
        if lane is not None and lane.busy is unit:
            lane.busy = None
            lane.has_moved = True
            self._advance(unit.lane, lane)

    def _advance(self, name: str, lane: Lane) -> None:
        """Ready the next unit of a lane whose last one has gone."""
        while lane.busy is None and lane.waiting:
            unit = lane.waiting.popleft()
            self._waiting -= 1
            if unit.state == QUEUED:
                lane.busy = unit
                if not lane.is_followed:
                    self.ready.append(unit)
        if lane.busy is None:
            del self._lanes[name]

    # --- Who follows a lane.

    def follow(self, name: str) -> Lane:
        """Leave it to the caller to take who is in front of a lane, one after the other.

        When all have left it, what is returned stays empty: who comes later under that name stands
        in another lane, which somebody else may follow.
        """
        lane = self._lanes[name]
        lane.is_followed = True
        return lane

    def unfollow(self, lane: Lane) -> None:
        """Have who is next in a lane readied for everybody again; nobody is in front just now."""
        lane.is_followed = False

    @property
    def has_followers(self) -> bool:
        """Whether somebody will be spawned as soon as another has gone."""
        return self._waiting > 0

    def is_in_a_row(self, unit: Unit) -> bool:
        """Whether units run one after the other here: then a fork would cost as much as they do."""
        lane = self._lanes.get(unit.lane) if unit.lane is not None else None
        return lane is not None and (lane.has_moved or bool(lane.waiting))

    def has_line(self, unit: Unit) -> bool:
        """Whether others stand behind a unit."""
        lane = self._lanes.get(unit.lane) if unit.lane is not None else None
        return lane is not None and bool(lane.waiting)

    def has_work(self, name: str | None) -> bool:
        """Whether that lane's cores have work enough without a word from stokerd."""
        lane = self._lanes.get(name) if name is not None else None
        return lane is not None and len(lane.waiting) > 1
