"""Who may change what belongs to all: nodes, partitions, the account book, ranks of jobs.

Root and whoever runs the daemon; or, where the setting ``administrators`` names users, root and
these, so that the daemon's own user can be one among others.
"""

from __future__ import annotations

import os
from typing import Final

from stoker.core.errors import NotAllowed
from stoker.core.models import Owner
from stoker.core.settings import Settings

_ROOT: Final = 0


class Operators:
    """Tells operators from others."""

    def __init__(self, settings: Settings) -> None:
        """Take the names from *settings*."""
        names = (name.strip() for name in settings.administrators.split(","))
        self._names = frozenset(filter(None, names))

    def __contains__(self, by: object) -> bool:
        """Whether somebody is one."""
        if not isinstance(by, Owner):
            return False
        named = by.user_name in self._names if self._names else by.user_id == os.geteuid()
        return by.user_id == _ROOT or named

    def check(self, by: Owner, denied: str = "ESLURM_ACCESS_DENIED") -> None:
        """Raise, with the code *denied*, unless somebody is one."""
        if by not in self:
            who = ", ".join(sorted(self._names)) or "who runs stokerd"
            raise NotAllowed(
                f"cannot do that for {by.user_name}: only root and {who} may",
                denied,
            )
