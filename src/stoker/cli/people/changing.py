"""Changing jobs: `stoker cancel`, `hold`, `release`, `requeue`."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable

import click

from stoker.cli.people.listing import long_states
from stoker.cli.people.screen import complain, count, is_terminal, say, say_json
from stoker.client.client import Client
from stoker.core.errors import DaemonUnavailable, StokerError
from stoker.core.messages import JobFilter


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
            wanted = JobFilter(states=states, names=names, users=(getpass.getuser(),))
            found = (job.array_job_id or job.job_id for job in client.jobs(wanted))
            ids = (*ids, *map(str, dict.fromkeys(found)))
        elif not ids:
            raise click.UsageError("cannot cancel nothing: give ids, --all, --state or --name")
        return _each(ids, client.cancel, "cancelled", as_json=as_json)


@click.command("hold")
@click.argument("ids", nargs=-1, required=True, metavar="ID ...")
@click.option("--json", "as_json", is_flag=True, help="For programs: which were held.")
def hold_command(ids: tuple[str, ...], as_json: bool) -> int:
    """Keep waiting jobs from starting.

    Examples:
      stoker hold 42 43
    """
    with Client() as client:
        return _each(ids, client.hold, "held", as_json=as_json)


@click.command("release")
@click.argument("ids", nargs=-1, required=True, metavar="ID ...")
@click.option("--json", "as_json", is_flag=True, help="For programs: which were released.")
def release_command(ids: tuple[str, ...], as_json: bool) -> int:
    """Let held jobs go.

    Examples:
      stoker release 42
    """
    with Client() as client:
        return _each(ids, client.release, "released", as_json=as_json)


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
        return _each(
            ids,
            lambda job_id: client.requeue(job_id, hold=hold),
            "requeued",
            as_json=as_json,
        )


def _each(
    ids: Iterable[str], change: Callable[[str], None], participle: str, *, as_json: bool
) -> int:
    """Change one job after the other; what one refuses does not keep the next from it."""
    done, failed = [], []
    for job_id in ids:
        try:
            change(job_id)
        except DaemonUnavailable:
            raise
        except StokerError as error:
            failed.append({"id": job_id, "error": str(error)})
            complain(str(error))
        else:
            done.append(job_id)
    if as_json:
        say_json({participle: done, "failed": failed})
    elif is_terminal() and done:
        say(f"{count(len(done), 'job')} {participle}")
    return 1 if failed else 0
