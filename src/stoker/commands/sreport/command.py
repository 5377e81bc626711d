"""sreport: who used how much, over whole days or a stated span.

Figures come from the records themselves: nothing is rolled up, so that what has just ended counts.

Source: sreport(1) of Slurm 22.05; headings and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from stoker.commands.columns import Ending
from stoker.commands.options import (
    HELP,
    USAGE,
    VERSION,
    VERSION_OPTION,
    EarlyAnswer,
    Option,
    Parsed,
    help_text,
    parse,
)
from stoker.commands.sreport import clusters, jobs, users
from stoker.commands.sreport.printing import Printer
from stoker.commands.sreport.scene import Report
from stoker.commands.sreport.style import Style, tres_of, unit_of
from stoker.commands.standardinput import StandardInput
from stoker.worker.call import Answer, Call, Conversation, Say
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("all_clusters", "a", help="every cluster", meaning="meaningless"),
    Option("cluster", "M", "required", "this cluster, by its name", value="NAME"),
    Option("federation", help="the federation", meaning="meaningless"),
    Option("immediate", "i", help="do not wait", meaning="meaningless"),
    Option("local", help="this cluster", meaning="meaningless"),
    Option("noheader", "n", help="no header"),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("quiet", "Q", help="do not say that words are missing"),
    Option("sort", "s", "required", "users by name or time", value="ORDER"),
    Option(
        "time",
        "t",
        "required",
        "seconds, minutes, hours, percent, secper, minper or hourper",
        value="UNIT",
    ),
    Option("tres", "T", "required", "what is counted: cpu, mem, node, ... or all", value="NAMES"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_PROMPT: Final = "sreport: "


class _Name(NamedTuple):
    """A report's name: it is meant by words that begin like its first ``compared`` letters."""

    name: str
    compared: int
    report: Report

    def matches(self, word: str) -> bool:
        return word[: self.compared].lower() == self.name[: self.compared].lower()


_REPORTS: Final[Mapping[str, Sequence[_Name]]] = {
    "cluster": (
        _Name("AccountUtilizationByUser", 1, clusters.ACCOUNTS_BY_USER),
        _Name("UserUtilizationByAccount", 18, clusters.USERS_BY_ACCOUNT),
        _Name("UA", 2, clusters.USERS_BY_ACCOUNT),
        _Name("UserUtilizationByWckey", 18, clusters.USERS_BY_WCKEY),
        _Name("UW", 2, clusters.USERS_BY_WCKEY),
        _Name("Utilization", 2, clusters.UTILIZATION),
        _Name("WCKeyUtilizationByUser", 1, clusters.WCKEYS_BY_USER),
    ),
    "reservation": (_Name("Utilization", 1, clusters.RESERVATIONS),),
    "user": (_Name("TopUsage", 1, users.TOP),),
}
_VALID: Final = {
    "cluster": 'Valid cluster reports are, "AccountUtilizationByUser", '
    '"UserUtilizationByAccount", "UserUtilizationByWckey", "Utilization", and '
    '"WCKeyUtilizationByUser"\n',
    "job": 'Valid job reports are, "SizesByAccount, SizesByAccountAndWcKey, and  SizesByWckey"\n',
    "reservation": 'Valid reservation reports are, "Utilization"\n',
    "user": 'Valid user reports are, "TopUsage"\n',
}
_GROUPS: Final = {"cluster": 2, "job": 1, "reservation": 2, "user": 1}
"""Kinds of reports, and the letters by which they may be abbreviated."""
_SMALL: Final = {
    "help": 2,
    "quiet": 4,
    "exit": 1,
    "\\q": 2,
    "quit": 4,
    "nonparsable": 4,
    "parsable": 8,
    "parsable2": 9,
    "verbose": 4,
    "version": 4,
}
"""The words that are no reports, and the letters by which they may be abbreviated."""
_ENDINGS: Final[Mapping[str, Ending]] = {
    "nonparsable": "",
    "parsable": "delimiter",
    "parsable2": "none",
}
_JOB_REPORTS: Final = (
    ("SizesByAccount", 1, jobs.SIZES_BY_ACCOUNT),
    ("SizesByWcKey", 8, jobs.SIZES_BY_WCKEY),
    ("SizesByAccountAndWcKey", 15, jobs.SIZES_BY_ACCOUNT_AND_WCKEY),
)


def sreport(call: Call, controller: Controller) -> Answer | Conversation:
    """Answer sreport."""
    try:
        asked = parse("sreport", OPTIONS, call.argv)
    except EarlyAnswer as early:
        return early.answer
    session = _Session(asked, call, controller)
    if session.has_unknown_tres:
        return Answer(err="sreport: fatal: No valid TRES given\n", code=1)
    if not asked.operands:
        return _dialogue(session)
    session.take(asked.operands)
    return session.answer()


def _dialogue(session: _Session) -> Conversation:
    """Answer the lines on standard input, one after the other."""
    said, before = StandardInput(), list[str]()
    while (line := (yield from said.line_after(_PROMPT))) is not None:
        words = before if line == "!!" else line.split()
        if words and not line.startswith("#"):
            before = words
            session.take(words)
        yield from session.told()
        if session.is_over:
            break
    return session.answer()


