"""The queries on reservations, once."""

from __future__ import annotations

from sqlalchemy import Connection, select

from stoker.core.database import Database
from stoker.core.reservations import Reservation
from stoker.core.rows import as_text, decoder, encode
from stoker.core.schema import reservations

_decode = decoder(Reservation)


class ReservationStore:
    """The queries; it keeps nothing of its own."""

    def __init__(self, database: Database) -> None:
        """Work on *database*, which is open."""
        self._database = database

    def load(self) -> list[Reservation]:
        """Return all that are on record, by name."""
        query = select(reservations.c.body).order_by(reservations.c.name)
        with self._database.reader() as connection:
            return [_decode(row[0]) for row in connection.execute(query)]

    def save(self, connection: Connection, reservation: Reservation) -> None:
        """Record a reservation, in the place of one of its name."""
        self.delete(connection, reservation.name)
        row = {"name": as_text(reservation.name), "body": encode(reservation)}
        connection.execute(reservations.insert(), row)

    def delete(self, connection: Connection, name: str) -> None:
        """Record that there is no reservation of that name."""
        connection.execute(reservations.delete().where(reservations.c.name == as_text(name)))
