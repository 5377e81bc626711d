"""sprio: of what the priorities of waiting jobs are made.

Age counts in whole periods, as where Slurm works priorities out anew; it orders nothing here, since
among equals the older job is first anyway. What has no meaning on one machine is 0.

Source: sprio(1) of Slurm 22.05; the rest as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from stoker.commands.formats import Field, parse_short
from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.options import HELP, USAGE, VERSION_OPTION, EarlyAnswer, Option, Parsed, parse
from stoker.core.enums import Hold, JobState
from stoker.core.models import Job
from stoker.core.units import NotationError, parse_job_ref
from stoker.scheduling.policy import WEIGHT, job_size_factor
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

_FACTORS: Final = "%.10Y %.10S %.10A %.10F %.10J %.10P %.10Q"
DEFAULT_FORMAT: Final = f"%.15i %9r {_FACTORS}"
USER_FORMAT: Final = f"%.15i %9r %.8u {_FACTORS}"
LONG_FORMAT: Final = "%.15i %9r %.8u %.10Y %.10S %.10A %.10B %.10F %.10J %.10P %.10Q %.11N %.20T"
NORM_FORMAT: Final = "%.15i %9r %10y %10a %10f %10j %10p %10q"
USAGE_TEXT: Final = (
    "Usage: sprio [-j jid[s]] [-u user_name[s]] [-o format] [-p partitions]\n"
    "   [--federation] [--local] [--sibling] [--usage] [-hlnvVw]\n"
)
NONE_FOUND: Final = "Unable to find jobs matching user/id(s) specified\n"

_AGE_MAX_S: Final = 7 * 86400
_PERIOD_S: Final = 300
_PRIORITY_MAX: Final = 2**32 - 1
_SPECIFICATION: Final = re.compile(r"%\.?\d*(?P<letter>[A-Za-z])[^%]*")


class _Row(msgspec.Struct, frozen=True, gc=False):
    """A waiting job in one of its partitions, or with ``is_weights`` the weights."""

    job_id: int = 0
    user: str = ""
    partition: str = ""
    age: float = 0.0
    size: float = 0.0
    partition_factor: float = 0.0
    nice: int = 0
    stated: int | None = None
    is_weights: bool = False

    @property
    def exact(self) -> float:
        """Return the priority with its fraction."""
        if self.stated is not None:
            return float(self.stated)
        return max(1.0, WEIGHT * (self.age + self.size + self.partition_factor) - self.nice)


def _factor(read: Callable[[_Row], float]) -> Callable[[_Row], str]:
    return lambda row: f"{read(row):.7f}"


def _points(read: Callable[[_Row], float], weight: int = WEIGHT) -> Callable[[_Row], str]:
    return lambda row: str(weight if row.is_weights else int(WEIGHT * read(row)))


def _none(_: _Row) -> float:
    return 0.0


_FIELDS: Final[Mapping[str, Field[_Row]]] = MappingProxyType(
    {
        "a": Field("AGE", _factor(lambda row: row.age)),
        "A": Field("AGE", _points(lambda row: row.age)),
        "b": Field("ASSOC", _factor(_none)),
        "B": Field("ASSOC", _points(_none)),
        "c": Field("CLUSTER", lambda _: None),
        "f": Field("FAIRSHARE", _factor(_none)),
        "F": Field("FAIRSHARE", _points(_none)),
        "i": Field("JOBID", lambda row: "Weights" if row.is_weights else str(row.job_id)),
        "j": Field("JOBSIZE", _factor(lambda row: row.size)),
        "J": Field("JOBSIZE", _points(lambda row: row.size)),
        "N": Field("NICE", lambda row: "" if row.is_weights else str(row.nice)),
        "p": Field("PARTITION", _factor(lambda row: row.partition_factor)),
        "P": Field("PARTITION", _points(lambda row: row.partition_factor)),
        "q": Field("QOS", _factor(_none)),
        "Q": Field("QOS", _points(_none)),
        "r": Field("PARTITION", lambda row: row.partition),
        "S": Field("SITE", _points(_none, weight=1)),
        "t": Field("TRES", lambda _: ""),
        "T": Field("TRES", lambda _: ""),
        "u": Field("USER", lambda row: row.user),
        "Y": Field("PRIORITY", lambda row: "" if row.is_weights else str(int(row.exact))),
        "y": Field(
            "PRIORITY", lambda row: "" if row.is_weights else f"{row.exact / _PRIORITY_MAX:.14f}"
        ),
    }
)
_SORT_KEYS: Final[Mapping[str, Callable[[_Row], Any]]] = MappingProxyType(
    {
        **{letter: lambda row: row.age for letter in "aA"},
        **{letter: lambda row: row.size for letter in "jJ"},
        **{letter: lambda row: row.exact for letter in "yY"},
        "i": lambda row: row.job_id,
        "N": lambda row: row.nice,
        "r": lambda row: row.partition,
        "u": lambda row: row.user,
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
    text, errors = _known(asked.last("format") or _format(asked))
    layout = parse_short(text, _FIELDS, "")
    try:
        ids = _ids(asked)
    except NotationError as error:
        return Answer(err=f"sprio: error: Invalid job id: {error.text}\n", code=1)
    users = _words(asked, "user")
    unknown = [
        name for name in users if name != call.owner.user_name and controller.user_id(name) is None
    ]
    errors += [f"sprio: error: Invalid user: {name}\n\n" for name in unknown]
    if asked.has("weights"):
        rows = [_Row(is_weights=True)]
    else:
        rows = _sorted(_rows(controller, ids, users, _words(asked, "partition")), asked)
    out = _told(asked) if asked.has("verbose") else ""
    if not rows and (ids or (users and not unknown)):
        return Answer(out=out + NONE_FOUND, err="".join(errors))
    out += "" if asked.has("noheader") else layout.heading()
    return Answer(out=out + "".join(layout.chunks(rows)), err="".join(errors))


def _format(asked: Parsed) -> str:
    if asked.has("norm"):
        return NORM_FORMAT
    if asked.has("long"):
        return LONG_FORMAT
    return USER_FORMAT if asked.has("user") else DEFAULT_FORMAT


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
    controller: Controller, ids: frozenset[int], users: list[str], partitions: list[str]
) -> Iterator[_Row]:
    statuses = controller.nodes()
    cpus, nodes = sum(status.node.cpus for status in statuses), len(statuses)
    now = controller.now()
    for job in controller.active_jobs():
        if ids and not ids & {job.job_id, job.array_job_id}:
            continue
        if (users and job.owner.user_name not in users) or not _counts(job, now):
            continue
        for partition in job.spec.partition.split(",") if job.spec.partition else [job.partition]:
            if not partitions or partition in partitions:
                yield _row(job, partition, now, job_size_factor(job.spec, cpus, nodes))


def _counts(job: Job, now: float) -> bool:
    """Whether a job has a priority: neither held jobs nor those whose time has not come have."""
    is_eligible = 0 < job.eligible_at <= now
    return job.state is JobState.PENDING and job.hold is Hold.NONE and is_eligible


def _row(job: Job, partition: str, now: float, size: float) -> _Row:
    periods = int(now - job.eligible_at) // _PERIOD_S
    row = _Row(
        job_id=job.job_id,
        user=job.owner.user_name,
        partition=partition,
        age=min(1.0, periods * _PERIOD_S / _AGE_MAX_S),
        size=size,
        partition_factor=1.0,
        nice=job.nice,
    )
    is_stated = job.priority != int(msgspec.structs.replace(row, age=0.0).exact)
    return msgspec.structs.replace(row, stated=job.priority) if is_stated else row


def _sorted(rows: Iterable[_Row], asked: Parsed) -> list[_Row]:
    found = sorted(rows, key=lambda row: row.job_id)
    for word in reversed((asked.last("sort") or "").split(",")):
        key = _SORT_KEYS.get(word.lstrip("+-"))
        if key is not None:
            found.sort(key=key, reverse=word.startswith("-"))
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
