"""sreport: who used how much, over whole days or a stated span.

Figures come from the records themselves: nothing is rolled up, so that what has just ended counts.

Source: sreport(1) of Slurm 22.05; headings and wording as recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple, TypeAlias

from stoker.commands.columns import Column, Ending, Table, UnknownField, choose
from stoker.commands.options import HELP, USAGE, VERSION_OPTION, EarlyAnswer, Option, Parsed, parse
from stoker.core.units import NotationError, parse_begin, zone_of
from stoker.worker.call import Answer, Call, Conversation, ReadFile
from stoker.worker.controller import Controller, HistoryQuery

OPTIONS: Final = (
    Option("all_clusters", "a", help="every cluster", meaning="meaningless"),
    Option("cluster", "M", "required", "this cluster", "meaningless", "NAME"),
    Option("noheader", "n", help="no header"),
    Option("parsable", "p", help="set fields apart by |, and end lines with one"),
    Option("parsable2", "P", help="set fields apart by |"),
    Option("quiet", "Q", help="say less", meaning="meaningless"),
    Option("time", "t", "required", "seconds, minutes or hours", value="UNIT"),
    Option("tres", "T", "required", "what is counted: cpu", value="NAMES"),
    Option("verbose", "v", help="say more", meaning="meaningless"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_Row: TypeAlias = Mapping[str, str]
_UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3600}
_RULE: Final = "-" * 80 + "\n"
_TRES: Final = frozenset(
    {"all", "cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages"}
)
_PROMPT: Final = "sreport: "


class Span(NamedTuple):
    """The time that is reported, in epoch seconds."""

    start: float
    end: float


class Usage(NamedTuple):
    """CPU seconds by login and account, and all there were."""

    used: Mapping[tuple[str, str], float]
    cpus: int
    seconds: float


class _Report(NamedTuple):
    title: str
    fields: Mapping[str, int]
    rows: Callable[[Usage, str, int], Iterator[_Row]]
    has_length: bool = True


def _utilization(usage: Usage, cluster: str, unit: int) -> Iterator[_Row]:
    reported = usage.cpus * usage.seconds
    allocated = sum(usage.used.values())
    if not allocated:
        return
    yield {
        "Cluster": cluster,
        "Allocated": _in(allocated, unit),
        "Down": "0",
        "PLND Down": "0",
        "Idle": _in(max(0.0, reported - allocated), unit),
        "Planned": "0",
        "Reported": _in(reported, unit),
    }


def _by_user(usage: Usage, cluster: str, unit: int) -> Iterator[_Row]:
    for (login, account), seconds in sorted(usage.used.items(), key=lambda item: item[0][::-1]):
        yield _line(cluster, account, login, seconds, unit)


def _top(usage: Usage, cluster: str, unit: int) -> Iterator[_Row]:
    for (login, account), seconds in sorted(usage.used.items(), key=lambda item: -item[1])[:10]:
        yield _line(cluster, account, login, seconds, unit)


def _nothing(_usage: Usage, _cluster: str, _unit: int) -> Iterator[_Row]:
    yield from ()


def _line(cluster: str, account: str, login: str, seconds: float, unit: int) -> _Row:
    return {
        "Cluster": cluster,
        "Account": account,
        "Login": login,
        "Used": _in(seconds, unit),
        "Energy": "0",
    }


def _in(seconds: float, unit: int) -> str:
    return str(round(seconds / unit))


_OF_USER: Final = {"Cluster": 9, "Account": 15, "Login": 9, "Proper Name": 15, "Used": 8}
REPORTS: Final[Mapping[str, Mapping[str, _Report]]] = {
    "cluster": {
        "AccountUtilizationByUser": _Report(
            "Cluster/Account/User Utilization", {**_OF_USER, "Energy": 8}, _by_user
        ),
        "Utilization": _Report(
            "Cluster Utilization",
            {
                "Cluster": 9,
                "Allocated": 8,
                "Down": 8,
                "PLND Down": 8,
                "Idle": 8,
                "Planned": 8,
                "Reported": 8,
            },
            _utilization,
            has_length=False,
        ),
    },
    "reservation": {
        "Utilization": _Report(
            "Reservation Utilization",
            {
                "Cluster": 9,
                "Name": 9,
                "Start": 19,
                "End": 19,
                "TRES Name": 14,
                "Allocated": 24,
                "Idle": 24,
            },
            _nothing,
            has_length=False,
        ),
    },
    "user": {
        "TopUsage": _Report(
            "Top 10 Users",
            {
                "Cluster": 9,
                "Login": 9,
                "Proper Name": 15,
                "Account": 15,
                "Used": 8,
                "Energy": 8,
            },
            _top,
        ),
    },
}
_VALID: Final = {
    "cluster": 'Valid cluster reports are, "AccountUtilizationByUser", '
    '"UserUtilizationByAccount", "UserUtilizationByWckey", "Utilization", and '
    '"WCKeyUtilizationByUser"\n',
    "reservation": 'Valid reservation reports are, "Utilization"\n',
    "user": 'Valid user reports are, "TopUsage"\n',
}


def sreport(call: Call, controller: Controller) -> Answer | Conversation:
    """Answer sreport."""
    try:
        asked = parse("sreport", OPTIONS, call.argv)
    except EarlyAnswer as early:
        return early.answer
    if (tres := asked.last("tres")) is not None and not set(tres.split(",")) <= _TRES:
        return Answer(err="sreport: fatal: No valid TRES given\n", code=1)
    if not asked.operands:
        return _dialogue(asked, call, controller)
    return _command(asked.operands, asked, call, controller)


def _dialogue(asked: Parsed, call: Call, controller: Controller) -> Conversation:
    """Answer the lines on standard input, one after the other."""
    lines = (yield ReadFile("-")).decode("utf-8", "replace").splitlines()
    out, err, code = "", "", 0
    for line in lines:
        out += f"{_PROMPT}{line}\n"
        words = line.split()
        if words and words[0].lower() in ("exit", "quit"):
            return Answer(out=out, err=err, code=code)
        if words:
            answer = _command(words, asked, call, controller)
            out, err, code = f"{out}{answer.out}", err + answer.err, answer.code or code
    return Answer(out=f"{out}{_PROMPT}\n", err=err, code=code)


def _command(words: Sequence[str], asked: Parsed, call: Call, controller: Controller) -> Answer:
    group = next((name for name in REPORTS if name.startswith(words[0].lower())), None)
    if group is None:
        return Answer(err=f"invalid keyword: {words[0]}\n", code=1)
    if len(words) < 2:
        return Answer(err=f"too few arguments for keyword:{words[0]}\n", code=1)
    report = next(
        (
            each
            for name, each in REPORTS[group].items()
            if name.lower().startswith(words[1].lower())
        ),
        None,
    )
    if report is None:
        return Answer(err=f"Not valid report {words[1]}\n{_VALID[group]}", code=1)
    return _answer(report, words[2:], asked, call, controller)


def _answer(
    report: _Report, words: Sequence[str], asked: Parsed, call: Call, controller: Controller
) -> Answer:
    zone = zone_of(call.environment.get("TZ", ""))
    said = dict(word.split("=", 1) for word in words if "=" in word)
    unit_name = asked.last("time") or "minutes"
    known = next((name for name in _UNITS if name.startswith(unit_name.lower())), None)
    err = "" if known else f"unknown time format {unit_name}"
    unit_name = known or "minutes"
    span = _span(said, controller.now(), zone)
    head = "" if asked.has("noheader") else _head(report, span, zone, unit_name)
    columns = [
        Column(name, width, lambda row, name=name: row.get(name, ""))  # type: ignore[misc]
        for name, width in report.fields.items()
    ]
    code = 0
    try:
        chosen = choose(said["format"], columns) if "format" in said else columns
    except UnknownField as error:
        # As in Slurm an empty table follows.
        chosen, err, code = [], f"{err} Unknown field '{error.name}'\n", 1
    ending: Ending = (
        "none" if asked.has("parsable2") else "delimiter" if asked.has("parsable") else ""
    )
    table = Table(chosen, has_header=not asked.has("noheader"), ending=ending)
    usage = _usage(controller, span)
    rows = report.rows(usage, controller.cluster_name, _UNITS[unit_name])
    return Answer(out=head + "".join(table.text(rows)), err=err, code=code)


def _span(said: Mapping[str, str], now: float, zone: tzinfo) -> Span:
    """Return the stated span in whole hours; yesterday without one."""
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start = _time(said.get("start", ""), now, zone)
    end = _time(said.get("end", ""), now, zone)
    return Span(
        (today - timedelta(days=1)).timestamp() if start is None else start // 3600 * 3600,
        today.timestamp() if end is None else min(end, now // 3600 * 3600 + 3600) // 3600 * 3600,
    )


def _time(text: str, now: float, zone: tzinfo) -> float | None:
    try:
        return parse_begin(text, now, zone, past=True) if text else None
    except NotationError:
        return None


def _head(report: _Report, span: Span, zone: tzinfo, unit: str) -> str:
    start, end = (
        datetime.fromtimestamp(int(at), zone).strftime("%Y-%m-%dT%H:%M:%S")
        for at in (span.start, span.end - 1)
    )
    length = f" ({span.end - span.start:.0f} secs)" if report.has_length else ""
    kind = "TRES" if "TRES Name" in report.fields else "CPU"
    return (
        f"{_RULE}{report.title} {start} - {end}{length}\n"
        f"Usage reported in {kind} {unit.capitalize()}\n{_RULE}"
    )


def _usage(controller: Controller, span: Span) -> Usage:
    used: Counter[tuple[str, str]] = Counter()
    now = controller.now()
    for record in controller.history(HistoryQuery(start_at=span.start, end_at=span.end)):
        key = record.job.owner.user_name, record.job.spec.account or "root"
        for attempt in record.attempts:
            if attempt.allocated_at:
                begun = max(attempt.allocated_at, span.start)
                ended = min(attempt.released_at or now, span.end)
                used[key] += max(0, int(ended) - int(begun)) * attempt.cpus
    cpus = sum(status.node.cpus for status in controller.nodes())
    return Usage(used, cpus, max(0.0, min(now, span.end) - span.start))
