"""sshare: what accounts and users were promised of the machine, and what they have used.

What was used is as of the last time it was worked out (`priority_calc_period`); who is new in the
account book since then has no fair share yet, as in Slurm.

Source: sshare(1) of Slurm 22.05; names, widths and wording as recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Final, TypeAlias

from stoker.commands.columns import Column, Ending, Table, UnknownField, choose
from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.options import HELP, USAGE, VERSION_OPTION, EarlyAnswer, Option, Parsed, parse
from stoker.core.accounts import PARENT_SHARES, Association, Book
from stoker.core.models import Job
from stoker.core.units import TRES_NAMES
from stoker.scheduling.fairshare import Standing, norm_shares
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("all", "a", help="all users"),
    Option("accounts", "A", "required", "these accounts", value="NAMES"),
    Option("helpformat", "e", help="list the fields"),
    Option("long", "l", help="more columns"),
    Option("partition", "m", help="the partition of each association"),
    Option("cluster", "M", "required", "this cluster, by its name", aliases=("clusters",)),
    Option("noheader", "n", help="no header"),
    Option("format", "o", "required", "show these fields", value="FIELD[%WIDTH],..."),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("users", "u", "required", "these users", value="NAMES"),
    Option("Users", "U", help="users only"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_Row: TypeAlias = Mapping[str, str]

_WIDTHS: Final[Mapping[str, int]] = {
    "Account": -20, "Cluster": 10, "EffectvUsage": 13, "FairShare": 10, "GrpTRESMins": 30,
    "GrpTRESRaw": 30, "ID": 6, "LevelFS": 10, "NormShares": 11, "NormUsage": 11,
    "Partition": 12, "RawShares": 10, "RawUsage": 11, "TRESRunMins": 30, "User": 10,
}  # fmt: skip
_SHORT: Final = "Account,User,RawShares,NormShares,RawUsage,EffectvUsage,FairShare"
_LONG: Final = (
    "Account,User,RawShares,NormShares,RawUsage,NormUsage,EffectvUsage,FairShare,LevelFS,"
    "GrpTRESMins,TRESRunMins"
)
_ENDLESS_MIN: Final = 4_294_967_295
"""What a job without a time limit counts of each resource, in minutes, as in Slurm."""
_UNRANKED: Final = Standing(
    usage=0.0, norm_shares=0.0, norm_usage=0.0, effective_usage=0.0, level=0.0
)


def sshare(call: Call, controller: Controller) -> Answer:
    """Answer sshare."""
    try:
        asked = parse("sshare", OPTIONS, call.argv)
        cluster_heading("sshare", asked.last("cluster"), controller)
    except (EarlyAnswer, UnknownCluster) as early:
        return early.answer
    if asked.has("helpformat"):
        return Answer(out=_grid(list(_WIDTHS)))
    columns = [
        Column(name, width, lambda row, name=name: row.get(name, ""))  # type: ignore[misc]
        for name, width in _WIDTHS.items()
    ]
    try:
        chosen = choose(asked.last("format") or _default(asked), columns)
    except UnknownField as error:
        text = f'sshare: error: Invalid field requested: "{error.name.lower()}"\n'
        return Answer(err=text, code=1)
    ending: Ending = (
        "none" if asked.has("parsable2") else "delimiter" if asked.has("parsable") else ""
    )
    table = Table(chosen, has_header=not asked.has("noheader"), ending=ending)
    shows_runs = any(column.name == "TRESRunMins" for column in chosen)
    minutes = _run_minutes(controller) if shows_runs else {}
    return Answer(out="".join(table.text(_rows(asked, call, controller, minutes))))


def _default(asked: Parsed) -> str:
    names = _LONG if asked.has("long") else _SHORT
    return names.replace("User,", "User,Partition,", 1) if asked.has("partition") else names


def _rows(
    asked: Parsed, call: Call, controller: Controller, minutes: Mapping[int, Counter[str]]
) -> Iterator[_Row]:
    """Return the associations that were asked for, as they stand in the tree."""
    book, standings = controller.book(), controller.standings()
    accounts, users = _names(asked, "accounts"), _names(asked, "users")
    if not users and not asked.has("all"):
        users = [call.owner.user_name.lower()]
    shown: set[str] = set()
    for _, each in book.tree():
        if accounts and each.account.lower() not in accounts:
            continue
        if (each.user and users and each.user.lower() not in users) or (
            asked.has("Users") and not each.user
        ):
            continue
        indent = " " * _depth(book, each, shown)
        if not each.user:
            shown.add(each.account)
        yield {
            "Account": indent + each.account,
            "User": each.user,
            "Partition": each.partition,
            "Cluster": controller.cluster_name,
            "ID": str(each.id),
            "GrpTRESMins": _tres(each.limits.grp_tres_mins),
            "TRESRunMins": _tres(minutes.get(each.id, Counter()), every=True),
            **_shares(book, each, standings.get(each.id)),
        }


def _shares(book: Book, each: Association, standing: Standing | None) -> _Row:
    """Return what an association was promised and what it took; root's is all there is."""
    found = standing or _UNRANKED
    usage = f"{found.usage:.0f}"
    used = f"cpu={usage},billing={usage}"
    if book.parent(each) is None:
        return {
            "NormShares": f"{0:.6f}",
            "RawUsage": usage,
            "GrpTRESRaw": used,
            "EffectvUsage": f"{1:.6f}",
        }
    is_parent = each.shares == PARENT_SHARES
    return {
        "RawShares": "parent" if is_parent else str(each.shares),
        "NormShares": f"{norm_shares(book, each):.6f}",
        "RawUsage": usage,
        "NormUsage": f"{standing.norm_usage:.6f}" if standing is not None else "",
        "EffectvUsage": f"{found.effective_usage:.6f}",
        "FairShare": f"{found.fair_share:.6f}" if each.user else "",
        "LevelFS": "" if is_parent else f"{found.level:.6f}",
        "GrpTRESRaw": used,
    }


