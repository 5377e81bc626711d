"""scontrol: the command line, and which word leads where.

Options may stand anywhere; words may be abbreviated. Without words, commands are read from standard
input until ``quit``, as from an interactive scontrol.

Source: scontrol(1); the wording as recorded.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from stoker.commands.options import (
    USAGE,
    VERSION_OPTION,
    EarlyAnswer,
    Option,
    help_text,
    parse,
)
from stoker.commands.scontrol import (
    control,
    hosts,
    jobs,
    machine,
    pids,
    reservations,
    small,
    upkeep,
)
from stoker.commands.scontrol.assocmgr import show_associations
from stoker.commands.scontrol.token import give_token
from stoker.commands.scontrol.update import update
from stoker.commands.scontrol.words import Line, failure, meant
from stoker.commands.standardinput import StandardInput
from stoker.worker.call import Answer, Call, Conversation, Say
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("all", "a", help="hidden partitions too", meaning="meaningless"),
    Option("cluster", "M", "required", "this cluster", "meaningless", "NAME", ("clusters",)),
    Option("details", "d", help="show more of each job"),
    Option("federation", help="the federation's jobs", meaning="meaningless"),
    Option("future", "F", help="nodes to come", meaning="meaningless"),
    Option("help", "h", help="show this help"),
    Option("hide", help="no hidden partitions", meaning="meaningless"),
    Option("local", help="this cluster's jobs", meaning="meaningless"),
    Option("oneliner", "o", help="a line for each record"),
    Option("quiet", "Q", help="say nothing of what fails"),
    Option("sibling", help="other clusters' jobs", meaning="meaningless"),
    Option("uid", "u", "required", "act as this user", "meaningless", "USER"),
    USAGE,
    Option("verbose", "v", help="say more", meaning="meaningless"),
    VERSION_OPTION,
)

Act = Callable[[Line, Sequence[str]], Answer | Conversation]
Show = Callable[[Line, str | None], Answer | Conversation]


class _Keyword(NamedTuple):
    """What a word does, and how many words it wants; None: as many as it likes."""

    act: Act
    words_min: int = 0
    words_max: int | None = None


def _nothing(_line: Line, _word: str | None) -> Answer:
    return Answer()


def _says(text: str, err: str = "", code: int = 0) -> Show:
    return lambda _line, _word: Answer(out=text, err=err, code=code)


def _show_list(
    show: Callable[[Line, str], Answer | Conversation],
) -> Show:
    """Return *show* for a word that must be there."""

    def shown(line: Line, word: str | None) -> Answer | Conversation:
        if word is None:
            text = help_text("scontrol", OPTIONS)
            return Answer(out=text, err="invalid encode argument\n", code=1)
        return show(line, word)

    return shown


_ENTITIES: Final[Mapping[str, Show]] = MappingProxyType(
    {
        "a|liases": machine.show_aliases,
        "as|soc_mgr": lambda line, word: show_associations(line, [word] if word else ()),
        "bb|stat": _nothing,
        "bu|rstbuffer": _nothing,
        "c|onfig": machine.show_config,
        "d|aemons": _says("slurmctld slurmd\n"),
        "dw|stat": _nothing,
        "fe|deration": _nothing,
        "fr|ontend": _says("No nodes in the system\n"),
        "hostl|ist": _show_list(hosts.show_host_list),
        "hostlists|orted": _show_list(hosts.show_host_list_sorted),
        "host|names": hosts.show_host_names,
        "j|obs": jobs.show_jobs,
        "jobid": jobs.show_jobs,
        "l|icenses": machine.show_licenses,
        "n|odes": machine.show_nodes,
        "p|artitions": machine.show_partitions,
        "r|eservations": reservations.show_reservations,
        "sl|urmd": _says(
            "",
            "scontrol: error: slurm_slurmd_info: Connection refused\n"
            "slurm_load_slurmd_status: Connection refused\n",
            1,
        ),
        "st|eps": jobs.show_steps,
        "t|opology": _says("", "scontrol: error: No topology information available\n"),
    }
)


def show(line: Line, words: Sequence[str]) -> Answer | Conversation:
    """Show what the words name: ``job 5``, ``hostnames=n[1-2]``."""
    name, equals, value = words[0].partition("=")
    if len(words) > 2 and meant(name, {"as|soc_mgr": True}):
        return show_associations(line, words[1:])
    if len(words) > 2:
        return failure("too many arguments for keyword:show")
    shown = meant(name, _ENTITIES)
    if shown is None:
        return failure(f"invalid entity:{words[0]} for keyword:show ")
    return shown(line, value if equals else words[1] if words[1:] else None)


def _help(_line: Line, _words: Sequence[str]) -> Answer:
    return Answer(out=help_text("scontrol", OPTIONS))


def _ignore(_line: Line, _words: Sequence[str]) -> Answer:
    return Answer()


_KEYWORDS: Final[Mapping[str, _Keyword]] = MappingProxyType(
    {
        "abo|rt": _Keyword(small.shut_down),
        "all": _Keyword(_ignore),
        "cancel_|reboot": _Keyword(upkeep.cancel_reboot, 0, 1),
        "cl|uster": _Keyword(_ignore),
        "comp|leting": _Keyword(small.completing, 0, 0),
        "cre|ate": _Keyword(small.create),
        "del|ete": _Keyword(small.delete),
        "det|ails": _Keyword(_ignore, 0, 0),
        "err|numstr": _Keyword(small.error_text, 1),
        "exi|t": _Keyword(_ignore, 0, 0),
        "fs|dampeningfactor": _Keyword(upkeep.set_dampening, 1, 1),
        "gete|nt": _Keyword(_ignore),
        "hel|p": _Keyword(_help, 0, 0),
        "hid|e": _Keyword(_ignore),
        "hold": _Keyword(control.hold, 1),
        "holdu": _Keyword(control.hold_as_user, 1),
        "listp|ids": _Keyword(pids.list_processes, 0, 2),
        "not|ify": _Keyword(small.notify, 2),
        "one|liner": _Keyword(_ignore, 0, 0),
        "pid|info": _Keyword(small.job_of_process, 1, 1),
        "pin|g": _Keyword(small.ping, 0, 0),
        "qui|et": _Keyword(_ignore, 0, 0),
        "quit": _Keyword(_ignore, 0, 0),
        "reb|oot": _Keyword(upkeep.reboot),
        "reboot_nod|es": _Keyword(upkeep.reboot),
        "rec|onfigure": _Keyword(small.reconfigure),
        "rel|ease": _Keyword(control.release, 1),
        "req|ueue": _Keyword(control.requeue, 1),
        "requeueh|old": _Keyword(control.requeue_and_hold, 1),
        "res|ume": _Keyword(control.resume, 1),
        "sched|loglevel": _Keyword(upkeep.set_schedule_log, 1, 1),
        "setd|ebug": _Keyword(upkeep.set_debug, 1, 1),
        "setdebugf|lags": _Keyword(upkeep.set_debug_flags, 1, 1),
        "sho|w": _Keyword(show, 1),
        "shu|tdown": _Keyword(small.shut_down),
        "sus|pend": _Keyword(control.suspend, 1),
        "tak|eover": _Keyword(small.unsupported),
        "tok|en": _Keyword(give_token),
        "top": _Keyword(control.top, 1),
        "uh|old": _Keyword(control.hold_as_user, 1),
        "upd|ate": _Keyword(update),
        "ver|bose": _Keyword(_ignore),
        "vers|ion": _Keyword(small.version),
        "wai|t_job": _Keyword(small.wait_for_job, 1, 1),
        "wri|te": _Keyword(small.write),
    }
)
_PROMPT: Final = "scontrol: "
_QUITS: Final = frozenset({"exit", "quit", "!!"})


def scontrol(call: Call, controller: Controller) -> Answer | Conversation:
    """Show or change what the words name."""
    try:
        options, words = _parted(call.argv)
        parsed = parse("scontrol", OPTIONS, options)
    except EarlyAnswer as early:
        return early.answer
    line = Line(
        call,
        controller,
        is_oneliner=parsed.has("oneliner"),
        has_details=parsed.has("details"),
        is_quiet=parsed.has("quiet"),
    )
    if not parsed.operands and not words:
        return _interactive(line)
    return _quieted(line, _obey(line, [*parsed.operands, *words]))


def _parted(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the command line up to ``setdebug``, and from there on: no options follow it."""
    for at, word in enumerate(argv):
        if word.lower().startswith("setdebug"):
            return argv[:at], argv[at:]
    return argv, ()


