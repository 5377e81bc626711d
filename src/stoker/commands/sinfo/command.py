"""sinfo: partitions and nodes, as a table in the asked format.

Source: sinfo(1), and the recorded behaviour of Slurm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from stoker.commands.formats import Layout, parse_long, parse_short
from stoker.commands.headings import UnknownCluster, clock_line, cluster_heading
from stoker.commands.nodejson import node_document
from stoker.commands.nodeview import STATE_WORDS, NodeState
from stoker.commands.options import (
    HELP,
    USAGE,
    VERSION_OPTION,
    EarlyAnswer,
    Option,
    Parsed,
    parse,
)
from stoker.commands.records import rendered
from stoker.commands.scene import Scene
from stoker.commands.scontrol.reservations import listing
from stoker.commands.sinfo import fields
from stoker.commands.sinfo.parameters import parameters
from stoker.commands.sinfo.rows import Row, rows_of
from stoker.core.models import Partition
from stoker.core.units import NotationError, expand_hosts
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller, NodeStatus

OPTIONS: Final = (
    Option("all", "a", help="hidden partitions too", meaning="meaningless"),
    Option("dead", "d", help="only nodes that do not answer"),
    Option("exact", "e", help="do not merge nodes of different sizes"),
    Option("federation", help="the federation's nodes", meaning="meaningless"),
    Option("Format", "O", "required", "columns by name: NAME[:[.]WIDTH[SUFFIX]],...", value="TEXT"),
    Option("format", "o", "required", "columns by letter: %[.][WIDTH]LETTER...", value="TEXT"),
    Option("noheader", "h", help="no heading"),
    HELP,
    Option("hide", help="no hidden partitions", meaning="meaningless"),
    Option("iterate", "i", "required", "repeat each so many seconds", "meaningless", "SECONDS"),
    Option("json", help="all nodes as JSON"),
    Option("local", help="this cluster's nodes", meaning="meaningless"),
    Option("long", "l", help="more columns"),
    Option("clusters", "M", "required", "this cluster, by its name or all", value="NAMES"),
    Option("nodes", "n", "required", "these nodes", value="HOSTS"),
    Option("noconvert", help="do not convert units", meaning="meaningless"),
    Option("Node", "N", help="a line for each node"),
    Option("partition", "p", "required", "these partitions", value="NAMES"),
    Option("responding", "r", help="only nodes that answer"),
    Option("list-reasons", "R", help="why nodes are down or drain"),
    Option("reservation", "T", help="reservations"),
    Option("summarize", "s", help="a line for each partition"),
    Option("sort", "S", "required", "order: letters of the format, each with + or -", value="KEYS"),
    Option("states", "t", "required", "nodes in these states, or all", value="STATES"),
    USAGE,
    Option("verbose", "v", help="say what was asked for"),
    VERSION_OPTION,
    Option("yaml", help="all nodes as YAML"),
)

_DEFAULT: Final = "%9P %.5a %.10l %.6D %.6t %N"
_SUMMARY: Final = "%9P %.5a %.10l %.16F %N"
_LONG: Final = "%9P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N"
_REASONS: Final = "%20E %9u %19H %N"
_REASONS_LONG: Final = "%20E %12U %19H %6t %N"
_STATE_ALIASES: Final = {
    "alloc": "allocated",
    "comp": "completing",
    "drng": "draining",
    "futr": "future",
    "mix": "mixed",
    "resv": "reserved",
    "unk": "unknown",
}


class _Refusal(Exception):
    """sinfo cannot do this; carries the whole answer."""

    def __init__(self, *lines: str) -> None:
        super().__init__(lines[0])
        self.answer = Answer(err="".join(f"{line}\n" for line in lines), code=1)


def sinfo(call: Call, controller: Controller) -> Answer:
    """List partitions and nodes."""
    try:
        parsed = parse("sinfo", OPTIONS, call.argv)
        _check(parsed)
        clusters = parsed.last("clusters") or call.environment.get("SLURM_CLUSTERS")
        above = cluster_heading("sinfo", clusters, controller)
        if parsed.has("json") or parsed.has("yaml"):
            return _document("json" if parsed.has("json") else "yaml", controller)
        if parsed.has("reservation"):
            there, scene = controller.reservations.listed(), Scene(call, controller)
            table = listing(there, scene, has_header=not parsed.has("noheader"))
            return Answer(out=f"{above}{table}")
        return _table(parsed, call, controller, above)
    except (EarlyAnswer, UnknownCluster, _Refusal) as early:
        return early.answer


def _table(parsed: Parsed, call: Call, controller: Controller, above: str) -> Answer:
    scene = Scene(call, controller)
    known = fields.Fields(scene, controller)
    layout, short_format, errors = _layout(parsed, call.environment, known, controller)
    counted = fields.COUNTED - (fields.EXACT if parsed.has("exact") else frozenset())
    rows = rows_of(
        _pairs(parsed, call.environment, controller),
        [field for field in layout.fields if field not in counted],
        controller,
        by_node=parsed.has("Node"),
    )
    _sort(rows, parsed.last("sort") or call.environment.get("SINFO_SORT"), parsed)
    if not parsed.has("noheader"):
        if any(map(parsed.has, ("long", "iterate", "verbose"))):
            above += clock_line(scene.now, scene.zone)
        above += layout.heading()
    if parsed.has("verbose"):
        above = parameters(parsed, call.environment, layout, short_format) + above
    return Answer(out=above + "".join(layout.chunks(rows)), err=errors)


def _check(parsed: Parsed) -> None:
    period = parsed.last("iterate")
    if period is not None and not re.fullmatch(r"(?!0+$)\d{1,9}", period, re.ASCII):
        raise _Refusal(f"sinfo: error: Error: invalid entry for --iterate={period}")


# The format.


def _layout(
    parsed: Parsed, environment: Mapping[str, str], known: fields.Fields, controller: Controller
) -> tuple[Layout[Row], str | None, str]:
    """Return the columns, their format unless they are named, and what is wrong with it."""
    long_format = parsed.last("Format")
    if long_format is not None:
        named = parse_long(long_format, known.by_name, fields.EVERY_LETTER, known.by_letter)
        lines = [f"sinfo: error: Invalid job format specification: {x}\n" for x in named.unknown]
        return named, None, "".join(lines)
    text = parsed.last("format")
    if text is None:
        text = _stated_format(parsed, environment, controller)
    layout = parse_short(text, known.by_letter, fields.EVERY_LETTER)
    lines = [f"Invalid node format specification: {x}\n" for x in layout.unknown]
    return layout, text, "".join(lines)


def _stated_format(parsed: Parsed, environment: Mapping[str, str], controller: Controller) -> str:
    is_long = parsed.has("long")
    if parsed.has("summarize"):
        return _SUMMARY
    if parsed.has("Node"):
        return _node_format(controller, is_long=is_long)
    if parsed.has("list-reasons"):
        return _REASONS_LONG if is_long else _REASONS
    if is_long:
        return _LONG
    return environment.get("SINFO_FORMAT", _DEFAULT)


def _node_format(controller: Controller, *, is_long: bool) -> str:
    """Return the format of ``--Node``: its first columns are as wide as they must be."""
    node = max([9, *(len(status.node.name) for status in controller.nodes())])
    partition = max([9, *(len(each.name) + each.is_default for each in controller.partitions())])
    more = "%.11T %4c %.8z %.6m %.8d %.6w %.8f %20E" if is_long else "%6t"
    return f"%{node}N %.6D %.{partition}P {more}"


# Which nodes.


def _pairs(
    parsed: Parsed, environment: Mapping[str, str], controller: Controller
) -> list[tuple[Partition, Sequence[NodeStatus]]]:
    """Return the partitions with those of their nodes that are asked for.

    One without such nodes is shown as empty, unless nodes or reasons are what was asked for.
    """
    names = parsed.last("partition") or environment.get("SINFO_PARTITION")
    wanted = frozenset(names.split(",")) if names else None
    nodes = _filtered(parsed, controller)
    found: list[tuple[Partition, Sequence[NodeStatus]]] = []
    for partition in controller.partitions():
        if wanted is not None and partition.name not in wanted:
            continue
        inside = [status for status in nodes if status.node.name in partition.nodes]
        if inside or not parsed.has("list-reasons"):
            found.append((partition, inside))
    return found


def _filtered(parsed: Parsed, controller: Controller) -> Sequence[NodeStatus]:
    nodes = controller.nodes()
    if (text := parsed.last("nodes")) is not None:
        names = _hosts(text)
        nodes = [status for status in nodes if status.node.name in names]
    if (text := parsed.last("states")) is not None:
        words = [_state_word(word, text) for word in text.split(",")]
        nodes = [
            status for status in nodes if any(NodeState.of(status).matches(word) for word in words)
        ]
    if parsed.has("list-reasons"):
        nodes = [status for status in nodes if status.reason]
    return [] if parsed.has("dead") else nodes


def _hosts(text: str) -> frozenset[str]:
    try:
        return frozenset(expand_hosts(text))
    except NotationError:
        return frozenset({text})


def _state_word(word: str, text: str) -> str:
    name = _STATE_ALIASES.get(word.lower(), word.lower())
    if name != "all" and name not in STATE_WORDS:
        raise _Refusal(
            f'sinfo: error: Bad state string: "{text}"',
            f"sinfo: error: valid states: {','.join(STATE_WORDS)}",
        )
    return name


# In which order.


def _sort(rows: list[Row], text: str | None, parsed: Parsed) -> None:
    """Sort by the letters of *text*; without it partitions are as configured, states downwards."""
    if text is None:
        text = "N" if parsed.has("Node") else "-t" if not parsed.has("summarize") else ""
        text = text if parsed.has("Node") else f"#P,{text}"
    for word in reversed(text.split(",")):
        letter = word.lstrip("+-#")
        if word.endswith("#P"):
            order = list({row.partition.name: None for row in rows})
            rows.sort(key=lambda row: order.index(row.partition.name))
        elif letter in fields.SORT_KEYS:
            rows.sort(key=fields.SORT_KEYS[letter], reverse=word.startswith("-"))


def _document(kind: str, controller: Controller) -> Answer:
    partitions, host = list(controller.partitions()), controller.host()
    nodes = [node_document(status, partitions, host) for status in controller.nodes()]
    return Answer(out="".join(rendered(kind, "nodes", [nodes])))
