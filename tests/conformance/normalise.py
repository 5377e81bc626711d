"""What legitimately differs between two runs of the same case, and nothing else.

Both texts are brought into one form, line by line: times of day, ids of processes, plugin names,
directories; a figure that was sampled counts by its form. Names and ids of ours are replaced by the
recorded ones. Where that changed the length of a line, its runs of blanks count as one, since
padding follows the text; all other lines are compared to the letter. Spans of time may differ by
what a slower or faster machine makes of them, but for limits, which are whole minutes.

Source: the recordings' index, "normalise".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from conformance.figures import sstat_heading, without_figures

SPAN_SLACK_S = 90
"""By how many seconds a span of elapsed time may differ from the recorded one."""
BEGUN_SLACK_S = 5
"""By how many seconds it may differ from none at all: what has not begun has none."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?")
_EPOCH = re.compile(r"\b1[78]\d{8}\b")
_ENDLESS = re.compile(r"(\bend_time: !!int )6[01]\d{8}\b")
"""The end of a job without a limit: 2**32 seconds after its start."""
_CLOCK_OF_LOG = re.compile(r"\[\d{4}-\d\d-\d\dT[\d:.]+\]")
_LONG_SPAN = re.compile(
    r"(?<!TimeLimit=)(?<!TimeMin=)(?<!-)\b(?:(\d+)-)?(\d\d):(\d\d):(\d\d)\b(?![.\d])"
)
_SHORT_SPAN = re.compile(r"(?<![\d:.-])(\d{1,2}):(\d\d?)(?![:\d])")
_CPU_SPAN = re.compile(r"\b\d\d:\d\d\.\d{3}\b|\b\d\d:\d\d\.0\+")

# A number stands for a job unless it counts something: the tasks of an array, a time, a value, what
# an option says (``srun: verbose    : 1``), or nodes, CPUs and tasks as ``srun -v`` tells of them.
_PLACE_OF_ID = re.compile(
    r"""\[[^\]]*\]
      | ^\w+:\ (?!jobid|dependency)[\w-]+\ +:\ .*
      | node\d+ | \bnodes\(\d+\) | \bcpu\ counts:.* | \btasks?:?\ [\d,-]+ | \d+\ tasks?\b
      | \d+(?::\d+)+
      | (?i:\w*(?:job|jid|step)_?id|dependency)=(?:\w+:)?(?P<keyed>\d+)
      | [\w/]+=[^\s,;|]*
      | (?:(?i:after\w*):|slurm-)(?P<named>\d+)
      | (?<![\d._:+-])(?P<bare>\d+)
    """,
    re.VERBOSE,
)

_PATH_OF_JOB = re.compile(r"\bStd(?:Out|Err|In)=\S+")
"""A value in which ids stand all the same."""

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _masked(match: re.Match[str]) -> str:
    """Return what a rule found with its digits as noughts: its form and its width."""
    return re.sub(r"\d", "0", match[0])


