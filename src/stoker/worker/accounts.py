"""The account book in memory: made anew from the record at every start, changed inside turns.

Source: the book itself and what it means stand in `core.accounts`.
"""

from __future__ import annotations

from functools import partial

from stoker.core.accounts import Book, BookChange, Transaction, first_book
from stoker.core.accountstore import AccountStore
from stoker.core.accounttext import begun_book
from stoker.core.settings import Settings
from stoker.worker.queue import Turn


class AccountKeeper:
    """Keeps the account book; whoever reads `book` may keep what it got."""

    def __init__(self, store: AccountStore, settings: Settings) -> None:
        """Keep what *store* has on record."""
        self.book: Book = first_book()
        self._store = store
        self._cluster = settings.cluster_name

    def load(self, turn: Turn) -> None:
        """Take the book from the record; the first time, put it there."""
        book = self._store.book()
        if book is None:
            book = first_book()
            turn.writes.append(partial(self._store.save, entries=tuple(book)))
            turn.writes.append(partial(self._store.save_next_ids, book=book))
            begun = begun_book(turn.now, self._cluster, book)
            turn.writes.append(partial(self._store.add_transactions, done=begun))
        self.book = book

    def change(self, turn: Turn, change: BookChange) -> None:
        """Make a change of the book."""
        self.book = book = self.book.after(change)
        turn.writes += [
            partial(self._store.erase, entries=change.drops),
            partial(self._store.save, entries=change.puts),
            partial(self._store.save_next_ids, book=book),
            partial(self._store.add_transactions, done=change.transactions),
        ]

    def transactions(self, since: float, until: float) -> list[Transaction]:
        """Return the changes on record between two times, the older first."""
        return self._store.transactions(since, until)
