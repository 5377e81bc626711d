"""What a request asks for, and which entries of the account book that is.

To show, to modify and to delete choose alike: an entry is meant if all that was said is true of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stoker.commands.sacctmgr.records import by_place
from stoker.core.accounts import Account, Association, Book, Qos, User

_ON_ASSOCIATIONS = frozenset({"accounts", "clusters", "partitions", "parents"})
"""Conditions that say of users and accounts which of their associations are meant."""


class Wanted(msgspec.Struct):
    """What a request asks for: values by what they are conditions on, and flags."""

    values: dict[str, list[str]] = {}
    flags: set[str] = set()
    formats: list[str] = []

    def has(self, what: str, text: str) -> bool:
        """Whether a text is among the values that are asked for, if any are."""
        names = self.values.get(what)
        return names is None or text.lower() in names

    def add(self, what: str, names: Iterable[str]) -> None:
        """Ask for more values."""
        self.values.setdefault(what, []).extend(names)

    @property
    def is_on_associations(self) -> bool:
        """Whether there is a condition on associations."""
        return not self.values.keys().isdisjoint(_ON_ASSOCIATIONS)

    def has_account(self, account: Account) -> bool:
        """Whether an account is asked for, conditions on associations left aside."""
        return (
            self.has("names", account.name)
            and self.has("descriptions", account.description)
            and self.has("organizations", account.organization)
        )

    def has_association(self, association: Association) -> bool:
        """Whether an association is asked for, conditions on its user or account left aside."""
        return (
            self.has("accounts", association.account)
            and self.has("users", association.user)
            and self.has("partitions", association.partition)
            and self.has("parents", association.parent)
            and self.has("ids", str(association.id))
        )

    def has_qos(self, qos: Qos) -> bool:
        """Whether a quality of service is asked for."""
        return (
            self.has("names", qos.name)
            and self.has("ids", str(qos.id))
            and self.has("descriptions", qos.description)
        )


def wanted_accounts(
    book: Book, wanted: Wanted, cluster: str
) -> tuple[list[Account], list[Association]]:
    """Return the accounts that are asked for, by name, and their own associations, by place."""
    accounts = [each for _, each in sorted(book.accounts.items()) if wanted.has_account(each)]
    own = [book.association(each.name) for each in accounts]
    found = _of_cluster(wanted, cluster, (each for each in own if each is not None))
    if wanted.is_on_associations:
        names = {each.account for each in found}
        accounts = [each for each in accounts if each.name in names]
    return accounts, by_place(book, found)


def wanted_users(book: Book, wanted: Wanted, cluster: str) -> tuple[list[User], list[Association]]:
    """Return the users who are asked for, by name, and their associations, by place."""
    users = [
        user
        for name, user in sorted(book.users.items())
        if wanted.has("names", name)
        and wanted.has("levels", user.admin_level)
        and wanted.has("defaults", book.default_account(name))
    ]
    names = {user.name for user in users}
    found = _of_cluster(
        wanted, cluster, (each for each in book.associations.values() if each.user in names)
    )
    if wanted.is_on_associations:
        names = {each.user for each in found}
        users = [user for user in users if user.name in names]
    return users, by_place(book, found)


def wanted_qos(book: Book, wanted: Wanted) -> list[Qos]:
    """Return the qualities of service that are asked for, the older first."""
    return sorted(filter(wanted.has_qos, book.qos.values()), key=lambda each: each.id)


def _of_cluster(
    wanted: Wanted, cluster: str, associations: Iterable[Association]
) -> list[Association]:
    if not wanted.has("clusters", cluster):
        return []
    return [each for each in associations if wanted.has_association(each)]
