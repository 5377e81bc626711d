"""What a command line of squeue asks for: which jobs, in which order, in which format.

Flags overrule the environment, and of the formats the more explicit one wins: ``-o`` or ``-O``,
then ``-l`` and ``--start``, then SQUEUE_FORMAT and SQUEUE_FORMAT2, then the default.

Source: squeue(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from stoker.commands.options import HELP, USAGE, VERSION_OPTION, Option, Parsed, parse
from stoker.commands.squeue.parameters import Said, parameters
from stoker.core.enums import ENDED, JobState
from stoker.core.units import JobRef, NotationError, TaskSet, parse_job_ref
from stoker.worker.call import Answer, Call

OPTIONS: Final = (
    Option("account", "A", "required", "jobs charged to these accounts", value="NAMES"),
    Option("all", "a", help="jobs of hidden partitions too", meaning="meaningless"),
    Option("array", "r", help="a line for each task of an array"),
    Option("array-unique", help="waiting tasks of an array in one line", meaning="meaningless"),
    Option("federation", help="jobs of the federation", meaning="meaningless"),
    Option("Format", "O", "required", "columns by name: NAME[:[.]WIDTH[SUFFIX]],...", value="TEXT"),
    Option("format", "o", "required", "columns by letter: %[.][WIDTH]LETTER...", value="TEXT"),
    HELP,
    Option("hide", help="no jobs of hidden partitions", meaning="meaningless"),
    Option("iterate", "i", "required", "repeat each so many seconds", "meaningless", "SECONDS"),
    Option("jobs", "j", "optional", "these jobs, arrays or tasks", value="IDS"),
    Option("json", help="all jobs as JSON"),
    Option("licenses", "L", "required", "jobs that want these licences", value="NAMES"),
    Option("local", help="jobs of this cluster", meaning="meaningless"),
    Option("long", "l", help="more columns"),
    Option("clusters", "M", "required", "this cluster, by its name or all", value="NAMES"),
    Option("me", help="my own jobs"),
    Option("name", "n", "required", "jobs of these names", value="NAMES", aliases=("names",)),
    Option("noconvert", help="do not convert units", meaning="meaningless"),
    Option("nodelist", "w", "required", "jobs on these nodes", value="HOSTS", aliases=("nodes",)),
    Option("noheader", "h", help="no heading"),
    Option("only-job-state", help="states of jobs are all that is needed", meaning="meaningless"),
    Option("partition", "p", "required", "jobs in these partitions", value="NAMES"),
    Option("priority", "P", help="a line for each partition of a job", meaning="meaningless"),
    Option("qos", "q", "required", "jobs of these qualities of service", value="NAMES"),
    Option("reservation", "R", "required", "jobs of this reservation", value="NAME"),
    Option("sibling", help="jobs of other clusters too", meaning="meaningless"),
    Option("sort", "S", "required", "order: letters of the format, each with + or -", value="KEYS"),
    Option("start", help="when waiting jobs are expected to start"),
    Option("states", "t", "required", "jobs in these states, or all", value="STATES"),
    Option("steps", "s", "optional", "steps instead of jobs", value="IDS"),
    USAGE,
    Option("user", "u", "required", "jobs of these users", value="NAMES", aliases=("users",)),
    Option("verbose", "v", help="say what was asked for, and how many jobs there are"),
    VERSION_OPTION,
    Option("yaml", help="all jobs as YAML"),
)

DEFAULT_FORMAT: Final = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
LONG_FORMAT: Final = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
START_FORMAT: Final = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R"
STEP_FORMAT: Final = "%.15i %.8j %.9P %.8u %.9M %N"

STATES: Final = (
    *("PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT"),
    *("NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "COMPLETING"),
    *("CONFIGURING", "RESIZING", "RESV_DEL_HOLD", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"),
    *("REVOKED", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED"),
)
"""The words that ``--states`` knows, in the order in which Slurm lists them."""
_COMPACT: Mapping[str, str] = MappingProxyType(
    {
        **{state.compact: state.value for state in JobState},
        "CF": "CONFIGURING",
        "RS": "RESIZING",
        "RD": "RESV_DEL_HOLD",
        "RF": "REQUEUE_FED",
        "RV": "REVOKED",
        "SI": "SIGNALING",
        "SE": "SPECIAL_EXIT",
        "SO": "STAGE_OUT",
        "ST": "STOPPED",
    }
)

LIVE_STATES: Final = frozenset(state for state in JobState if state not in ENDED)
"""What is listed when no states are asked for."""

_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "account": "SQUEUE_ACCOUNT",
        "clusters": "SLURM_CLUSTERS",
        "licenses": "SQUEUE_LICENSES",
        "name": "SQUEUE_NAMES",
        "partition": "SQUEUE_PARTITION",
        "qos": "SQUEUE_QOS",
        "sort": "SQUEUE_SORT",
        "states": "SQUEUE_STATES",
        "user": "SQUEUE_USERS",
    }
)
"""Variables that say what an option says, where the option is not given."""


class Refusal(Exception):
    """squeue cannot do this; carries the whole answer."""

    def __init__(self, *lines: str, out: str = "") -> None:
        super().__init__(lines[0])
        self.answer = Answer(out=out, err="".join(f"{line}\n" for line in lines), code=1)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One invocation. None of the filters is empty: None lets every job through."""

    refs: tuple[JobRef, ...] | None
    step_refs: tuple[JobRef, ...] | None
    states: frozenset[JobState]
    users: tuple[str, ...] | None
    nodes: str | None
    words: Mapping[str, frozenset[str]]
    """Further filters: the option's long name with the texts that it lets through."""
    clusters: str | None
    sort: str
    short_format: str | None
    long_format: str | None
    is_long: bool
    is_array_split: bool
    is_start: bool
    is_steps: bool
    has_heading: bool
    has_date: bool
    parameters: str
    """What ``-v`` prints first; "" without it."""
    document: str


