"""Giving up root: who was started by root for a user is that user from then on.

A shepherd that serves one user of a machine with many is started by root, reads its own code, and
then becomes its user before it touches anything of theirs: the home, the journal, paths of jobs.

Always holds: after `become` every id of this process is the user's, its groups are theirs, its keys
are nobody else's, and no capability is left by which any of it could be had back.

Source: setresuid(2), initgroups(3), capabilities(7), session-keyring(7).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

from stoker.shepherd.log import Refusal

_CAPABILITIES = ("CapPrm:", "CapEff:")
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
"""The number of keyctl(2) by machine; the C library has no function for it."""
_JOIN_SESSION_KEYRING = 1
_NEEDED = (sys.executable, os.__file__, __file__)
"""What is read once more when we begin anew: interpreter, its library, our own code."""


def become(user_id: int) -> None:
    """Be that user, in all of their groups and for good; who is it already, stays it.

    Raises:
        Refusal: There is no such user, they cannot read our code, or something was not given up.
    """
    if os.getresuid() != (user_id,) * 3:
        _give_up_all(user_id)
    if user_id:
        _check_is_all(user_id)
    for path in _NEEDED:
        if not os.access(path, os.R_OK):
            raise Refusal(
                f"cannot run jobs of user {user_id}: they cannot read {path}; install Python and "
                "Stoker where every user can read them"
            )


def _give_up_all(user_id: int) -> None:
    try:
        user = pwd.getpwuid(user_id)
    except KeyError:
        raise Refusal(
            f"cannot run jobs of user {user_id}: this machine has no user of that number"
        ) from None
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user_id, user_id, user_id)
    leave_keys()


def leave_keys() -> None:
    """Let go of the keys of the session that root was in; a kernel without keys has none."""
    if number := _KEYCTL.get(os.uname().machine):
        ctypes.CDLL(None).syscall(number, _JOIN_SESSION_KEYRING, None)


def _check_is_all(user_id: int) -> None:
    """See to it that nothing of root is left, and that it cannot be had back."""
    if os.getresuid() != (user_id,) * 3 or len(set(os.getresgid())) > 1:
        raise Refusal(f"cannot become user {user_id}: the kernel left us another's ids")
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        rights = [line.split()[1] for line in file if line.startswith(_CAPABILITIES)]
    if len(rights) != len(_CAPABILITIES) or any(int(each, 16) for each in rights):
        raise Refusal(f"cannot become user {user_id}: the kernel left us capabilities")
    try:
        os.setresuid(-1, 0, -1)
    except PermissionError:
        return
    raise Refusal(f"cannot become user {user_id}: root could be had back")
