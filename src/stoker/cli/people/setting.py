"""Setting up: `stoker env`, `settings`, `completion`."""

from __future__ import annotations

import click
import msgspec

from stoker.cli.names import ensure_names, shell_lines
from stoker.cli.people.screen import Column, say, say_json, say_table
from stoker.core.homes import home_directory
from stoker.core.settings import describe_settings, load_settings


@click.command("env")
@click.option("--bin", "only_directory", is_flag=True, help="Only the directory of the names.")
def env_command(only_directory: bool) -> None:
    """Print shell lines that put Slurm's names on PATH.

    Examples:
      eval "$(stoker env)"
      PATH="$(stoker env --bin):$PATH" snakemake --slurm
    """
    home = home_directory()
    say(str(ensure_names(home)) if only_directory else shell_lines(home).removesuffix("\n"))


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def settings_command(as_json: bool) -> None:
    """List all settings: value, default, meaning.

    Each can stand in stoker.toml in the home (or in $STOKER_CONFIG), and as STOKER_<NAME> in the
    environment, which wins. What is shown is what a daemon that starts now would use.

    Examples:
      stoker settings
      stoker settings --json | jq -r '.[].name'
    """
    values = msgspec.to_builtins(load_settings(home_directory()))
    rows = [
        {"name": name, "value": values[name], "default": default, "description": description}
        for name, default, description in describe_settings()
    ]
    if as_json:
        say_json(rows)
        return
    say_table(
        (Column("NAME"), Column("VALUE"), Column("MEANING")),
        [(row["name"], _text(row["value"]), row["description"]) for row in rows],
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(entry.get("name", entry)) for entry in value)
    return str(value or "-")


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print lines that make a shell complete commands.

    Examples:
      eval "$(stoker completion bash)"                     for this shell
      stoker completion bash >> ~/.bashrc                  for all
      stoker completion fish > ~/.config/fish/completions/stoker.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - seldom needed

    from stoker.cli.people.group import stoker  # noqa: PLC0415 - it finds us by name

    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    say(kind(stoker, {}, "stoker", "_STOKER_COMPLETE").source().removesuffix("\n"))