def _obey(line: Line, words: Sequence[str]) -> Answer | Conversation:
    word, rest = words[0], words[1:]
    keyword = meant(word, _KEYWORDS)
    if keyword is None:
        return failure(f"invalid keyword: {word}")
    if keyword.act is update and not rest:
        return failure("too few arguments for update keyword")
    if len(rest) < keyword.words_min:
        return failure(f"too few arguments for keyword:{word}")
    if keyword.words_max is not None and len(rest) > keyword.words_max:
        return failure(f"too many arguments for keyword:{word}")
    return keyword.act(line, rest)


def _quieted(line: Line, answer: Answer | Conversation) -> Answer | Conversation:
    if line.is_quiet and isinstance(answer, Answer):
        return Answer(out=answer.out, code=answer.code)
    return answer


def _interactive(line: Line) -> Conversation:
    """Obey the lines of standard input; the status is that of the last one that failed."""
    said, code = StandardInput(), 0
    while (text := (yield from said.line_after(_PROMPT))) is not None:
        words = _words(text)
        if words and words[0].lower() in _QUITS:
            break
        if not words:
            continue
        answer = _obey(line, words)
        if not isinstance(answer, Answer):
            answer = yield from answer
        yield Say(out=answer.out, err=answer.err)
        code = answer.code or code
    return Answer(code=code)


def _words(text: str) -> list[str]:
    """Split a line as a shell does; one with an open quote, at its blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
