"""What the record of changes says of each, in the words of Slurm's database.

Source: `sacctmgr show transactions` as recorded; the names are those of its columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stoker.core.accounts import (
    NORMAL,
    ROOT,
    Account,
    Association,
    Book,
    Limits,
    Qos,
    Transaction,
    User,
)
from stoker.core.units import format_tres_numbers

_LEVELS: Final = {"None": 1, "Operator": 2, "Administrator": 3}
_FLAGS: Final = {
    "PartitionMinNodes": 1,
    "PartitionMaxNodes": 2,
    "PartitionTimeLimit": 4,
    "EnforceUsageThreshold": 8,
    "NoReserve": 16,
    "RequiresReservation": 32,
    "DenyOnLimit": 64,
    "OverPartQOS": 128,
    "NoDecay": 256,
    "UsageFactorSafe": 512,
}
QOS_FLAGS: Final = tuple(sorted(_FLAGS))

_GROUP: Final = (
    ("grp_jobs", "grp_jobs"),
    ("grp_jobs_accrue", "grp_jobs_accrue"),
    ("grp_submit_jobs", "grp_submit_jobs"),
    ("grp_wall", "grp_wall"),
)
_OF_ASSOCIATION: Final = (
    ("max_jobs", "max_jobs"),
    ("max_jobs_accrue", "max_jobs_accrue"),
    ("min_prio_thresh", "min_prio_threshold"),
    ("max_submit_jobs", "max_submit_jobs"),
    ("max_wall_pj", "max_wall"),
)
_OF_QOS: Final = (
    ("max_jobs_pa", "max_jobs_pa"),
    ("max_jobs_per_user", "max_jobs_pu"),
    ("max_jobs_accrue_pa", "max_jobs_accrue_pa"),
    ("max_jobs_accrue_pu", "max_jobs_accrue_pu"),
    ("min_prio_thresh", "min_prio_threshold"),
    ("max_submit_jobs_pa", "max_submit_jobs_pa"),
    ("max_submit_jobs_per_user", "max_submit_jobs_pu"),
    ("max_wall_duration_per_job", "max_wall"),
)
_TRES: Final = (
    ("grp_tres", "grp_tres"),
    ("grp_tres_mins", "grp_tres_mins"),
    ("grp_tres_run_mins", "grp_tres_run_mins"),
    ("max_tres_pj", "max_tres"),
    ("max_tres_pn", "max_tres_per_node"),
    ("max_tres_mins_pj", "max_tres_mins"),
    ("max_tres_pu", "max_tres_pu"),
    ("max_tres_pa", "max_tres_pa"),
    ("max_tres_run_mins_pu", "max_tres_run_mins_pu"),
    ("max_tres_run_mins_pa", "max_tres_run_mins_pa"),
    ("min_tres_pj", "min_tres"),
)


def begun_book(at: float, cluster: str, book: Book) -> list[Transaction]:
    """Return the entries with which a book begins: the cluster, root, and who keeps them."""
    root = book.association(ROOT)
    limits = root.limits if root is not None else Limits()
    parts = [
        f"mod_time={int(at)}",
        "shares=1",
        *_values(_GROUP, limits),
        *_values(_OF_ASSOCIATION, limits),
        "priority=NULL, def_qos_id=NULL",
        f"qos='{_ids((NORMAL,), book)}'",
        "federation='', fed_id=0, fed_state=0, features=''",
    ]
    address = (
        "control_host='127.0.0.1', control_port=0, last_port=0, rpc_version=9728, dimensions=1, "
        "plugin_id_select=109, flags=128"
    )
    entries = [_of_root(at, "Add Clusters", cluster, ", ".join(parts))]
    own = book.association(ROOT, ROOT)
    if own is not None:
        entries.append(added_association(at, ROOT, own, book, says_default=True))
    return [*entries, _of_root(at, "Modify Clusters", f"name='{cluster}'", address)]


def _of_root(at: float, action: str, where: str, info: str) -> Transaction:
    return Transaction(at=at, action=action, actor=ROOT, where=where, info=info)


def added_account(at: float, actor: str, account: Account) -> Transaction:
    """Return the entry for a new account."""
    info = f"description='{account.description}', organization='{account.organization}'"
    return Transaction(
        at=at, action="Add Accounts", actor=actor, where=account.name, info=info,
        accounts=(account.name,),
    )  # fmt: skip


def added_user(at: float, actor: str, user: User) -> Transaction:
    """Return the entry for a new user."""
    info = level_change(user.admin_level)
    return Transaction(
        at=at, action="Add Users", actor=actor, where=user.name, info=info, users=(user.name,)
    )


def level_change(level: str) -> str:
    """Return how an admin level is set."""
    return f"admin_level={_LEVELS.get(level, 1)}"


def added_association(
    at: float, actor: str, new: Association, book: Book, *, says_default: bool = False
) -> Transaction:
    """Return the entry for a new association; *says_default*: it was asked to be the default."""
    whose = (
        f"acct='{new.account}', user='{new.user}', `partition`='{new.partition}'"
        if new.user
        else f"acct='{new.account}', parent_acct='{new.parent}', user=''"
    )
    default = ["is_def=1"] if says_default else []
    parts = [
        f"mod_time={int(at)}",
        whose,
        f"shares={new.shares}",
        *_values(_GROUP, new.limits),
        *default,
        *_values(_OF_ASSOCIATION, new.limits),
        f"priority={_value(new.priority)}",
        f"def_qos_id={_qos_id(new.default_qos, book)}",
        *_amounts(new.limits),
        f"qos='{_ids(new.qos, book)}'",
        f"delta_qos='{_ids(new.delta_qos, book)}'",
    ]
    return Transaction(
        at=at, action="Add Associations", actor=actor, where=f"id_assoc={new.id}",
        info=", ".join(parts), accounts=(new.account,), users=(new.user,) if new.user else (),
    )  # fmt: skip


def added_qos(at: float, actor: str, new: Qos) -> Transaction:
    """Return the entry for a new quality of service."""
    parts = [
        f"mod_time={int(at)}",
        f"description='{new.description}'",
        f"flags={flags_number(new.flags)}",
        f"grace_time={new.grace_s}",
        *_values(_GROUP, new.limits),
        *_values(_OF_QOS, new.limits),
        f"preempt_exempt_time={_value(new.preempt_exempt_s)}",
        "preempt_mode=0",
        f"priority={new.priority}",
        f"usage_factor={new.usage_factor:.6f}",
        f"usage_thres={_factor(new.usage_threshold)}",
        f"limit_factor={_factor(new.limit_factor)}",
        *_amounts(new.limits),
    ]
    return Transaction(at=at, action="Add QOS", actor=actor, where=new.name, info=", ".join(parts))


def limit_changes(changes: Mapping[str, object], where: str, *, of_qos: bool) -> list[str]:
    """Return what is set of limits: numbers first, then amounts of resources."""
    counts = (*_GROUP, *(_OF_QOS if of_qos else _OF_ASSOCIATION))
    parts = [f"{column}={_value(changes[name])}" for column, name in counts if name in changes]
    for column, name in _TRES:
        amounts = changes.get(name)
        if isinstance(amounts, Mapping):
            text = format_tres_numbers(amounts)
            parts.append(f"{column} = if ({where}, '{text}', {column})")
    return parts


def qos_change(sign: str, numbers: Iterable[int]) -> str:
    """Return how a list of qualities is replaced (sign ""), added to or taken from."""
    ids = tuple(numbers)
    if not sign:
        return f"qos=',{','.join(map(str, ids))},', delta_qos=''"
    qos, delta = "qos", "delta_qos"
    other = "-" if sign == "+" else "+"
    for each in ids:
        qos = f"replace({qos}, ',{each},', ',')"
        if sign == "+":
            qos = f"replace(concat({qos}, ',{each},'), ',,', ',')"
        delta = (
            f"replace(concat(replace(replace({delta}, ',{sign}{each},', ','), "
            f"',{other}{each},', ','), ',{sign}{each},'), ',,', ',')"
        )
    return f"qos=if (qos='', '', {qos}), delta_qos=if (qos='', {delta}, '')"


def flags_number(flags: Iterable[str]) -> int:
    """Return the number that stands for a quality's flags."""
    return sum(_FLAGS[flag] for flag in flags)


def _values(columns: Iterable[tuple[str, str]], limits: Limits) -> list[str]:
    return [f"{column}={_value(getattr(limits, name))}" for column, name in columns]


def _amounts(limits: Limits) -> list[str]:
    return [
        f"{column}='{format_tres_numbers(getattr(limits, name))}'"
        for column, name in _TRES
        if getattr(limits, name)
    ]


def _value(value: object) -> str:
    return "NULL" if value is None else str(value)


def _factor(value: float | None) -> str:
    return "NULL" if value is None else f"{value:.6f}"


def _qos_id(name: str, book: Book) -> str:
    return str(book.qos[name].id) if name in book.qos else "NULL"


def _ids(names: Iterable[str], book: Book) -> str:
    """Return ``,1,+2,`` for names with or without a sign."""
    found = []
    for name in names:
        bare = name.lstrip("+-")
        if bare in book.qos:
            found.append(f"{name[: len(name) - len(bare)]}{book.qos[bare].id}")
    return f",{','.join(found)}," if found else ""
