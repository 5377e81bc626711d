"""sreport: who used how much, over whole days or a stated span.

Figures come from the records themselves: nothing is rolled up, so that what has just ended counts.

Source: sreport(1) of Slurm 22.05; headings and wording as recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

import msgspec

from stoker.commands.columns import Column, Ending, Table
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
from stoker.commands.sreport.accounts import AccountTree
from stoker.commands.sreport.conditions import OF_JOBS, Conditions, parse_conditions, span_of
from stoker.commands.sreport.fields import Row, choose, for_tree
from stoker.commands.sreport.scene import Lines, Report, Scene
from stoker.commands.sreport.style import RULE, TRES, Style, tres_of, unit_of
from stoker.commands.sreport.usage import pieces, total, waited
from stoker.core.units import zone_of
from stoker.worker.call import Answer, Call, Conversation, ReadFile
from stoker.worker.controller import Controller, HistoryQuery

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
_PRIVILEGE: Final = "sreport: error: Your user doesn't have privilege to perform this action\n"


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
    lines = (yield ReadFile("-")).decode("utf-8", "replace").splitlines()
    before: list[str] = []
    for line in lines:
        session.out += f"{_PROMPT}{line}\n"
        words = before if line == "!!" else line.split()
        if words and not line.startswith("#"):
            before = words
            session.take(words)
        if session.is_over:
            return session.answer()
    session.out += f"{_PROMPT}\n"
    return session.answer()


class _Session:
    """What was said and answered so far: settings of one command hold for those after it."""

    def __init__(self, asked: Parsed, call: Call, controller: Controller) -> None:
        self.out, self.err, self.code = "", "", 0
        self.is_over = False
        self._call = call
        self._controller = controller
        self._zone: tzinfo = zone_of(call.environment.get("TZ", ""))
        self._clusters = (asked.last("cluster") or "").split(",")
        tres = asked.last("tres") or call.environment.get("SREPORT_TRES", "")
        self.style = Style(
            tres=tres_of(tres, _countable(controller)),
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
        """Return all that was said."""
        return Answer(out=self.out, err=self.err, code=self.code)

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
            self._show(report, words[2:])

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
            self.out += help_text("sreport", OPTIONS)
        elif name == "version":
            self.out += f"{VERSION}\n"
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

    # Reports.

    def _show(self, report: Report, words: Sequence[str]) -> None:
        said = parse_conditions(words, report.grammar)
        if complaint := said.error + users.complaint(said):
            self._complain(complaint)
            said.error = ""
        is_allowed = not report.is_for_operators or self._is_operator()
        if not is_allowed:
            self.err += _PRIVILEGE
            if report.failure:
                self._complain(report.failure)
                return
        is_of_jobs = report.grammar is OF_JOBS
        if is_of_jobs and len(self.style.counted) > 1:
            self._complain(
                " Job report only support a single --tres type.\n"
                " Generate a separate report for each TRES type.\n"
            )
            return
        scene = self._scene(said)
        lines = report.lines(scene) if is_allowed and self._is_meant(said) else Lines()
        heads = _size_head if is_of_jobs else _head
        head = heads(report, scene, self._zone) if self.style.has_header else ""
        columns = self._columns(report, scene, lines)
        if is_of_jobs:
            columns += jobs.size_columns(scene)
        self.err += said.error
        table = Table(columns, has_header=self.style.has_header, ending=self.style.ending)
        self.out += head + "".join(table.text(lines.rows))

    def _is_operator(self) -> bool:
        owner = self._call.owner
        user = self._controller.book().users.get(owner.user_name)
        level = user.admin_level if user is not None else "None"
        return level != "None" or self._controller.is_administrator(owner)

    def _scene(self, said: Conditions) -> Scene:
        controller = self._controller
        now = controller.now()
        span = span_of(said, now, self._zone)
        records = controller.history(HistoryQuery(start_at=span.start, end_at=span.end))
        return Scene(
            cluster=controller.cluster_name,
            style=self.style,
            said=said,
            span=span,
            known_s=max(0, int(min(now, span.end)) - int(span.start)),
            machine=_machine(controller),
            pieces=list(pieces(records, span, now)),
            tree=AccountTree.of(controller.book()),
            waited_s=waited(records, span, now),
            full_name=controller.full_name,
        )

    def _columns(self, report: Report, scene: Scene, lines: Lines) -> list[Column[Row]]:
        default = report.tres_format if self.style.tres_text else report.format
        names = scene.said.names("format") or default.split(",")
        fields = for_tree(report.fields) if "tree" in scene.said.flags else report.fields
        columns, error = choose(names, fields, self.style, lines.largest)
        if error:
            self._complain(error)
        return columns

    def _is_meant(self, said: Conditions) -> bool:
        """Whether this cluster is among those that were named."""
        names = [*filter(None, self._clusters), *said.names("clusters")]
        own = self._controller.cluster_name
        return not names or "all_clusters" in said.flags or own in names


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


def _machine(controller: Controller) -> Mapping[str, int]:
    """Return how much there is of each thing that is counted."""
    nodes = [status.node for status in controller.nodes()]
    cpus = sum(node.cpus for node in nodes)
    memory = sum(node.memory_mib for node in nodes)
    gres = total(Counter(node.gres) for node in nodes)
    return {
        "cpu": cpus,
        "mem": memory,
        "node": len(nodes),
        "billing": cpus,
        **{f"gres/{name}": count for name, count in gres.items()},
    }


def _countable(controller: Controller) -> Sequence[str]:
    """Return what can be counted: Slurm's things, and the generic resources that there are."""
    machine = _machine(controller)
    return *TRES, *sorted(name for name in machine if name not in TRES)


def _head(report: Report, scene: Scene, zone: tzinfo) -> str:
    title = report.title.format(count=users.top_count(scene.said))
    length = f" ({scene.span.length_s} secs)" if report.has_length else ""
    usage = scene.style.usage_line(report.kind)
    return f"{RULE}{title} {_times(scene, zone)}{length}\n{usage}{RULE}"


def _size_head(report: Report, scene: Scene, zone: tzinfo) -> str:
    style = scene.style
    tres = f"TRES type is {style.tres_text}\n" if style.tres_text else ""
    unit = f"Time reported in {style.unit.title}\n"
    if "count" in scene.said.flags:
        unit = "Units are in number of jobs ran\n"
    span = f"{_times(scene, zone)} ({scene.span.length_s} secs)"
    return f"{RULE}{report.title} {span}\n{tres}{unit}{RULE}"


def _times(scene: Scene, zone: tzinfo) -> str:
    return " - ".join(
        datetime.fromtimestamp(int(at), zone).strftime("%Y-%m-%dT%H:%M:%S")
        for at in (scene.span.start, scene.span.end - 1)
    )
