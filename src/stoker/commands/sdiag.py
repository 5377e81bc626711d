"""sdiag: what the scheduler has had to do, and what it was asked.

Calls are counted by the message that Slurm's own command would have sent. A pass of the scheduler
that has to work around a reservation is one of backfill, too.

Source: sdiag(1) of Slurm 22.05; order and wording as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Final

from stoker.commands.headings import UnknownCluster, cluster_heading
from stoker.commands.options import HELP, USAGE, VERSION_OPTION, EarlyAnswer, Option, Parsed, parse
from stoker.core.enums import ONGOING, JobState
from stoker.core.units import zone_of
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller
from stoker.worker.statistics import Calls, Cycles, Statistics

OPTIONS: Final = (
    Option("all", "a", help="all statistics", meaning="meaningless"),
    Option("reset", "r", help="reset the statistics"),
    Option("cluster", "M", "required", "this cluster, by its name", aliases=("clusters",)),
    Option("sort-by-id", "i", help="sort calls by id"),
    Option("sort-by-time", "t", help="sort calls by total time"),
    Option("sort-by-time2", "T", help="sort calls by mean time"),
    HELP,
    USAGE,
    VERSION_OPTION,
)

_STARS: Final = "*" * 55
_MESSAGES: Final[Mapping[str, tuple[str, int]]] = {
    "salloc": ("REQUEST_RESOURCE_ALLOCATION", 4001),
    "sbatch": ("REQUEST_SUBMIT_BATCH_JOB", 4003),
    "scancel": ("REQUEST_KILL_JOB", 5032),
    "sdiag": ("REQUEST_STATS_INFO", 2035),
    "sinfo": ("REQUEST_NODE_INFO", 2007),
    "sprio": ("REQUEST_PRIORITY_FACTORS", 2026),
    "squeue": ("REQUEST_JOB_INFO", 2003),
    "srun": ("REQUEST_JOB_STEP_CREATE", 5001),
    "sshare": ("REQUEST_SHARE_INFO", 2022),
}
"""What Slurm's programs ask slurmctld for, and its number; the others are called by their names."""


def sdiag(call: Call, controller: Controller) -> Answer:
    """Answer sdiag."""
    try:
        asked = parse("sdiag", OPTIONS, call.argv)
        cluster_heading("sdiag", asked.last("cluster"), controller)
    except (EarlyAnswer, UnknownCluster) as early:
        return early.answer
    if asked.has("reset"):
        if not controller.rights.is_administrator(call.owner):
            return Answer(err="slurm_reset_statistics: Access/permission denied\n", code=255)
        controller.reset_statistics()
        return Answer(out="Reset scheduling statistics\n")
    lines = _report(controller, asked, zone_of(call.environment.get("TZ", "")))
    return Answer(out="".join(f"{line}\n" for line in lines))


def _report(controller: Controller, asked: Parsed, zone: tzinfo) -> Iterator[str]:
    now, found = controller.now(), controller.statistics()
    states = [job.state for job in controller.active_jobs()]
    pending = states.count(JobState.PENDING)
    yield from (_STARS, f"sdiag output at {stamp(now, zone)}")
    yield from (f"Data since      {stamp(found.since, zone)}", _STARS)
    yield from ("Server thread count:  1", "Agent queue size:     0", "Agent count:          0")
    yield from ("Agent thread count:   0", "DBD Agent queue size: 0", "")
    yield from _jobs(found)
    yield from ("", f"Job states ts:  {stamp(now, zone)}")
    running = sum(state in ONGOING for state in states)
    yield from (f"Jobs pending:   {pending}", f"Jobs running:   {running}")
    yield from ("", "Main schedule statistics (microseconds):")
    yield from (f"\t{line}" for line in _main_cycles(found.cycles, now - found.since, pending))
    yield from ("", "Backfilling stats")
    yield from (f"\t{line}" for line in _backfill(found, pending, zone))
    yield from ("", f"Latency for 1000 calls to gettimeofday(): {found.latency_us} microseconds")
    yield from ("", "Remote Procedure Call statistics by message type")
    yield from _by_message(found, asked)
    yield from ("", "Remote Procedure Call statistics by user")
    yield from _by_user(found, asked)
    yield from ("", "Pending RPC statistics", "\tNo pending RPCs")


