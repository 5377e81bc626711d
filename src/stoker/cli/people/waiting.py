"""`stoker wait`: until jobs have ended."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from stoker.cli.people.screen import Column, console, duration, is_terminal, say_json, say_table
from stoker.client.client import Client
from stoker.core.enums import JobState
from stoker.core.messages import JobFilter, JobView

_COLUMNS = (
    Column("ID"),
    Column("NAME"),
    Column("STATE", is_state=True),
    Column("EXIT", is_number=True),
    Column("TIME", is_number=True),
    Column("WHY"),
)
_TICK_S = 1.0
_TICK_S_MAX = 8.0
_TIMED_OUT = 124
"""What timeout(1) returns."""


@click.command("wait")
@click.argument("ids", nargs=-1, metavar="[ID ...]")
@click.option("--all", "-a", "wants_all", is_flag=True, help="All jobs that have not ended.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="No longer.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing, only return the status.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def wait_command(
    ids: tuple[str, ...],
    wants_all: bool,
    timeout: float | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Wait until jobs have ended.

    The exit status is the highest of theirs. A job that ended without an exit code counts as 1;
    a signal as 128 and its number. After --timeout the status is 124,
    and the jobs go on.

    Examples:
      stoker wait 42 43
      stoker wait --all --timeout 3600
      stoker wait $(stoker submit -- make) && echo built
    """
    with Client() as client:
        if wants_all:
            ids = (*ids, *(str(job.array_job_id or job.job_id) for job in client.jobs(JobFilter())))
        if not ids:
            if wants_all:
                return 0
            raise click.UsageError("cannot wait for nothing: give ids, or --all")
        try:
            jobs = _wait(client, tuple(dict.fromkeys(ids)), timeout, quiet=quiet)
        except TimeoutError:
            return _TIMED_OUT
    if as_json:
        say_json(jobs)
    elif not quiet:
        say_table(_COLUMNS, map(_row, jobs))
    return max((job.status for job in jobs), default=0)


def _row(job: JobView) -> tuple[str, ...]:
    why = job.message or ("" if job.reason == "None" else job.reason)
    return job.id, job.name, job.state, job.exit_code, duration(job.elapsed_s), why


def _wait(
    client: Client, ids: tuple[str, ...], timeout_s: float | None, *, quiet: bool
) -> tuple[JobView, ...]:
    if quiet or not is_terminal(sys.stderr):
        return client.wait(*ids, timeout_s=timeout_s)
    with console(sys.stderr).status("waiting") as status:
        left_s = timeout_s
        tick_s = _TICK_S
        while True:
            status.update(_progress(client.tally(*ids)))
            this_s = tick_s if left_s is None else min(tick_s, left_s)
            try:
                return client.wait(*ids, timeout_s=this_s)
            except TimeoutError:
                left_s = None if left_s is None else left_s - this_s
                if left_s is not None and left_s <= 0:
                    raise
                tick_s = min(tick_s * 1.2, _TICK_S_MAX)


def _progress(counts: Mapping[str, int]) -> str:
    ended = sum(number for state, number in counts.items() if JobState(state).has_ended)
    running = counts.get(JobState.RUNNING, 0)
    return f"{ended} of {sum(counts.values())} have ended, {running} run"
