"""A change of the account book while it is being put together."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stoker.commands.sacctmgr.desk import Desk
from stoker.core.accounts import Association, Book, BookChange, Entry, Transaction, key_of


class Draft:
    """What a request makes of the book that is there."""

    def __init__(self, desk: Desk) -> None:
        """Begin with nothing changed."""
        self.before = desk.book
        self.book: Book = desk.book
        """The book as it will be."""
        self.at = desk.controller.now()
        self.actor = desk.actor
        self._puts: dict[tuple[str, str], Entry] = {}
        self._drops: dict[tuple[str, str], Entry] = {}
        self._transactions: list[Transaction] = []
        self._next_association_id = desk.book.next_association_id
        self._next_qos_id = desk.book.next_qos_id
        self._batch = max((each.batch for each in desk.book.associations.values()), default=0) + 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not (self._puts or self._drops)

    def put(self, *entries: Entry) -> None:
        """Put in entries, new or changed."""
        self.book = self.book.after(BookChange(puts=entries))
        self._puts |= {key_of(each): each for each in entries}

    def drop(self, *entries: Entry) -> None:
        """Take out entries."""
        self.book = self.book.after(BookChange(drops=entries))
        for each in entries:
            self._puts.pop(key_of(each), None)
            self._drops[key_of(each)] = each

    def place(self, association: Association) -> Association:
        """Put in an association under a new id, to the left of those of older requests."""
        new = msgspec.structs.replace(association, id=self._next_association_id, batch=self._batch)
        self._next_association_id += 1
        self.put(new)
        return new

    def replant(self, association: Association) -> None:
        """Put in an association that has got another parent."""
        self.put(msgspec.structs.replace(association, batch=self._batch))

    def next_qos_id(self) -> int:
        """Return the id of a new quality of service."""
        self._next_qos_id += 1
        return self._next_qos_id - 1

    def note(self, *done: Transaction) -> None:
        """Add to the record of changes."""
        self._transactions += done

    def note_change(
        self,
        action: str,
        where: str,
        info: str,
        accounts: Iterable[str] = (),
        users: Iterable[str] = (),
    ) -> None:
        """Add to the record what is changed, and of which accounts and users."""
        self.note(
            Transaction(
                at=self.at,
                action=action,
                actor=self.actor,
                where=where,
                info=info,
                accounts=tuple(accounts),
                users=tuple(users),
            )
        )

    def change(self) -> BookChange:
        """Return what there is to be done."""
        return BookChange(
            drops=tuple(self._drops.values()),
            puts=tuple(self._puts.values()),
            transactions=tuple(self._transactions),
            next_association_id=self._next_association_id,
            next_qos_id=self._next_qos_id,
        )
