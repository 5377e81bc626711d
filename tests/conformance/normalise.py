"""What legitimately differs between two runs of the same case, and nothing else.

Both texts are brought into one form, line by line: times of day, ids of processes, priorities that
come from age, plugin names, directories. Names and ids of ours are replaced by the recorded ones.
Where that changed a line, its runs of blanks count as one, since padding follows the text; all
other lines are compared to the letter. Spans of time may differ by what a slower or faster machine
makes of them.

Source: the recordings' index, "normalise".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from conformance.figures import sstat_heading, without_figures

SPAN_SLACK_S = 90
"""By how many seconds a span of elapsed time may differ from the recorded one."""

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

_Rule = tuple[re.Pattern[str], str]

_RULES: tuple[_Rule, ...] = (
    (_CLOCK_OF_LOG, "[STAMP]"),
    (_STAMP, "STAMP"),
    # A stamp may be cut to the width of its column, and the next column may follow at once.
    (re.compile(r"20\d\d-\d\d-\d\dT[\d:]*(?![\d:-])"), "STAMP"),
    (re.compile(r"20\d\d-\d\d-\d\d(?=STAMP)"), "DATE"),
    (re.compile(r"(20\d\d-\d\d-)\d\dT\d"), r"\1DDTH"),
    (_EPOCH, "EPOCH"),
    (_ENDLESS, r"\1ENDLESS"),
    (re.compile(r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}"), "STAMP"),
    (re.compile(r"(SLURM_WORKING_CLUSTER=\w+:[\d.]+):\d+:"), r"\1:PORT:"),
    (re.compile(r"\b(pipe|socket):\[\d+\]"), r"\1:[INODE]"),
    (re.compile(r"/proc/\d+"), "/proc/PID"),
    (re.compile(r"(127\.0\.0\.1[| ]+)\d+"), r"\1PORT"),
    (re.compile(r"\b(CPULoad|FreeMem|Port)=\S+"), r"\1=X"),
    (re.compile(r"\b((?:control|last)_port)=\d+"), r"\1=PORT"),
    (re.compile(r"\bOS=Linux .*"), "OS=Linux"),
    (re.compile(r"AllocNode:Sid=\S+"), "AllocNode:Sid=SID"),
    (re.compile(r"\b(Priority)=\d+"), r"\1=PRIORITY"),
    (re.compile(r"(\"priority\": )\d+"), r"\1 0"),
    (re.compile(r"slurmstepd(?:-node\d+)?:"), "slurmstepd:"),
    (re.compile(r"/srv/slurm/[^\s:'\"]*/slurm_script"), "SCRIPT"),
    (re.compile(r"(LLN|SLURMD_VERSION|SLURM_TASK_PID|SLURM_LAUNCH_NODE_IPADDR)=\S+"), r"\1=X"),
    (re.compile(r"(SLURM_(?:SRUN_COMM|STEP_LAUNCHER)_(?:PORT|HOST))=\S+"), r"\1=X"),
    (re.compile(r"(SLURM_(?:TOPOLOGY_ADDR|PRIO_PROCESS))=\S+"), r"\1=X"),
    (re.compile(r"(TMPDIR|SLURM_CONF|STOKER_HOME|SLURM_JWT)=\S+"), r"\1=X"),
    (re.compile(r"\b(Pid|pid|PID)[= ]+\d+"), r"\1=PID"),
    (re.compile(r"(SrunHost:Pid=\w+):\d+"), r"\1:PID"),
    (re.compile(r"^(bash: line \d+:) +\d+ "), r"\1 PID "),
    (re.compile(r"(terminal process group) \(-?\d+\)"), r"\1 (PID)"),
)

_BY_TIMING = re.compile(r"salloc: Job allocation \d+ has been revoked\.")
"""A line that comes or not, in several recordings of the same command."""

_SEVERAL_WRITERS = re.compile(r"\b(?:srun|salloc)\b")
"""Commands that write beside their tasks and steps: in which order is chance."""

_LABELLED = re.compile(r" *\d+: ")

# Fields of sacct whose values are sampled: blank in one run and a figure in the next.
_SAMPLED = (
    *(
        prefix + what
        for prefix in ("Ave", "Max", "Min")
        for what in ("CPU", "DiskRead", "DiskWrite", "Pages", "RSS", "VMSize")
    ),
    *("AveCPUFreq", "TRESUsage", "ConsumedEnergy", "SystemCPU", "TotalCPU", "UserCPU"),
    *("CPUTime", "CPUTimeRAW", "Priority", "DBIndex", "ElapsedRaw", "ResvCPURAW"),
)


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

    Where a job and the steps that it runs wrote them at once, in which order is chance.
    """
    if theirs == ours:
        return True
    if theirs.lstrip().startswith("{") and "json" in command:
        return same_document(theirs, ours)
    if theirs.startswith("HTTP/") and "\r\n\r\n" in theirs:
        return same_message(theirs, ours, side)
    left, right = _lines(theirs, RECORDED, command), _lines(ours, side, command)
    has_several_writers |= _SEVERAL_WRITERS.search(command) is not None
    if has_several_writers or _are_labelled(theirs, ours):
        left, right = sorted(left), sorted(right)
    if len(left) != len(right):
        return False
    return all(_same_line(one, other, command) for one, other in zip(left, right, strict=True))


