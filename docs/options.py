"""Options: of Slurm's commands from their tables, of `stoker` from click."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import click

from docs.markdown import code, sentence, table
from stoker.cli.people.group import SECTIONS, stoker
from stoker.commands import (
    joboptions,
    sacct_options,
    sacctmgr,
    sattach,
    sbcast,
    scancel,
    scontrol,
    scrontab,
    sdiag,
    seff,
    sinfo,
    sprio,
    squeue,
    sreport,
    sshare,
    sstat,
    strigger,
)
from stoker.commands.options import Meaning, Option
from stoker.commands.table import COMMANDS

TABLES: Final[Mapping[str, Sequence[Option]]] = {
    "sbatch": joboptions.SBATCH,
    "srun": joboptions.SRUN,
    "salloc": joboptions.SALLOC,
    "sattach": sattach.OPTIONS,
    "sbcast": sbcast.OPTIONS,
    "squeue": squeue.request.OPTIONS,
    "scancel": scancel.OPTIONS,
    "scontrol": scontrol.command.OPTIONS,
    "sinfo": sinfo.command.OPTIONS,
    "sacct": sacct_options.OPTIONS,
    "sstat": sstat.OPTIONS,
    "seff": seff.OPTIONS,
    "sacctmgr": sacctmgr.command.OPTIONS,
    "sprio": sprio.OPTIONS,
    "sshare": sshare.OPTIONS,
    "sreport": sreport.command.OPTIONS,
    "sdiag": sdiag.OPTIONS,
    "scrontab": scrontab.OPTIONS,
    "strigger": strigger.OPTIONS,
}
"""Each command's table, in the order of the page."""

_HEADINGS: Final[Mapping[Meaning, str]] = {
    "honoured": "",
    "meaningless": "Accepted, and without a meaning on one machine:",
    "refused": "Refused, in Slurm's words:",
}


def of_slurm() -> str:
    """Return a chapter for each command that is served."""
    assert set(COMMANDS) <= set(TABLES), "a command's options are not on the page"
    return "\n\n".join(
        "\n\n".join(_chapter(name, options)) for name, options in TABLES.items() if name in COMMANDS
    )


def of_stoker() -> str:
    """Return a chapter for each command of `stoker`."""
    names = [name for section in SECTIONS.values() for name in section]
    context = click.Context(stoker, info_name="stoker")
    commands = ((name, stoker.get_command(context, name)) for name in names)
    return "\n\n".join(
        "\n\n".join(_pages_of_people(f"stoker {name}", command))
        for name, command in commands
        if command is not None
    )


def _chapter(name: str, options: Iterable[Option]) -> Iterator[str]:
    yield f"### {name}"
    for meaning, heading in _HEADINGS.items():
        rows = [
            (_spelled(option), sentence(option.help))
            for option in options
            if option.meaning == meaning
        ]
        if rows:
            yield from filter(None, [heading, table(("option", "what it does"), rows)])


def _spelled(option: Option) -> str:
    letter = f"-{option.short}, " if option.short else ""
    value = option.value or "VALUE"
    argument = {"none": "", "required": f"={value}", "optional": f"[={value}]"}[option.takes]
    others = "".join(f", `--{alias}`" for alias in option.aliases)
    return code(f"{letter}--{option.long}{argument}") + others


def _pages_of_people(path: str, command: click.Command) -> Iterator[str]:
    """Yield heading, sentence and options of a command, then of the commands below it."""
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    words = " ".join([path, *(argument.make_metavar(_context(command)) for argument in arguments)])
    yield f"### {words.replace('[', chr(92) + '[')}"
    yield command.get_short_help_str(200)
    rows = [_row(p, command) for p in command.params if isinstance(p, click.Option)]
    if rows:
        yield table(("option", "what it does"), rows)
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield from _pages_of_people(f"{path} {name}", below)


def _row(option: click.Option, command: click.Command) -> tuple[str, str]:
    record = option.get_help_record(_context(command))
    assert record is not None, f"{option.name} is hidden"
    return code(record[0]), record[1]


def _context(command: click.Command) -> click.Context:
    return click.Context(command)