def read_request(call: Call) -> Request:
    """Return what *call* asks for.

    Raises:
        EarlyAnswer: It asks for help, or is wrong in getopt's eyes.
        Refusal: It is wrong in Slurm's eyes.
    """
    parsed = parse("squeue", OPTIONS, call.argv)
    given = _Given(parsed, call.environment)
    _check(parsed)
    short_format, long_format = _formats(parsed, call.environment)
    is_steps = parsed.has("steps")
    is_start = parsed.has("start")
    ids = _operand_or(parsed, "jobs", takes_operand=True)
    step_ids = _operand_or(parsed, "steps", takes_operand=not parsed.has("jobs"))
    users = _words(given.text("user"))
    said = Said(parsed, call.environment, ids or "", step_ids or "", _said(given, call))
    return Request(
        refs=_refs(ids),
        step_refs=tuple(map(_step_ref, _words(step_ids))) or None,
        states=frozenset({JobState.PENDING}) if is_start else _states(given.text("states")),
        users=(call.owner.user_name,) if parsed.has("me") else users or None,
        nodes=parsed.last("nodelist"),
        words={name: frozenset(_words(text)) for name, text in _filters(given)},
        clusters=given.text("clusters"),
        sort=given.text("sort") or ("S" if is_start else "i" if is_steps else "P,t,-p"),
        short_format=short_format,
        long_format=long_format,
        is_long=parsed.has("long"),
        is_array_split=parsed.has("array") or "SQUEUE_ARRAY" in call.environment,
        is_start=is_start,
        is_steps=is_steps,
        has_heading=not parsed.has("noheader"),
        has_date=not parsed.has("noheader")
        and any(map(parsed.has, ("iterate", "long", "verbose"))),
        parameters=parameters(said) if parsed.has("verbose") else "",
        document="json" if parsed.has("json") else "yaml" if parsed.has("yaml") else "",
    )


class _Given:
    """Values from the command line, else from the environment."""

    def __init__(self, parsed: Parsed, environment: Mapping[str, str]) -> None:
        self.parsed = parsed
        self._environment = environment

    def text(self, name: str) -> str | None:
        found = self.parsed.last(name)
        if found is None and name in _ENVIRONMENT:
            found = self._environment.get(_ENVIRONMENT[name])
        return found


