"""sacctmgr: the accounts, users and qualities of service that there are.

One machine has one cluster, the account root and the quality of service normal, and nothing is
enforced: they can be asked for in all of sacctmgr's ways. What would change them is refused, after
it has been read as Slurm reads it.

Source: sacctmgr(1) of Slurm 22.05; names, widths and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from stoker.commands.columns import Column, Ending, Table, UnknownField, choose
from stoker.commands.options import VERSION, EarlyAnswer, Option, Parsed, parse
from stoker.commands.sacctmgr_entities import Entity, Row, find_entity, rows_of
from stoker.worker.call import Answer, Call, Conversation, ReadFile
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("help", "h", help="show this help"),
    Option("usage", "", help="show a short usage"),
    Option("immediate", "i", help="do not ask", meaning="meaningless"),
    Option("noheader", "n", help="no header"),
    Option("oneliner", "o", help="a line for each record", meaning="meaningless"),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("quiet", "Q", help="say less", meaning="meaningless"),
    Option("readonly", "r", help="change nothing"),
    Option("associations", "s", help="show associations too", meaning="meaningless"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    Option("version", "V", help="show the version of Slurm whose language this is"),
)

_WORDS: Final = (
    *("add", "associations", "archive", "clear", "create", "delete", "dump", "exit", "help"),
    *("list", "load", "modify", "oneliner", "quiet", "quit", "readonly", "reconfigure", "remove"),
    *("rollup", "show", "shutdown", "update", "verbose", "version"),
)
_CHANGING: Final[Mapping[str, str]] = {
    "add": "add",
    "create": "add",
    "delete": "delete",
    "remove": "delete",
    "modify": "modify",
    "update": "modify",
}
_CHANGEABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("Account", "Cluster", "Coordinator", "Federation", "QOS", "Resource", "User"),
    "delete": ("Account", "Cluster", "Coordinator", "Federation", "QOS", "Resource", "User"),
    "modify": ("Account", "Cluster", "Federation", "Job", "QOS", "Resource", "User"),
}
_ENTITY_LINES: Final[Mapping[str, str]] = {
    "list": (
        'Input line must include "Account", "Association", "Cluster", "Configuration",\n'
        '"Event", "Federation", "Problem", "QOS", "Resource", "Reservation",\n'
        '"RunAwayJobs", "Stats", "Transaction", "TRES", "User", or "WCKey"\n'
    ),
    "add": (
        'Input line must include "Account", "Cluster", "Coordinator", "Federation", "QOS", '
        '"Resource", or "User"\n'
    ),
    "delete": (
        'Input line must include "Account", "Cluster", "Coordinator", "Federation", "QOS", '
        '"Resource", or "User"\n'
    ),
    "modify": (
        'Input line must include "Account", "Cluster", "Federation", "Job", "QOS", '
        '"Resource" or "User"\n'
    ),
}
_SETTABLE: Final = (
    *("account", "adminlevel", "cluster", "comment", "coordinators", "defaultaccount"),
    *("defaultqos", "description", "fairshare", "flags", "gracetime", "grp", "jobid", "max"),
    *("min", "name", "organization", "parent", "partition", "preempt", "priority", "qos"),
    *("rawusage", "share", "usage", "user", "wckey", "where"),
)
_NO_PRIVILEGE: Final = (
    "sacctmgr: error: Your user doesn't have privilege to perform this action\n"
    " Error with request: Access/permission denied\n"
)
_UNSUPPORTED: Final = " Error with request: Requested operation not supported on this system\n"
_PROMPT: Final = "sacctmgr: "


def sacctmgr(call: Call, controller: Controller) -> Answer | Conversation:
    """Answer sacctmgr."""
    try:
        asked = parse("sacctmgr", OPTIONS, call.argv)
    except EarlyAnswer as early:
        return early.answer
    if not asked.operands:
        return _dialogue(asked, call, controller)
    return _command(asked.operands, asked, call, controller)


def _dialogue(asked: Parsed, call: Call, controller: Controller) -> Conversation:
    """Answer the lines on standard input, one after the other."""
    lines = (yield ReadFile("-")).decode("utf-8", "replace").splitlines()
    whole = Answer(out="")
    for line in lines:
        whole.out = f"{whole.out}{_PROMPT}{line}\n"
        words = line.split()
        if not words:
            continue
        if words[0].lower() in ("exit", "quit"):
            return whole
        operands = [word for word in words if not word.startswith("-")]
        answer = _command(operands, asked, call, controller) if operands else Answer()
        whole.out = f"{whole.out}{answer.out}"
        whole.err += answer.err
        whole.code = answer.code or whole.code
    whole.out = f"{whole.out}{_PROMPT}\n"
    return whole


def _command(words: Sequence[str], asked: Parsed, call: Call, controller: Controller) -> Answer:
    typed = words[0].lower()
    word = next((each for each in _WORDS if each.startswith(typed)), None)
    if word is None:
        return Answer(err=f"invalid keyword: {words[0]}\n", code=1)
    if word in ("list", "show"):
        return _show(words[1:], asked, call, controller)
    if word in _CHANGING:
        return _change(_CHANGING[word], words[1:], asked, call)
    if word == "version":
        return Answer(out=f"{VERSION}\n")
    if word == "help":
        return _help()
    if word in ("archive", "clear", "dump", "load", "reconfigure", "rollup", "shutdown"):
        return Answer(err=_UNSUPPORTED if call.owner.user_id == 0 else _NO_PRIVILEGE, code=1)
    return Answer()


def _help() -> Answer:
    try:
        parse("sacctmgr", OPTIONS, ("--help",))
    except EarlyAnswer as early:
        return early.answer
    raise AssertionError("--help is answered early")


def _no_entity(action: str) -> Answer:
    return Answer(
        err=f"No valid entity in {action} command\n{_ENTITY_LINES[action]}",
        code=1,
    )


# Showing.


def _show(words: Sequence[str], asked: Parsed, call: Call, controller: Controller) -> Answer:
    entity = find_entity(words[0]) if words else None
    if entity is None:
        return _no_entity("list")
    if entity.refusal and call.owner.user_id != 0:
        return Answer(err=entity.refusal, code=1)
    if entity.text is not None:
        return Answer(out=entity.text(controller, call))
    names, conditions, formats, unknown = _read(words[1:], entity)
    if unknown:
        return Answer(
            err=f" Unknown condition: {unknown}\n Use keyword 'set' to modify value\n", code=1
        )
    try:
        columns = choose(formats, _columns(entity)) if formats else _default_columns(entity)
    except UnknownField as error:
        return Answer(err=f"Unknown field '{error.name}'\n", code=1)
    rows = _matching(rows_of(entity, controller, call), entity, names, conditions)
    ending: Ending = (
        "none" if asked.has("parsable2") else "delimiter" if asked.has("parsable") else ""
    )
    table = Table(columns, has_header=not asked.has("noheader"), ending=ending)
    return Answer(out="".join(table.text(rows)))


def _default_columns(entity: Entity) -> list[Column[Row]]:
    shown = entity.default.split(",")
    return [column for column in _columns(entity) if column.name in shown]


def _columns(entity: Entity) -> list[Column[Row]]:
    return [
        Column(name, width, lambda row, name=name: row.get(name, ""))  # type: ignore[misc]
        for name, width in entity.fields.items()
    ]


def _read(words: Sequence[str], entity: Entity) -> tuple[list[str], dict[str, list[str]], str, str]:
    """Return names, conditions, the format, and the first condition that means nothing."""
    names: list[str] = []
    conditions: dict[str, list[str]] = {}
    formats: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        key = key.lower().rstrip("+-")
        if not equals:
            if key not in ("where", *entity.flags):
                names += word.split(",")
        elif "format".startswith(key):
            formats += [_alias(each) for each in value.split(",")]
        elif (field := entity.condition(key)) is not None:
            conditions[field] = [each.lower() for each in value.strip("'\"").split(",")]
        else:
            return names, conditions, "", word
    return names, conditions, ",".join(formats), ""


_ALIASES: Final = {
    "defaultaccount": "Def Acct",
    "defaultqos": "Def QOS",
    "description": "Descr",
    "fairshare": "Share",
    "organization": "Org",
    "adminlevel": "Admin",
}


def _alias(word: str) -> str:
    name, percent, width = word.partition("%")
    lower = name.lower()
    close = next((full for full in _ALIASES if len(lower) > 6 and full.startswith(lower)), "")
    return f"{_ALIASES[close] if close else name}{percent}{width}"


def _matching(
    rows: Sequence[Row], entity: Entity, names: Sequence[str], conditions: Mapping[str, list[str]]
) -> Iterator[Row]:
    wanted = {name.lower() for name in names}
    for row in rows:
        if wanted and row.get(entity.key, "").lower() not in wanted:
            continue
        if all(row.get(field, "").lower() in values for field, values in conditions.items()):
            yield row


# Changing.


def _change(action: str, words: Sequence[str], asked: Parsed, call: Call) -> Answer:
    if asked.has("readonly"):
        return Answer(err="Can't run this command in readonly mode.\n", code=1)
    known = _CHANGEABLE[action]
    typed = words[0].lower() if words else ""
    entity = next((name for name in known if typed and _begins(f"{name}s", typed)), None)
    if entity is None:
        return _no_entity(action)
    rest = list(words[1:])
    if (problem := _problem(action, entity, rest)) is not None:
        return problem
    if call.owner.user_id != 0:
        return Answer(err=_NO_PRIVILEGE, code=1)
    if action != "add" and not _names_what_is(entity, rest):
        done = {"delete": "deleted", "modify": "modified"}[action]
        return Answer(out=f" Nothing {done}\n", code=1)
    return Answer(err=_UNSUPPORTED, code=1)


def _begins(full: str, typed: str) -> bool:
    return full.lower().startswith(typed) and len(typed) > (full[0] == "C")


def _problem(action: str, entity: str, words: Sequence[str]) -> Answer | None:
    """Return what is wrong with a change, in Slurm's words."""
    for word in words:
        key, equals, _ = word.partition("=")
        if equals and not key.lower().startswith(_SETTABLE):
            return Answer(
                err=f" Unknown option: {word}\n Use keyword 'where' to modify condition\n", code=1
            )
    lower = [word.lower() for word in words]
    if action == "modify" and "set" not in lower:
        return Answer(err=" You didn't give me anything to set\n", code=1)
    if action != "add":
        return None
    has_name = any("=" not in word or word.startswith("name") for word in lower)
    if entity in ("Account", "User") and not has_name:
        return Answer(err=f" Need name of {entity.lower()} to add.\n", code=1)
    if entity == "User" and not any(word.startswith("account") for word in lower):
        return Answer(err=" Need name of account to add user to.\n", code=1)
    return None


def _names_what_is(entity: str, words: Sequence[str]) -> bool:
    """Whether a change is one of something that there is: root, or normal."""
    found = {"Account": "root", "User": "root", "QOS": "normal"}.get(entity, "")
    before = [word.lower() for word in words]
    if "set" in before:
        before = before[: before.index("set")]
    names = [word.partition("=")[2] or word for word in before if word != "where"]
    return not found or found in names or not names
