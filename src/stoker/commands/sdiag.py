"""sdiag: what the scheduler has had to do. The counters that nobody keeps here are 0.

Source: sdiag(1) of Slurm 22.05; the rest as recorded.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, tzinfo
from typing import Final

from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.options import HELP, USAGE, VERSION_OPTION, EarlyAnswer, Option, parse
from stoker.core.enums import JobState
from stoker.core.units import zone_of
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller, HistoryQuery

OPTIONS: Final = (
    Option("all", "a", help="all statistics", meaning="meaningless"),
    Option("reset", "r", help="reset the statistics"),
    Option("cluster", "M", "required", "this cluster, by its name", aliases=("clusters",)),
    Option("sort-by-id", "i", help="sort calls by id", meaning="meaningless"),
    Option("sort-by-time", "t", help="sort calls by total time", meaning="meaningless"),
    Option("sort-by-time2", "T", help="sort calls by mean time", meaning="meaningless"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_STARS: Final = "*" * 55
_SCHEDULE: Final = (
    *("Last cycle:   0", "Max cycle:    0", "Total cycles: 0", "Mean cycle:   0"),
    *("Mean depth cycle:  0", "Cycles per minute: 0"),
)
_BACKFILL: Final = (
    "Total backfilled jobs (since last slurm start): 0",
    "Total backfilled jobs (since last stats cycle start): 0",
    "Total backfilled heterogeneous job components: 0",
    "Total cycles: 0",
    "Last cycle when: N/A",
    *("Last cycle: 0", "Max cycle:  0", "Last depth cycle: 0"),
    "Last depth cycle (try sched): 0",
    *("Last queue length: 0", "Last table size: 0"),
)


def sdiag(call: Call, controller: Controller) -> Answer:
    """Answer sdiag."""
    try:
        asked = parse("sdiag", OPTIONS, call.argv)
        cluster_heading("sdiag", asked.last("cluster"), controller)
    except (EarlyAnswer, UnknownCluster) as early:
        return early.answer
    if asked.has("reset"):
        if call.owner.user_id != 0:
            return Answer(err="slurm_reset_statistics: Access/permission denied\n", code=255)
        return Answer(out="Reset scheduling statistics\n")
    return Answer(out=_report(controller, zone_of(call.environment.get("TZ", ""))))


def _report(controller: Controller, zone: tzinfo) -> str:
    now, since = controller.now(), controller.host().started_at
    records = controller.history(HistoryQuery(start_at=since))
    states = Counter(record.job.state for record in records)
    started = sum(record.job.start_at >= since for record in records)
    pending, running = states[JobState.PENDING], states[JobState.RUNNING]
    completed, cancelled = states[JobState.COMPLETED], states[JobState.CANCELLED]
    lines = [
        _STARS,
        f"sdiag output at {_stamp(now, zone)}",
        f"Data since      {_stamp(since, zone)}",
        _STARS,
        *("Server thread count:  1", "Agent queue size:     0", "Agent count:          0"),
        *("Agent thread count:   0", "DBD Agent queue size: 0", ""),
        f"Jobs submitted: {sum(record.job.submit_at >= since for record in records)}",
        f"Jobs started:   {started}",
        f"Jobs completed: {completed}",
        f"Jobs canceled:  {cancelled}",
        f"Jobs failed:    {sum(states.values()) - pending - running - completed - cancelled}",
        "",
        f"Job states ts:  {_stamp(now, zone)}",
        f"Jobs pending:   {pending}",
        f"Jobs running:   {running}",
        *("", "Main schedule statistics (microseconds):"),
        *(f"\t{line}" for line in (*_SCHEDULE, f"Last queue length: {pending}")),
        *("", "Backfilling stats"),
        *(f"\t{line}" for line in _BACKFILL),
        *("", "Latency for 1000 calls to gettimeofday(): 0 microseconds"),
        *("", "Remote Procedure Call statistics by message type"),
        *("", "Remote Procedure Call statistics by user"),
        *("", "Pending RPC statistics", "\tNo pending RPCs"),
    ]
    return "".join(f"{line}\n" for line in lines)


def _stamp(at: float, zone: tzinfo) -> str:
    text = datetime.fromtimestamp(int(at), zone).strftime("%a %b %d %H:%M:%S %Y")
    return f"{text} ({int(at)})"
