"""sprio: of what the priorities of waiting jobs are made.

Priorities are as of when they were last worked out: who has come since then has not aged.

Source: sprio(1) of Slurm 22.05; the rest as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from stoker.commands.everyjob import LONG
from stoker.commands.formats import Field, Layout, parse_short
from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.merging import Row, descending, headed, merged
from stoker.commands.options import HELP, USAGE, VERSION_OPTION, EarlyAnswer, Option, Parsed, parse
from stoker.core.enums import Hold, JobState
from stoker.core.models import Job
from stoker.core.units import NotationError, parse_job_ref
from stoker.scheduling.priority import PRIORITY_MAX, Factors, Weights
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

OPTIONS: Final = (
    Option("federation", help="jobs of the federation", meaning="meaningless"),
    Option("noheader", "h", help="no heading"),
    Option("jobs", "j", "required", "these jobs", value="IDS"),
    Option("local", help="jobs of this cluster", meaning="meaningless"),
    Option("long", "l", help="more columns"),
    Option("cluster", "M", "required", "this cluster, by its name", aliases=("clusters",)),
    Option("norm", "n", help="factors between 0 and 1"),
    Option("format", "o", "required", "columns by letter: %[.][WIDTH]LETTER...", value="TEXT"),
    Option("partition", "p", "required", "jobs in these partitions", value="NAMES"),
    Option("sibling", help="jobs of other clusters too", meaning="meaningless"),
    Option("sort", "S", "required", "order: letters of the format, each with + or -", value="KEYS"),
    Option("user", "u", "required", "jobs of these users", value="NAMES", aliases=("users",)),
    Option("verbose", "v", help="say what was asked for"),
    Option("weights", "w", help="show the factors' weights"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

LONG_FORMAT: Final = "%.15i %9r %.8u %.10Y %.10S %.10A %.10B %.10F %.10J %.10P %.10Q %.11N %.20T"
LONG_NORM_FORMAT: Final = "%.15i %9r %.8u %10y %10a %10b %10f %10j %10p %10q %20t"
_COLUMNS: Final = (
    ("age", "a"),
    ("assoc", "b"),
    ("fairshare", "f"),
    ("job_size", "j"),
    ("partition", "p"),
    ("qos", "q"),
    ("tres", "t"),
)
"""Factors and their letters: those that count nothing are shown in long lists only."""
USAGE_TEXT: Final = (
    "Usage: sprio [-j jid[s]] [-u user_name[s]] [-o format] [-p partitions]\n"
    "   [--federation] [--local] [--sibling] [--usage] [-hlnvVw]\n"
)
NONE_FOUND: Final = "Unable to find jobs matching user/id(s) specified\n"

_SPECIFICATION: Final = re.compile(r"%\.?\d*(?P<letter>[A-Za-z])[^%]*")


class _Row(msgspec.Struct, frozen=True):
    """A waiting job in one of its partitions; or, without a job, the weights themselves.

    ``points`` are its factors times their weights. Of a job whose priority somebody has said, that
    is all there is: ``stated``.
    """

    factors: Factors
    points: Factors
    job: Job | None = None
    partition: str = ""
    stated: int | None = None

    @property
    def priority(self) -> float:
        """Return the priority with its fraction."""
        return float(self.stated) if self.stated is not None else self.points.priority()


def _norm(name: str) -> Callable[[_Row], str]:
    def read(row: _Row) -> str:
        value = getattr(row.factors, name)
        return f"{value:.0f}" if row.job is None else f"{value:.7f}"

    return read


def _points(name: str) -> Callable[[_Row], str]:
    return lambda row: f"{getattr(row.points, name):.0f}"


def _of_job(read: Callable[[_Row, Job], str]) -> Callable[[_Row], str]:
    return lambda row: read(row, row.job) if row.job is not None else ""


def _normal_priority(row: _Row) -> str:
    # As in Slurm one that was said is shown as it is.
    shown = row.priority / (PRIORITY_MAX if row.stated is None else 1)
    return "" if row.job is None else f"{shown:16.14f}"


def _nice(row: _Row, job: Job) -> str:
    return "0" if row.stated is not None else str(job.nice)


def _norm_tres(row: _Row) -> str:
    return ",".join(f"{name}={value:.2f}" for name, value in row.factors.tres.items() if value)


def _tres(row: _Row) -> str:
    return ",".join(f"{name}={value:.0f}" for name, value in row.points.tres.items() if value)


_FIELDS: Final[Mapping[str, Field[_Row]]] = MappingProxyType(
    {
        "a": Field("AGE", _norm("age")),
        "A": Field("AGE", _points("age")),
        "b": Field("ASSOC", _norm("assoc")),
        "B": Field("ASSOC", _points("assoc")),
        "c": Field("CLUSTER", lambda _: None),
        "f": Field("FAIRSHARE", _norm("fairshare")),
        "F": Field("FAIRSHARE", _points("fairshare")),
        "i": Field("JOBID", lambda row: "Weights" if row.job is None else str(row.job.job_id)),
        "j": Field("JOBSIZE", _norm("job_size")),
        "J": Field("JOBSIZE", _points("job_size")),
        "N": Field("NICE", _of_job(_nice)),
        "p": Field("PARTITION", _norm("partition")),
        "P": Field("PARTITION", _points("partition")),
        "q": Field("QOS", _norm("qos")),
        "Q": Field("QOS", _points("qos")),
        "r": Field("PARTITION", lambda row: row.partition),
        "S": Field("SITE", lambda row: "1" if row.job is None else "0"),
        "t": Field("TRES", _of_job(lambda row, _: _norm_tres(row))),
        "T": Field("TRES", _tres),
        "u": Field("USER", _of_job(lambda _, job: job.owner.user_name)),
        "Y": Field("PRIORITY", _of_job(lambda row, _: str(int(row.priority)))),
        "y": Field("PRIORITY", _normal_priority),
    }
)


def _by_job(read: Callable[[Job], Any]) -> Callable[[_Row], Any]:
    return lambda row: read(row.job) if row.job is not None else 0


_SORT_KEYS: Final[Mapping[str, Callable[[_Row], Any]]] = MappingProxyType(
    {
        **{letter: lambda row: row.points.age for letter in "aA"},
        **{letter: lambda row: row.points.fairshare for letter in "fF"},
        **{letter: lambda row: row.points.job_size for letter in "jJ"},
        **{letter: lambda row: row.points.partition for letter in "pP"},
        **{letter: lambda row: row.points.qos for letter in "qQ"},
        **{letter: lambda row: sum(row.points.tres.values()) for letter in "tT"},
        **{letter: lambda row: row.priority for letter in "yY"},
        "c": lambda _: 0,
        "i": _by_job(lambda job: job.job_id),
        "n": _by_job(lambda job: job.spec.qos),
        "N": _by_job(lambda job: job.nice),
        "o": _by_job(lambda job: job.spec.account),
        "r": lambda row: row.partition,
        "u": _by_job(lambda job: job.owner.user_name),
    }
)


def sprio(call: Call, controller: Controller) -> Answer:
    """List the waiting jobs' priorities."""
    try:
        asked = parse("sprio", OPTIONS, call.argv)
        cluster_heading("sprio", asked.last("cluster"), controller)
    except (EarlyAnswer, UnknownCluster) as early:
        return early.answer
    if asked.operands:
        text = f"sprio: error: Unrecognized option: {asked.operands[0]}\n"
        return Answer(out=USAGE_TEXT, err=text, code=1)
    kind = controller.configuration().get("PriorityType", "")
    if kind != "priority/multifactor":
        return Answer(
            err=f"You are not running a supported priority plugin\n({kind}).\n"
            "Only 'priority/multifactor' is supported.\n",
            code=1,
        )
    return _answer(asked, call, controller)


