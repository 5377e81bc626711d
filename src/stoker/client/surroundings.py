"""Where the submitter stands: directory, environment, umask and limits of this process."""

from __future__ import annotations

import os
import pwd
import resource
from pathlib import Path

from stoker.core.errors import UserError
from stoker.core.messages import Surroundings
from stoker.core.wire import RLIMIT_NAMES


def look_around() -> Surroundings:
    """Return the surroundings of this process, as a job is to find them.

    Raises:
        UserError: The current directory is gone.
    """
    try:
        work_dir = str(Path.cwd())
    except OSError as error:
        raise UserError(
            f"cannot submit from here: the current directory is gone ({error.strerror}); cd first"
        ) from None
    return Surroundings.of(work_dir, _environment(), _umask(), _rlimits())


def _environment() -> list[str]:
    """Return our variables, but for the one that Python itself put there (PEP 538)."""
    variables = dict(os.environ)
    if variables.get("LC_CTYPE") == "C.UTF-8" and not _was_given(b"LC_CTYPE="):
        del variables["LC_CTYPE"]
    return [f"{name}={value}" for name, value in variables.items()]


def _was_given(prefix: bytes) -> bool:
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return True
    return any(entry.startswith(prefix) for entry in entries)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _rlimits() -> dict[str, tuple[int, int]]:
    return {name: resource.getrlimit(number) for number, name in enumerate(RLIMIT_NAMES)}


def own_user_name() -> str:
    """Return the user's name as the daemon knows it: the number where there is no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