def same_document(theirs: str, ours: str) -> bool:
    """Return whether two JSON documents have the same keys, and values of the same types."""
    try:
        return _fits(json.loads(theirs), json.loads(ours))
    except ValueError:
        return False


def canonical(text: str, side: Side, command: str) -> list[str]:
    """Return the lines in their common form, for showing a difference."""
    return [line.text for line in _lines(text, side, command)]


def _are_labelled(*texts: str) -> bool:
    """Whether each line has the number of the task that wrote it."""
    return all(all(_LABELLED.match(line) for line in text.splitlines() if line) for text in texts)


def _lines(text: str, side: Side, command: str) -> list[Line]:
    if re.search(r"\bsreport\b", command):
        side = side._replace(ids={})  # It tells of no job by its number.
    lines = [line for line in text.split("\n") if not _BY_TIMING.fullmatch(line)]
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
    return Line(line, line != before)


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
    left, right = one.text, other.text
    if one.is_replaced or other.is_replaced:
        left, right = _collapsed(left), _collapsed(right)
    if "sacct" in command and _same_but_name(left, right):
        return True
    return left == right or _same_but_spans(left, right, command)


def _same_but_name(left: str, right: str) -> bool:
    """Whether two records of an interactive job differ in its name alone.

    In some recordings of a command it is ``allocation``, in others what the job was called.
    """
    for mark in ("|", None):
        ones, others = left.split(mark), right.split(mark)
        differing = [one for one, other in zip(ones, others, strict=False) if one != other]
        if len(ones) == len(others) and differing == ["allocation"]:
            return True
    return False


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
        if one and other and _near(one, other):
            return left.replace(one[0], "SPAN "), right.replace(other[0], "SPAN ")
    return left, right


def _same_but(patterns: Iterable[re.Pattern[str]], left: str, right: str) -> bool:
    found = "SPAN" in left
    for pattern in patterns:
        ones, others = list(pattern.finditer(left)), list(pattern.finditer(right))
        if len(ones) != len(others):
            return False
        if not all(_near(a, b) for a, b in zip(ones, others, strict=True)):
            return False
        found = found or bool(ones)
        left, right = pattern.sub("SPAN", left), pattern.sub("SPAN", right)
    return found and _collapsed(left) == _collapsed(right)


def _near(one: re.Match[str], other: re.Match[str]) -> bool:
    if one.re is _CPU_SPAN:
        return True
    return abs(_seconds(one) - _seconds(other)) <= SPAN_SLACK_S


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
    sampled = [(a, b) for a, b in spans if _is_sampled(lines[0][a:b].strip())]
    yield from lines[:2]
    for line in lines[2:]:
        for start, end in sampled:
            line = line[:start] + " " * (min(end, len(line)) - start) + line[end:]  # noqa: PLW2901
        yield line


def _is_sampled(name: str) -> bool:
    """Whether a heading, which may be cut, is that of a sampled figure or of its node or task."""
    return len(name) > 4 and any(
        full.startswith(name) or name.startswith(full) for full in _SAMPLED
    )


def _emptied(lines: Sequence[str], mark: str) -> Iterator[str]:
    names = lines[0].split(mark)
    yield lines[0]
    for line in lines[1:]:
        cells = line.split(mark)
        if len(cells) != len(names):
            yield line
            continue
        yield mark.join(
            "" if _is_sampled(name) else cell for name, cell in zip(names, cells, strict=True)
        )


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
        return keys[: len(our_keys)] == our_keys[: len(keys)]
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
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool)
    numbers = (int, float)
    return type(one) is type(other) or (isinstance(one, numbers) and isinstance(other, numbers))