_RULES: tuple[_Rule, ...] = (
    (_CLOCK_OF_LOG, _masked),
    (_STAMP, _masked),
    # A stamp may be cut to the width of its column, and the next column may follow at once.
    (re.compile(r"20\d\d-\d\d-\d\dT[\d:]*(?![\d:-])"), _masked),
    (re.compile(r"20\d\d-\d\d-\d\d(?=0000-)"), _masked),
    (re.compile(r"20\d\d-\d\d-\d\dT\d"), _masked),
    (_EPOCH, _masked),
    (_ENDLESS, _masked),
    (
        re.compile(r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}"),
        "Day Mon 00 00:00:00 0000",
    ),
    (re.compile(r"(SLURM_WORKING_CLUSTER=\w+:[\d.]+):\d+:"), r"\1:PORT:"),
    (re.compile(r"\b(pipe|socket):\[\d+\]"), r"\1:[INODE]"),
    (re.compile(r"/proc/\d+"), "/proc/PID"),
    (re.compile(r"(127\.0\.0\.1[| ]+)\d+"), r"\1PORT"),
    (re.compile(r"\b(CPULoad)=\d+\.\d\d\b"), r"\1=X"),
    (re.compile(r"\b(FreeMem|Port)=\d+\b"), r"\1=X"),
    (re.compile(r"\b((?:control|last)_port)=\d+"), r"\1=PORT"),
    (re.compile(r"\bOS=Linux .*"), "OS=Linux"),
    (re.compile(r"AllocNode:Sid=\w+:\d+"), "AllocNode:Sid=SID"),
    (re.compile(r"slurmstepd(?:-node\d+)?:"), "slurmstepd:"),
    (re.compile(r"/srv/slurm/[^\s:'\"]*/slurm_script"), "SCRIPT"),
    (re.compile(r"(SLURM_TASK_PID)=\d+"), r"\1=X"),
    (re.compile(r"(SLURM_(?:SRUN_COMM|STEP_LAUNCHER)_PORT)=\d+"), r"\1=X"),
    (re.compile(r"(TMPDIR|SLURM_CONF|STOKER_HOME|SLURM_JWT)=\S+"), r"\1=X"),
    (re.compile(r"\b(Pid|pid|PID)[= ]+\d+"), r"\1=PID"),
    (re.compile(r"(SrunHost:Pid=\w+):\d+"), r"\1:PID"),
    (re.compile(r"^(bash: line \d+:) +\d+ "), r"\1 PID "),
    (re.compile(r"(terminal process group) \(-?\d+\)"), r"\1 (PID)"),
)

_BY_TIMING = re.compile(r"salloc: Job allocation \d+ has been revoked\.")
"""A line that comes or not, in several recordings of the same command."""

_MERGED = re.compile(r"(srun: got SIGCONT\n)(?:srun: got SIGCONT\n)+")
"""Signals of one kind that come at once: the kernel may deliver one of them."""

_SEVERAL_WRITERS = re.compile(
    r"\bsrun\b.*(?: -[nN] ?| --ntasks[\w-]*[= ]| --nodes[= ])(?:[2-9]|1\d)"
    r"|(?: -[nN] ?| --ntasks[\w-]*[= ]| --nodes[= ])(?:[2-9]|1\d).*\bsrun\b"
    r"|\bsrun\b.* &",
    re.DOTALL,
)
"""Steps of several tasks, or at the same time: in which order they write is chance."""

_WRITER = re.compile(
    r" *\d+: |srun: got SIGCONT$|srun: |slurmstepd: error: \*\*\* (?:JOB|STEP) [\d.]+ ON \w+"
)
"""What tells who wrote a line: a task by its number, srun, its thread that takes signals, or which
slurmstepd."""

# Fields of sacct whose values are sampled: blank in one run and a figure in the next.
_SAMPLED = (
    *(
        prefix + what
        for prefix in ("Ave", "Max", "Min")
        for what in ("CPU", "DiskRead", "DiskWrite", "Pages", "RSS", "VMSize")
    ),
    *("AveCPUFreq", "TRESUsage", "ConsumedEnergy", "SystemCPU", "TotalCPU", "UserCPU"),
)
_COUNTED = ("CPUTimeRAW", "DBIndex", "ElapsedRaw", "ResvCPURAW")
"""Fields whose values are seconds, or a place in the order of all records: never blank."""
_SPANS = frozenset({"CPUTime", "Elapsed", "ResvCPU"})
"""Spans of time, whose headings could be theirs, cut."""
_NOTHING = frozenset({"", "0", "00:00:00", "energy=0"})
"""What stands where nobody has looked yet, or nothing was used."""
_SAMPLE = re.compile("\x02(?P<edge>.)(?P<form>[^\x03]*)\x03")


class Side(NamedTuple):
    """What is known of a run: ids to be replaced, and directories."""

    ids: Mapping[int, int]
    words: Sequence[tuple[str, str]] = ()


RECORDED = Side({})


class Line(NamedTuple):
    """A line in its common form; ``is_replaced`` says that padding no longer counts."""

    text: str
    is_replaced: bool


