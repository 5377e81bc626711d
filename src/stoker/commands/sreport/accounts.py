"""The tree of accounts, and what was used at each of its places. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from stoker.commands.sreport.usage import Piece, Tally
from stoker.core.accounts import ROOT, Book


class Place(NamedTuple):
    """An account in the order of the tree, or a user's part of it; ``depth`` 0 is the root's."""

    account: str
    login: str
    depth: int
    tally: Tally


class AccountTree:
    """Accounts by their parents; one that nobody knows stands under the root."""

    def __init__(self, parents: Mapping[str, str] | None = None) -> None:
        """*parents* names the parent of each account but the root."""
        self._parents = dict(parents or {})

    @classmethod
    def of(cls, book: Book) -> AccountTree:
        """Return the tree of the account book."""
        accounts = (each for each in book.associations.values() if not each.user and each.parent)
        return cls({each.account: each.parent for each in accounts})

    def lineage(self, account: str) -> Iterator[str]:
        """Return the account, its parent, and so on up to the root."""
        seen = set()
        while account != ROOT and account not in seen:
            seen.add(account)
            yield account
            account = self._parents.get(account, ROOT)
        yield ROOT

    def top_of(self, account: str, named: Iterable[str]) -> str | None:
        """Return the highest of the *named* accounts under which the account stands, or itself."""
        wanted = {name.lower() for name in named}
        found = [each for each in self.lineage(account) if each.lower() in wanted]
        return found[-1] if found else None

    def places(self, pieces: Sequence[Piece]) -> Iterator[Place]:
        """Return where something was used: an account with all below it, its users, its children.

        Accounts stand in the order of the alphabet, each above its children.
        """
        sums: dict[str, Tally] = {}
        users: dict[str, dict[str, Tally]] = {}
        for piece in pieces:
            own = users.setdefault(piece.account, {})
            own.setdefault(piece.login, Counter()).update(piece.tally)
            for account in self.lineage(piece.account):
                sums.setdefault(account, Counter()).update(piece.tally)
        for account in sorted(sums, key=lambda each: [*self.lineage(each)][::-1]):
            depth = len([*self.lineage(account)]) - 1
            yield Place(account, "", depth, sums[account])
            for login, tally in sorted(users.get(account, {}).items()):
                yield Place(account, login, depth + 1, tally)
