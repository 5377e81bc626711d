"""What commands may ask of reservations: to see them, and to make, change and delete them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stoker.core.models import Owner
from stoker.core.reservations import Reservation, ReservationWish


class ReservationDesk(Protocol):
    """Seen by commands; what changes something must be called inside a turn of the service."""

    def listed(self) -> Sequence[Reservation]:
        """Return all of them, by name."""
        ...

    def create(self, wish: ReservationWish, by: Owner) -> str:
        """Keep something for some; return the name under which that is known.

        Raises:
            InvalidSpec: It says nothing sensible, or what it wants is taken.
            NotAllowed: They are no operator.
        """
        ...

    def update(self, wish: ReservationWish, by: Owner) -> None:
        """Change what is said of a reservation; raises as `create` does."""
        ...

    def delete(self, name: str, by: Owner) -> None:
        """Keep something no longer.

        Raises:
            InvalidSpec: There is no such reservation, or jobs run or wait in it.
            NotAllowed: They are no operator.
        """
        ...
