"""The account book: its tree, what comes from above, and how it changes."""

from __future__ import annotations

import msgspec
import pytest

from stoker.core.accounts import (
    Account,
    Association,
    Book,
    BookChange,
    Entry,
    Limits,
    Qos,
    User,
    first_book,
)


def with_entries(*entries: Entry) -> Book:
    return first_book().after(BookChange(puts=entries))


@pytest.fixture
def book() -> Book:
    """The book of the recordings: bio and chem came in one request, alice joined chem later."""
    accounts = [Account(name) for name in ("phys", "chem", "bio", "quantum")]
    return with_entries(
        *accounts,
        User("alice"),
        User("bob", "Operator"),
        Qos(id=2, name="high"),
        Association(id=3, account="phys", parent="root", batch=3, shares=7),
        Association(id=4, account="chem", parent="root", batch=4, shares=3),
        Association(id=5, account="bio", parent="root", batch=4, shares=3),
        Association(id=6, account="quantum", parent="phys", batch=6, shares=2),
        Association(id=7, account="phys", user="alice", batch=7, is_default=True),
        Association(id=8, account="chem", user="alice", batch=8, shares=4),
        Association(id=9, account="chem", user="bob", batch=9),
        Association(id=10, account="quantum", user="bob", batch=9, is_default=True),
    )


def test_users_stand_before_accounts_and_both_by_name(book: Book):
    shown = [(depth, each.account, each.user) for depth, each in book.tree()]
    assert shown == [
        (0, "root", ""),
        (1, "root", "root"),
        (1, "bio", ""),
        (1, "chem", ""),
        (2, "chem", "alice"),
        (2, "chem", "bob"),
        (1, "phys", ""),
        (2, "phys", "alice"),
        (2, "quantum", ""),
        (3, "quantum", "bob"),
    ]


def test_newer_requests_stand_further_left_in_the_numbering(book: Book):
    numbers = {book.associations[each].key[:2]: both for each, both in book.numbering.items()}
    assert numbers["root", ""] == (1, 20)
    assert numbers["chem", ""] == (2, 7)
    assert numbers["chem", "bob"] == (3, 4)
    assert numbers["chem", "alice"] == (5, 6)
    assert numbers["bio", ""] == (8, 9)
    assert numbers["phys", "alice"] == (11, 12)
    assert numbers["quantum", ""] == (13, 16)
    assert numbers["root", "root"] == (18, 19)


def test_what_a_user_does_not_say_the_accounts_above_say(book: Book):
    phys, alice = book.associations[3], book.associations[7]
    limits = Limits(max_jobs=5, max_tres={"cpu": 8, "mem": 100}, grp_jobs=3)
    own = Limits(max_tres={"cpu": 2})
    book = book.after(
        BookChange(
            puts=(
                msgspec.structs.replace(phys, limits=limits),
                msgspec.structs.replace(alice, limits=own),
            )
        )
    )
    found = book.effective(book.associations[7])
    assert found.max_jobs == 5
    assert found.max_tres == {"cpu": 2, "mem": 100}
    assert found.grp_jobs is None, "a group's limit is the group's, and not each member's"


def test_qualities_come_from_above_with_what_is_added_and_taken(book: Book):
    alice = book.associations[7]
    assert book.qos_of(alice) == ("normal",)
    book = book.after(
        BookChange(puts=(msgspec.structs.replace(alice, delta_qos=("+high", "-normal")),))
    )
    assert book.qos_of(book.associations[7]) == ("high",)
    book = book.after(BookChange(drops=(book.qos["high"],)))
    assert book.qos_of(book.associations[7]) == ()


def test_a_job_runs_under_its_partitions_association_or_the_general_one(book: Book):
    special = Association(id=20, account="phys", user="alice", partition="short", batch=20)
    book = book.after(BookChange(puts=(special,)))
    assert book.of_job("alice", "", "short") == special
    assert book.of_job("alice", "", "debug") == book.associations[7]
    assert book.of_job("alice", "bio", "debug") is None
    assert book.of_job("nobody", "", "debug") is None


def test_ids_are_not_given_again(book: Book):
    after = book.after(BookChange(drops=(book.associations[10],), next_association_id=11))
    assert after.next_association_id == 11
    assert after.after(BookChange()).next_association_id == 11


def test_a_change_leaves_the_book_it_was_made_from_alone(book: Book):
    before = list(book)
    book.after(BookChange(drops=(book.accounts["bio"], book.associations[5])))
    assert list(book) == before
