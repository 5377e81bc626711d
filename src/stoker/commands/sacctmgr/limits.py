"""Limits and shares as sacctmgr reads and prints them.

Associations and qualities of service have a table of words each. A value of -1 takes a limit away.
The older words for CPUs, nodes and memory stand for the resource in a limit of many resources
(``GrpCPUs=4`` is ``GrpTRES=cpu=4``).

Source: sacctmgr(1); letters needed, and the wording of what is wrong, as recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from stoker.commands.sacctmgr.words import Keyword, Word
from stoker.core.accounts import PARENT_SHARES, Limits
from stoker.core.units import (
    FOREVER,
    NO_AMOUNT,
    NotationError,
    UnknownTres,
    format_duration,
    format_tres,
    parse_time_limit,
    parse_tres,
)

_COUNT_MAX: Final = 2**32 - 3


class Kind(NamedTuple):
    """Which limit a word sets, and how its value reads; ``tres`` is the one resource it is of."""

    field: str
    reads: Literal["count", "minutes", "tres"]
    tres: str = ""


class Problem(Exception):
    """A value that says nothing sensible; the text is what Slurm prints of it."""


def _count(field: str) -> Kind:
    return Kind(field, "count")


def _tres(field: str, name: str = "") -> Kind:
    return Kind(field, "tres", name)


_GROUP: Final = (
    Keyword("GrpCPUMins", 7, _tres("grp_tres_mins", "cpu")),
    Keyword("GrpCPURunMins", 7, _tres("grp_tres_run_mins", "cpu")),
    Keyword("GrpCPUs", 7, _tres("grp_tres", "cpu")),
    Keyword("GrpJobs", 4, _count("grp_jobs")),
    Keyword("GrpJobsAccrue", 8, _count("grp_jobs_accrue")),
    Keyword("GrpMemory", 4, _tres("grp_tres", "mem")),
    Keyword("GrpNodes", 4, _tres("grp_tres", "node")),
    Keyword("GrpSubmitJobs", 4, _count("grp_submit_jobs")),
    Keyword("GrpTRES", 7, _tres("grp_tres")),
    Keyword("GrpTRESMins", 8, _tres("grp_tres_mins")),
    Keyword("GrpTRESRunMins", 8, _tres("grp_tres_run_mins")),
    Keyword("GrpWall", 4, Kind("grp_wall", "minutes")),
)
_JOB: Final = (
    Keyword("MaxCPUMinsPerJob", 7, _tres("max_tres_mins", "cpu")),
    Keyword("MaxCPUsPerJob", 7, _tres("max_tres", "cpu")),
    Keyword("MaxNodesPerJob", 4, _tres("max_tres", "node")),
    Keyword("MaxTRESPerJob", 7, _tres("max_tres")),
    Keyword("MaxTRESPerNode", 11, _tres("max_tres_per_node")),
    Keyword("MaxTRESMinsPerJob", 8, _tres("max_tres_mins")),
    Keyword("MaxWallDurationPerJob", 4, Kind("max_wall", "minutes")),
    Keyword("MinPrioThreshold", 4, _count("min_prio_threshold")),
)
ASSOCIATION_WORDS: Final = (
    *_GROUP,
    Keyword("MaxJobs", 4, _count("max_jobs")),
    Keyword("MaxJobsAccrue", 8, _count("max_jobs_accrue")),
    Keyword("MaxSubmitJobs", 4, _count("max_submit_jobs")),
    *_JOB,
)
QOS_WORDS: Final = (
    *_GROUP,
    Keyword("MaxCPUsPerUser", 11, _tres("max_tres_pu", "cpu")),
    Keyword("MaxJobsPerUser", 4, _count("max_jobs_pu")),
    Keyword("MaxJobsPU", 8, _count("max_jobs_pu")),
    Keyword("MaxJobsPerAccount", 11, _count("max_jobs_pa")),
    Keyword("MaxJobsPA", 9, _count("max_jobs_pa")),
    Keyword("MaxJobsAccruePerUser", 8, _count("max_jobs_accrue_pu")),
    Keyword("MaxJobsAccruePU", 15, _count("max_jobs_accrue_pu")),
    Keyword("MaxJobsAccruePerAccount", 17, _count("max_jobs_accrue_pa")),
    Keyword("MaxJobsAccruePA", 15, _count("max_jobs_accrue_pa")),
    Keyword("MaxNodesPerUser", 12, _tres("max_tres_pu", "node")),
    Keyword("MaxSubmitJobsPerUser", 4, _count("max_submit_jobs_pu")),
    Keyword("MaxSubmitJobsPU", 15, _count("max_submit_jobs_pu")),
    Keyword("MaxSubmitPU", 11, _count("max_submit_jobs_pu")),
    Keyword("MaxSubmitJobsPerAccount", 17, _count("max_submit_jobs_pa")),
    Keyword("MaxSubmitJobsPA", 15, _count("max_submit_jobs_pa")),
    Keyword("MaxSubmitPA", 11, _count("max_submit_jobs_pa")),
    *_JOB,
    Keyword("MaxTRESPerUser", 11, _tres("max_tres_pu")),
    Keyword("MaxTRESPU", 9, _tres("max_tres_pu")),
    Keyword("MaxTRESPerAccount", 11, _tres("max_tres_pa")),
    Keyword("MaxTRESPerAcct", 11, _tres("max_tres_pa")),
    Keyword("MaxTRESPA", 9, _tres("max_tres_pa")),
    Keyword("MaxTRESRunMinsPerUser", 18, _tres("max_tres_run_mins_pu")),
    Keyword("MaxTRESRunMinsPU", 16, _tres("max_tres_run_mins_pu")),
    Keyword("MaxTRESRunMinsPerAccount", 18, _tres("max_tres_run_mins_pa")),
    Keyword("MaxTRESRunMinsPA", 16, _tres("max_tres_run_mins_pa")),
    Keyword("MinTRESPerJob", 7, _tres("min_tres")),
)

_SHORT_NAMES: Final = {"MaxWallDurationPerJob": "MaxWall", "MinPrioThreshold": "MinPrioThresh"}


# Reading.


def read_limit(keyword: Keyword[Kind], word: Word) -> object:
    """Return a limit's value: a number, None for no limit, amounts by resource.

    Raises:
        Problem: It is none.
    """
    name = _SHORT_NAMES.get(keyword.name, keyword.name)
    kind = keyword.meaning
    if kind.reads == "minutes":
        return read_minutes(name, word)
    if kind.reads == "tres" and not kind.tres:
        return _read_amounts(word)
    number = read_count(name, word)
    if kind.tres:
        return {kind.tres: NO_AMOUNT if number is None else number}
    return number


def read_count(name: str, word: Word) -> int | None:
    """Return a number, None for -1.

    Raises:
        Problem: It is none.
    """
    text = word.value
    if text == "-1":
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 10:
        raise Problem(f"sacctmgr: error: Invalid value for {name} ({text})\n")
    return min(int(text), _COUNT_MAX)


def read_minutes(name: str, word: Word) -> int | None:
    """Return a span in minutes, begun ones counted; None for no limit.

    Raises:
        Problem: It is none.
    """
    try:
        seconds = parse_time_limit(word.value)
    except NotationError:
        raise Problem(f" Bad {name} time format: {word.typed}\n") from None
    return None if seconds == FOREVER else -(-int(seconds) // 60)


def read_shares(word: Word) -> int:
    """Return shares: a number, or ``parent``.

    Raises:
        Problem: It is neither.
    """
    if word.text == "parent":
        return PARENT_SHARES
    number = read_count("FairShare", word)
    return 1 if number is None else number


def _read_amounts(word: Word) -> dict[str, int]:
    try:
        return parse_tres(word.value)
    except UnknownTres as error:
        raise Problem(
            f"sacctmgr: error: slurmdb_format_tres_str: no TRES known by type {error.name}\n"
        ) from None
    except NotationError:
        raise Problem(
            f"sacctmgr: error: slurmdb_format_tres_str: no value given for TRES {word.value}\n"
        ) from None


def with_limits(limits: Limits, changes: Mapping[str, object]) -> Limits:
    """Return limits with changes made: amounts are changed resource by resource."""
    found = {
        field: _merged(getattr(limits, field), value) if isinstance(value, Mapping) else value
        for field, value in changes.items()
    }
    return msgspec.structs.replace(limits, **found)


def _merged(amounts: Mapping[str, int], changes: Mapping[str, int]) -> Mapping[str, int]:
    merged = {**amounts, **changes}
    return {name: amount for name, amount in merged.items() if amount != NO_AMOUNT}


# Printing.


def shown(value: Any, field: str) -> str:
    """Return a limit as lists show it; "" if there is none."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return format_tres(value)
    return format_duration(value * 60) if field.endswith("_wall") else str(value)


