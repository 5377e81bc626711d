"""Looking after the records: `stoker doctor`, `backup`, `restore`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from stoker.cli.people.screen import Column, duration, say, say_json, say_table
from stoker.cli.people.screen import size as memory
from stoker.client.client import Client
from stoker.client.daemon import own_home
from stoker.client.restoring import backups, restore
from stoker.core.errors import UserError
from stoker.core.homes import home_directory
from stoker.core.settings import load_settings


@click.command("doctor")
@click.option("--check", is_flag=True, help="Print only what is wrong; status 1 if anything is.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def doctor_command(check: bool, as_json: bool) -> int:
    """Compare database, journal, processes and cgroups.

    Examples:
      stoker doctor
      stoker doctor --check && echo all is well
    """
    with Client() as client:
        findings = client.doctor()
    wrong = [finding for finding in findings if not finding.is_ok]
    if as_json:
        say_json(findings)
    else:
        for finding in wrong if check else findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            mark = "ok" if finding.is_ok else "WRONG"
            say(f"{mark:<5}  {finding.subject}: {finding.text}{remedy}")
    return 1 if wrong and check else 0


@click.command("backup")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs: one object.")
def backup_command(file: Path | None, as_json: bool) -> None:
    """Copy the records into a file while work goes on.

    Without a FILE it goes to the directory `backups` in the home, named after the time.

    Examples:
      stoker backup
      stoker backup /mnt/nas/stoker.db
    """
    home = home_directory()
    target = file or home / "backups" / time.strftime("stoker-%Y%m%d-%H%M%S.db")
    if file is None:
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot back up to {target}: {error.strerror}") from None
    with Client(home) as client:
        client.back_up(target)
    if as_json:
        say_json({"file": str(target.absolute())})
    else:
        say(str(target.absolute()))


@click.command("restore")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def restore_command(file: Path | None, as_json: bool) -> None:
    """Put a backup in the place of the records.

    Without a FILE, list the backups. The daemon must be down. The records that were there are kept
    beside, under the name that is printed.

    Examples:
      stoker restore                                  which there are
      stoker down && stoker restore stoker-20260101-120000.db
    """
    home = own_home("restore")
    if file is None:
        _list(home, as_json=as_json)
        return
    if load_settings(home).database_url:
        raise UserError(
            f"cannot restore {file}: the setting database_url says that the records are elsewhere; "
            "restore them there, as with pg_restore, while stokerd is down"
        )
    source = file if file.exists() else home / "backups" / file
    if not source.exists():
        raise UserError(f"cannot restore {file}: it is not there; `stoker restore` lists backups")
    kept = restore(source, home)
    if as_json:
        say_json({"restored": str(source), "kept": str(kept) if kept else None})
    else:
        say(f"restored {source}" + (f"; what was there is now {kept}" if kept else ""))


def _list(home: Path, *, as_json: bool) -> None:
    found = backups(home)
    if as_json:
        say_json([{"file": str(each.path), "age_s": each.age_s} for each in found])
        return
    if not found:
        say(f"there are no backups in {home / 'backups'}; `stoker backup` makes one")
        return
    say_table(
        (Column("BACKUP"), Column("SIZE", is_number=True), Column("AGE", is_number=True)),
        [
            (each.path.name, memory(each.size_bytes / (1 << 20)), duration(each.age_s))
            for each in found
        ],
    )
