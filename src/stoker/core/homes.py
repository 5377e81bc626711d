"""Where a Stoker stands: the directory that holds everything of it.

`cli.thin` finds it in the same way, without this module: change both together.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

SHARED_HOME = Path("/var/lib/stoker")
"""Where a Stoker that serves every user of the machine stands, unless ``STOKER_HOME`` says."""


def home_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory that holds everything.

    It is ``STOKER_HOME``, else that of the Stoker that serves all users, if there is one, else the
    user's own by XDG's rules.
    """
    if stated := environment.get("STOKER_HOME"):
        return Path(os.path.abspath(stated))  # noqa: PTH100 - resolve() would follow links
    if is_shared_home(SHARED_HOME):
        return SHARED_HOME
    if state := environment.get("XDG_STATE_HOME"):
        return Path(state) / "stoker"
    return Path(environment.get("HOME") or Path.home()) / ".local" / "state" / "stoker"


def is_shared_home(home: Path) -> bool:
    """Whether root has a Stoker in *home*: nobody else can lead all users' commands there."""
    try:
        return os.lstat(home).st_uid == 0 and stat.S_ISDIR(os.lstat(home / "run").st_mode)
    except OSError:
        return False
