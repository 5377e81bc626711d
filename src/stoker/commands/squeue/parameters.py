"""What ``squeue -v`` prints first: every parameter, as it is understood.

Source: recorded behaviour of squeue -v; squeue(1), "ENVIRONMENT VARIABLES".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from stoker.commands.headings import truth
from stoker.commands.options import Parsed
from stoker.core.units import NotationError, compress_hosts, expand_hosts

_RULE: Final = "-" * 29
_NOTHING: Final = "(null)"
_WIDER: Final = f"{'sibling':<13}"
"""The one name that is further from its value than the others."""


class Said(NamedTuple):
    """What options and variables say, as text; "" where they say nothing."""

    parsed: Parsed
    environment: Mapping[str, str]
    jobs: str
    steps: str
    values: Mapping[str, str]
    """By the long name of an option: what is said of it."""


def parameters(said: Said) -> str:
    """Return the list of parameters."""
    rows = "".join(f"{name:<12}= {value}\n" for name, value in _rows(said))
    return f"{_RULE}\n{rows}{_RULE}\n\n\n"


def _rows(said: Said) -> Iterator[tuple[str, object]]:
    parsed, has = said.parsed, said.parsed.has
    is_all = (has("all") or "SQUEUE_ALL" in said.environment) and not has("hide")
    yield "all", truth(is_all or said.values.get("partition"))
    yield "array", _flag(said, "array", "SQUEUE_ARRAY")
    yield "federation", _flag(said, "federation", "SQUEUE_FEDERATION")
    yield "format", said.values.get("format") or _NOTHING
    yield "iterate", int(parsed.last("iterate") or 0)
    yield "job_flag", int(has("jobs") and not (has("steps") and said.jobs))
    yield "jobs", said.jobs or _NOTHING
    yield "licenses", said.values.get("licenses") or _NOTHING
    is_local = bool(said.values.get("clusters")) or "SQUEUE_LOCAL" in said.environment
    yield "local", truth(is_local or has("local"))
    yield "names", said.values.get("name") or _NOTHING
    yield "nodes", _hosts(said.values.get("nodelist") or "")
    yield "partitions", said.values.get("partition") or _NOTHING
    yield "priority", _flag(said, "priority", "SQUEUE_PRIORITY")
    yield "reservation", said.values.get("reservation") or _NOTHING
    is_sibling = {"SQUEUE_SIB", "SQUEUE_SIBLING"} & said.environment.keys()
    yield _WIDER, truth(is_sibling or has("sibling"))
    yield "sort", said.values.get("sort") or _NOTHING
    yield "start_flag", int(has("start"))
    yield "states", said.values.get("states") or _NOTHING
    yield "step_flag", int(has("steps"))
    yield "steps", said.steps or _NOTHING
    yield "users", said.values.get("user") or _NOTHING
    yield "verbose", parsed.count("verbose")


def _flag(said: Said, name: str, variable: str) -> str:
    return truth(said.parsed.has(name) or variable in said.environment)


def _hosts(text: str) -> str:
    try:
        return compress_hosts(expand_hosts(text)) if text else ""
    except NotationError:
        return text