def _jobs(found: Statistics) -> Iterator[str]:
    completed, cancelled = (
        found.ended_in(state) for state in (JobState.COMPLETED, JobState.CANCELLED)
    )
    yield f"Jobs submitted: {found.submitted}"
    yield f"Jobs started:   {found.started}"
    yield f"Jobs completed: {completed}"
    yield f"Jobs canceled:  {cancelled}"
    yield f"Jobs failed:    {sum(found.ended.values()) - completed - cancelled}"


def _main_cycles(cycles: Cycles, passed_s: float, waiting: int) -> Iterator[str]:
    yield f"Last cycle:   {cycles.last_us}"
    yield f"Max cycle:    {cycles.max_us}"
    yield f"Total cycles: {cycles.count}"
    if cycles.count:
        yield f"Mean cycle:   {cycles.mean_us}"
        yield f"Mean depth cycle:  {cycles.mean_depth}"
    if passed_s >= 60:
        yield f"Cycles per minute: {cycles.count // int(passed_s // 60)}"
    yield f"Last queue length: {waiting}"


def _backfill(found: Statistics, waiting: int, zone: tzinfo) -> Iterator[str]:
    cycles = found.backfill
    yield f"Total backfilled jobs (since last slurm start): {found.backfilled_ever}"
    yield f"Total backfilled jobs (since last stats cycle start): {found.backfilled}"
    yield "Total backfilled heterogeneous job components: 0"
    yield f"Total cycles: {cycles.count}"
    yield f"Last cycle when: {stamp(cycles.last_at, zone) if cycles.count else 'N/A'}"
    yield f"Last cycle: {cycles.last_us}"
    yield f"Max cycle:  {cycles.max_us}"
    if cycles.count:
        yield f"Mean cycle: {cycles.mean_us}"
    yield f"Last depth cycle: {cycles.last_depth}"
    yield f"Last depth cycle (try sched): {cycles.last_depth}"
    if cycles.count:
        yield f"Depth Mean: {cycles.mean_depth}"
        yield f"Depth Mean (try depth): {cycles.mean_depth}"
    yield f"Last queue length: {waiting}"
    if cycles.count:
        yield f"Queue length mean: {waiting}"
    yield f"Last table size: {cycles.last_depth}"
    if cycles.count:
        yield f"Mean table size: {cycles.mean_depth}"


def _by_message(found: Statistics, asked: Parsed) -> Iterator[str]:
    rows = [
        (*_MESSAGES.get(program, (f"COMMAND_{program.upper()}", 0)), calls)
        for program, calls in found.by_program.items()
    ]
    for name, number, calls in sorted(rows, key=lambda row: _order(asked, row[1], row[2])):
        yield f"\t{name:<40}({number:>5}) {figures_of(calls)}"


def _by_user(found: Statistics, asked: Parsed) -> Iterator[str]:
    rows = [(owner.user_name, owner.user_id, calls) for owner, calls in found.by_user.items()]
    for name, number, calls in sorted(rows, key=lambda row: _order(asked, row[1], row[2])):
        yield f"\t{name:<16}({number:>8}) {figures_of(calls)}"


_ORDERS: Final[Mapping[str, Callable[[int, Calls], int]]] = {
    "sort-by-id": lambda number, _: number,
    "sort-by-time": lambda _, calls: -calls.total_us,
    "sort-by-time2": lambda _, calls: -calls.mean_us,
}


def _order(asked: Parsed, number: int, calls: Calls) -> tuple[int, int]:
    """Return where a line of calls stands: the most frequent first, unless another is wanted."""
    for name, order in _ORDERS.items():
        if asked.has(name):
            return order(number, calls), number
    return -calls.count, number


def figures_of(calls: Calls) -> str:
    """Return how many calls there were, and how long they took."""
    return f"count:{calls.count:<6} ave_time:{calls.mean_us:<6} total_time:{calls.total_us}"


def stamp(at: float, zone: tzinfo) -> str:
    """Return a point in time in words, and as a number."""
    text = datetime.fromtimestamp(int(at), zone).strftime("%a %b %d %H:%M:%S %Y")
    return f"{text} ({int(at)})"