ASSOCIATION_SETTINGS: Final[Sequence[tuple[str, str]]] = (
    ("GrpJobs", "grp_jobs"),
    ("GrpJobsAccrue", "grp_jobs_accrue"),
    ("GrpSubmitJobs", "grp_submit_jobs"),
    ("GrpTRES", "grp_tres"),
    ("GrpTRESMins", "grp_tres_mins"),
    ("GrpTRESRunMins", "grp_tres_run_mins"),
    ("GrpWall", "grp_wall"),
    ("MaxJobs", "max_jobs"),
    ("MaxJobsAccrue", "max_jobs_accrue"),
    ("MaxSubmitJobs", "max_submit_jobs"),
    ("MaxTRES", "max_tres"),
    ("MaxTRESPerNode", "max_tres_per_node"),
    ("MaxTRESMins", "max_tres_mins"),
    ("MaxWall", "max_wall"),
    ("MinPrioThresh", "min_prio_threshold"),
)
"""The limits of an association by what they are called where they are set, and their fields."""
_QOS_SETTINGS: Final[Sequence[tuple[str, str]]] = (
    *ASSOCIATION_SETTINGS[:7],
    ("MaxJobsPerAccount", "max_jobs_pa"),
    ("MaxJobsPerUser", "max_jobs_pu"),
    ("MaxJobsAccruePerAccount", "max_jobs_accrue_pa"),
    ("MaxJobsAccruePerUser", "max_jobs_accrue_pu"),
    ("MaxSubmitJobsPerAccount", "max_submit_jobs_pa"),
    ("MaxSubmitJobsPerUser", "max_submit_jobs_pu"),
    ("MaxTRESPerAccount", "max_tres_pa"),
    ("MaxTRESPerJob", "max_tres"),
    ("MaxTRESPerNode", "max_tres_per_node"),
    ("MaxTRESPerUser", "max_tres_pu"),
    ("MaxTRESMins", "max_tres_mins"),
    ("MaxTRESRUNMinsPerAccount", "max_tres_run_mins_pa"),
    ("MaxTRESRUNMinsPerUser", "max_tres_run_mins_pu"),
    ("MaxWall", "max_wall"),
    ("MinPrioThreshold", "min_prio_threshold"),
    ("MinTRES", "min_tres"),
)


def settings_of_association(changes: Mapping[str, object]) -> str:
    """Return what a request sets, a line each, as it is shown before a change is made."""
    return _settings(ASSOCIATION_SETTINGS, changes, 14)


def settings_of_qos(changes: Mapping[str, object]) -> str:
    """Return what a request sets of a quality of service, likewise."""
    return _settings(_QOS_SETTINGS, changes, 25)


def _settings(names: Sequence[tuple[str, str]], changes: Mapping[str, object], width: int) -> str:
    lines = [
        f"  {name:<{width}}= {shown(changes[field], field) or 'NONE'}\n"
        for name, field in names
        if field in changes
    ]
    return "".join(lines)
