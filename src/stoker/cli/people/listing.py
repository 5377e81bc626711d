"""Looking at jobs: `stoker list`, `stoker show`, `stoker why`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from stoker.cli.people.screen import (
    Column,
    count,
    duration,
    moment,
    say,
    say_json,
    say_pairs,
    say_table,
)
from stoker.cli.people.screen import size as memory
from stoker.client.client import Client
from stoker.client.surroundings import own_user_name
from stoker.core.enums import COMPACT, JobState
from stoker.core.messages import Explanation, JobDetail, JobFilter, JobView
from stoker.core.units import LOCAL_ZONE, NotationError, parse_begin

_COLUMNS = (
    Column("ID"),
    Column("NAME"),
    Column("USER"),
    Column("STATE", is_state=True),
    Column("CPUS", is_number=True),
    Column("MEMORY", is_number=True),
    Column("TIME", is_number=True),
    Column("LIMIT", is_number=True),
    Column("WHY"),
)
_SPELLINGS: dict[str, str] = {state: state for state in JobState} | {
    short: state for state, short in COMPACT.items()
}


def long_states(
    _ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the long forms of states that may be written short."""
    try:
        return tuple(_SPELLINGS[word.upper()] for word in words)
    except KeyError as error:
        raise click.BadParameter(
            f"{error.args[0]} is no state; PENDING, RUNNING, FAILED and their like are"
        ) from None


