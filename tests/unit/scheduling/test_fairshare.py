"""Fair shares: use fades, and who used less than was promised stands before others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.accounts import PARENT_SHARES, Account, Association, Book, Entry, User, first_book
from stoker.scheduling.fairshare import (
    Spent,
    Standing,
    faded,
    fair_tree,
    last_reset,
    usage_after,
)


def book(*tree: tuple[str, str, str, int]) -> Book:
    """Make a book of (account, user, parent, shares)."""
    entries: list[Entry] = [*first_book()]
    for number, (account, user, parent, shares) in enumerate(tree, 3):
        entries += [User(user)] if user else [Account(account)]
        entries.append(
            Association(
                id=number, account=account, user=user, parent=parent, shares=shares, batch=number
            )
        )
    return Book.of(entries, len(tree) + 3, 2)


def standing(found: Mapping[int, Standing], of: Book, account: str, user: str = "") -> Standing:
    association = of.association(account, user)
    assert association is not None
    return found[association.id]


PHYS_AND_CHEM = book(
    ("phys", "", "root", 3),
    ("phys", "alice", "", 1),
    ("phys", "bob", "", 1),
    ("chem", "", "root", 1),
    ("chem", "alice", "", 4),
)


def test_use_fades_by_half_in_each_half_life() -> None:
    assert faded(1000.0, 2 * 3600.0, 3600.0) == pytest.approx(250.0)
    assert faded(1000.0, 1e9, 0.0) == 1000.0
    assert faded(1000.0, 1e9, math.inf) == 1000.0
    found = usage_after(
        {1: 1000.0}, 3600.0, [Spent(1, 64.0, 7200.0), Spent(2, 8.0, 3600.0)], 7200.0, 3600.0
    )
    assert found == pytest.approx({1: 564.0, 2: 4.0})


def test_what_has_faded_away_is_forgotten() -> None:
    assert usage_after({1: 1.0, 2: 1e6}, 10 * 3600.0, [], 0.0, 3600.0).keys() == {2}


def test_without_use_everybody_stands_first() -> None:
    found = fair_tree(PHYS_AND_CHEM, {})
    for account, user in (("phys", "alice"), ("chem", "alice"), ("root", "root")):
        own = standing(found, PHYS_AND_CHEM, account, user)
        assert (own.fair_share, own.level) == (1.0, math.inf)
    assert standing(found, PHYS_AND_CHEM, "phys").norm_shares == pytest.approx(3 / 5)


def test_who_took_more_than_was_promised_stands_behind() -> None:
    alice = PHYS_AND_CHEM.association("phys", "alice")
    assert alice is not None
    found = fair_tree(PHYS_AND_CHEM, {alice.id: 100.0})
    taker = standing(found, PHYS_AND_CHEM, "phys", "alice")
    assert (taker.usage, taker.effective_usage, taker.level) == (100.0, 1.0, 0.5)
    assert taker.fair_share == 1 / 4
    # Bob shares alice's account, so all of those in the other one stand before him.
    assert standing(found, PHYS_AND_CHEM, "phys", "bob").fair_share == 2 / 4
    assert standing(found, PHYS_AND_CHEM, "chem", "alice").fair_share == 1.0
    assert standing(found, PHYS_AND_CHEM, "phys").norm_usage == 1.0


def test_those_in_accounts_that_are_equal_are_ranked_as_in_one() -> None:
    both = book(
        ("a", "", "root", 1), ("a", "ann", "", 1), ("b", "", "root", 1), ("b", "ben", "", 1)
    )
    ids = [each.id for each in both.associations.values() if each.user in ("ann", "ben")]
    found = fair_tree(both, dict.fromkeys(ids, 50.0))
    assert [found[each].fair_share for each in ids] == [2 / 3, 2 / 3]


def test_shares_of_the_parent_and_none_at_all_are_the_two_ends() -> None:
    mixed = book(("a", "", "root", 1), ("a", "ann", "", PARENT_SHARES), ("a", "ben", "", 0))
    found = fair_tree(mixed, {})
    assert standing(found, mixed, "a", "ann").level == math.inf
    assert standing(found, mixed, "a", "ben").level == 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("uvwx"), st.integers(0, 5)),
        max_size=12,
        unique_by=lambda each: each[:2],
    ),
    st.lists(st.floats(0, 1e6), min_size=12, max_size=12),
)
def test_factors_are_between_nothing_and_one_and_follow_the_levels(
    users: list[tuple[str, str, int]], used: list[float]
) -> None:
    accounts = [(name, "", "root" if name != "c" else "a", 1) for name in "abc"]
    tree = book(*accounts, *((account, user, "", shares) for account, user, shares in users))
    ids = [each.id for each in tree.associations.values() if each.user and each.id > 2]
    found = fair_tree(tree, dict(zip(ids, used, strict=False)))
    assert found.keys() == tree.associations.keys()
    for key in ids:
        assert 0.0 < found[key].fair_share <= 1.0
    for account in "abc":
        users_below = [each.id for each in tree.children(account) if each.user]
        by_level = sorted(users_below, key=lambda key: found[key].level)
        factors = [found[key].fair_share for key in by_level]
        assert factors == sorted(factors)


@pytest.mark.parametrize(
    ("period", "reset"),
    [
        ("NONE", None),
        ("DAILY", datetime(2026, 11, 25, tzinfo=UTC)),
        ("WEEKLY", datetime(2026, 11, 22, tzinfo=UTC)),
        ("MONTHLY", datetime(2026, 11, 1, tzinfo=UTC)),
        ("QUARTERLY", datetime(2026, 10, 1, tzinfo=UTC)),
        ("YEARLY", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_use_is_forgotten_at_the_turn_of_a_period(period: str, reset: datetime | None) -> None:
    assert last_reset(period, datetime(2026, 11, 25, 3, 4, 5, tzinfo=UTC)) == reset
