"""The command group: which commands there are, where each stands, and how all of them fail.

Whatever goes wrong is one sentence on standard error, with what helps. Exit statuses: 0 done, 1 the
request failed, 2 the command line is wrong, 3 no daemon could be reached; 130 after Ctrl-C.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Sequence

import click

from stoker import __version__
from stoker.cli.people.screen import complain, say
from stoker.core.errors import DaemonUnavailable, StokerError

SECTIONS = {
    "Jobs": {
        "submit": "submitting",
        "list": "listing",
        "show": "listing",
        "why": "listing",
        "logs": "logs",
        "wait": "waiting",
        "cancel": "changing",
        "hold": "changing",
        "release": "changing",
        "requeue": "changing",
    },
    "The daemon": {
        "up": "daemon",
        "down": "daemon",
        "status": "daemon",
        "doctor": "records",
        "backup": "records",
        "restore": "records",
        "service": "service",
    },
    "Setting up": {
        "demo": "trying",
        "env": "setting",
        "settings": "setting",
        "completion": "setting",
    },
}
"""Where each command stands: the module of this package that defines it under its name."""

_MODULES = {name: module for section in SECTIONS.values() for name, module in section.items()}
_UNAVAILABLE = 3


class Commands(click.Group):
    """Finds a command in its module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the order of the sections."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command."""
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"stoker.cli.people.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        keep_examples(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for, or say which one may be meant."""
        if args[0] not in _MODULES and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], _MODULES, n=1)
            helps = f"did you mean `stoker {close[0]}`?" if close else "`stoker --help` lists them"
            raise click.UsageError(f"cannot run {args[0]!r}: there is no such command; {helps}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        for title, names in SECTIONS.items():
            commands = ((name, self.get_command(ctx, name)) for name in names)
            with formatter.section(title):
                formatter.write_dl(
                    [(name, each.get_short_help_str(80)) for name, each in commands if each]
                )


def keep_examples(command: click.Command) -> None:
    """Have the examples of a command's help printed as they stand, line by line."""
    if command.help:
        text = inspect.cleandoc(command.help)
        command.help = text.replace("\n\nExamples:", "\n\n\b\nExamples:")
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        keep_examples(below)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='`eval "$(stoker env)"` puts sbatch, squeue and Slurm\'s other names on PATH.',
)
@click.version_option(__version__, prog_name="stoker", message="%(prog)s %(version)s")
def stoker() -> None:
    """A batch scheduler for this machine that speaks Slurm.

    Examples:
      stoker submit --time=10 -- python train.py     queue a command
      stoker list                                    see what waits and runs
      stoker logs -f 42                              follow a job's output
      stoker why 42                                  learn why it does not start
    """


keep_examples(stoker)


def run(arguments: Sequence[str]) -> int:
    """Run `stoker` with these arguments; return its exit status."""
    try:
        status = stoker.main(list(arguments), prog_name="stoker", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), sys.stderr)
        return error.exit_code
    except click.ClickException as error:
        complain(_sentence(error))
        return error.exit_code
    except DaemonUnavailable as error:
        complain(str(error))
        return _UNAVAILABLE
    except StokerError as error:
        complain(str(error))
        return 1


def _sentence(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()} (`{error.ctx.command_path} --help` shows what there is)"
    return error.format_message()


def _interrupted() -> int:
    """Die of Ctrl-C as a program does that does not know it, so that a shell's loop ends, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 130