def as_moment(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Return epoch seconds of a time in the past, as sacct reads it."""
    if text is None:
        return None
    try:
        return parse_begin(text, time.time(), LOCAL_ZONE, past=True)
    except NotationError as error:
        raise click.BadParameter(str(error)) from None


@click.command("list")
@click.argument("ids", nargs=-1, metavar="[ID ...]")
@click.option("--all", "-a", "with_ended", is_flag=True, help="Ended jobs, too.")
@click.option(
    "--state", "-t", "states", multiple=True, callback=long_states, help="Only in this state."
)
@click.option("--user", "-u", "users", multiple=True, metavar="NAME", help="Only of this user.")
@click.option("--me", is_flag=True, help="Only my own.")
@click.option("--name", "-n", "names", multiple=True, metavar="NAME", help="Only of this name.")
@click.option("--partition", "-p", "partitions", multiple=True, metavar="NAME", help="Only there.")
@click.option(
    "--since", callback=as_moment, metavar="TIME", help="Jobs that lived since then; means --all."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def list_command(
    ids: tuple[str, ...],
    with_ended: bool,
    states: tuple[str, ...],
    users: tuple[str, ...],
    me: bool,
    names: tuple[str, ...],
    partitions: tuple[str, ...],
    since: float | None,
    as_json: bool,
) -> None:
    """List the jobs that wait and run.

    Examples:
      stoker list                      all that have not ended
      stoker list --me -t PENDING      mine that wait
      stoker list --since=today        all that lived today, ended ones included
      stoker list --json | jq '.[].id'
    """
    ended = {state for state in states if JobState(state).has_ended}
    wanted = JobFilter(
        ids=ids,
        states=states,
        users=(*users, own_user_name()) if me else users,
        names=names,
        partitions=partitions,
        ended=with_ended or since is not None or bool(ended),
        since=since,
    )
    with Client() as client:
        jobs = client.jobs(wanted)
        if as_json:
            say_json(list(jobs))
        else:
            say_table(_COLUMNS, map(_row, jobs))


def _row(job: JobView) -> tuple[str, ...]:
    return (
        job.id,
        job.name,
        job.user,
        job.state,
        str(job.cpus),
        memory(job.memory_mib),
        duration(job.elapsed_s) if job.start_at else "",
        "" if job.time_limit_s is None else duration(job.time_limit_s),
        _why(job),
    )


def _why(job: JobView) -> str:
    if job.message:
        return job.message
    if JobState(job.state) is JobState.FAILED:
        return f"exit code {job.exit_code}"
    return "" if job.reason == "None" else job.reason


@click.command("show")
@click.argument("job_id", metavar="ID")
@click.option("--script", is_flag=True, help="Only the batch script, as it was submitted.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def show_command(job_id: str, script: bool, as_json: bool) -> None:
    """Show all there is to know of a job.

    Examples:
      stoker show 42               a job
      stoker show 43_7             a task of an array
      stoker show 42 --script      its script
      stoker show 42 --json
    """
    with Client() as client:
        if script:
            say(client.script(job_id).decode("utf-8", "surrogateescape").removesuffix("\n"))
            return
        details = client.details(job_id)
        if as_json:
            say_json([_flat(detail) for detail in details])
            return
        for number, detail in enumerate(details):
            if number:
                say("")
            say_pairs(_pairs(detail))


def _flat(detail: JobDetail) -> dict[str, Any]:
    """Return a detail with the fields of its job beside its own."""
    fields: dict[str, Any] = msgspec.to_builtins(detail)
    return {**fields.pop("job"), **fields}


def _pairs(detail: JobDetail) -> Iterator[tuple[str, str]]:
    job = detail.job
    yield "Job", f"{job.id} ({job.name})"
    yield "State", job.state if job.reason == "None" else f"{job.state}, {job.reason}"
    yield "Message", job.message
    yield "Exit code", job.exit_code if JobState(job.state).has_ended else ""
    yield "User", job.user
    yield "Partition", job.partition
    yield "Held by", detail.held_by
    yield "Dependency", detail.dependency
    yield "Asked for", f"{count(job.cpus, 'CPU')}, {memory(job.memory_mib)} memory"
    yield "Time limit", "none" if job.time_limit_s is None else duration(job.time_limit_s)
    yield "Submitted", moment(job.submit_at)
    yield "Not before", moment(detail.begin_at)
    yield "Expected", moment(detail.expected_start_at)
    yield "Started", moment(job.start_at)
    yield "Ended", moment(job.end_at)
    yield "Ran for", duration(job.elapsed_s) if job.start_at else ""
    yield "Nodes", ",".join(job.nodes)
    yield "Restarts", str(detail.restarts or "")
    yield "Command", detail.command or " ".join(detail.argv)
    yield "Directory", detail.work_dir
    yield "Input", "" if detail.stdin == "/dev/null" else detail.stdin
    yield "Output", detail.stdout
    yield "Errors", "" if detail.stderr == detail.stdout else detail.stderr
    yield "Comment", detail.comment
    for attempt in detail.attempts:
        yield f"Attempt {attempt.attempt}", _attempt(attempt)
    for step in detail.steps:
        yield f"Step {step.id}", f"{step.name}: {step.state}, exit code {step.exit_code}"


def _attempt(attempt: Any) -> str:
    cores = "; ".join(
        f"{node} cores {','.join(map(str, cpus))}" for node, cpus in attempt.cores.items()
    )
    words = [attempt.end_state or attempt.state, cores]
    if attempt.pid and not attempt.end_at:
        words.append(f"pid {attempt.pid}")
    if attempt.end_at:
        words.append(f"exit code {attempt.exit_code}")
        words.append(f"{attempt.user_s + attempt.system_s:.2f} s CPU time")
        words.append(f"{memory(attempt.max_rss_kib / 1024)} memory at most")
    return ", ".join(words)


@click.command("why")
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object.")
def why_command(job_id: str, as_json: bool) -> None:
    """Say why a job waits, or what ended it.

    Examples:
      stoker why 42
      stoker why 43_7 --json
    """
    with Client() as client:
        explanation = client.why(job_id)
    if as_json:
        say_json({**msgspec.to_builtins(explanation), "job": _flat(explanation.job)})
    else:
        _say_explanation(explanation)


def _say_explanation(explanation: Explanation) -> None:
    job = explanation.job.job
    reason = "" if job.reason == "None" else f" ({job.reason})"
    say(f"Job {job.id} ({job.name}) is {job.state}{reason}. {explanation.summary}")
    for fact in explanation.facts:
        say(f"  {fact}")
    if explanation.job.begin_at and JobState(job.state) is JobState.PENDING:
        say(f"  It does not start before {moment(explanation.job.begin_at)}.")
    if explanation.job.expected_start_at:
        say(f"  If nothing changes it starts at {moment(explanation.job.expected_start_at)}.")
    for remedy in explanation.remedies:
        say(f"  {remedy}")
