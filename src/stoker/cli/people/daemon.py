"""The daemon's life: `stoker up`, `down`, `status`."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from stoker.cli.people.screen import count, duration, is_terminal, say, say_json, say_pairs
from stoker.cli.people.screen import size as memory
from stoker.client.client import Client
from stoker.client.daemon import ensure_daemon, is_answering, own_home
from stoker.core.errors import DaemonUnavailable, UserError
from stoker.core.homes import home_directory
from stoker.core.messages import JobFilter

_STOP_S = 60.0
"""How long a stop may take."""
_CANCEL_S = 120.0
"""How long cancelled jobs may take, unless told otherwise: several times the usual KillWait."""
_NAMED_MAX = 10


@click.command("up")
@click.option("--foreground", is_flag=True, help="Stay, and log here: for systemd.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting; with --foreground."
)
def up_command(foreground: bool, settings: tuple[str, ...]) -> None:
    """Start the daemon and wait until it is ready.

    Any command that needs it does the same; STOKER_AUTOSTART=0 keeps them from it.

    Examples:
      stoker up
      STOKER_TOTAL_CPUS=4 stoker up
      stoker up --foreground --set log_level=DEBUG
    """
    if foreground:
        own_home("start stokerd in")
        words = [word for setting in settings for word in ("--set", setting)]
        os.execv(sys.executable, [sys.executable, "-I", "-m", "stoker.stokerd", *words])  # noqa: S606 - it is to take our place
    if settings:
        raise click.UsageError("--set needs --foreground; write settings into stoker.toml instead")
    home = home_directory()
    pid = ensure_daemon(home, say=lambda _: None)
    with _plain_client(home) as client:
        status = client.status()
    verb = "is ready" if pid else "runs already"
    cpus, room = status["cpus"]["total"], memory(status["memory_mib"]["total"])
    say(
        f"stokerd {verb} (pid {status['stokerd']['pid']}): "
        f"{count(cpus, 'CPU')}, {room} of memory, records in {home}"
    )


@click.command("down")
@click.option("--cancel", is_flag=True, help="Cancel all jobs first.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=_CANCEL_S,
    metavar="SECONDS",
    help=f"With --cancel: how long the jobs may take to end; {_CANCEL_S:g} if not said.",
)
def down_command(cancel: bool, timeout: float) -> None:
    """Stop the daemon; running jobs go on.

    They are found again when it is back, and what ended meanwhile is recorded then. If cancelled
    jobs have not ended in time, the daemon does not stop either.

    Examples:
      stoker down              for an upgrade: jobs do not notice
      stoker down --cancel     end all jobs, too
    """
    home = home_directory()
    if not is_answering(home):
        say(f"stokerd does not run in {home}")
        return
    with _plain_client(home) as client:
        status = client.status()
        running = status["jobs"].get("RUNNING", 0)
        try:
            client.shutdown(cancel=cancel, timeout_s=timeout if cancel else None)
        except TimeoutError:
            raise UserError(_still_there(client, timeout)) from None
    _await_end(status["stokerd"]["pid"], home)
    ending = "; no job runs" if cancel or not running else f"; {count(running, 'job')} go on"
    say(f"stokerd has stopped{ending}")


def _still_there(client: Client, timeout_s: float) -> str:
    """Say which jobs have kept the daemon from stopping."""
    ids = [job.id for job in client.jobs(JobFilter())]
    more = f" and {len(ids) - _NAMED_MAX} more" if len(ids) > _NAMED_MAX else ""
    return (
        f"cannot stop stokerd: {count(len(ids), 'job')} had not ended {timeout_s:g} s after the "
        f"cancel: {', '.join(ids[:_NAMED_MAX])}{more}; try again, or leave them to run with "
        "`stoker down`"
    )


def _plain_client(home: Path) -> Client:
    """Return a client that starts nothing."""

    def refuse(where: Path) -> None:
        raise DaemonUnavailable(f"cannot reach stokerd in {where}: it went away just now")

    return Client(home, start=refuse)


def _await_end(pid: int, home: Path) -> None:
    """Wait until a process is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], _STOP_S)[0]:
            raise UserError(
                f"cannot stop stokerd (pid {pid}) within {_STOP_S:g} s: "
                f"{home / 'log' / 'stokerd.log'} may tell why"
            )
    finally:
        os.close(descriptor)


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object.")
def status_command(as_json: bool) -> None:
    """Show the daemon, the machine and the queue.

    Examples:
      stoker status
      stoker status --json | jq .cpus.allocated
    """
    with Client() as client:
        status = client.status()
    if as_json:
        say_json(status)
    else:
        say_pairs(_pairs(status))


def _pairs(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    daemon = status["stokerd"]
    yield "Home", status["home"]
    yield "Version", status["version"]
    yield "stokerd", f"pid {daemon['pid']}{_since(daemon)}"
    yield from _shepherds(status["shepherd"])
    cpus, room = status["cpus"], status["memory_mib"]
    yield "CPUs", f"{cpus['allocated']} of {cpus['total']} allocated {_bar(cpus)}".rstrip()
    yield (
        "Memory",
        f"{memory(room['allocated'])} of {memory(room['total'])} allocated {_bar(room)}".rstrip(),
    )
    counts = status["jobs"]
    yield "Jobs", ", ".join(f"{number} {state.lower()}" for state, number in counts.items()) or "0"


def _shepherds(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell of the one shepherd, or of those of a machine's users."""
    if "users" not in status:
        yield "Shepherd", f"pid {status['pid']}" if status.get("pid") else "does not run"
        return
    running = [name for name, each in status["users"].items() if each.get("pid")]
    yield "Shepherds", f"{len(running)} run, one for each user who has jobs"
    for name, each in status["users"].items():
        if each.get("trouble"):
            yield "Shepherd", f"of user {name}: {each['trouble']}"


def _since(daemon: Mapping[str, Any]) -> str:
    if "started_at" not in daemon:
        return ""
    return f", up for {duration(max(0.0, time.time() - daemon['started_at']))}"


def _bar(amounts: Mapping[str, float], width: int = 20) -> str:
    """Return how much is taken as a bar, for a terminal."""
    if not is_terminal() or not amounts["total"]:
        return ""
    filled = min(width, round(width * amounts["allocated"] / amounts["total"]))
    return "[" + "#" * filled + "." * (width - filled) + "]"
