"""sacct: what became of jobs, steps and all.

Slurm's sacct asks another daemon, and knows a job's end a moment later than squeue; here both read
the same record. Scripts and environments are always kept, so ``--batch-script`` and ``--env-vars``
need no setting.

Source: sacct(1) of Slurm 22.05; wording and exit codes as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, tzinfo
from functools import partial
from itertools import chain
from typing import Final

from stoker.commands.accounting import Line, Run, order_of, requests_of, runs_of
from stoker.commands.columns import Ending, Table, UnknownField, choose, name_grid
from stoker.commands.options import EarlyAnswer, Parsed, parse
from stoker.commands.sacct_fields import (
    BRIEF_FORMAT,
    DEFAULT_FORMAT,
    LONG_FORMAT,
    columns,
    names,
)
from stoker.commands.sacct_json import document_pieces
from stoker.commands.sacct_long import many_documents, many_lines, many_pages
from stoker.commands.sacct_options import OPTIONS
from stoker.commands.sacct_selection import Range, Selection, Window, state_of
from stoker.commands.sacct_style import Style
from stoker.core.enums import JobState
from stoker.core.units import (
    FOREVER,
    JobRef,
    NotationError,
    expand_hosts,
    format_time,
    parse_begin,
    parse_job_ref,
    parse_time_limit,
    zone_of,
)
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller
from stoker.worker.history import HistoryQuery, Record

LONG: Final = 64
"""The records of more jobs than this are read a few at a time."""


class Refusal(Exception):
    """What was asked makes no sense; ``text`` is for standard error, without the name in front."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def sacct(call: Call, controller: Controller) -> Answer:
    """Answer sacct."""
    try:
        asked = parse("sacct", OPTIONS, call.argv)
        return _answer(_Question(call, controller, asked))
    except EarlyAnswer as early:
        return early.answer
    except Refusal as refusal:
        return Answer(err=refusal.text, code=1)


class _Question:
    """One call of sacct: its options, where and when it was asked."""

    def __init__(self, call: Call, controller: Controller, asked: Parsed) -> None:
        self.call = call
        self.controller = controller
        self.asked = asked
        self.now = controller.now()
        self.zone: tzinfo = zone_of(call.environment.get("TZ", ""))

    def list_of(self, name: str) -> tuple[str, ...]:
        """Return the words of a list, of every time it was given."""
        return tuple(word for text in self.asked.all(name) for word in text.split(",") if word)

    def time_of(self, name: str) -> float | None:
        """Return a point in time, or None if it was not said."""
        text = self.asked.last(name)
        if text is None:
            return None
        try:
            return parse_begin(text, self.now, self.zone, past=True)
        except NotationError as error:
            raise Refusal(
                f"Invalid time specification (pos={max(0, error.position)}): {text}\n"
            ) from None

    def show(self, at: float, style: str = "") -> str:
        """Return a point in time as text."""
        return format_time(at, self.zone, style, self.now)


def _answer(question: _Question) -> Answer:
    asked = question.asked
    if asked.operands:
        lines = ["Unknown arguments:", *(f" {word}" for word in asked.operands)]
        raise Refusal("".join(f"sacct: error: {line}\n" for line in lines))
    if asked.has("helpformat"):
        return Answer(out=name_grid(names()))
    if asked.has("completion"):
        raise Refusal("Slurm job completion is disabled\n")
    style = _style(question)
    table = _table(question, style)
    selection = _selection(question)
    query = _query(question, selection)
    if question.controller.lookout.are_recorded(query, LONG):
        return Answer(out=_gradually(question, selection, table, query))
    records = question.controller.history(query)
    if (pages := _pages(question)) is not None:
        return Answer(out=pages(records))
    runs = _runs(question, selection, records)
    if kind := _kind(asked):
        return Answer(out="".join(document_pieces(kind, [runs], style, is_empty=not runs)))
    return Answer(out=table.text(_lines(question, selection, runs)))


def _gradually(
    question: _Question, selection: Selection, table: Table[Line], query: HistoryQuery
) -> Iterator[str]:
    """Return the answer about many jobs, whose records are read while the answer is."""
    lookout = question.controller.lookout
    if (pages := _pages(question)) is not None:
        return many_pages(lookout, query, pages)

    def choose(record: Record) -> list[Run]:
        return _runs(question, selection, (record,))

    def text_of(run: Run) -> str:
        return "".join(map(table.line, _lines(question, selection, (run,))))

    if kind := _kind(question.asked):
        return many_documents(kind, lookout, query, choose, _style(question))
    return chain([table.header()], many_lines(lookout, query, choose, text_of))


def _kind(asked: Parsed) -> str:
    return next((kind for kind in ("json", "yaml") if asked.has(kind)), "")


