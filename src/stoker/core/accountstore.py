"""The queries on the account book, once. Entries are kept by kind and name, each as one body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, select

from stoker.core.accounts import Account, Association, Book, Entry, Qos, Transaction, User, key_of
from stoker.core.database import Database
from stoker.core.repository import Repository
from stoker.core.rows import as_text, decoder, encode
from stoker.core.schema import account_book, counters, transactions

NEXT_ASSOCIATION_ID: Final = "next_association_id"
NEXT_QOS_ID: Final = "next_qos_id"

_DECODERS: Final[Mapping[str, Callable[[bytes], Entry]]] = {
    "account": decoder(Account),
    "user": decoder(User),
    "association": decoder(Association),
    "qos": decoder(Qos),
}
_decode_transaction = decoder(Transaction)


class AccountStore:
    """The queries; it keeps nothing of its own."""

    def __init__(self, database: Database) -> None:
        """Work on *database*, which is open."""
        self._database = database
        self._repository = Repository(database)

    def save(self, connection: Connection, entries: Iterable[Entry]) -> None:
        """Record *entries*, new or known."""
        for entry in entries:
            kind, name = key_of(entry)
            self._erase(connection, kind, name)
            row = {"kind": kind, "name": as_text(name), "body": encode(entry)}
            connection.execute(account_book.insert(), row)

    def erase(self, connection: Connection, entries: Iterable[Entry]) -> None:
        """Remove *entries*."""
        for entry in entries:
            self._erase(connection, *key_of(entry))

    def _erase(self, connection: Connection, kind: str, name: str) -> None:
        table = account_book.c
        connection.execute(
            account_book.delete().where(table.kind == kind, table.name == as_text(name))
        )

    def save_next_ids(self, connection: Connection, book: Book) -> None:
        """Record which ids come next: they are never given twice."""
        for name, value in (
            (NEXT_ASSOCIATION_ID, book.next_association_id),
            (NEXT_QOS_ID, book.next_qos_id),
        ):
            self._repository.set_counter(connection, name, value)

    def add_transactions(self, connection: Connection, done: Iterable[Transaction]) -> None:
        """Add to the record of changes."""
        rows = [{"at": each.at, "body": encode(each)} for each in done]
        if rows:
            connection.execute(transactions.insert(), rows)

    def book(self) -> Book | None:
        """Return the book on record; None if there is none yet."""
        with self._database.reader() as connection:
            entry = account_book.c
            named = select(entry.kind, entry.body).order_by(entry.kind, entry.name)
            rows = connection.execute(named).all()
            query = select(counters.c.name, counters.c.value)
            numbers = {row.name: row.value for row in connection.execute(query)}
        if not rows:
            return None
        entries = [_DECODERS[row.kind](row.body) for row in rows]
        return Book.of(entries, numbers[NEXT_ASSOCIATION_ID], numbers[NEXT_QOS_ID])

    def transactions(self, since: float, until: float) -> list[Transaction]:
        """Return the changes between two times, the older first."""
        at = transactions.c.at
        query = select(transactions.c.body).where(at >= since, at <= until)
        with self._database.reader() as connection:
            rows = connection.execute(query.order_by(transactions.c.number)).all()
        return [_decode_transaction(row.body) for row in rows]
