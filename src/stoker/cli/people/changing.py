"""Changing jobs: `stoker cancel`, `hold`, `release`, `requeue`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from stoker.cli.people.listing import long_states
from stoker.cli.people.screen import complain, count, is_terminal, say, say_json
from stoker.client.client import Change, Client
from stoker.client.surroundings import own_user_name
from stoker.core.messages import JobFilter

_PARTICIPLES: dict[Change, str] = {
    "cancel": "cancelled",
    "hold": "held",
    "release": "released",
    "requeue": "requeued",
}


@click.command("cancel")
@click.argument("ids", nargs=-1, metavar="[ID ...]")
@click.option("--all", "-a", "wants_all", is_flag=True, help="All of my jobs.")
@click.option(
    "--state", "-t", "states", multiple=True, callback=long_states, help="Mine in this state."
)
@click.option("--name", "-n", "names", multiple=True, metavar="NAME", help="Mine of this name.")
@click.option("--json", "as_json", is_flag=True, help="For programs: which were cancelled.")
def cancel_command(
    ids: tuple[str, ...],
    wants_all: bool,
    states: tuple[str, ...],
    names: tuple[str, ...],
    as_json: bool,
) -> int:
    """Cancel jobs; running ones are ended.

    Examples:
      stoker cancel 42 43_7 44_[1-5]
      stoker cancel --state PENDING      all of mine that wait
      stoker cancel --name train
    """
    with Client() as client:
        if wants_all or states or names:
            wanted = JobFilter(states=states, names=names, users=(own_user_name(),))
            found = (job.array_job_id or job.job_id for job in client.jobs(wanted))
            ids = (*ids, *map(str, dict.fromkeys(found)))
        elif not ids:
            raise click.UsageError("cannot cancel nothing: give ids, --all, --state or --name")
        return _change(client, "cancel", ids, as_json=as_json)


@click.command("hold")
@click.argument("ids", nargs=-1, required=True, metavar="ID ...")
@click.option("--json", "as_json", is_flag=True, help="For programs: which were held.")
def hold_command(ids: tuple[str, ...], as_json: bool) -> int:
    """Keep waiting jobs from starting.

    Examples:
      stoker hold 42 43
    """
    with Client() as client:
        return _change(client, "hold", ids, as_json=as_json)


@click.command("release")
@click.argument("ids", nargs=-1, required=True, metavar="ID ...")
@click.option("--json", "as_json", is_flag=True, help="For programs: which were released.")
def release_command(ids: tuple[str, ...], as_json: bool) -> int:
    """Let held jobs go.

    Examples:
      stoker release 42
    """
    with Client() as client:
        return _change(client, "release", ids, as_json=as_json)


@click.command("requeue")
@click.argument("ids", nargs=-1, required=True, metavar="ID ...")
@click.option("--hold", is_flag=True, help="And hold them until they are released.")
@click.option("--json", "as_json", is_flag=True, help="For programs: which were requeued.")
def requeue_command(ids: tuple[str, ...], hold: bool, as_json: bool) -> int:
    """Let running or ended jobs wait and run once more.

    Examples:
      stoker requeue 42
      stoker requeue --hold 42
    """
    with Client() as client:
        return _change(client, "requeue", ids, as_json=as_json, hold=hold)


def _change(
    client: Client, how: Change, ids: Sequence[str], *, as_json: bool, hold: bool = False
) -> int:
    """Change jobs and say what came of it; return the exit status."""
    refusals = client.change(how, ids, hold=hold)
    done = [job_id for job_id in ids if job_id not in refusals]
    participle = _PARTICIPLES[how]
    for error in refusals.values():
        complain(str(error))
    if as_json:
        failed = [{"id": job_id, "error": str(error)} for job_id, error in refusals.items()]
        say_json({participle: done, "failed": failed})
    elif is_terminal() and done:
        say(f"{count(len(done), 'job')} {participle}")
    return 1 if refusals else 0
