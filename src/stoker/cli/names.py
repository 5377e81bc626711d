"""Slurm's names as programs: a directory of launchers to put on PATH.

A launcher is a script of four lines that our interpreter runs without site-packages: it puts the
folder of `cli.thin` on the path and runs it from its cached code. A main script is compiled each
time, so there is nothing more in it. The kernel's limit for a ``#!`` line, and blanks in it, are
got round by way of /bin/sh (execve(2)).
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from stoker.client.daemon import is_anothers
from stoker.core.errors import UserError

SLURM_NAMES = (
    *("sacct", "sacctmgr", "salloc", "sattach", "sbatch", "sbcast", "scancel", "scontrol"),
    *("sdiag", "seff", "sinfo", "sprio", "squeue", "sreport", "srun", "sshare", "sstat"),
    *("scrontab", "strigger"),
)

_SHEBANG_MAX = 127
"""Bytes of a ``#!`` line that every kernel takes (Linux before 5.1; 255 since)."""


def ensure_names(home: Path, names: tuple[str, ...] = SLURM_NAMES) -> Path:
    """Make the directory with Slurm's names under *home*, if it is not as it should be.

    Those of a home that is another user's are as that user has made them.

    Raises:
        UserError: It cannot be written.
    """
    directory = home / "bin"
    if is_anothers(home) and directory.is_dir():
        return directory
    text = launcher_text(Path(sys.executable), Path(__file__).parent)
    try:
        directory.mkdir(mode=_mode(), parents=True, exist_ok=True)
        for name in names:
            _ensure_launcher(directory / name, text)
    except OSError as error:
        raise UserError(
            f"cannot make Slurm's names in {directory}: {error.strerror}; "
            "set STOKER_HOME to a directory of your own"
        ) from None
    return directory


def _mode() -> int:
    """Return who may run the names: root's may be run by everybody who reaches its home."""
    return 0o700 if os.geteuid() else 0o755


def shell_lines(home: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Return lines for a POSIX shell that put Slurm's names on PATH; and STOKER_HOME, if set."""
    lines = [f"export PATH={shlex.quote(str(ensure_names(home)))}:$PATH"]
    if environment.get("STOKER_HOME"):
        lines.append(f"export STOKER_HOME={shlex.quote(str(home))}")
    return "".join(f"{line}\n" for line in lines)


def launcher_text(python: Path, folder: Path) -> bytes:
    """Return a launcher: its name, when it is run, says which command it is."""
    lines = [*_first_lines(os.fsencode(python)), b"import sys"]
    lines.append(b"sys.path.append(%s)" % ascii(str(folder)).encode())
    lines.append(b"import thin")
    lines.append(b"thin.main()")
    return b"\n".join(lines) + b"\n"


def _first_lines(python: bytes) -> list[bytes]:
    shebang = b"#!%s -IS" % python
    if len(shebang) <= _SHEBANG_MAX and not python.split()[1:]:
        return [shebang]
    if b"'" in python or b"\\" in python or b"\n" in python:
        raise UserError(
            f"cannot make launchers for {os.fsdecode(python)}: its path has a quote, a backslash "
            "or a newline; make the virtual environment elsewhere"
        )
    # A string to Python, and to sh the command that runs Python.
    return [b"#!/bin/sh", b"'''exec' '%s' -IS \"$0\" \"$@\"" % python, b"' '''"]


def _ensure_launcher(path: Path, text: bytes) -> None:
    """Write a launcher whole or not at all, and only if it differs."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == text and os.access(path, os.X_OK):
            return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _mode())
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        os.chmod(fresh, _mode())  # noqa: PTH101 - whatever the umask takes away
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