def _answer(asked: Parsed, call: Call, controller: Controller) -> Answer:
    weights = controller.priority_weights()
    text, errors = _known(asked.last("format") or _format(asked, weights))
    layout = parse_short(text, _FIELDS, "")
    try:
        ids = _ids(asked)
    except NotationError as error:
        return Answer(err=f"sprio: error: Invalid job id: {error.text}\n", code=1)
    order = re.findall(r"([-+]?)([^-+,])", asked.last("sort") or "")
    if unsorted := next((letter for _, letter in order if letter not in _SORT_KEYS), None):
        return Answer(err=f"sprio: error: Invalid sort specification: {unsorted}\n", code=1)
    users = _words(asked, "user")
    unknown = [
        name for name in users if name != call.owner.user_name and controller.user_id(name) is None
    ]
    errors += [f"sprio: error: Invalid user: {name}\n\n" for name in unknown]
    out = _told(asked) if asked.has("verbose") else ""
    heading = "" if asked.has("noheader") else layout.heading()
    must_be = bool(ids or (users and not unknown))

    def head(is_there: bool) -> str:  # noqa: FBT001 - whether there are rows
        return out + (heading if is_there or not must_be else NONE_FOUND)

    def rows_of(jobs: Iterable[Job]) -> Iterator[_Row]:
        return _rows(controller, jobs, ids, users, _words(asked, "partition"))

    if not asked.has("weights") and not ids and controller.lookout.is_crowded(LONG):
        made = headed(_merged(controller, rows_of, order, layout), head)
        return Answer(out=made, err="".join(errors))
    is_of_weights = asked.has("weights")
    jobs = () if is_of_weights else controller.active_jobs()
    rows = [_weights_row(weights)] if is_of_weights else _sorted(rows_of(jobs), order)
    shown = "".join(layout.chunks(rows))
    return Answer(out=head(bool(rows)) + shown, err="".join(errors))


