"""How the home of a Stoker that serves every user is laid out: what is root's, and what is reached.

    home            0755   everybody finds the socket, the commands, maybe the settings
    run             0755   the socket, and the lock
    spool           0711   scripts: users execute theirs by path, and list nobody's
    users           0711   a directory for each user, theirs alone: the home of their shepherd
    log, backups, archive  0700   and the records: root's alone

Always holds: nobody but root can make, change or replace anything here, outside of their own
directory below ``users``; so root may use paths in it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from stoker.core.errors import UserError

_MODES: Final = {
    "run": 0o755,
    "spool": 0o711,
    "spool/scripts": 0o711,
    "users": 0o711,
    "log": 0o700,
    "backups": 0o700,
    "archive": 0o700,
}
_HOME_MODE: Final = 0o755
_OTHERS_WRITE: Final = 0o022
_OTHERS_PASS: Final = 0o001


def check_is_root() -> None:
    """Refuse to serve every user without the means to.

    Raises:
        UserError: We are not root.
    """
    if os.geteuid():
        raise UserError(
            "cannot serve every user of the machine: only root can, and stokerd runs as user "
            f"{os.geteuid()}; start it with sudo, or leave the setting `shared` out"
        )


def lay_out_shared(home: Path) -> None:
    """Make the directories as they must be; what is there is given its mode.

    Raises:
        UserError: Somebody else could change what stands there, or users cannot get to it.
    """
    check_is_root()
    os.umask(0o077)
    home.mkdir(mode=_HOME_MODE, parents=True, exist_ok=True)
    for directory in home.resolve().parents:
        _check_way(home, directory)
    _own(home, _HOME_MODE)
    for name, mode in _MODES.items():
        path = home / name
        path.mkdir(exist_ok=True)
        _own(path, mode)


def _check_way(home: Path, directory: Path) -> None:
    """See to it that all users can pass through a directory, and none can replace what is in it."""
    status = directory.stat()
    is_sticky = bool(status.st_mode & stat.S_ISVTX)
    if status.st_uid or (status.st_mode & _OTHERS_WRITE and not is_sticky):
        raise UserError(
            f"cannot serve every user from {home}: others than root can change {directory}; "
            "choose another STOKER_HOME"
        )
    if not status.st_mode & _OTHERS_PASS:
        raise UserError(
            f"cannot serve every user from {home}: they cannot pass through {directory}; "
            f"`chmod o+x {directory}`, or choose another STOKER_HOME"
        )


def _own(path: Path, mode: int) -> None:
    """Give a directory its mode; refuse one that was not root's alone until now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid or status.st_mode & _OTHERS_WRITE:
            raise UserError(
                f"cannot serve every user from {path}: it is user {status.st_uid}'s with mode "
                f"{stat.S_IMODE(status.st_mode):04o}, and must be root's alone; "
                f"`chown root {path}; chmod {mode:o} {path}`, or choose another STOKER_HOME"
            )
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
