"""sacctmgr add: accounts, users, coordinators, qualities of service.

Source: sacctmgr(1); wording as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from stoker.commands.sacctmgr.applying import (
    qos_with_wishes,
    shown_association,
    shown_qos,
    with_wishes,
)
from stoker.commands.sacctmgr.desk import Asking, Desk, Talk
from stoker.commands.sacctmgr.draft import Draft
from stoker.commands.sacctmgr.wishes import EntityName, Wishes, read_wishes
from stoker.commands.sacctmgr.words import Word
from stoker.core.accounts import ROOT, Account, Association, Qos, User
from stoker.core.accounttext import added_account, added_association, added_qos, added_user

_DENIED: Final = "Access/permission denied"
_CALL_ADMIN: Final = "        Contact your admin to add this account.\n"


def add_accounts(words: Sequence[Word], desk: Desk) -> Talk:
    """Add accounts."""
    wishes = _read("Account", words, desk)
    if wishes is None:
        return
    draft = Draft(desk)
    parent = wishes.parent or ROOT
    accounts = [_account(name, wishes, parent) for name in dict.fromkeys(wishes.names)]
    new = [each for each in accounts if each.name not in desk.book.accounts]
    planted = [each.name for each in accounts if desk.book.association(each.name) is None]
    if not new and not planted:
        desk.fail(" Nothing new added.\n")
        return
    if desk.book.association(parent) is None:
        for _ in planted:
            desk.complain(
                f" Parent account '{parent}' doesn't exist on cluster {desk.cluster}\n{_CALL_ADMIN}"
            )
        desk.complain(" No associations created.\n")
        return
    _say_accounts(desk, wishes, parent, [each.name for each in new], planted)
    if not desk.may_operate:
        desk.complain(f" Problem adding accounts: {_DENIED}\n")
        return
    draft.put(*new)
    draft.note(*(added_account(draft.at, draft.actor, each) for each in new))
    for name in planted:
        _plant(draft, wishes, Association(id=0, account=name, parent=parent))
    yield from desk.commit(draft.before, draft.change())


def _account(name: str, wishes: Wishes, parent: str) -> Account:
    organization = wishes.organization or (parent if parent != ROOT else name)
    return Account(name, wishes.description or name, organization)


def _say_accounts(
    desk: Desk, wishes: Wishes, parent: str, names: Sequence[str], planted: Sequence[str]
) -> None:
    if names:
        desk.say(" Adding Account(s)\n" + "".join(f"  {name}\n" for name in names))
        desk.say(
            f" Settings\n  Description     = {wishes.description or 'Account Name'}\n"
            f"  Organization    = {wishes.organization or 'Parent/Account Name'}\n"
        )
    lines = (f"  A = {name:<10.10} C = {desk.cluster:<10.10}\n" for name in planted)
    desk.say(" Associations\n" + "".join(lines))
    if wishes.count:
        stated = msgspec.structs.replace(wishes, parent=parent)
        desk.say(f" Settings\n{shown_association(stated)}")


def _plant(
    draft: Draft, wishes: Wishes, association: Association, *, says_default: bool = False
) -> None:
    new = draft.place(with_wishes(association, wishes))
    draft.note(added_association(draft.at, draft.actor, new, draft.book, says_default=says_default))


# Users.


def add_users(words: Sequence[Word], desk: Desk) -> Talk:
    """Add users to accounts."""
    wishes = _read("User", words, desk)
    if wishes is None:
        return
    if not wishes.accounts:
        desk.complain(" Need name of account to add user to.\n")
        return
    names = list(dict.fromkeys(wishes.names))
    new = [name for name in names if name not in desk.book.users]
    if not (yield from _are_meant(new, desk)):
        desk.fail(" Nothing new added.\n")
        return
    known = _known_accounts(wishes, desk)
    missing = list(_missing(names, known, wishes, desk))
    if not missing:
        _say_nothing_to_add(new, known, desk)
        return
    _say_users(desk, wishes, new, missing)
    if not _may_add_users(desk, known, wishes.admin_level or "None"):
        desk.complain(f" Problem adding users: {_DENIED}\n")
        return
    draft = Draft(desk)
    _put_users(draft, wishes, new, missing)
    yield from desk.commit(draft.before, draft.change())


def _are_meant(names: Sequence[str], desk: Desk) -> Asking:
    """Whether users are meant whom the machine does not know."""
    for name in names:
        if desk.controller.user_id(name) is None:
            is_meant = yield from desk.ask(
                f"There is no uid for user '{name}'\nAre you sure you want to continue?"
            )
            if not is_meant:
                return False
    return True


def _known_accounts(wishes: Wishes, desk: Desk) -> list[str]:
    known = []
    for name in dict.fromkeys(wishes.accounts):
        if name not in desk.book.accounts:
            desk.complain(f" This account '{name}' doesn't exist.\n{_CALL_ADMIN}")
        elif desk.book.association(name) is None:
            desk.complain(
                f" This account '{name}' doesn't exist on cluster {desk.cluster}\n{_CALL_ADMIN}"
            )
        else:
            known.append(name)
    return known


def _missing(
    names: Sequence[str], accounts: Sequence[str], wishes: Wishes, desk: Desk
) -> Iterator[Association]:
    """Yield the associations that are not there yet."""
    for name in names:
        for account in accounts:
            for partition in wishes.partitions or [""]:
                if desk.book.association(account, name, partition) is None:
                    yield Association(id=0, account=account, user=name, partition=partition)


def _say_nothing_to_add(new: Sequence[str], known: Sequence[str], desk: Desk) -> None:
    if new or not known:
        desk.complain(" No associations or wckeys created.\n")
    else:
        desk.fail(" Nothing new added.\n")


def _say_users(
    desk: Desk, wishes: Wishes, new: Sequence[str], missing: Sequence[Association]
) -> None:
    if new:
        desk.say(" Adding User(s)\n" + "".join(f"  {name}\n" for name in new))
        settings = ""
        if wishes.default_account:
            settings += f"  Default Account = {wishes.default_account}\n"
        if wishes.admin_level:
            settings += f"  Admin Level     = {wishes.admin_level}\n"
        if settings:
            desk.say(f" Settings =\n{settings}")
    lines = []
    for each in missing:
        partition = f" P = {each.partition:<10.10}" if each.partition else ""
        lines.append(
            f"  U = {each.user:<9.9} A = {each.account:<10.10} C = {desk.cluster:<10.10}"
            f"{partition}\n"
        )
    desk.say(" Associations =\n" + "".join(lines))
    desk.say(f" Non Default Settings\n{shown_association(wishes)}")


def _may_add_users(desk: Desk, accounts: Sequence[str], level: str) -> bool:
    """Whether whoever asks may add users to accounts; with an admin level few may."""
    if level != "None":
        return desk.may_administer
    return desk.may_operate or all(desk.coordinates(account) for account in accounts)


def _put_users(
    draft: Draft, wishes: Wishes, new: Sequence[str], missing: Sequence[Association]
) -> None:
    for name in new:
        user = User(name, wishes.admin_level or "None", wishes.default_wckey or "")
        draft.put(user)
        draft.note(added_user(draft.at, draft.actor, user))
    for each in missing:
        wanted = wishes.default_account
        is_default = (
            each.account == wanted
            if wanted and each.user in new
            else not draft.book.default_account(each.user)
        )
        says_default = bool(wanted) and is_default
        _plant(
            draft,
            wishes,
            msgspec.structs.replace(each, is_default=is_default),
            says_default=says_default,
        )


# Qualities of service.


def add_qos(words: Sequence[Word], desk: Desk) -> Talk:
    """Add qualities of service."""
    wishes = _read("QOS", words, desk)
    if wishes is None:
        return
    new = [name for name in dict.fromkeys(wishes.names) if name not in desk.book.qos]
    if not new:
        desk.fail(" Nothing new added.\n")
        return
    desk.say(" Adding QOS(s)\n" + "".join(f"  {name}\n" for name in new))
    desk.say(f" Settings\n  Description    = {wishes.description or new[0]}\n{shown_qos(wishes)}")
    if not desk.may_administer:
        desk.complain(f" Problem adding QOS: {_DENIED}\n")
        return
    draft = Draft(desk)
    for name in new:
        plain = Qos(id=draft.next_qos_id(), name=name, description=name)
        qos = qos_with_wishes(plain, wishes)
        draft.put(qos)
        draft.note(added_qos(draft.at, draft.actor, qos))
    yield from desk.commit(draft.before, draft.change())


# Coordinators and clusters.


def add_coordinators(words: Sequence[Word], desk: Desk) -> Talk:
    """Let users change what is in accounts and below."""
    wishes = _read("User", words, desk, names_needed=False)
    if wishes is None:
        return
    if not wishes.names or not wishes.accounts:
        desk.complain(" You need to specify conditions to to add the coordinator.\n")
        return
    if not _are_known(wishes, desk):
        return
    desk.say(" Adding Coordinator User(s)\n" + "".join(f"  {name}\n" for name in wishes.names))
    desk.say(
        " To Account(s) and all sub-accounts\n" + "".join(f"  {name}\n" for name in wishes.accounts)
    )
    if not desk.may_operate:
        desk.complain(f" Problem adding coordinator: {_DENIED}\n")
        return
    draft = Draft(desk)
    for name in wishes.accounts:
        account = draft.book.accounts[name]
        leaders = tuple(dict.fromkeys((*account.coordinators, *wishes.names)))
        draft.put(msgspec.structs.replace(account, coordinators=leaders))
    draft.note_change(
        "Add Account Coordinators",
        ",".join(wishes.names),
        ",".join(wishes.accounts),
        wishes.accounts,
        wishes.names,
    )
    yield from desk.commit(draft.before, draft.change())


def _are_known(wishes: Wishes, desk: Desk) -> bool:
    for name in wishes.accounts:
        if name not in desk.book.accounts:
            desk.complain(f" This account '{name}' doesn't exist.\n{_CALL_ADMIN}")
    for name in wishes.names:
        if name not in desk.book.users:
            desk.complain(
                f" This user '{name}' doesn't exist.\n"
                "        Contact your admin to add this user.\n"
            )
    return not desk.code


def add_clusters(words: Sequence[Word], desk: Desk) -> Talk:
    """Say that there is one cluster, and that it is there."""
    wishes = _read("Cluster", words, desk)
    if wishes is None:
        return
    for name in wishes.names:
        if name == desk.cluster.lower():
            desk.fail(f" This cluster {name} already exists.  Not adding.\n")
        else:
            desk.complain(
                f" Problem adding cluster {name}: one machine is one cluster; "
                "its name is the setting cluster_name\n"
            )
    yield from ()


def _read(
    entity: EntityName, words: Sequence[Word], desk: Desk, *, names_needed: bool = True
) -> Wishes | None:
    """Return what is to be added; None, and a complaint, where the words do not say."""
    wishes = read_wishes(entity, words, desk, names_too=True)
    if desk.code:
        return None
    if names_needed and not wishes.names:
        noun = entity if entity == "QOS" else entity.lower()
        desk.complain(f" Need name of {noun.lower()} to add.\n")
        return None
    for name in (*wishes.clusters,):
        if name != desk.cluster.lower():
            desk.complain(
                f" This cluster '{name}' doesn't exist.\n"
                "        Contact your admin to add it to accounting.\n"
            )
            return None
    return wishes