def same(
    theirs: str, ours: str, side: Side, command: str, *, has_several_writers: bool = False
) -> bool:
    """Return whether two outputs of a command say the same.

    What one writer wrote stands in its order. Where several wrote at once whose lines do not tell
    who it was, the order is chance.
    """
    if theirs == ours:
        return True
    if theirs.lstrip().startswith("{") and "json" in command:
        return same_document(theirs, ours)
    if theirs.startswith("HTTP/") and "\r\n\r\n" in theirs:
        return same_message(theirs, ours, side)
    left, right = _lines(theirs, RECORDED, command), _lines(ours, side, command)
    if writes_at_once(command) or has_several_writers:
        left, right = sorted(left), sorted(right)
    left, right = sorted(left, key=_writer), sorted(right, key=_writer)
    if len(left) != len(right):
        return False
    return all(_same_line(one, other, command) for one, other in zip(left, right, strict=True))


def same_document(theirs: str, ours: str) -> bool:
    """Return whether two JSON documents have the same keys, and values of the same types.

    Where the recorded one lists something at its top, ours does.
    """
    try:
        one, other = json.loads(theirs), json.loads(ours)
    except ValueError:
        return False
    if not isinstance(one, dict) or not isinstance(other, dict):
        return _fits(one, other)
    return _fits(one, other) and all(other[key] for key in one if one[key])


def canonical(text: str, side: Side, command: str) -> list[str]:
    """Return the lines in their common form, for showing a difference."""
    return [line.text for line in _lines(text, side, command)]


def writes_at_once(text: str) -> bool:
    """Return whether what a command or a script says is done by several at the same time."""
    return _SEVERAL_WRITERS.search(text) is not None


def _writer(line: Line) -> str:
    match = _WRITER.match(line.text)
    return match[0] if match else ""


def _lines(text: str, side: Side, command: str) -> list[Line]:
    if re.search(r"\bsreport\b", command):
        side = side._replace(ids={})  # It tells of no job by its number.
    lines = _MERGED.sub(r"\1", text).split("\n")
    if re.search(r"\bsalloc\b", command):
        lines = [line for line in lines if not _BY_TIMING.fullmatch(line)]
    if re.search(r"\bsstat -n\b(?!.* -(?:o|-format)\b)", command):
        # The same columns, without the heading that would name them.
        lines = _without_sampled([*sstat_heading(), *lines])[2:]
    elif named := re.search(r"\bs(?:acct|stat)\b.* -n -P .*--format=([\w,]+)", command):
        lines = _without_sampled([named[1].replace(",", "|"), *lines])[1:]
    elif re.search(r"\bs(?:acct|stat)\b", command):
        lines = _without_sampled(lines)
    return [_canonical(line, side) for line in without_figures(lines, command)]


def _canonical(line: str, side: Side) -> Line:
    before = line
    for ours, theirs in side.words:
        line = line.replace(ours, theirs)
    for pattern, form in _RULES:
        line = pattern.sub(form, line)
    if side.ids:
        line = _PLACE_OF_ID.sub(lambda found: _recorded_id(found, side.ids), line)
        line = _PATH_OF_JOB.sub(lambda found: _recorded_path(found[0], side.ids), line)
    return Line(line, len(line) != len(before))


def _recorded_id(match: re.Match[str], ids: Mapping[int, int]) -> str:
    number = match["keyed"] or match["named"] or match["bare"]
    return (
        match[0] if number is None else match[0][: -len(number)] + str(ids.get(int(number), number))
    )


def _recorded_path(text: str, ids: Mapping[int, int]) -> str:
    return re.sub(
        r"(?<=[-_./\\])\d+(?=[-_.]|$)", lambda found: str(ids.get(int(found[0]), found[0])), text
    )


def _same_line(one: Line, other: Line, command: str) -> bool:
    if one.text == other.text:
        return True
    samples = [list(_SAMPLE.finditer(line.text)) for line in (one, other)]
    if len(samples[0]) != len(samples[1]) or not all(map(_same_form, *samples)):
        return False
    left, right = (_SAMPLE.sub("SAMPLE", line.text) for line in (one, other))
    if one.is_replaced or other.is_replaced:
        left, right = _collapsed(left), _collapsed(right)
    if _same_but_name(left, right, command):
        return True
    return left == right or _same_but_spans(left, right, command)