class _Session:
    """What was said and answered so far: settings of one command hold for those after it."""

    def __init__(self, asked: Parsed, call: Call, controller: Controller) -> None:
        self.err, self.code = "", 0
        self._out: list[str | Iterable[str]] = []
        self.is_over = False
        named = (asked.last("cluster") or "").split(",")
        self._printer = Printer(call, controller, [*filter(None, named)])
        tres = asked.last("tres") or call.environment.get("SREPORT_TRES", "")
        self.style = Style(
            tres=tres_of(tres, self._printer.countable),
            tres_text=tres,
            ending=_ending(asked),
            has_header=not asked.has("noheader"),
            is_quiet=asked.has("quiet"),
        )
        for name in ("time", "sort"):
            if (value := asked.last(name)) is not None:
                self._settings[name](self, value)

    @property
    def has_unknown_tres(self) -> bool:
        """Whether what is to be counted was said, and nothing of it is known."""
        return bool(self.style.tres_text) and not self.style.tres

    def answer(self) -> Answer:
        """Return all that was said; what takes long is made when it is read."""
        if all(isinstance(each, str) for each in self._out):
            return Answer("".join(map(str, self._out)), self.err, self.code)
        parts = ([each] if isinstance(each, str) else each for each in self._out)
        return Answer(chain.from_iterable(parts), self.err, self.code)

    def told(self) -> Iterator[Say]:
        """Yield what was said since, and forget it."""
        yield from map(Say, self._out)
        if self.err:
            yield Say(err=self.err)
        self.err, self._out = "", []

    def say(self, text: str | Iterable[str]) -> None:
        """Add to what is answered."""
        self._out.append(text)

    def take(self, words: Sequence[str]) -> None:
        """Do what a line says."""
        word = words[0].lower()
        group = next(
            (name for name, least in _GROUPS.items() if _abbreviates(word, name, least)), None
        )
        setting = next((name for name in ("sort", "time") if _abbreviates(word, name, 1)), None)
        if group is not None:
            self._report(group, words)
        elif setting is not None:
            self._set(setting, words)
        elif not self._small(word, words):
            self._complain(f"invalid keyword: {words[0]}\n")

    def _report(self, group: str, words: Sequence[str]) -> None:
        if len(words) < 2:
            self._complain("" if self.style.is_quiet else _too_few(words[0]))
            return
        report = _report_of(group, words[1])
        if report is None:
            self._complain(f"Not valid report {words[1]}\n{_VALID[group]}")
        else:
            answer = self._printer.report(report, words[2:], self.style)
            self.say(answer.out)
            self.err += answer.err
            self.code = answer.code or self.code

    def _set(self, name: str, words: Sequence[str]) -> None:
        if len(words) < 2:
            self._complain(_too_few(words[0]))
        else:
            self._settings[name](self, words[1])

    def _small(self, word: str, words: Sequence[str]) -> bool:
        """Do what one of the small words says; False if it is none."""
        name = next(
            (name for name, least in _SMALL.items() if _abbreviates(word, name, least)), None
        )
        if name is None:
            return False
        if len(words) > 1:
            self._complain(f"too many arguments for keyword:{words[0]}\n")
        if name in ("exit", "quit", "\\q"):
            self.is_over = True
        elif name == "help":
            self.say(help_text("sreport", OPTIONS))
        elif name == "version":
            self.say(f"{VERSION}\n")
        elif name in _ENDINGS:
            self._change(ending=_ENDINGS[name])
        elif name == "quiet":
            self._change(is_quiet=True)
        return True

    def _set_time(self, word: str) -> None:
        unit = unit_of(word)
        if unit is None:
            self.err += f"unknown time format {word}"
        else:
            self._change(unit=unit)

    def _set_sort(self, word: str) -> None:
        if _abbreviates(word, "name", 1):
            self._change(is_sorted_by_name=True)
        elif _abbreviates(word, "time", 1):
            self._change(is_sorted_by_name=False)
        else:
            self.err += f"unknown timesort format {word}"

    _settings: Final[Mapping[str, Callable[[_Session, str], None]]] = {
        "time": _set_time,
        "sort": _set_sort,
    }

    def _change(self, **fields: object) -> None:
        self.style = msgspec.structs.replace(self.style, **fields)

    def _complain(self, text: str) -> None:
        self.err += text
        self.code = 1


def _report_of(group: str, word: str) -> Report | None:
    if group == "job":
        return next(
            (report for name, least, report in _JOB_REPORTS if _abbreviates(word, name, least)),
            None,
        )
    return next((each.report for each in _REPORTS[group] if each.matches(word)), None)


def _abbreviates(word: str, name: str, least: int) -> bool:
    return name.lower().startswith(word.lower()) and len(word) >= min(least, len(name))


def _too_few(word: str) -> str:
    return f"too few arguments for keyword:{word}\n"


def _ending(asked: Parsed) -> Ending:
    if asked.has("parsable2"):
        return "none"
    return "delimiter" if asked.has("parsable") else ""
