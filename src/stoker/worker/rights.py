"""Who may do what to jobs, machine and daemon: the one place where it is decided.

- *The host* is root, and whoever runs the daemon: files and processes are theirs anyway.
- *Administrators* change what belongs to all: nodes, partitions, what holds for everybody. They are
  root and whom the setting ``administrators`` names (if it names nobody: who runs the daemon), and
  those to whom the account book gives that level.
- *Operators* change everybody's jobs. They are administrators, and those whom the book calls so.
- *Coordinators* of an account change the jobs that run under it or below it.
- Everybody else changes their own jobs.

Looking is free, but for what a job brought along: its script and its environment.

Source: slurmctld's ``validate_super_user``, ``validate_operator`` and
``assoc_mgr_is_user_acct_coord``, and where it asks them; codes as recorded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from stoker.core.accounts import Book
from stoker.core.errors import NotAllowed
from stoker.core.models import Job, Owner
from stoker.core.settings import Settings

_ROOT: Final = 0
_DENIED: Final = "ESLURM_ACCESS_DENIED"


class Rights:
    """Answers by the settings, and by the account book of the moment."""

    def __init__(self, settings: Settings, book: Callable[[], Book]) -> None:
        """Take names from *settings*, levels and coordinators from *book*."""
        names = (name.strip() for name in settings.administrators.split(","))
        self._names = frozenset(filter(None, names))
        self._is_shared = settings.shared
        self._book = book

    # Who somebody is.

    def serves(self, user_id: int) -> bool:
        """Whether a user may ask at all: a user's own daemon serves its user, and root."""
        return self._is_shared or user_id in (_ROOT, os.geteuid())

    def is_host(self, by: Owner) -> bool:
        """Whether somebody is root, or runs the daemon."""
        return by.user_id in (_ROOT, os.geteuid())

    def is_administrator(self, by: Owner) -> bool:
        """Whether somebody may change what belongs to all."""
        named = by.user_name in self._names if self._names else by.user_id == os.geteuid()
        return by.user_id == _ROOT or named or self._level(by) == "Administrator"

    def is_operator(self, by: Owner) -> bool:
        """Whether somebody may change everybody's jobs."""
        return self.is_administrator(by) or self._level(by) == "Operator"

    def _level(self, by: Owner) -> str:
        user = self._book().users.get(by.user_name)
        return user.admin_level if user is not None else "None"

    def may_submit_for(self, owner: Owner, by: Owner) -> bool:
        """Whether somebody may submit a job that runs as *owner*: root, where all are served."""
        return owner.user_id == by.user_id or (by.user_id == _ROOT and self.serves(owner.user_id))

    # What they may do to a job.

    def may_operate(self, job: Job, by: Owner) -> bool:
        """Whether somebody may do to a job what its owner may not: as operator or coordinator."""
        return self.is_operator(by) or self._book().is_coordinator(by.user_name, job.spec.account)

    def may_change(self, job: Job, by: Owner) -> bool:
        """Whether somebody may end, signal, hold or change a job."""
        return by.user_id == job.owner.user_id or self.is_host(by) or self.may_operate(job, by)

    def may_read(self, job: Job, by: Owner) -> bool:
        """Whether somebody may read what a job brought along: its script and its environment."""
        return by.user_id == job.owner.user_id or self.is_host(by) or self.is_operator(by)

    def may_attend(self, job: Job, by: Owner) -> bool:
        """Whether somebody may look on at what runs in a job, and bring it files."""
        return by.user_id == job.owner.user_id or self.is_host(by)

    # Raising where they may not.

    def check_change(self, job: Job, by: Owner, denied: str = _DENIED) -> None:
        """Raise, with the code *denied*, unless somebody may change a job."""
        if not self.may_change(job, by):
            raise NotAllowed(
                f"cannot change job {job.display_id} for {by.user_name}: "
                f"it belongs to {job.owner.user_name}",
                denied,
            )

    def check_owner(self, job: Job, by: Owner) -> None:
        """Raise unless a job is somebody's own: what runs in it gets their terminal."""
        if by.user_id != job.owner.user_id:
            raise NotAllowed(
                f"cannot begin a step in job {job.display_id} for {by.user_name}: "
                f"it belongs to {job.owner.user_name}",
                _DENIED,
            )

    def check_trigger(self, owner: Owner, by: Owner) -> None:
        """Raise unless somebody may remove a trigger of *owner*: their own, or root anybody's."""
        if by.user_id not in (_ROOT, owner.user_id):
            raise NotAllowed(
                f"cannot clear a trigger for {by.user_name}: it belongs to {owner.user_name}",
                _DENIED,
            )

    def check_operator(self, by: Owner, denied: str = _DENIED) -> None:
        """Raise, with the code *denied*, unless somebody is an operator."""
        if not self.is_operator(by):
            raise self._not_allowed(by, denied)

    def check_administrator(self, by: Owner, denied: str = _DENIED) -> None:
        """Raise, with the code *denied*, unless somebody is an administrator."""
        if not self.is_administrator(by):
            raise self._not_allowed(by, denied)

    def check_keeper(self, by: Owner) -> None:
        """Raise unless somebody may stop and examine the daemon."""
        if not self.is_host(by):
            self.check_administrator(by)

    def check_host(self, by: Owner, what: str) -> None:
        """Raise unless somebody is the host: *what* is done with the daemon's own rights."""
        if not self.is_host(by):
            raise NotAllowed(
                f"cannot {what} for {by.user_name}: only root and who runs stokerd may", _DENIED
            )

    def _not_allowed(self, by: Owner, denied: str) -> NotAllowed:
        who = ", ".join(sorted(self._names)) or "who runs stokerd"
        return NotAllowed(
            f"cannot do that for {by.user_name}: only root and {who} may, and those to whom the "
            "account book gives an admin level",
            denied,
        )
