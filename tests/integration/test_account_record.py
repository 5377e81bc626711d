"""The account book on disk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stoker.core.accounts import (
    Account,
    Association,
    BookChange,
    Limits,
    Qos,
    Transaction,
    User,
    first_book,
)
from stoker.core.accountstore import AccountStore
from stoker.core.database import Database
from stoker.core.repository import Repository
from stoker.core.settings import Settings
from stoker.worker.accounts import AccountKeeper
from stoker.worker.queue import Turn

CHANGE = BookChange(
    puts=(
        Account("phys", "physics", "uni", ("alice",)),
        User("alice"),
        Qos(id=2, name="high", flags=("DenyOnLimit",), limits=Limits(max_tres_pu={"cpu": 4})),
        Association(id=3, account="phys", parent="root", batch=3, limits=Limits(grp_wall=60)),
        Association(id=4, account="phys", user="alice", delta_qos=("+high",), is_default=True),
    ),
    transactions=(
        Transaction(at=5.0, action="Add Accounts", actor="root", where="phys", info="..."),
        Transaction(at=7.0, action="Add Users", actor="root", where="alice", info="..."),
    ),
    next_association_id=5,
    next_qos_id=3,
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


def load(database: Database) -> AccountKeeper:
    keeper = AccountKeeper(AccountStore(database), Settings())
    turn = Turn(1.0)
    keeper.load(turn)
    turn.record(Repository(database))
    return keeper


def change(keeper: AccountKeeper, database: Database, change: BookChange) -> None:
    turn = Turn(2.0)
    keeper.change(turn, change)
    assert not turn.is_empty
    turn.record(Repository(database))


def test_the_first_book_is_recorded_once(database: Database):
    assert load(database).book == first_book()
    assert AccountStore(database).book() == first_book()
    assert load(database).book == first_book()


def test_a_changed_book_is_the_same_after_a_restart(database: Database):
    keeper = load(database)
    change(keeper, database, CHANGE)
    assert set(map(repr, load(database).book)) == set(map(repr, keeper.book))
    assert load(database).book.next_association_id == 5


def test_what_is_dropped_is_gone_after_a_restart(database: Database):
    keeper = load(database)
    change(keeper, database, CHANGE)
    change(keeper, database, BookChange(drops=(keeper.book.associations[4],)))
    assert 4 not in load(database).book.associations
    assert load(database).book.next_association_id == 5, "its id is not given again"


def test_changes_are_found_by_their_time(database: Database):
    keeper = load(database)
    change(keeper, database, CHANGE)
    found = keeper.transactions(6.0, 9.0)
    assert [each.action for each in found] == ["Add Users"]
    whole = [each.where for each in keeper.transactions(0.0, 9.0)]
    assert whole == ["stoker", "id_assoc=2", "name='stoker'", "phys", "alice"]