def _pages(question: _Question) -> Callable[[Iterable[Record]], Iterator[str]] | None:
    """Return what shows the scripts or environments of records, if they are asked for."""
    if question.asked.has("batch-script"):
        return partial(_scripts, question)
    return partial(_environments, question) if question.asked.has("env-vars") else None


def _style(question: _Question) -> Style:
    unit = question.asked.last("units") or ""
    if unit and (len(unit) != 1 or unit.upper() not in "KMGTP"):
        raise Refusal(
            f"sacct: error: Invalid unit type '{unit}'. Possible options are 'KMGTP'\n"
            "sacct: fatal: Invalid unit type\n"
        )
    time_style = question.call.environment.get("SLURM_TIME_FORMAT", "")
    return Style(
        cluster=question.controller.cluster_name,
        now=question.now,
        time=lambda at: question.show(at, time_style),
        unit=unit.upper(),
        convert=not question.asked.has("noconvert"),
    )


def _table(question: _Question, style: Style) -> Table[Line]:
    asked = question.asked
    ending: Ending = ""
    if asked.has("parsable2"):
        ending = "none"
    elif asked.has("parsable"):
        ending = "delimiter"
    try:
        chosen = choose(_format(question), columns(style))
    except UnknownField as error:
        raise Refusal(f'sacct: error: Invalid field requested: "{error.name}"\n') from None
    return Table(
        columns=chosen,
        has_header=not asked.has("noheader"),
        ending=ending,
        delimiter=asked.last("delimiter") or "|",
    )


def _format(question: _Question) -> str:
    """Return the fields: those asked for, of several lists all."""
    asked = question.asked
    if said := asked.all("format"):
        return ",".join(said)
    if asked.has("long"):
        return LONG_FORMAT
    if asked.has("brief"):
        return BRIEF_FORMAT
    return question.call.environment.get("SACCT_FORMAT") or DEFAULT_FORMAT


# What to show.


def _selection(question: _Question) -> Selection:
    asked = question.asked
    states = _states(question)
    refs = tuple(_ref(word) for word in question.list_of("jobs"))
    return Selection(
        refs=refs,
        window=_window(question, has_jobs=bool(refs), has_states=bool(states)),
        states=states,
        groups=_groups(question),
        accounts=frozenset(question.list_of("accounts")),
        qos=_qualities(question),
        wckeys=frozenset(question.list_of("wckeys")),
        nodes=_nodes(question),
        cpu_count=_range(asked.last("ncpus"), "cpu"),
        node_count=_range(asked.last("nnodes"), "node"),
        constraints=tuple(question.list_of("constraints")),
        flags=_flags(question),
        limit_min=_limits(question),
        every_run=asked.has("duplicates"),
    )


def _ref(word: str) -> JobRef:
    if "_[" in word:
        raise Refusal(f"sacct: fatal: Bad job array element specified: {word.partition('_')[0]}\n")
    first, dash, last = word.partition("-")
    if dash and first.isdecimal() and last.isdecimal():
        # As Slurm reads it: a range is taken for its first number.
        word = first
    try:
        return parse_job_ref(word)
    except NotationError:
        raise Refusal(f"sacct: fatal: Bad job/step specified: {word}\n") from None


def _states(question: _Question) -> frozenset[JobState]:
    found = set()
    for word in question.list_of("state"):
        state = state_of(word)
        if state is None:
            raise Refusal(f"sacct: fatal: unrecognized job state value '{word}'\n")
        found.add(state)
    return frozenset(found)


def _window(question: _Question, *, has_jobs: bool, has_states: bool) -> Window | None:
    start_at, end_at = question.time_of("starttime"), question.time_of("endtime")
    if has_jobs and start_at is None and end_at is None:
        return None
    if start_at is None:
        start_at = 0.0 if has_jobs else question.now if has_states else _midnight(question)
    if end_at is None:
        end_at = start_at if has_states and start_at else question.now
        end_at = max(end_at, start_at)
    if start_at > end_at:
        raise Refusal(
            f"sacct: error: Start time ({question.show(start_at)}) requested is after end time "
            f"({question.show(end_at)}).\n"
        )
    return Window(int(start_at), int(end_at))


def _midnight(question: _Question) -> float:
    today = datetime.fromtimestamp(question.now, question.zone)
    return today.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _nodes(question: _Question) -> frozenset[str]:
    text = question.asked.last("nodelist")
    try:
        return frozenset(expand_hosts(text)) if text else frozenset()
    except NotationError:
        raise Refusal(f"sacct: error: Invalid node list: {text}\n") from None


def _groups(question: _Question) -> frozenset[str]:
    for word in question.list_of("group"):
        if question.controller.group_id(word) is None:
            raise Refusal(f"sacct: error: Invalid group id: {word}\n")
    return frozenset(question.list_of("group"))


