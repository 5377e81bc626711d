"""`stoker service`: the queue as a service of systemd, so that it survives a reboot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from stoker.cli.people.screen import say
from stoker.core.errors import UserError
from stoker.core.settings import home_directory

UNIT = "stoker.service"

# KillMode: stopping the daemon must not end the jobs. Delegate: their cgroups are ours to make.
_TEXT = """\
[Unit]
Description=Stoker, a batch scheduler for one machine
Documentation=man:sbatch(1)

[Service]
Type=exec
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Environment={home}
KillMode=process
Delegate=yes
Restart=on-failure
RestartSec=1

[Install]
WantedBy=default.target
"""


def unit_text(home: Path, python: str = sys.executable) -> str:
    """Return the unit for a Stoker."""
    command = " ".join(map(_quoted, (python, "-I", "-m", "stoker.stokerd")))
    return _TEXT.format(command=command, home=_quoted(f"STOKER_HOME={home}"))


def _quoted(word: str) -> str:
    """Quote a word as systemd.syntax(7) and systemd.unit(5) read it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(letter in escaped for letter in ' "\\;') else escaped


@click.group("service")
def service_command() -> None:
    """Have systemd start the daemon, also after a reboot.

    Examples:
      stoker service install
      loginctl enable-linger             run it also while nobody is logged in
      stoker service remove
    """


@service_command.command("install")
@click.option("--print", "only_print", is_flag=True, help="Only print the unit.")
def install(only_print: bool) -> None:
    """Write the unit, and start the service.

    Examples:
      stoker service install
      stoker service install --print
    """
    text = unit_text(home_directory())
    if only_print:
        say(text.removesuffix("\n"))
        return
    path = _unit_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    say(f"wrote {path}")
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", UNIT)
    say("the service is enabled; `loginctl enable-linger` keeps it while you are logged out")


@service_command.command("remove")
def remove() -> None:
    """Disable the service and remove the unit; running jobs go on.

    Examples:
      stoker service remove
    """
    path = _unit_path()
    if not path.exists():
        raise UserError(f"cannot remove the service: {path} is not there")
    _systemctl("disable", "--now", UNIT)
    path.unlink()
    _systemctl("daemon-reload")
    say(f"removed {path}")


def _unit_path() -> Path:
    if os.geteuid() == 0:
        return Path("/etc/systemd/system") / UNIT
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user" / UNIT


def _systemctl(*words: str) -> None:
    scope = [] if os.geteuid() == 0 else ["--user"]
    command = ["systemctl", *scope, *words]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(
            f"cannot run {' '.join(command)}: this machine has no systemd; "
            "start `stoker up` at boot in its own way"
        ) from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"cannot run {' '.join(command)}: {error.stderr.strip()}") from None
