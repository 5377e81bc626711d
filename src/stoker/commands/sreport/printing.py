"""A report as text: the heading, the columns that were asked for, the lines.

Source: sreport(1); headings and wording as recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final

import msgspec

from stoker.commands.columns import Column, Table
from stoker.commands.sreport import jobs, users
from stoker.commands.sreport.accounts import AccountTree
from stoker.commands.sreport.conditions import OF_JOBS, Conditions, parse_conditions, span_of
from stoker.commands.sreport.fields import Row, choose, for_tree
from stoker.commands.sreport.scene import Lines, Report, Scene
from stoker.commands.sreport.style import RULE, Style
from stoker.commands.sreport.usage import Usage, total
from stoker.core.units import TRES_NAMES, zone_of
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller
from stoker.worker.history import HistoryQuery

_PRIVILEGE: Final = "sreport: error: Your user doesn't have privilege to perform this action\n"
_ONE_TRES: Final = (
    " Job report only support a single --tres type.\n"
    " Generate a separate report for each TRES type.\n"
)
_LONG: Final = 64
"""The records of more jobs than this are read a few at a time."""


class Printer:
    """Prints reports for one caller."""

    def __init__(self, call: Call, controller: Controller, clusters: Sequence[str] = ()) -> None:
        """*clusters* are those that were named for all reports; none: this one."""
        self._owner = call.owner
        self._zone = zone_of(call.environment.get("TZ", ""))
        self._controller = controller
        self._clusters = clusters

    @property
    def countable(self) -> Sequence[str]:
        """Return what can be counted: Slurm's things, and the generic resources that there are."""
        return *TRES_NAMES, *sorted(self._machine().keys() - set(TRES_NAMES))

    def report(self, report: Report, words: Sequence[str], style: Style) -> Answer:
        """Return a report on what the words after its name say.

        Of many jobs the records are read while the answer is: nobody waits for them all.
        """
        said = parse_conditions(words, report.grammar)
        errors = [said.error, users.complaint(said)]
        said.error = ""
        is_allowed = not report.is_for_operators or self._is_operator()
        if not is_allowed and report.failure:
            return Answer(err="".join((*errors, _PRIVILEGE, report.failure)), code=1)
        if report.grammar is OF_JOBS and len(style.counted) > 1:
            return Answer(err="".join((*errors, _ONE_TRES)), code=1)
        scene = self._scene(said, style)
        errors.append(_columns(report, scene, Lines())[1])
        code = int(any(errors))
        errors += [said.error, "" if is_allowed else _PRIVILEGE]
        is_empty = not is_allowed or not self._is_meant(said)
        text = _text(report, scene, self._zone) if is_empty else self._filled(report, scene)
        return Answer(text, "".join(errors), code)

    def _filled(self, report: Report, scene: Scene) -> str | Iterator[str]:
        """Return a report with what was used; a long one is made when it is asked for."""
        controller, span = self._controller, scene.span
        query = HistoryQuery(start_at=span.start, end_at=span.end)
        usage = Usage(span, controller.now(), scene.said.lets_run)
        if controller.lookout.are_recorded(query, _LONG):
            return self._gradually(
                report, scene, usage, controller.lookout.look_up(query, usage.add)
            )
        usage.add(controller.history(query))
        return _text(report, _with_usage(scene, usage), self._zone, is_filled=True)

    def _gradually(
        self, report: Report, scene: Scene, usage: Usage, reading: Iterator[None]
    ) -> Iterator[str]:
        for _ in reading:
            yield ""
        yield _text(report, _with_usage(scene, usage), self._zone, is_filled=True)

    def _is_operator(self) -> bool:
        user = self._controller.book().users.get(self._owner.user_name)
        level = user.admin_level if user is not None else "None"
        return level != "None" or self._controller.rights.is_administrator(self._owner)

    def _is_meant(self, said: Conditions) -> bool:
        """Whether this cluster is among those that were named."""
        names = [*self._clusters, *said.names("clusters")]
        own = self._controller.cluster_name
        return not names or "all_clusters" in said.flags or own in names

    def _scene(self, said: Conditions, style: Style) -> Scene:
        controller = self._controller
        now = controller.now()
        span = span_of(said, now, self._zone)
        return Scene(
            cluster=controller.cluster_name,
            style=style,
            said=said,
            span=span,
            known_s=max(0, int(min(now, span.end)) - int(span.start)),
            machine=self._machine(),
            tree=AccountTree.of(controller.book()),
            full_name=controller.full_name,
        )

    def _machine(self) -> Mapping[str, int]:
        """Return how much there is of each thing that is counted."""
        nodes = [status.node for status in self._controller.nodes()]
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


def _with_usage(scene: Scene, usage: Usage) -> Scene:
    return msgspec.structs.replace(scene, pieces=list(usage.pieces()), waited_s=usage.waited_s)


def _text(report: Report, scene: Scene, zone: tzinfo, *, is_filled: bool = False) -> str:
    """Return the heading and the lines; none where nothing was to be counted."""
    lines = report.lines(scene) if is_filled else Lines()
    columns, _ = _columns(report, scene, lines)
    style = scene.style
    table = Table(columns, has_header=style.has_header, ending=style.ending)
    head = _head(report, scene, zone) if style.has_header else ""
    return head + "".join(table.text(lines.rows))


def _columns(report: Report, scene: Scene, lines: Lines) -> tuple[list[Column[Row]], str]:
    """Return the columns to show, and what is said of fields that there are not."""
    default = report.tres_format if scene.style.tres_text else report.format
    names = scene.said.names("format") or default.split(",")
    fields = for_tree(report.fields) if "tree" in scene.said.flags else report.fields
    columns, error = choose(names, fields, scene.style, lines.largest)
    if report.grammar is OF_JOBS:
        columns += jobs.size_columns(scene)
    return columns, error


def _head(report: Report, scene: Scene, zone: tzinfo) -> str:
    title = report.title.format(count=users.top_count(scene.said))
    times = " - ".join(
        datetime.fromtimestamp(int(at), zone).strftime("%Y-%m-%dT%H:%M:%S")
        for at in (scene.span.start, scene.span.end - 1)
    )
    length = f" ({scene.span.length_s} secs)" if report.has_length else ""
    is_of_jobs = report.grammar is OF_JOBS
    unit = _unit_of_sizes(scene) if is_of_jobs else scene.style.usage_line(report.kind)
    return f"{RULE}{title} {times}{length}\n{unit}{RULE}"


def _unit_of_sizes(scene: Scene) -> str:
    style = scene.style
    tres = f"TRES type is {style.tres_text}\n" if style.tres_text else ""
    if "count" in scene.said.flags:
        return f"{tres}Units are in number of jobs ran\n"
    return f"{tres}Time reported in {style.unit.title}\n"
