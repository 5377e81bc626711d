"""Who is at the other end: what the kernel says (SO_PEERCRED, unix(7)), never what is claimed.

Names are looked up where the machine keeps them, and remembered for a minute: a user who has come,
gone or been renamed meanwhile is known by the right name soon enough, and never by a wrong one for
ever.
"""

from __future__ import annotations

import grp
import pwd
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from stoker.core.models import Owner

K = TypeVar("K")
V = TypeVar("V")

_CREDENTIALS = struct.Struct("iII")
_KEPT_S: Final = 60.0
_KEPT_MAX: Final = 1024
_DIGITS_MAX: Final = 10
_ID_MAX: Final = 2**32 - 2
"""The largest id that the kernel knows: one more stands for none."""


class Remembered(Generic[K, V]):
    """A function whose answers count for a while: each may cost a question to a directory."""

    def __init__(self, ask: Callable[[K], V], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._known: dict[K, tuple[float, V]] = {}

    def __call__(self, key: K) -> V:
        """Return the answer, at most a minute old."""
        now = self._clock()
        found = self._known.get(key)
        if found is None or found[0] <= now:
            if len(self._known) >= _KEPT_MAX:
                self._known.clear()
            found = self._known[key] = (now + _KEPT_S, self._ask(key))
        return found[1]


def owner_of(peer: socket.socket) -> Owner:
    """Return who opened the other end of a unix socket."""
    content = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user_id, group_id = _CREDENTIALS.unpack(content)
    return Owner(user_id, user_name(user_id), group_id, group_name(group_id))


def user_id_of(peer: socket.socket) -> int:
    """Return the user who opened the other end of a unix socket, without looking up a name."""
    content = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(content)[1])


def pid_of(peer: socket.socket) -> int:
    """Return the process that opened the other end of a unix socket; 0 if it is not visible."""
    content = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(content)[0])


def _user_name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def _group_name(group_id: int) -> str:
    try:
        return grp.getgrgid(group_id).gr_name
    except KeyError:
        return str(group_id)


def _entry(name: str) -> pwd.struct_passwd | None:
    with suppress(KeyError, ValueError):
        return pwd.getpwnam(name)
    with suppress(KeyError, ValueError):
        return pwd.getpwuid(_number(name))
    return None


def _group_id(name: str) -> int | None:
    with suppress(KeyError, ValueError):
        return grp.getgrnam(name).gr_gid
    with suppress(KeyError, ValueError):
        return grp.getgrgid(_number(name)).gr_gid
    return None


def _number(text: str) -> int:
    """Return the id that a text is.

    Raises:
        ValueError: It is none.
    """
    is_number = len(text) <= _DIGITS_MAX and text.isascii() and text.isdecimal()
    if not is_number or int(text) > _ID_MAX:
        raise ValueError(text)
    return int(text)


user_name: Final = Remembered(_user_name)
"""Gives a user's name, or the number where there is none."""
group_name: Final = Remembered(_group_name)
"""Gives a group's name, or the number where there is none."""
group_id: Final = Remembered(_group_id)
"""Gives the id of the group of that name, or number; None if there is none."""
_entry_of: Final = Remembered(_entry)


def full_name(name: str) -> str:
    """Return what the user of that name is called, as finger(1) tells; "" if nobody says."""
    entry = _entry_of(name)
    return entry.pw_gecos.partition(",")[0] if entry is not None else ""


def home_of(name: str) -> str:
    """Return the home directory of the user of that name; "" if nobody says."""
    entry = _entry_of(name)
    return entry.pw_dir if entry is not None else ""


def user_id(name: str) -> int | None:
    """Return the id of the user of that name; None if there is none."""
    entry = _entry_of(name)
    return entry.pw_uid if entry is not None else None


def owner_named(name: str) -> Owner | None:
    """Return the user of that name, or number, in their own group; None if there is none."""
    entry = _entry_of(name)
    if entry is None:
        return None
    return Owner(entry.pw_uid, entry.pw_name, entry.pw_gid, group_name(entry.pw_gid))
