"""`stoker service`: the queue as a service of systemd, so that it survives a reboot.

A user has one of their own. Root has one for every user of the machine, unless told otherwise: its
home is made so that all can reach its socket, and its settings say that it is shared.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

import stoker
from stoker.cli.names import ensure_names
from stoker.cli.people.screen import say
from stoker.client.daemon import own_home
from stoker.core.errors import UserError
from stoker.core.homes import SHARED_HOME, home_directory
from stoker.core.settings import load_settings

UNIT = "stoker.service"

# KillMode: stopping the daemon must not end the jobs. Delegate: their cgroups are ours to make.
# StartLimitIntervalSec: a database server may be away for longer than a few attempts take.
_TEXT = """\
[Unit]
Description=Stoker, a batch scheduler for one machine
Documentation=man:sbatch(1)
StartLimitIntervalSec=0

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
WantedBy={target}
"""


def unit_text(home: Path, python: str = sys.executable, *, is_system: bool = False) -> str:
    """Return the unit for a Stoker: one of the system, or of a user."""
    command = " ".join(map(_quoted, (python, "-I", "-m", "stoker.stokerd")))
    target = "multi-user.target" if is_system else "default.target"
    return _TEXT.format(command=command, home=_quoted(f"STOKER_HOME={home}"), target=target)


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
      sudo stoker service install        one for all users of the machine
      stoker service remove
    """


@service_command.command("install")
@click.option("--print", "only_print", is_flag=True, help="Only print the unit.")
@click.option(
    "--shared/--private",
    "is_shared",
    default=None,
    help="For root: serve all users of the machine, which is the default there, or root alone.",
)
def install(only_print: bool, is_shared: bool | None) -> None:
    """Write the unit, and start the service.

    Root's serves every user of the machine; its home is /var/lib/stoker, unless STOKER_HOME is set.

    Examples:
      stoker service install
      stoker service install --print
      sudo stoker service install
    """
    is_root = os.geteuid() == 0
    if is_shared and not is_root:
        raise UserError("cannot serve all users of the machine: only root can; use sudo")
    serves_all = is_root if is_shared is None else is_shared
    home = _shared_home() if serves_all else own_home("make a service of")
    text = unit_text(home, is_system=is_root)
    if only_print:
        say(text.removesuffix("\n"))
        return
    if serves_all:
        _prepare(home)
    path = _unit_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    say(f"wrote {path}")
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", UNIT)
    if serves_all:
        say(f"the service is enabled for all users; PATH={home / 'bin'}:$PATH gives them its names")
    elif not is_root:
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


def _shared_home() -> Path:
    return home_directory() if os.environ.get("STOKER_HOME") else SHARED_HOME


def _prepare(home: Path) -> None:
    """Make a home that all users can reach, and that says that it is theirs.

    Raises:
        UserError: They could not reach us, or the home is not, or not to be, such a one.
    """
    for program in (Path(sys.executable), Path(stoker.__file__)):
        _check_reach(program)
    try:
        for directory in (home, home / "bin"):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            # Another user's could be a link to what is not to be changed.
            if directory.lstat().st_uid != 0:
                raise UserError(f"cannot serve all users from {home}: it must be root's")
            directory.chmod(0o755)
        _declare(home / "stoker.toml")
    except OSError as error:
        raise UserError(f"cannot prepare {home}: {error.strerror}") from None
    ensure_names(home)
    if not load_settings(home).shared:
        raise UserError(
            f"cannot serve all users from {home}: its settings say that it is not shared; change "
            "`shared` in stoker.toml, or install it with --private"
        )


def _check_reach(program: Path) -> None:
    """Refuse what users could not run: their commands and shepherds are of our files."""
    for path in (program.resolve(), program.absolute()):
        for each in (path, *path.parents):
            if not each.stat().st_mode & (0o001 if each.is_dir() else 0o004):
                raise UserError(
                    f"cannot serve all users with {program}: others may not reach {each}; install "
                    "Stoker where all may read it, as in `python3 -m venv /opt/stoker`"
                )


def _declare(path: Path) -> None:
    """Have the settings say that the home is shared, unless they speak of it already."""
    if not path.exists():
        path.write_text("shared = true\n", encoding="utf-8")
        path.chmod(0o644)
        return
    # Its mode stays: there may be a password in it.
    text = path.read_text(encoding="utf-8")
    if not any(line.split("=")[0].strip() == "shared" for line in text.splitlines()):
        path.write_text(f"shared = true\n{text}", encoding="utf-8")


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
