"""What ``sinfo -v`` prints first: every parameter, and what the columns make sinfo look at.

Source: sinfo(1), "--verbose" and "ENVIRONMENT VARIABLES"; names as Slurm's sinfo prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from stoker.commands.formats import Layout
from stoker.commands.headings import truth
from stoker.commands.options import Parsed
from stoker.commands.sinfo.rows import Row

_RULE: Final = "-" * 29
_FILTERS: Final = ("dead", "nodes", "partition", "responding", "states", "list-reasons")
_LOOKED_AT: Final = (
    ("alloc_mem_flag  = ", ("ALLOCMEM",)),
    ("avail_flag      = ", ("AVAIL",)),
    ("cpus_flag       = ", ("CPUS", "CPUS(A/I/O/T)")),
    ("default_time_flag =", ("DEFAULTTIME",)),
    ("disk_flag       = ", ("TMP_DISK",)),
    ("features_flag   = ", ("AVAIL_FEATURES",)),
    ("features_flag_act = ", ("ACTIVE_FEATURES",)),
    ("groups_flag     = ", ("GROUPS",)),
    ("gres_flag       = ", ("GRES",)),
    ("job_size_flag   = ", ("JOB_SIZE",)),
    ("max_time_flag   = ", ("TIMELIMIT",)),
    ("memory_flag     = ", ("MEMORY",)),
    ("partition_flag  = ", ("PARTITION",)),
    ("port_flag       = ", ("PORT",)),
    ("priority_job_factor_flag   = ", ("PRIO_JOB_FACTOR",)),
    ("priority_tier_flag   = ", ("PRIO_TIER",)),
    ("reason_flag     = ", ("REASON",)),
    ("reason_timestamp_flag = ", ("TIMESTAMP",)),
    ("reason_user_flag = ", ("USER",)),
    ("reservation_flag = ", ()),
    ("root_flag       = ", ("ROOT",)),
    ("oversubscribe_flag      = ", ("OVERSUBSCRIBE",)),
    ("state_flag      = ", ("STATE",)),
    ("weight_flag     = ", ("WEIGHT",)),
)
"""A line for each thing that may be looked at, with the headings of the columns that show it."""


def parameters(
    parsed: Parsed,
    environment: Mapping[str, str],
    layout: Layout[Row],
    short_format: str | None,
) -> str:
    """Return the list of parameters; *short_format* is None where columns are named."""
    rows = "".join(
        f"{name:<12}= {value}\n" for name, value in _rows(parsed, environment, short_format)
    )
    headings = {field.heading for field in layout.fields}
    looked_at = "".join(f"{line}{truth(headings & {*names})}\n" for line, names in _LOOKED_AT)
    is_all = (parsed.has("all") or "SINFO_ALL" in environment) and not parsed.has("hide")
    head = f"{_RULE}\nall_flag        = {truth(is_all)}\n"
    return f"{_RULE}\n{rows}{head}{looked_at}{_RULE}\n\n"


def _rows(
    parsed: Parsed, environment: Mapping[str, str], short_format: str | None
) -> Iterator[tuple[str, object]]:
    has = parsed.has
    partition = parsed.last("partition") or environment.get("SINFO_PARTITION")
    sort = parsed.last("sort") or environment.get("SINFO_SORT")
    # The widths of sinfo -N's own first columns follow from what stands in them.
    is_fitted = truth(has("Node") and not (has("format") or has("Format")))
    yield "dead", truth(has("dead"))
    yield "exact", int(has("exact"))
    yield "filtering", truth(partition or any(map(has, _FILTERS)))
    yield "format", short_format or "(null)"
    yield "iterate", int(parsed.last("iterate") or 0)
    yield "long", truth(has("long"))
    yield "no_header", truth(has("noheader"))
    yield "node_field", is_fitted
    yield "node_format", truth(has("Node"))
    yield "nodes", parsed.last("nodes") or "n/a"
    yield "part_field", is_fitted
    yield "partition", partition or "n/a"
    yield "responding", truth(has("responding"))
    yield "states", parsed.last("states") or ("down,drain" if has("list-reasons") else "(null)")
    yield "sort", sort or "(null)"
    yield "summarize", truth(has("summarize"))
    yield "verbose", parsed.count("verbose")