def _qualities(question: _Question) -> frozenset[str]:
    known = question.controller.book().qos
    for word in question.list_of("qos"):
        if word not in known:
            raise Refusal(
                f"sacct: error: You gave a bad qos '{word}'. Valid QOS's are {','.join(known)}\n"
                "sacct: fatal: problem processing qos list\n"
            )
    return frozenset(question.list_of("qos"))


def _flags(question: _Question) -> frozenset[str]:
    """Return who is to have started the jobs; here it is always the main scheduler."""
    found = [word.lower() for word in question.list_of("flags")]
    for word, lower in zip(question.list_of("flags"), found, strict=True):
        if lower not in ("schedmain", "schedbackfill", "schedsubmit"):
            raise Refusal(f"sacct: error: str_2_job_flags: Invalid job flag {word}\n")
    return frozenset(found)


def _range(text: str | None, what: str) -> Range | None:
    if text is None:
        return None
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise Refusal(f'sacct: error: Invalid numeric value "{text}" for requested {what} range.\n')
    return Range(int(low), int(high or low))


def _limits(question: _Question) -> Range | None:
    low, high = (_limit_min(question, f"timelimit-{end}") for end in ("min", "max"))
    return None if low is None else Range(low, low if high is None else high)


def _limit_min(question: _Question, name: str) -> int | None:
    text = question.asked.last(name)
    if text is None:
        return None
    try:
        limit = parse_time_limit(text)
    except NotationError:
        raise Refusal(f"sacct: fatal: Invalid time limit specification: {text}\n") from None
    return -1 if limit == FOREVER else int(limit // 60)


# Looking it up.


def _query(question: _Question, selection: Selection) -> HistoryQuery:
    clusters = question.list_of("clusters")
    mine = question.controller.cluster_name
    if clusters and not {mine, "all", "-1"} & set(clusters):
        raise Refusal(
            f"sacct: error: '{clusters[0]}' can't be reached now, or it is an invalid entry for "
            "--cluster.  Use 'sacctmgr list clusters' to see available clusters.\n"
        )
    window = selection.window
    return HistoryQuery(
        refs=selection.refs,
        user_ids=_user_ids(question, selection),
        names=question.list_of("name"),
        partitions=question.list_of("partition"),
        start_at=window.start_at if window else None,
        end_at=window.end_at + 1 if window else None,
    )


def _user_ids(question: _Question, selection: Selection) -> tuple[int, ...]:
    """Return whose jobs: one's own, unless jobs or users are named; root's are everybody's."""
    words = question.list_of("uid")
    if words:
        return tuple(_user_id(question, word) for word in words if word != "-1")
    everybody = question.asked.has("allusers") or selection.refs
    user_id = question.call.owner.user_id
    return () if everybody or user_id == 0 else (user_id,)


def _user_id(question: _Question, word: str) -> int:
    found = int(word) if word.isdecimal() else question.controller.user_id(word)
    if found is None:
        raise Refusal(f"sacct: error: Invalid user id: {word}\n")
    return found


def _runs(question: _Question, selection: Selection, records: Iterable[Record]) -> list[Run]:
    request = requests_of(question.controller)
    found = [
        run
        for record in records
        for run in selection.runs(
            runs_of(record, request(record.job), question.now, question.controller.reason)
        )
    ]
    found.sort(key=order_of)
    return found


def _lines(question: _Question, selection: Selection, runs: Iterable[Run]) -> Iterator[Line]:
    for run in runs:
        lines = iter((run.line,)) if question.asked.has("allocations") else selection.steps(run)
        if question.asked.has("truncate") and selection.window is not None:
            lines = (_truncated(line, selection.window, question.now) for line in lines)
        yield from lines


def _truncated(line: Line, window: Window, now: float) -> Line:
    """Return the line with its times cut to the window."""
    return line.within(window.start_at, min(window.end_at, now))


# Scripts and environments: each may be long, and is fetched once the caller has read those before.


def _scripts(question: _Question, records: Iterable[Record]) -> Iterator[str]:
    for record in _readable(question, records):
        script = question.controller.script(record.job).decode("utf-8", "replace")
        yield _page(f"Batch Script for {record.job.job_id}", script or "NONE\n")


def _environments(question: _Question, records: Iterable[Record]) -> Iterator[str]:
    for record in _readable(question, records):
        entries = question.controller.environment(record.job)
        body = "".join(f"{entry}\n" for entry in entries)
        yield _page(
            f"Environment used for {record.job.job_id} (must be batch to display)", body or "NONE\n"
        )


def _readable(question: _Question, records: Iterable[Record]) -> Iterator[Record]:
    """Yield the records whose scripts and environments the caller may read; of others, nothing."""
    by = question.call.owner
    return (record for record in records if question.controller.rights.may_read(record.job, by))


def _page(title: str, body: str) -> str:
    return f"{title}\n{'-' * 80}\n{body}\n"
