"""sacctmgr delete: accounts, users and their associations, coordinators, qualities of service.

Source: sacctmgr(1); wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from stoker.commands.sacctmgr.desk import NO_PRIVILEGE, Desk, Talk
from stoker.commands.sacctmgr.draft import Draft
from stoker.commands.sacctmgr.entities import ACCOUNTS, QUALITIES, USERS, Entity
from stoker.commands.sacctmgr.records import by_place
from stoker.commands.sacctmgr.show import read_wanted
from stoker.commands.sacctmgr.wanted import (
    Wanted,
    wanted_accounts,
    wanted_qos,
    wanted_users,
)
from stoker.commands.sacctmgr.words import Word
from stoker.core.accounts import NORMAL, ROOT, Account, Association, Entry
from stoker.core.models import Job

_NOTHING: Final = " Nothing deleted\n"


def delete_users(words: Sequence[Word], desk: Desk) -> Talk:
    """Delete users, or, where accounts are named, only their associations with these."""
    wanted = _read(USERS, words, desk)
    if wanted is None:
        return
    users, associations = wanted_users(desk.book, wanted, desk.cluster)
    is_allowed = desk.may_change(associations) if wanted.is_on_associations else desk.may_operate
    if not is_allowed:
        desk.complain(NO_PRIVILEGE)
        return
    draft = Draft(desk)
    if wanted.is_on_associations:
        what, entries = "user associations", [_line(desk, each) for each in associations]
        dropped: list[Entry] = list(associations)
    else:
        what, entries = "users", [user.name for user in users]
        dropped = [*users, *associations]
        gone = set(entries)
        draft.put(*_without_coordinators(desk.book.accounts.values(), gone.__contains__))
    yield from _delete(desk, what, entries, dropped, associations, draft)


def delete_accounts(words: Sequence[Word], desk: Desk) -> Talk:
    """Delete accounts with all that is below them."""
    wanted = _read(ACCOUNTS, words, desk)
    if wanted is None:
        return
    if not desk.may_operate:
        desk.complain(NO_PRIVILEGE)
        return
    book = desk.book
    accounts, _ = wanted_accounts(book, wanted, desk.cluster)
    below: dict[int, Association] = {}
    for account in accounts:
        own = book.association(account.name)
        below |= {each.id: each for each in (own, *book.below(account.name)) if each is not None}
    names = [account.name for account in accounts]
    yield from _delete(desk, "accounts", names, [*accounts, *below.values()], below.values())


def delete_qos(words: Sequence[Word], desk: Desk) -> Talk:
    """Delete qualities of service that are nobody's default."""
    wanted = _read(QUALITIES, words, desk)
    if wanted is None:
        return
    if not desk.may_administer:
        desk.complain(NO_PRIVILEGE)
        return
    found = wanted_qos(desk.book, wanted)
    names = {qos.name for qos in found}
    defaults = [each for each in desk.book.associations.values() if each.default_qos in names]
    if defaults:
        desk.complain(_defaults_text(desk, defaults))
        return
    draft = Draft(desk)
    for each in desk.book.associations.values():
        if names & {name.lstrip("+-") for name in (*each.qos, *each.delta_qos)}:
            draft.put(_without(each, names))
    yield from _delete(desk, "QOS(s)", [qos.name for qos in found], found, (), draft)


def _without(association: Association, names: set[str]) -> Association:
    return msgspec.structs.replace(
        association,
        qos=tuple(name for name in association.qos if name not in names),
        delta_qos=tuple(name for name in association.delta_qos if name[1:] not in names),
    )


def _defaults_text(desk: Desk, defaults: Iterable[Association]) -> str:
    lines = []
    for each in by_place(desk.book, defaults):
        user = f" U = {each.user:<9}" if each.user else ""
        lines.append(
            f"  DefQOS = {each.default_qos:<10} C = {desk.cluster:<10} A = {each.account:<20}"
            f"{user}\n"
        )
    return (
        " Associations listed below have these as their Default QOS.\n"
        + "".join(lines)
        + " Please either remove the qos' listed above from list and resubmit,\n"
        " or change the default qos to remove the qos.\n Changes Discarded\n"
    )


