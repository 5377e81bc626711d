"""The ways to a shepherd: reach the one that is there, start one where none is.

`OwnAccess` is for a Stoker of one user. `UserAccess` is root's to the shepherd of one user of many.
That user is master of all that stands below their home: of the socket, of the directory in which it
stands, of the process behind it. So root makes nothing there and opens nothing: no link is followed
on the way to the socket, each step must belong to the user, and what answers must run as them, as
the kernel says. Whoever else stands there is not spoken to.

Source: open(2), O_PATH and O_NOFOLLOW; unix(7), SO_PEERCRED.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import signal
import socket
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Protocol

from stoker.core import processes
from stoker.core.errors import EngineError
from stoker.engines.channel import Channel, Flow, give_up_after, reach
from stoker.engines.starting import start_shepherd

log = logging.getLogger(__name__)

_STEP: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_CONNECT_TIMEOUT_S: Final = 5
_FRAME_MAX: Final = 8 << 20
_BURST, _A_SECOND = 32 << 20, 4 << 20
"""Bytes that a user's shepherd may say: a thousand ends of jobs are a third of a megabyte."""

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_KEPT: Final = ("PATH", "LANG", "TZ", "STOKER_TEST_MODE", "STOKER_FAILPOINTS")
"""What a user's shepherd gets of our environment."""


class Access(Protocol):
    """The way to one shepherd.

    Attributes:
        user_id: Whom it serves, if not whoever runs us.
        name: What it is called in messages.
    """

    user_id: int | None
    name: str

    def reach(self) -> Channel:
        """Return a connection to the shepherd that is there.

        Raises:
            OSError: Nobody answers.
            EngineError: Somebody else does.
        """
        ...

    def start(self, *, with_failpoints: bool) -> int:
        """Start one and return its pid once it listens.

        Raises:
            EngineError: It does not start; the text says why.
        """
        ...

    def end(self, pid: int) -> None:
        """End a shepherd that has not answered for long, so that another can take its place."""
        ...


class OwnAccess:
    """The way to the shepherd of whoever runs us."""

    user_id = None

    def __init__(self, home: Path, *, cgroup: str, environment: Mapping[str, str]) -> None:
        """Find, or start, the shepherd of *home*."""
        self.name = f"of {home}"
        self._home = home
        self._cgroup = cgroup
        self._environment = environment

    def reach(self) -> Channel:
        """Return a connection to the shepherd that is there."""
        return reach(self._home)

    def start(self, *, with_failpoints: bool) -> int:
        """Start one and return its pid once it listens."""
        return start_shepherd(
            self._home,
            cgroup=self._cgroup,
            environment=self._environment,
            with_failpoints=with_failpoints,
        )

    def end(self, pid: int) -> None:
        """Leave it alone: who runs us sees it, and may look into it."""