def _same_but_name(left: str, right: str, command: str) -> bool:
    """Whether two records of an srun's or salloc's job differ in its name alone.

    In some recordings of a command it is ``allocation``, in others what the job was called.
    """
    named = re.search(r"\bsacct\b.* -P .*--format=([\w,]+)", command)
    names = named[1].split(",") if named else []
    pairs = list(zip(names, left.split("|"), right.split("|"), strict=False))
    differing = [name for name, one, other in pairs if one != other]
    return (
        differing == ["JobName"]
        and left.count("|") == right.count("|") == len(names) - 1
        and ("JobName", "allocation") in [(name, one) for name, one, _ in pairs]
    )


def _collapsed(text: str) -> str:
    return re.sub(r" +", " ", text).strip()


def _same_but_spans(left: str, right: str, command: str) -> bool:
    """Whether two lines differ in nothing but spans of time that are near each other."""
    patterns = [_CPU_SPAN, _LONG_SPAN]
    if re.search(r"\bsqueue\b", command):
        patterns.append(_SHORT_SPAN)
    return _same_but(patterns, left, right) or _same_but(
        patterns, *_first_spans(patterns[1:], left, right)
    )


def _first_spans(patterns: Iterable[re.Pattern[str]], left: str, right: str) -> tuple[str, str]:
    """Return two lines whose first span is near the other's without it, wherever it stands.

    Columns without blanks between them tell the same span several times within a word.
    """
    for pattern in patterns:
        one, other = pattern.search(left), pattern.search(right)
        if one and other and len(one[0]) == len(other[0]) and _near(one, other):
            return left.replace(one[0], "SPAN "), right.replace(other[0], "SPAN ")
    return left, right


def _same_but(patterns: Iterable[re.Pattern[str]], left: str, right: str) -> bool:
    found, is_shifted = "SPAN" in left, False
    for pattern in patterns:
        ones, others = list(pattern.finditer(left)), list(pattern.finditer(right))
        if len(ones) != len(others) or not all(map(_near, ones, others)):
            return False
        found |= bool(ones)
        is_shifted |= [len(one[0]) for one in ones] != [len(other[0]) for other in others]
        left, right = pattern.sub("SPAN", left), pattern.sub("SPAN", right)
    if is_shifted:
        left, right = _collapsed(left), _collapsed(right)
    return found and left == right


def _near(one: re.Match[str], other: re.Match[str]) -> bool:
    if one.re is _CPU_SPAN:
        return True
    spans_s = _seconds(one), _seconds(other)
    if not any(span_s % 60 for span_s in spans_s) and not _is_cut(one):
        return spans_s[0] == spans_s[1]  # Whole minutes are a limit.
    has_none = 0 in spans_s and not _is_cut(one)
    return abs(spans_s[0] - spans_s[1]) <= (BEGUN_SLACK_S if has_none else SPAN_SLACK_S)


def _is_cut(match: re.Match[str]) -> bool:
    return re.search(r":\d$", match[0]) is not None


def _seconds(match: re.Match[str]) -> int:
    units = (86400, 3600, 60, 1)[-len(match.groups()) :]
    return sum(int(part or 0) * unit for part, unit in zip(match.groups(), units, strict=True))


# Tables with sampled figures.


def _without_sampled(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    if len(lines) > 1 and re.fullmatch(r"(?:-+ )+", lines[1]):
        return list(_blanked(lines, _spans(lines[1])))
    if "|" in lines[0]:
        return list(_emptied(lines, "|"))
    return list(lines)


def _spans(dashes: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"-+", dashes)]


def _blanked(lines: Sequence[str], spans: Sequence[tuple[int, int]]) -> Iterator[str]:
    names = [lines[0][start:end].strip() for start, end in spans]
    yield from lines[:2]
    for line in lines[2:]:
        for (start, end), name in reversed(list(zip(spans, names, strict=True))):
            line = line[:start] + _sample(line[start:end], name) + line[end:]  # noqa: PLW2901
        yield line


