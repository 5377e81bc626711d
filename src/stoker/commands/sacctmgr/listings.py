"""The listings: which records of the account book a request asks for, as lines.

Source: sacctmgr(1) of Slurm 22.05, as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from stoker.commands.configuration import accounting_parameters, records_parameters
from stoker.commands.sacctmgr.desk import Desk
from stoker.commands.sacctmgr.fields import Row
from stoker.commands.sacctmgr.records import (
    NO_ASSOCIATION,
    association_row,
    by_place,
    cluster_row,
    problem_rows,
    qos_row,
    tres_rows,
)
from stoker.commands.sacctmgr.wanted import Wanted, wanted_qos
from stoker.core.accounts import Association
from stoker.core.units import FOREVER, NotationError, format_time, parse_begin, zone_of

_ENTITIES = ("accounts", "associations", "clusters", "federations", "qos", "resources", "users")
_ACTIONS = frozenset(
    {
        *(f"add {name}" for name in (*_ENTITIES, "account coord", "tres", "wckeys", "reservation")),
        *(f"modify {name}" for name in (*_ENTITIES, "job", "reservation")),
        *(f"remove {name}" for name in (*_ENTITIES, "account coord", "wckeys", "reservation")),
        *("add account coordinators", "remove account coordinators"),
        *("job complete", "node state", "register cluster", "roll usage"),
    }
)
"""What a change in the record can be called."""


def clusters(desk: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield the one cluster."""
    if wanted.has("names", desk.cluster):
        yield cluster_row(desk.controller)


def accounts(desk: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield accounts, by name."""
    for name, account in sorted(desk.book.accounts.items()):
        own = {
            "Account": name,
            "Descr": account.description,
            "Org": account.organization,
            "Coord Accounts": ",".join(account.coordinators),
        }
        if not wanted.has_account(account):
            continue
        if "withassoc" not in wanted.flags:
            yield own
            continue
        of_account = [each for each in desk.book.associations.values() if each.account == name]
        yield from _with_associations(desk, wanted, own, of_account)


def users(desk: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield users, by name."""
    book = desk.book
    for name, user in sorted(book.users.items()):
        level = user.admin_level
        if not (wanted.has("names", name) and wanted.has("levels", level)):
            continue
        of_user = [each for each in book.associations.values() if each.user == name]
        found = [each for each in of_user if wanted.has_association(each)]
        shows = "withassoc" in wanted.flags
        default = next(
            (each.account for each in (found if shows else of_user) if each.is_default), ""
        )
        if not wanted.has("defaults", default):
            continue
        leads = [each.name for each in book.accounts.values() if name in each.coordinators]
        own = {
            "User": name,
            "Name": name,
            "Def Acct": default,
            "Def WCKey": user.default_wckey,
            "Admin": level,
            "Coord Accounts": ",".join(leads),
        }
        if shows:
            yield from _with_associations(desk, wanted, own, found)
        else:
            yield own


def _with_associations(
    desk: Desk, wanted: Wanted, own: Row, associations: Sequence[Association]
) -> Iterator[Row]:
    """Yield a line for each association of a user or an account, or one for none."""
    if not associations:
        yield {**NO_ASSOCIATION, **own}
    with_parents = not wanted.flags & {"woplimits", "wopinfo"}
    for each in by_place(desk.book, associations):
        row = association_row(desk.cluster, desk.book, each, with_parents=with_parents)
        yield {**row, **own}


def associations(desk: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield associations, as a tree or as they stand in the record."""
    if not wanted.has("clusters", desk.cluster):
        return
    book = desk.book
    _widen(desk, wanted)
    if wanted.flags & {"wopinfo", "woplimits"}:
        placed = by_place(book, book.associations.values())
        ordered = [(0, each) for each in sorted(placed, key=lambda each: not each.user)]
    else:
        ordered = list(book.tree())
    with_parents = not wanted.flags & {"wopinfo", "woplimits"}
    for depth, each in ordered:
        if not wanted.has_association(each):
            continue
        if "onlydefaults" in wanted.flags and not each.is_default:
            continue
        row = association_row(desk.cluster, book, each, with_parents=with_parents)
        if "tree" in wanted.flags:
            row["Account"] = " " * depth + row["Account"]
        yield row


def _widen(desk: Desk, wanted: Wanted) -> None:
    """Let bare words name users, and let accounts stand for those below, if asked to."""
    if names := wanted.values.pop("names", None):
        wanted.add("users", names)
    accounts = wanted.values.get("accounts")
    if accounts and "withsubaccounts" in wanted.flags:
        below = [each.account for name in accounts for each in desk.book.below(name)]
        accounts.extend(below)


def qos(desk: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield qualities of service, the older first."""
    yield from map(qos_row, wanted_qos(desk.book, wanted))


def tres(_: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield the resources that are counted."""
    for row in tres_rows():
        whole = f"{row['Type']}/{row['Name']}" if row["Name"] else row["Type"]
        if (
            wanted.has("types", row["Type"])
            and wanted.has("ids", row["ID"])
            and (wanted.has("names", row["Name"]) or wanted.has("names", whole))
        ):
            yield row


def problems(desk: Desk, _: Wanted) -> Iterator[Row]:
    """Yield accounts and users that nobody can use."""
    yield from problem_rows(desk.controller)


def trouble_with_actions(_: Desk, wanted: Wanted) -> str:
    """Return what is wrong with the changes that are asked for; "": nothing."""
    for text in wanted.values.get("actions", ()):
        if text not in _ACTIONS:
            return f"sacctmgr: error: You gave a bad action '{text}'.\n"
    return ""


def transactions(desk: Desk, wanted: Wanted) -> Iterator[Row]:
    """Yield the record of changes, the older first."""
    zone = zone_of(desk.call.environment.get("TZ", ""))
    now = desk.controller.now()

    def moment(what: str, otherwise: float) -> float:
        try:
            return parse_begin(wanted.values[what][-1], now, zone, past=True)
        except (KeyError, NotationError):
            return otherwise

    for each in desk.controller.transactions(moment("starts", 0.0), moment("ends", FOREVER)):
        if (
            wanted.has("actors", each.actor)
            and wanted.has("actions", each.action)
            and _concerns(wanted, "users", each.users)
            and _concerns(wanted, "accounts", each.accounts)
        ):
            yield {
                "Time": format_time(each.at, zone, "", now),
                "Action": each.action,
                "Actor": each.actor,
                "Where": each.where,
                "Info": each.info,
                "Account": ",".join(each.accounts),
                "User": ",".join(each.users),
                "Cluster": desk.cluster,
            }


def _concerns(wanted: Wanted, what: str, names: Sequence[str]) -> bool:
    return what not in wanted.values or any(wanted.has(what, name) for name in names)


def configuration(desk: Desk) -> str:
    """Return what is configured."""
    controller = desk.controller
    zone = zone_of(desk.call.environment.get("TZ", ""))
    now = datetime.fromtimestamp(int(controller.now()), zone).strftime("%Y-%m-%dT%H:%M:%S")
    lines = [f"Configuration data as of {now}"]
    lines += [f"{name:<22} = {value}" for name, value in accounting_parameters(controller, zone)]
    lines += ["", "SlurmDBD configuration:"]
    lines += [f"{name:<22} = {value}" for name, value in records_parameters(controller, zone)]
    return "".join(f"{line}\n" for line in lines)


def runaway(desk: Desk) -> str:
    """Say that no job is on record as running that is not."""
    return f"Runaway Jobs: No runaway jobs found on cluster {desk.cluster}\n"