def _merged(
    controller: Controller,
    rows_of: Callable[[Iterable[Job]], Iterator[_Row]],
    order: Sequence[tuple[str, str]],
    layout: Layout[_Row],
) -> Iterator[str]:
    """Return the lines about a long queue, which is read a few jobs at a time."""

    def key_of(row: _Row, number: int) -> tuple[Any, ...]:
        keys = ((sign, _SORT_KEYS[letter](row)) for sign, letter in order)
        downs = [descending(key) if sign == "-" else key for sign, key in keys]
        return (*downs, _SORT_KEYS["i"](row), number)

    def read(jobs: Sequence[Job]) -> list[Row]:
        rows = enumerate(rows_of(jobs))
        return sorted((key_of(row, number), layout.row(row)) for number, row in rows)

    return merged(controller.lookout.look_through(read))


def _format(asked: Parsed, weights: Weights) -> str:
    """Return the columns when none are named: those of the factors that count something."""
    is_norm = asked.has("norm")
    if asked.has("long"):
        return LONG_NORM_FORMAT if is_norm else LONG_FORMAT
    user = " %.8u" if asked.has("user") else ""
    letters = [letter for name, letter in _COLUMNS if getattr(weights, name)]
    if is_norm:
        columns = [f"%{20 if letter == 't' else 10}{letter}" for letter in ("y", *letters)]
    else:
        upper = ("Y", "S", *map(str.upper, letters))
        columns = [f"%.{20 if letter == 'T' else 10}{letter}" for letter in upper]
    return " ".join((f"%.15i %9r{user}", *columns))


def _known(text: str) -> tuple[str, list[str]]:
    """Return a format without the letters that mean nothing, and what is said of those."""
    errors: list[str] = []

    def keep(match: re.Match[str]) -> str:
        if match["letter"] in _FIELDS:
            return match[0]
        errors.append(f"sprio: error: Invalid job format specification: {match['letter']}\n")
        return ""

    return _SPECIFICATION.sub(keep, text), errors


def _words(asked: Parsed, name: str) -> list[str]:
    return [word for text in asked.all(name) for word in text.split(",") if word]


def _ids(asked: Parsed) -> frozenset[int]:
    return frozenset(parse_job_ref(word).job_id for word in _words(asked, "jobs"))


def _rows(
    controller: Controller,
    jobs: Iterable[Job],
    ids: frozenset[int],
    users: list[str],
    partitions: list[str],
) -> Iterator[_Row]:
    now = controller.now()
    for job in jobs:
        if ids and not ids & {job.job_id, job.array_job_id}:
            continue
        if (users and job.owner.user_name not in users) or not _counts(job, now):
            continue
        for partition in job.spec.partition.split(",") if job.spec.partition else [job.partition]:
            if not partitions or partition in partitions:
                yield _row(controller, job, partition)


def _counts(job: Job, now: float) -> bool:
    """Whether a job has a priority: neither held jobs nor those whose time has not come have."""
    is_eligible = 0 < job.eligible_at <= now
    return job.state is JobState.PENDING and job.hold is Hold.NONE and is_eligible


def _row(controller: Controller, job: Job, partition: str) -> _Row:
    if job.spec.priority is not None:
        return _Row(Factors(), Factors(), job, partition, job.priority)
    factors = controller.priority_factors(job, partition)
    return _Row(factors, factors.weighted(controller.priority_weights()), job, partition)


def _weights_row(weights: Weights) -> _Row:
    ones = Factors(
        age=1,
        assoc=1,
        fairshare=1,
        job_size=1,
        partition=1,
        qos=1,
        tres=dict.fromkeys(weights.tres, 1),
    )
    points = ones.weighted(weights)
    return _Row(points, points)


def _sorted(rows: Iterable[_Row], order: Iterable[tuple[str, str]]) -> list[_Row]:
    found = sorted(rows, key=_SORT_KEYS["i"])
    for sign, letter in reversed([*order]):
        found.sort(key=_SORT_KEYS[letter], reverse=sign == "-")
    return found


def _told(asked: Parsed) -> str:
    def said(name: str) -> str:
        return asked.last(name) or "(null)"

    dashes = "-" * 29
    return (
        f"{dashes}\nformat     = {said('format')}\njob_flag   = 0\njobs       = {said('jobs')}\n"
        f"partition  = {said('partition')}\nusers      = {said('user')}\n"
        f"verbose    = {asked.count('verbose')}\n{dashes}\n\n\n"
    )
