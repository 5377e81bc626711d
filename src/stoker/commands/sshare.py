"""sshare: shares and usage of accounts. One machine has the account root, and no fair share.

Source: sshare(1) of Slurm 22.05; names, widths and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from stoker.commands.columns import Column, Ending, Table, UnknownField, choose
from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.options import HELP, USAGE, VERSION_OPTION, EarlyAnswer, Option, Parsed, parse
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
_RUN_MINUTES: Final = "cpu=0,mem=0,energy=0,node=0,billing=0,fs/disk=0,vmem=0,pages=0"
_ACCOUNT: Final[_Row] = {
    "Account": "root",
    "NormShares": "0.000000",
    "RawUsage": "0",
    "EffectvUsage": "1.000000",
    "TRESRunMins": _RUN_MINUTES,
    "ID": "1",
}
_USER: Final[_Row] = {
    "Account": " root",
    "User": "root",
    "RawShares": "1",
    "NormShares": "1.000000",
    "RawUsage": "0",
    "NormUsage": "0.000000",
    "EffectvUsage": "0.000000",
    "FairShare": "1.000000",
    "LevelFS": "inf",
    "TRESRunMins": _RUN_MINUTES,
    "ID": "2",
}


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
    return Answer(out="".join(table.text(_rows(asked, call))))


def _default(asked: Parsed) -> str:
    names = _LONG if asked.has("long") else _SHORT
    return names.replace("User,", "User,Partition,", 1) if asked.has("partition") else names


def _rows(asked: Parsed, call: Call) -> list[_Row]:
    accounts = asked.last("accounts")
    if accounts is not None and "root" not in accounts.split(","):
        return []
    users = (asked.last("users") or call.owner.user_name).split(",")
    with_user = asked.has("all") or "root" in users
    if asked.has("Users"):
        return [{**_USER, "Account": "root"}] if with_user else []
    return [_ACCOUNT, _USER] if with_user else [_ACCOUNT]


def _grid(names: list[str]) -> str:
    cells = [name.ljust(17) for name in names]
    lines = (cells[start : start + 4] for start in range(0, len(cells), 4))
    return "".join(" ".join(line) + "\n" for line in lines)
