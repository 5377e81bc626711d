"""sacctmgr: the accounts, users and qualities of service that there are, looked at and changed.

Changes are made by administrators, by users of an admin level, and by coordinators of accounts;
everybody may look. A change is shown first, and made when it is agreed to.

Source: sacctmgr(1) of Slurm 22.05; names, widths and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stoker.commands.options import VERSION, EarlyAnswer, Option, parse
from stoker.commands.sacctmgr import adding, deleting, files, jobs, modifying
from stoker.commands.sacctmgr.desk import NO_PRIVILEGE, Desk, Talk
from stoker.commands.sacctmgr.entities import find_entity
from stoker.commands.sacctmgr.show import show
from stoker.commands.sacctmgr.words import Request, Word, read_word, split
from stoker.worker.call import Answer, Call, Conversation
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("help", "h", help="show this help"),
    Option("usage", "", help="show a short usage"),
    Option("immediate", "i", help="make changes without asking"),
    Option("noheader", "n", help="no header"),
    Option("oneliner", "o", help="a line for each record", meaning="meaningless"),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("quiet", "Q", help="say less", meaning="meaningless"),
    Option("readonly", "r", help="change nothing"),
    Option("associations", "s", help="show users and accounts with their associations"),
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

Change = Callable[[Sequence[Word], Desk], Talk]
Modification = Callable[[Request, Desk], Talk]

_ADDING: Final[Mapping[str, Change]] = {
    "Account": adding.add_accounts,
    "Cluster": adding.add_clusters,
    "Coordinator": adding.add_coordinators,
    "QOS": adding.add_qos,
    "User": adding.add_users,
}
_DELETING: Final[Mapping[str, Change]] = {
    "Account": deleting.delete_accounts,
    "Coordinator": deleting.delete_coordinators,
    "QOS": deleting.delete_qos,
    "User": deleting.delete_users,
}
_MODIFYING: Final[Mapping[str, Modification]] = {
    "Account": modifying.modify_accounts,
    "Cluster": modifying.modify_clusters,
    "Job": jobs.modify_jobs,
    "QOS": modifying.modify_qos,
    "User": modifying.modify_users,
}
_CHANGEABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("Account", "Cluster", "Coordinator", "Federation", "QOS", "Resource", "User"),
    "delete": ("Account", "Cluster", "Coordinator", "Federation", "QOS", "Resource", "User"),
    "modify": ("Account", "Cluster", "Federation", "Job", "QOS", "Resource", "User"),
}
_FOR_ADMINISTRATORS: Final = frozenset({"archive", "clear", "reconfigure", "shutdown"})
_ENTITY_LINES: Final[Mapping[str, str]] = {
    "archive": 'Input line must include, "Dump", or "load"\n',
    "clear": 'Input line must include "Stats"\n',
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
_UNSUPPORTED: Final = " Error with request: Requested operation not supported on this system\n"
_PROMPT: Final = "sacctmgr: "


def sacctmgr(call: Call, controller: Controller) -> Answer | Conversation:
    """Answer sacctmgr."""
    try:
        asked = parse("sacctmgr", OPTIONS, call.argv)
    except EarlyAnswer as early:
        return early.answer
    return _serve(Desk(call, asked, controller), asked.operands)


def _serve(desk: Desk, words: Sequence[str]) -> Conversation:
    yield from _command(words, desk) if words else _dialogue(desk)
    return desk.answer()


def _dialogue(desk: Desk) -> Talk:
    """Answer the lines on standard input, one after the other."""
    while True:
        desk.say(_PROMPT)
        line = yield from desk.line()
        if line is None or not desk.is_at_terminal:
            # As readline does that reads no terminal; a terminal has shown it.
            desk.say(f"{line or ''}\n")
        if line is None:
            return
        words = line.split()
        if words and words[0].lower() in ("exit", "quit"):
            return
        if words:
            earlier, desk.code = desk.code, 0
            yield from _command(words, desk)
            desk.code = desk.code or earlier


def _command(words: Sequence[str], desk: Desk) -> Talk:
    typed = words[0].lower()
    word = next((each for each in _WORDS if each.startswith(typed)), None)
    if word is None:
        desk.complain(f"invalid keyword: {words[0]}\n")
    elif word in ("list", "show"):
        yield from _show(words[1:], desk)
    elif word in _CHANGING:
        yield from _change(_CHANGING[word], words[1:], desk)
    elif word == "dump":
        yield from files.dump([read_word(each) for each in words[1:]], desk)
    elif word == "load":
        yield from _load(words[1:], desk)
    elif word in ("help", "version"):
        _tell(word, words[1:], desk)
    elif word in _FOR_ADMINISTRATORS:
        _keep_up(word, words[1:], desk)
    # Reports read what has just ended: for "rollup" there is nothing to bring up to date.


def _tell(word: str, words: Sequence[str], desk: Desk) -> None:
    if word == "help":
        _help(desk)
        return
    desk.say(f"{VERSION}\n")
    if words:
        desk.complain("too many arguments for version keyword\n")


def _keep_up(word: str, words: Sequence[str], desk: Desk) -> None:
    """Do what there is to do for a daemon that reads its settings by itself."""
    if not desk.may_administer:
        desk.complain(NO_PRIVILEGE)
    elif word == "clear":
        _clear(words, desk)
    elif word == "archive" and not (words and _names_archive(words[0])):
        desk.complain(f"No valid entity in archive command\n{_ENTITY_LINES['archive']}")
    elif word != "reconfigure":
        desk.complain(_UNSUPPORTED)


def _names_archive(word: str) -> bool:
    return any(name.startswith(word.lower()) for name in ("dump", "load"))


def _clear(words: Sequence[str], desk: Desk) -> None:
    if words and "stats".startswith(words[0].lower()):
        desk.controller.reset_statistics()
    else:
        desk.complain(f"No valid entity in list command\n{_ENTITY_LINES['clear']}")


def _help(desk: Desk) -> None:
    try:
        parse("sacctmgr", OPTIONS, ("--help",))
    except EarlyAnswer as early:
        desk.say(str(early.answer.out))


def _show(words: Sequence[str], desk: Desk) -> Talk:
    entity = find_entity(words[0]) if words else None
    if entity is None:
        _miss_entity("list", desk)
        return
    yield from show(entity, words[1:], desk)


def _load(words: Sequence[str], desk: Desk) -> Talk:
    if _is_readonly(desk):
        return
    yield from files.load([read_word(each) for each in words], desk)


def _change(action: str, words: Sequence[str], desk: Desk) -> Talk:
    if _is_readonly(desk):
        return
    typed = words[0].lower() if words else ""
    known = _CHANGEABLE[action]
    entity = next((name for name in known if typed and _begins(f"{name}s", typed)), None)
    if entity is None:
        _miss_entity(action, desk)
        return
    request = split(words[1:])
    if action == "modify":
        if (modify := _MODIFYING.get(entity)) is not None:
            yield from modify(request, desk)
            return
    elif (change := (_ADDING if action == "add" else _DELETING).get(entity)) is not None:
        yield from change([*request.conditions, *request.settings], desk)
        return
    desk.complain(_UNSUPPORTED if desk.may_administer else NO_PRIVILEGE)


def _begins(full: str, typed: str) -> bool:
    return full.lower().startswith(typed) and len(typed) > (full[0] == "C")


def _is_readonly(desk: Desk) -> bool:
    if desk.asked.has("readonly"):
        desk.complain("Can't run this command in readonly mode.\n")
        return True
    return False


def _miss_entity(action: str, desk: Desk) -> None:
    desk.complain(f"No valid entity in {action} command\n{_ENTITY_LINES[action]}")