class UserAccess:
    """Root's way to the shepherd of one user."""

    def __init__(
        self, home: Path, user_id: int, *, cgroup: str, environment: Mapping[str, str]
    ) -> None:
        """Find, or start, the shepherd of *user_id* for the shared Stoker in *home*."""
        self.user_id: int | None = user_id
        self.name = f"of user {user_id}"
        self._user_id = user_id
        self._users = home / "users"
        self._log = home / "log" / f"shepherd-{user_id}.log"
        self._cgroup = cgroup
        self._environment = environment
        # All connections share it: who connects us anew may not say more for that.
        self._flow = Flow(_BURST, _A_SECOND)

    def reach(self) -> Channel:
        """Return a connection to the shepherd that is there, which runs as its user."""
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with ExitStack() as undo:
            undo.callback(connecting.close)
            # Who listens and accepts nobody does not keep us waiting for ever.
            give_up_after(connecting, _CONNECT_TIMEOUT_S)
            self._connect(connecting)
            channel = Channel(connecting, frame_max=_FRAME_MAX, flow=self._flow)
            undo.callback(channel.close)
            self._check_peer(channel)
            undo.pop_all()
        return channel

    def _connect(self, connecting: socket.socket) -> None:
        """Connect to that very socket which was looked at: no path is read twice."""
        with ExitStack() as stack:
            place = os.open(self._users, _STEP | os.O_DIRECTORY)
            stack.callback(os.close, place)
            theirs = os.stat(str(self._user_id), dir_fd=place, follow_symlinks=False)
            if self._is_nobodys_yet(theirs):
                raise ConnectionRefusedError(errno.ECONNREFUSED, "it was never given to the user")
            for name in (str(self._user_id), "run"):
                place = os.open(name, _STEP | os.O_DIRECTORY, dir_fd=place)
                stack.callback(os.close, place)
                self._check_owner(place, name)
            place = os.open("shepherd.sock", _STEP, dir_fd=place)
            stack.callback(os.close, place)
            self._check_owner(place, "shepherd.sock")
            if not stat.S_ISSOCK(os.fstat(place).st_mode):
                raise ConnectionRefusedError(errno.ECONNREFUSED, "it is no socket")
            connecting.connect(f"/proc/self/fd/{place}")

    def _is_nobodys_yet(self, directory: os.stat_result) -> bool:
        """Whether a user's directory was made and not given to them: we died in between."""
        return directory.st_uid == os.geteuid() != self._user_id

    def _check_owner(self, place: int, name: str) -> None:
        owner = os.fstat(place).st_uid
        if owner != self._user_id:
            raise EngineError(
                f"cannot reach the shepherd of user {self._user_id}: {name} in their directory "
                f"belongs to user {owner}"
            )

    def _check_peer(self, channel: Channel) -> None:
        found = channel.peer.user_id
        if found != self._user_id:
            raise EngineError(
                f"cannot reach the shepherd of user {self._user_id}: user {found} answers there"
            )

    def start(self, *, with_failpoints: bool) -> int:
        """Start one, which becomes the user, and return its pid once it listens."""
        try:
            user = pwd.getpwuid(self._user_id)
        except KeyError:
            raise EngineError(
                f"cannot run jobs of user {self._user_id}: this machine has no user of that "
                "number; make one, or cancel the jobs"
            ) from None
        try:
            self._make_home(user.pw_gid)
        except OSError as error:
            raise EngineError(
                f"cannot make a directory for user {self._user_id} in {self._users}: "
                f"{error.strerror}"
            ) from None
        environment = {name: self._environment.get(name, "") for name in _KEPT}
        environment |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
        environment |= {"SHELL": user.pw_shell or "/bin/sh", "PATH": environment["PATH"] or _PATH}
        return start_shepherd(
            self._users / str(self._user_id),
            cgroup=self._cgroup,
            environment=environment,
            with_failpoints=with_failpoints,
            user_id=self._user_id,
            log=self._log,
        )

    def end(self, pid: int) -> None:
        """End a shepherd that has not answered for long; its jobs go on, and fall to us.

        While it hangs its user's jobs would hold what they hold, whatever their time limits say.
        """
        process = processes.identify(pid)
        if process is not None and processes.real_user_of(pid) == self._user_id:
            log.warning("shepherd %d of user %d does not answer: it is ended", pid, self._user_id)
            processes.send_signal(process, signal.SIGKILL)

    def _make_home(self, group_id: int) -> None:
        """Make the user's directory, in ours, and give it to them; what is there stays.

        Raises:
            EngineError: It is somebody else's.
        """
        with ExitStack() as stack:
            users = os.open(self._users, _STEP | os.O_DIRECTORY)
            stack.callback(os.close, users)
            name = str(self._user_id)
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=users)
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=users)
            stack.callback(os.close, made)
            if self._is_nobodys_yet(os.fstat(made)):
                os.fchown(made, self._user_id, group_id)
            self._check_owner(made, "what is")