def _depth(book: Book, each: Association, shown: set[str]) -> int:
    """Return how many of the accounts above are shown, up to the first that is not."""
    depth = 0
    parent = book.parent(each)
    while parent is not None and parent.account in shown:
        depth += 1
        parent = book.parent(parent)
    return depth


def _run_minutes(controller: Controller) -> dict[int, Counter[str]]:
    """Return, by association, what running jobs may still use, in minutes of each resource."""
    book, now = controller.book(), controller.priorities_at()
    found: dict[int, Counter[str]] = {}
    for job in controller.active_jobs():
        association = book.of_job(job.owner.user_name, job.spec.account, job.partition)
        if job.allocation is None or association is None:
            continue
        left = _left(job, now)
        for each in book.chain(association):
            found.setdefault(each.id, Counter()).update(left)
    return found


def _left(job: Job, now: float) -> Counter[str]:
    assert job.allocation is not None
    held = {
        "cpu": job.allocation.cpus,
        "mem": job.allocation.memory_mib,
        "node": len(job.allocation.nodes),
        "billing": job.allocation.cpus,
    }
    if job.time_limit_s is None:
        return Counter({name: count * _ENDLESS_MIN for name, count in held.items()})
    passed_s = max(0.0, now - job.start_at) if job.start_at else 0.0
    left_s = max(0.0, job.time_limit_s - passed_s)
    return Counter({name: ceil(count * left_s / 60) for name, count in held.items()})


def _tres(amounts: Mapping[str, int], *, every: bool = False) -> str:
    """Write amounts by resource; with *every* those of which there is none, too."""
    names: Sequence[str] = list(dict.fromkeys((*TRES_NAMES, *amounts)))
    return ",".join(f"{name}={amounts.get(name, 0)}" for name in names if every or name in amounts)


def _names(asked: Parsed, name: str) -> list[str]:
    return [word.lower() for text in asked.all(name) for word in text.split(",") if word]


def _grid(names: list[str]) -> str:
    cells = [name.ljust(17) for name in names]
    lines = (cells[start : start + 4] for start in range(0, len(cells), 4))
    return "".join(" ".join(line) + "\n" for line in lines)