def _check(parsed: Parsed) -> None:
    if parsed.has("format") and parsed.has("Format"):
        raise Refusal("squeue: error: -O (--Format) is incompatible with -o (--format)")
    period = parsed.last("iterate")
    if period is not None and not re.fullmatch(r"(?!0+$)\d{1,9}", period, re.ASCII):
        raise Refusal(f"squeue: error: --iterate={period}\n")
    if parsed.operands[1 if parsed.has("jobs") or parsed.has("steps") else 0 :]:
        word = parsed.operands[-1]
        raise Refusal(f"squeue: error: Unrecognized option: {word}")


def _formats(parsed: Parsed, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    short_format, long_format = parsed.last("format"), parsed.last("Format")
    is_said = short_format is not None or long_format is not None
    if not is_said and not parsed.has("long") and not parsed.has("start"):
        short_format = environment.get("SQUEUE_FORMAT")
        if short_format is None:
            long_format = environment.get("SQUEUE_FORMAT2")
    return short_format, long_format


def _filters(given: _Given) -> Iterable[tuple[str, str]]:
    for name in ("account", "licenses", "name", "partition", "qos", "reservation"):
        text = given.text(name)
        if text:
            yield name, text


def _said(given: _Given, call: Call) -> Mapping[str, str]:
    """Return what options and variables say, by option, with what ``--start`` and ``--me`` say."""
    names = ("clusters", "format", "licenses", "name", "nodelist", "partition", "reservation")
    values = {name: given.text(name) or "" for name in (*names, "sort", "states", "user")}
    if given.parsed.has("me"):
        values["user"] = str(call.owner.user_id)
    if given.parsed.has("start") and not given.parsed.has("steps"):
        defaults = {"format": START_FORMAT, "sort": "S", "states": "PD"}
        values |= {name: values[name] or text for name, text in defaults.items()}
    return values


def _operand_or(parsed: Parsed, name: str, *, takes_operand: bool) -> str | None:
    """Return an optional value; the operand after the options is one, too (``-j 5``)."""
    value = parsed.last(name)
    if value == "" and takes_operand and parsed.operands:
        return parsed.operands[0]
    return value


def _refs(text: str | None) -> tuple[JobRef, ...] | None:
    words = _words(text)
    if not words:
        return None
    return tuple(map(_job_ref, words))


def _words(text: str | None) -> tuple[str, ...]:
    """Split at commas, but not within the brackets of a job id."""
    words: list[str] = []
    for word in (text or "").split(","):
        if words and "[" in words[-1] and "]" not in words[-1]:
            words[-1] += f",{word}"
        else:
            words.append(word)
    return tuple(word.strip() for word in words if word.strip())


def _job_ref(word: str) -> JobRef:
    try:
        ref = parse_job_ref(word)
    except NotationError:
        raise Refusal(f"squeue: error: Invalid job id: {word}") from None
    # Several tasks in brackets are no id to squeue, and select nothing.
    return JobRef(ref.job_id, TaskSet()) if "[" in word else ref


def _step_ref(word: str) -> JobRef:
    try:
        ref = parse_job_ref(word)
    except NotationError:
        raise Refusal(f"squeue: error: Invalid job id: {word}") from None
    # As recorded: whatever is no number is step 0.
    return ref if ref.step.isdecimal() or not ref.step else JobRef(ref.job_id, ref.tasks, "0")


def _states(text: str | None) -> frozenset[JobState]:
    words = _words(text)
    if not words:
        return LIVE_STATES
    if any(word.upper() == "ALL" for word in words):
        return frozenset(JobState)
    return frozenset(JobState(name) for name in map(_state, words) if name in JobState.__members__)


def _state(word: str) -> str:
    name = _COMPACT.get(word.upper(), word.upper())
    if name not in STATES:
        raise Refusal(
            f"squeue: error: Invalid job state specified: {word}",
            f"squeue: error: Valid job states include: {','.join(STATES)}\n",
        )
    return name
