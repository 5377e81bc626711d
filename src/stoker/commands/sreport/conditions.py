"""The words after a report's name: which records, which columns, which span of time.

A word may be abbreviated, each to as many letters as Slurm wants; one without ``=`` that is none of
the report's flags is a name of what the report is about.

Source: sreport(1); the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple

import msgspec

from stoker.commands.accounting import Line
from stoker.commands.sreport.usage import Span
from stoker.core.units import NotationError, expand_hosts, parse_begin

_HINT: Final = "Use keyword set to modify value\n"
_HOUR_S: Final = 3600


class Word(NamedTuple):
    """A keyword, the letters it may be abbreviated to, and the condition that it sets."""

    name: str
    least: int
    key: str = ""

    def matches(self, word: str) -> bool:
        """Whether *word* stands for it."""
        lower, full = word.lower(), self.name.lower()
        return full.startswith(lower) and len(lower) >= min(self.least, len(full))


class Grammar(NamedTuple):
    """What a kind of report understands; ``bare`` is the condition that a mere name sets."""

    flags: Sequence[Word]
    keys: Sequence[Word]
    bare: str
    hint: str = _HINT


class Conditions(msgspec.Struct):
    """What was said, by condition; ``error`` is what is said of words that mean nothing."""

    values: dict[str, list[str]] = {}
    flags: set[str] = set()
    error: str = ""

    def names(self, key: str) -> list[str]:
        """Return the names that a condition lists; [] if it was not said."""
        return self.values.get(key, [])

    def lets(self, key: str, name: str) -> bool:
        """Whether a condition lets a name pass; upper and lower case are one."""
        names = self.values.get(key)
        return not names or name.lower() in (each.lower() for each in names)

    def lets_run(self, line: Line) -> bool:
        """Whether the conditions let a run of a job pass, those on accounts left aside."""
        job = line.job
        return (
            self.lets("users", job.owner.user_name)
            and self.lets("wckeys", job.spec.wckey)
            and self.lets("partitions", job.partition)
            and self._lets_id("gid", job.owner.group_id, job.owner.group_name)
            and self._lets_id("jobs", job.job_id, str(job.array_job_id or job.job_id))
            and self._lets_nodes(line.held.nodes)
        )

    def _lets_id(self, key: str, number: int, name: str) -> bool:
        names = [each.partition(".")[0] for each in self.names(key)]
        return not names or str(number) in names or name in names

    def _lets_nodes(self, nodes: Sequence[str]) -> bool:
        names = self.names("nodes")
        return not names or not set(nodes).isdisjoint(_hosts(names))


_ALL: Final = Word("all_clusters", 1, "all_clusters")
_END: Final = Word("End", 1, "end")
_FORMAT: Final = Word("Format", 1, "format")
_START: Final = Word("Start", 1, "start")
_ACCOUNTS: Final = (Word("Accounts", 2, "accounts"), Word("Acct", 4, "accounts"))
_CLUSTERS: Final = Word("Clusters", 1, "clusters")
_USERS: Final = Word("Users", 1, "users")

OF_CLUSTER: Final = Grammar((_ALL,), (_CLUSTERS, _END, _FORMAT, _START), "clusters")
OF_ACCOUNTS: Final = Grammar(
    (_ALL, Word("Tree", 4, "tree")),
    (_USERS, *_ACCOUNTS, _CLUSTERS, _END, _FORMAT, _START),
    "users",
)
OF_WCKEYS: Final = Grammar(
    (_ALL, Word("withdeleted", 5, "withdeleted")),
    (Word("WCKeys", 3, "wckeys"), Word("Clusters", 3, "clusters"), _END, _FORMAT, _START, _USERS),
    "wckeys",
    hint="",
)
OF_JOBS: Final = Grammar(
    (_ALL, Word("PrintJobCount", 2, "count"), Word("FlatView", 2, "flat")),
    (
        _CLUSTERS,
        *_ACCOUNTS,
        _END,
        Word("Format", 2, "format"),
        Word("Gid", 2, "gid"),
        Word("grouping", 2, "grouping"),
        Word("Jobs", 1, "jobs"),
        Word("Nodes", 1, "nodes"),
        Word("Partitions", 2, "partitions"),
        _START,
        _USERS,
        Word("Wckeys", 2, "wckeys"),
    ),
    "clusters",
)
OF_USERS: Final = Grammar(
    (_ALL, Word("group", 1, "group")),
    (_USERS, *_ACCOUNTS, _CLUSTERS, _END, _FORMAT, _START, Word("TopCount", 1, "topcount")),
    "users",
)
OF_RESERVATIONS: Final = Grammar(
    (_ALL,),
    (
        Word("Names", 2, "names"),
        _CLUSTERS,
        _END,
        Word("Flags", 2, "flags"),
        Word("Format", 2, "format"),
        Word("Ids", 1, "ids"),
        Word("Nodes", 2, "nodes"),
        _START,
    ),
    "names",
)


def parse_conditions(words: Sequence[str], grammar: Grammar) -> Conditions:
    """Read the words after a report's name."""
    found = Conditions()
    for word in words:
        name, equals, text = word.partition("=")
        known = grammar.keys if equals else grammar.flags
        key = next((each.key for each in known if each.matches(name)), None)
        if key is None and equals:
            found.error += f" Unknown condition: {word}\n{grammar.hint}"
        elif equals:
            found.values.setdefault(key or "", []).extend(_names(text.removeprefix("=")))
        elif key is not None:
            found.flags.add(key)
        else:
            found.values.setdefault(grammar.bare, []).extend(_names(word))
    return found


def span_of(said: Conditions, now: float, zone: tzinfo) -> Span:
    """Return the stated span in whole hours, at least one; yesterday without one.

    What cannot be read is complained of, and stands for nothing said.
    """
    midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = (_time(said, key, now, zone) for key in ("start", "end"))
    begun = (midnight - timedelta(days=1)).timestamp() if start is None else _nearest_hour(start)
    over = midnight.timestamp() if end is None else _nearest_hour(min(end, now))
    return Span(begun, max(over, begun + _HOUR_S))


def _time(said: Conditions, key: str, now: float, zone: tzinfo) -> float | None:
    text = (said.names(key) or [""])[-1]
    if not text:
        return None
    try:
        return parse_begin(text, now, zone, past=True)
    except NotationError as error:
        position = max(0, error.position)
        said.error += f"sreport: error: Invalid time specification (pos={position}): {text}\n"
        return None


def _nearest_hour(at: float) -> float:
    return (at + _HOUR_S / 2) // _HOUR_S * _HOUR_S


def _names(text: str) -> list[str]:
    return [word for word in text.strip("\"'").split(",") if word]


def _hosts(names: Sequence[str]) -> set[str]:
    try:
        return set(expand_hosts(",".join(names)))
    except NotationError:
        return set(names)
