"""How a program is run as a user: which ids it gets, and which environment.

A daemon that serves every user of the machine is root, and no user's program may be: ids are those
that the machine has on record for the user now, set in the child for good before it is anything of
the user's. A daemon of one user has no choice, and needs none.

Source: setreuid(2), initgroups(3), session-keyring(7).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from stoker.core.errors import NotAllowed
from stoker.core.models import Owner
from stoker.shepherd.privileges import leave_keys

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOT: Final = 0
_UMASK: Final = 0o077


def ids_of(owner: Owner) -> Mapping[str, Any]:
    """Return what `subprocess.Popen` needs to know to run a program as *owner*.

    If that is not who we are, this thread lets go of its session's keys: its children have them.

    Raises:
        NotAllowed: We are root, and the machine knows no such user (any more).
    """
    if os.geteuid() != _ROOT or owner.user_id == _ROOT:
        return {}
    try:
        entry = pwd.getpwuid(owner.user_id)
    except KeyError:
        raise NotAllowed(
            f"cannot run a program for {owner.user_name}: this machine has no user "
            f"{owner.user_id} any more"
        ) from None
    leave_keys()
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return {
        "user": entry.pw_uid,
        "group": entry.pw_gid,
        "extra_groups": groups,
        "umask": _UMASK,
    }


def surroundings_of(user_id: int) -> dict[str, str]:
    """Return the environment that a user's program gets, whatever ours is."""
    found = {"PATH": _PATH, "LANG": "C.UTF-8", "SHELL": "/bin/sh", "HOME": "/"}
    with suppress(KeyError):
        entry = pwd.getpwuid(user_id)
        found |= {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
    return found
