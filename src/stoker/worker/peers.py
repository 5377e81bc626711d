"""Who is at the other end: what the kernel says (SO_PEERCRED, unix(7)), never what is claimed."""

from __future__ import annotations

import grp
import pwd
import socket
import struct
from functools import lru_cache

from stoker.core.models import Owner

_CREDENTIALS = struct.Struct("iII")


def owner_of(peer: socket.socket) -> Owner:
    """Return who opened the other end of a unix socket."""
    content = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user_id, group_id = _CREDENTIALS.unpack(content)
    return Owner(user_id, user_name(user_id), group_id, group_name(group_id))


def pid_of(peer: socket.socket) -> int:
    """Return the process that opened the other end of a unix socket; 0 if it is not visible."""
    content = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(content)[0])


@lru_cache(maxsize=1024)
def user_name(user_id: int) -> str:
    """Return a user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


@lru_cache(maxsize=1024)
def group_name(group_id: int) -> str:
    """Return a group's name, or the number where there is none."""
    try:
        return grp.getgrgid(group_id).gr_name
    except KeyError:
        return str(group_id)


@lru_cache(maxsize=1024)
def full_name(name: str) -> str:
    """Return what the user of that name is called, as finger(1) tells; "" if nobody says."""
    try:
        return pwd.getpwnam(name).pw_gecos.partition(",")[0]
    except (KeyError, ValueError):
        return ""


def user_id(name: str) -> int | None:
    """Return the id of the user of that name; None if there is none."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None