def _emptied(lines: Sequence[str], mark: str) -> Iterator[str]:
    names = lines[0].split(mark)
    yield lines[0]
    for line in lines[1:]:
        cells = line.split(mark)
        if len(cells) != len(names):
            yield line
            continue
        yield mark.join(_sample(cell, name) for name, cell in zip(names, cells, strict=True))


def _sample(cell: str, name: str) -> str:
    """Return a cell with the form of its figure, if it is one of those, and where it stands.

    A heading may be cut; that of a figure's node or task begins as that of the figure.
    """
    text = cell.strip()
    if len(name) > 4 and any(each.startswith(name) or name.startswith(each) for each in _SAMPLED):
        form = "" if text in _NOTHING else _form_of(text)
    elif len(name) > 6 and name not in _SPANS and any(each.startswith(name) for each in _COUNTED):
        form = _form_of(text)
        if text == cell:
            return form
        return form.rjust(len(cell)) if cell.endswith(text) else form.ljust(len(cell))
    else:
        return cell
    edge = "=" if cell == text else ">" if cell.endswith(text) else "<"
    return f"\x02{edge if form else '='}{form}\x03"


def _form_of(text: str) -> str:
    """Return a figure's form: its signs, units and decimals; a CPU time with or without them."""
    text = re.sub(r"\d\d:\d\d(?::\d\d|\.\d{3}\b|\.\d\+)", "TIME", text)
    return re.sub(r"\d+", "#", text)


def _same_form(one: re.Match[str], other: re.Match[str]) -> bool:
    if not one["form"] or not other["form"]:
        return True
    edges = {one["edge"], other["edge"]} - {"="}
    return one["form"] == other["form"] and len(edges) < 2


# Documents.


def same_message(theirs: str, ours: str, side: Side) -> bool:
    """Return whether two HTTP answers say the same: heads to the letter, bodies by their kind.

    Of a document keys and types count, and all that stands under ``errors``; of one that was cut
    off its keys in their order.
    """
    (head, _, body), (our_head, _, our_body) = (
        text.partition("\r\n\r\n") for text in (theirs, ours)
    )
    if _headless(head) != _headless(our_head):
        return False
    if "application/json" not in head:
        return [line.text for line in _lines(body, RECORDED, "")] == [
            line.text for line in _lines(our_body, side, "")
        ]
    if not body.rstrip().endswith("}"):
        keys, our_keys = (re.findall(r"\"([\w ]+)\": ", text) for text in (body, our_body))
        is_cut = not our_body.rstrip().endswith("}") and abs(len(keys) - len(our_keys)) <= 1
        return is_cut and keys[: len(our_keys)] == our_keys[: len(keys)]
    return same_document(body, our_body) and _errors(body, RECORDED) == _errors(our_body, side)


def _headless(head: str) -> list[str]:
    return [re.sub(r"^(Content-Length): \d+", r"\1: N", line) for line in head.split("\r\n")]


def _errors(body: str, side: Side) -> list[str]:
    """Return the errors of a document, each in its common form: their other numbers are no ids."""
    errors = json.loads(body).get("errors", [])
    bare = side._replace(ids={})
    lines = [_canonical(json.dumps(each, sort_keys=True), bare).text for each in errors]
    lines = [re.sub(r"->fd:\d+", "->fd:N", line) for line in lines]
    return [
        re.sub(r"JobId=(\d+)", lambda found: f"JobId={side.ids.get(int(found[1]), found[1])}", line)
        for line in lines
    ]


def _fits(one: Any, other: Any) -> bool:
    """Whether two values have the same keys and types; null, and an empty list, fit everything."""
    if one is None or other is None:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        if one and other and all(key.isdecimal() for key in (*one, *other)):
            # Cores of a node, by number.
            return _fits([*one.values()], [*other.values()])
        return one.keys() == other.keys() and all(_fits(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return not one or all(any(_fits(each, known) for known in one) for each in other)
    return type(one) is type(other)