def delete_coordinators(words: Sequence[Word], desk: Desk) -> Talk:
    """Let users no longer change what is in accounts."""
    wanted = _read(USERS, words, desk)
    if wanted is None:
        return
    names, accounts = wanted.values.get("names", []), wanted.values.get("accounts", [])
    if not names and not accounts:
        desk.complain(" You need to specify a user list or account list here.\n")
        return
    if names:
        desk.say(" Removing Coordinators with user name\n" + _listed(names))
        desk.say(f" From Account(s)\n{_listed(accounts)}" if accounts else " From all accounts\n")
    else:
        desk.say(f" Removing all users from Accounts\n{_listed(accounts)}")
    if not desk.may_operate:
        desk.complain(NO_PRIVILEGE)
        return
    draft = Draft(desk)
    meant = [each for each in desk.book.accounts.values() if wanted.has("accounts", each.name)]
    draft.put(*_without_coordinators(meant, lambda name: wanted.has("names", name)))
    draft.note_change(
        "Remove Account Coordinators", f"({','.join(names)})", _deleted(draft), accounts, names
    )
    yield from desk.commit(draft.before, draft.change())


def _without_coordinators(
    accounts: Iterable[Account], is_gone: Callable[[str], bool]
) -> Iterator[Account]:
    """Yield the accounts that lose somebody."""
    for account in accounts:
        left = tuple(name for name in account.coordinators if not is_gone(name))
        if left != account.coordinators:
            yield msgspec.structs.replace(account, coordinators=left)


def _listed(names: Iterable[str]) -> str:
    return "".join(f"  {name}\n" for name in names)


# What they have in common.


def _read(entity: Entity, words: Sequence[Word], desk: Desk) -> Wanted | None:
    """Return what is to be deleted; None, and a complaint, where it is not said."""
    wanted = read_wanted(entity, words, desk)
    if wanted is None:
        return None
    if not wanted.values:
        desk.complain(" No conditions given to remove, not executing.\n")
        return None
    return wanted


def _delete(
    desk: Desk,
    what: str,
    names: Sequence[str],
    dropped: Sequence[Entry],
    associations: Iterable[Association],
    draft: Draft | None = None,
) -> Talk:
    if not names:
        desk.fail(_NOTHING)
        return
    gone = list(associations)
    if (problem := _problem(desk, dropped, gone)) is not None:
        desk.complain(problem)
        return
    desk.say(f" Deleting {what}...\n{_listed(names)}")
    draft = draft or Draft(desk)
    draft.drop(*dropped)
    action = {"QOS(s)": "QOS", "user associations": "Associations"}.get(what, what.capitalize())
    is_by_id = action == "Associations"
    keys = [f"id_assoc={each.id}" for each in gone] if is_by_id else [f"name='{n}'" for n in names]
    draft.note_change(
        f"Remove {action}",
        f"({' || '.join(keys)})",
        _deleted(draft),
        dict.fromkeys(each.account for each in gone),
        dict.fromkeys(each.user for each in gone if each.user),
    )
    yield from desk.commit(draft.before, draft.change())


def _problem(
    desk: Desk, dropped: Sequence[Entry], associations: Sequence[Association]
) -> str | None:
    """Return why something cannot go, in Slurm's words where it has them."""
    for each in dropped:
        kept = (each.account if isinstance(each, Association) else each.name) == ROOT
        is_root = kept and (not isinstance(each, Association) or each.user in ("", ROOT))
        if is_root or getattr(each, "name", "") == NORMAL:
            what = "account and user root" if is_root else f"quality of service {NORMAL}"
            return f" Error with request: the {what} must stay\n"
    jobs: dict[tuple[str, str], list[Job]] = {}
    for job in desk.controller.active_jobs() if associations else ():
        jobs.setdefault((job.spec.account, job.owner.user_name), []).append(job)
    busy = [
        f"  JobID = {job.job_id:<10} {_line(desk, each)}\n"
        for each in associations
        for job in jobs.get((each.account, each.user), ())
        if each.partition in ("", job.partition)
    ]
    if busy:
        text = " Error with request: Job(s) active, cancel job(s) before remove\n"
        return text + "".join(busy)
    return None


def _line(desk: Desk, each: Association) -> str:
    partition = f" P = {each.partition}" if each.partition else ""
    return f"C = {desk.cluster:<10} A = {each.account:<10} U = {each.user:<9}{partition}"


def _deleted(draft: Draft) -> str:
    return f"mod_time={int(draft.at)}, deleted=1"
