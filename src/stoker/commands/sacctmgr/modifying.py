"""sacctmgr modify: accounts, users, qualities of service, the cluster's limits, jobs.

Source: sacctmgr(1); wording as recorded.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final

import msgspec

from stoker.commands.sacctmgr.applying import (
    association_changes,
    changes_of_qos,
    qos_with_wishes,
    shown_association,
    with_wishes,
)
from stoker.commands.sacctmgr.desk import NO_PRIVILEGE, Desk, Talk
from stoker.commands.sacctmgr.draft import Draft
from stoker.commands.sacctmgr.entities import ACCOUNTS, CLUSTERS, QUALITIES, USERS, Entity
from stoker.commands.sacctmgr.show import read_wanted
from stoker.commands.sacctmgr.wanted import (
    Wanted,
    wanted_accounts,
    wanted_qos,
    wanted_users,
)
from stoker.commands.sacctmgr.wishes import EntityName, Wishes, read_wishes
from stoker.commands.sacctmgr.words import Request
from stoker.core.accounts import INHERITED, ROOT, Account, Association, Book, User
from stoker.core.accounttext import level_change
from stoker.worker import call

_NOTHING: Final = " Nothing modified\n"


def modify_users(request: Request, desk: Desk) -> Talk:
    """Change users and their associations."""
    read = yield from _read("User", USERS, request, desk)
    if read is None:
        return
    wanted, wishes = read
    draft = Draft(desk)
    users, associations = wanted_users(draft.book, wanted, desk.cluster)
    if not desk.may_change(associations) or (wishes.admin_level and not desk.may_administer):
        desk.complain(NO_PRIVILEGE)
        return
    if wishes.admin_level or wishes.default_account or wishes.default_wckey is not None:
        _change_users(draft, desk, users, wishes)
    if not desk.code and wishes.changes_association:
        _say_modified(desk, "user associations", [_line(desk, each) for each in associations])
        _change_associations(draft, associations, wishes)
    yield from _commit(draft, desk)
    if wishes.forgets_usage and not desk.code:
        yield from _forget_usage(desk, associations)


def _change_users(draft: Draft, desk: Desk, users: Sequence[User], wishes: Wishes) -> None:
    account = wishes.default_account
    strangers = [
        user.name for user in users if account and not draft.book.association(account, user.name)
    ]
    if strangers:
        lines = "".join(f"  U = {name} C = {desk.cluster}\n" for name in strangers)
        desk.fail(
            " Can't modify because these users aren't associated with new default account "
            f"'{account}'...\n{lines}"
        )
        return
    _say_modified(desk, "users", [user.name for user in users])
    for user in users:
        _change_user(draft, user, wishes)


def _change_user(draft: Draft, user: User, wishes: Wishes) -> None:
    if wishes.admin_level or wishes.default_wckey is not None:
        level = wishes.admin_level or user.admin_level
        wckey = user.default_wckey if wishes.default_wckey is None else wishes.default_wckey
        draft.put(msgspec.structs.replace(user, admin_level=level, default_wckey=wckey))
        draft.note_change(
            "Modify Users", f"(name='{user.name}')", level_change(level), users=[user.name]
        )
    if not wishes.default_account:
        return
    for each in list(draft.book.associations.values()):
        if each.user == user.name:
            is_default = each.account == wishes.default_account
            draft.put(msgspec.structs.replace(each, is_default=is_default))
            if is_default:
                where = f"(id_assoc={each.id})"
                draft.note_change("Modify Associations", where, "is_def=1", users=[user.name])


# Accounts.


def modify_accounts(request: Request, desk: Desk) -> Talk:
    """Change accounts and their associations."""
    read = yield from _read("Account", ACCOUNTS, request, desk)
    if read is None:
        return
    wanted, wishes = read
    if not desk.may_operate:
        desk.complain(NO_PRIVILEGE)
        return
    draft = Draft(desk)
    accounts, associations = wanted_accounts(draft.book, wanted, desk.cluster)
    if wishes.description is not None or wishes.organization is not None:
        _change_accounts(draft, desk, accounts, wishes)
    if not desk.code and wishes.changes_association:
        if (problem := _parent_problem(draft.book, associations, wishes)) is not None:
            desk.complain(problem)
            return
        _say_modified(
            desk, "account associations", list(_account_lines(desk, associations, wishes))
        )
        _change_associations(draft, associations, wishes)
    yield from _commit(draft, desk)
    if wishes.forgets_usage and not desk.code:
        below = [each for own in associations for each in desk.book.below(own.account)]
        yield from _forget_usage(desk, [*associations, *below])


def _change_accounts(draft: Draft, desk: Desk, accounts: Sequence[Account], wishes: Wishes) -> None:
    _say_modified(desk, "accounts", [account.name for account in accounts])
    parts = {"description": wishes.description, "organization": wishes.organization}
    stated = {name: text for name, text in parts.items() if text is not None}
    info = ", ".join(f"{name}='{text}'" for name, text in stated.items())
    for account in accounts:
        changes: dict[str, Any] = dict(stated)
        draft.put(msgspec.structs.replace(account, **changes))
        draft.note_change("Modify Accounts", f"(name='{account.name}')", info, [account.name])


def _parent_problem(book: Book, associations: Sequence[Association], wishes: Wishes) -> str | None:
    """Return why associations cannot stand under the parent that is wished for."""
    if wishes.parent is None:
        return None
    parent = book.association(wishes.parent)
    if parent is None:
        return f" Error with request: parent account {wishes.parent} doesn't exist\n"
    above = {each.id for each in book.chain(parent)}
    if any(each.id in above or each.account == ROOT for each in associations):
        return " Error with request: an account can't stand below itself\n"
    return None


def _account_lines(
    desk: Desk, associations: Sequence[Association], wishes: Wishes
) -> Iterator[str]:
    for each in associations:
        of = f" of {each.parent}" if each.parent else ""
        yield f"C = {desk.cluster:<10} A = {each.account}{of}"
        for heir in _heirs(desk.book, each.account, _inherited(wishes)):
            yield _line(desk, heir)


def _inherited(wishes: Wishes) -> frozenset[str]:
    """Return what is wished for that holds for those below as well, unless they say otherwise."""
    names = {name for name in wishes.limits if name in INHERITED}
    if wishes.qos:
        names.add("qos")
    if wishes.default_qos is not None:
        names.add("default_qos")
    return frozenset(names)


def _heirs(book: Book, account: str, names: frozenset[str]) -> Iterator[Association]:
    """Yield the users below an account for whom one of *names* comes from it."""
    for each in book.children(account):
        unset = frozenset(name for name in names if not _says(each, name))
        if not unset:
            continue
        if each.user:
            yield each
        else:
            yield from _heirs(book, each.account, unset)


def _says(association: Association, name: str) -> bool:
    if name in ("qos", "default_qos"):
        return bool(getattr(association, name))
    return getattr(association.limits, name) not in (None, {})


# The cluster.


def modify_clusters(request: Request, desk: Desk) -> Talk:
    """Change the limits that hold for all who have none of their own."""
    read = yield from _read("Cluster", CLUSTERS, request, desk)
    if read is None:
        return
    wanted, wishes = read
    root = desk.book.association(ROOT)
    if root is None or not wanted.has("names", desk.cluster) or not wishes.changes_association:
        desk.fail(_NOTHING)
        return
    if not desk.may_administer:
        desk.complain(NO_PRIVILEGE)
        return
    desk.say(f" Setting\n  Default Limits:\n{shown_association(wishes)}")
    lines = list(_account_lines(desk, [root], wishes))
    _say_modified(desk, "cluster defaults for associations", lines)
    draft = Draft(desk)
    _change_associations(draft, [root], wishes)
    yield from _commit(draft, desk)


# Qualities of service.


def modify_qos(request: Request, desk: Desk) -> Talk:
    """Change qualities of service."""
    read = yield from _read("QOS", QUALITIES, request, desk)
    if read is None:
        return
    wanted, wishes = read
    if not desk.may_administer:
        desk.complain(NO_PRIVILEGE)
        return
    draft = Draft(desk)
    found = wanted_qos(draft.book, wanted)
    _say_modified(desk, "qos", [qos.name for qos in found])
    for before in found:
        after = qos_with_wishes(before, wishes)
        draft.put(after)
        info = changes_of_qos(wishes, before, after)
        draft.note_change("Modify QOS", f"(name='{before.name}')", info)
    yield from _commit(draft, desk)


# What they have in common.


def _read(
    name: EntityName, entity: Entity, request: Request, desk: Desk
) -> Generator[call.Request, Any, tuple[Wanted, Wishes] | None]:
    """Return what is to be changed, and to what; None, and a complaint, where it is not said."""
    wanted = read_wanted(entity, request.conditions, desk) or Wanted()
    wishes = read_wishes(name, request.settings, desk, names_too=False)
    if desk.code:
        return None
    if not wishes.count:
        desk.complain(" You didn't give me anything to set\n")
        return None
    if not wanted.values and not (
        yield from desk.ask(
            "You didn't set any conditions with 'WHERE'.\nAre you sure you want to continue?"
        )
    ):
        desk.say("Aborted\n")
        return None
    return wanted, wishes


def _say_modified(desk: Desk, what: str, lines: Sequence[str]) -> None:
    if not lines:
        desk.fail(_NOTHING)
        return
    desk.say(f" Modified {what}...\n" + "".join(f"  {line}\n" for line in lines))


def _line(desk: Desk, each: Association) -> str:
    partition = f" P = {each.partition}" if each.partition else ""
    return f"C = {desk.cluster:<10} A = {each.account:<20} U = {each.user:<9}{partition}"


def _change_associations(draft: Draft, associations: Sequence[Association], wishes: Wishes) -> None:
    if not associations:
        return
    for each in associations:
        changed = with_wishes(each, wishes)
        if wishes.parent is not None and each.parent != wishes.parent:
            draft.replant(msgspec.structs.replace(changed, parent=wishes.parent))
        else:
            draft.put(changed)
    ids = " || ".join(f"id_assoc={each.id}" for each in associations)
    info = association_changes(wishes, draft.book, f"id_assoc={associations[0].id}")
    draft.note_change(
        "Modify Associations",
        f"({ids})",
        info,
        dict.fromkeys(each.account for each in associations),
        dict.fromkeys(each.user for each in associations if each.user),
    )


def _forget_usage(desk: Desk, associations: Sequence[Association]) -> Talk:
    """Let what was used under associations count no more, if that is agreed to."""
    if not associations:
        desk.fail(_NOTHING)
        return
    desk.say(f"No cluster specified, resetting on local cluster {desk.cluster}\n")
    if (yield from desk.ask("Would you like to reset usage?")):
        desk.controller.forget_usage({each.id for each in associations})
    else:
        desk.say(" Changes Discarded\n")


def _commit(draft: Draft, desk: Desk) -> Talk:
    if not draft.is_empty:
        yield from desk.commit(draft.before, draft.change())
