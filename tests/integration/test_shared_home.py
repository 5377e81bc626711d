"""What a Stoker that serves every user demands of its home, of root, and of itself."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stoker.core.errors import UserError
from stoker.worker.layout import lay_out_shared
from support.shared_stoker import SharedStoker
from support.world import ALICE, BOB, STAFF, in_a_world

BECOME = """
import os, sys
from stoker.shepherd import privileges
privileges._NEEDED = tuple(sys.argv[2:])
try:
    privileges.become(int(sys.argv[1]))
except privileges.Refusal as refusal:
    print(refusal)
else:
    print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))
"""


def become(user_id: int, *needed: str) -> str:
    """Return what comes of becoming a user, who then needs to read some files."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", BECOME, str(user_id), *needed],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def refusal(home: Path) -> str:
    try:
        lay_out_shared(home)
    except UserError as error:
        return str(error)
    return ""


# Giving up root.


@in_a_world
def test_who_becomes_a_user_has_their_ids_and_groups_and_nothing_else() -> None:
    assert become(ALICE) == f"{(ALICE,) * 3} {(ALICE,) * 3} {[ALICE, STAFF]}"
    assert become(0).startswith("(0, 0, 0)")


@in_a_world
def test_who_cannot_read_our_code_is_not_served_and_it_says_so() -> None:
    secret = Path("/srv/secret")
    secret.write_text("code")
    secret.chmod(0o600)
    assert become(ALICE, "/bin/sh", str(secret)) == (
        f"cannot run jobs of user {ALICE}: they cannot read {secret}; install Python and Stoker "
        "where every user can read them"
    )


@in_a_world
def test_nobody_becomes_a_user_who_does_not_exist() -> None:
    assert "no user of that number" in become(4711)


KEYS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
keyctl = lambda *words: libc.syscall(privileges._KEYCTL[os.uname().machine], *words)
from stoker.shepherd import privileges
try:
    before = keyctl(0, -3, 1)
    privileges._NEEDED = ()
    privileges.become(2001)
    print(before > 0, keyctl(0, -3, 0) not in (before, -1))
except KeyError:
    print("True True")
"""


@in_a_world
def test_the_keys_of_roots_session_are_left_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", KEYS], capture_output=True, text=True, check=True
    )
    if done.stdout.startswith("False"):
        pytest.skip("this kernel keeps no keys")
    assert done.stdout == "True True\n"


# The home.


@in_a_world
def test_the_home_is_laid_out_for_all_and_only_root_changes_it() -> None:
    home = Path("/srv/new/stoker")
    before = os.umask(0o077)
    Path("/srv/new").mkdir(0o755)
    Path("/srv/new").chmod(0o755)
    lay_out_shared(home)
    os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *sorted(home.iterdir()))
    }
    assert modes == {
        "stoker": 0o755,
        "archive": 0o700,
        "backups": 0o700,
        "log": 0o700,
        "run": 0o755,
        "spool": 0o711,
        "users": 0o711,
    }
    assert refusal(home) == ""


@in_a_world
def test_a_home_that_others_can_change_or_cannot_reach_is_refused() -> None:
    Path("/srv/open").mkdir()
    Path("/srv/open").chmod(0o777)
    assert "others than root can change /srv/open" in refusal(Path("/srv/open/stoker"))
    Path("/srv/closed").mkdir(0o700)
    assert "cannot pass through /srv/closed; `chmod o+x" in refusal(Path("/srv/closed/stoker"))
    Path("/srv/alices").mkdir()
    os.chown("/srv/alices", ALICE, ALICE)
    assert f"it is user {ALICE}'s" in refusal(Path("/srv/alices"))
    # In a directory like /tmp nobody can take away what is root's.
    assert refusal(Path("/tmp/stoker")) == ""
    Path("/tmp/stoker/users").chmod(0o777)
    assert "must be root's alone" in refusal(Path("/tmp/stoker"))


@in_a_world
def test_a_link_in_the_home_is_not_followed_to_what_is_not_roots() -> None:
    lay_out_shared(Path("/srv/stoker"))
    Path("/srv/stoker/log").rmdir()
    Path("/srv/stoker/log").symlink_to("/home/alice")
    assert f"user {ALICE}'s" in refusal(Path("/srv/stoker"))


@in_a_world
def test_only_root_serves_every_user() -> None:
    home = Path("/home/alice/stoker")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "stoker.stokerd", "--set=shared=true"],
        env={"STOKER_HOME": str(home), "PATH": os.environ["PATH"]},
        user=ALICE,
        group=ALICE,
        extra_groups=[],
        stderr=subprocess.PIPE,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "only root can, and stokerd runs as user 2001; start it with sudo" in done.stderr


# Users' directories.


@in_a_world
def test_a_users_directory_that_is_anothers_is_not_used_and_one_never_given_is_given() -> None:
    with SharedStoker() as stoker:
        theirs = stoker.users_home(ALICE)
        theirs.mkdir()
        os.chown(theirs, BOB, BOB)
        job_id = stoker.sbatch("alice", "true")
        stoker.wait_for(stoker.sbatch("bob", "true"), "COMPLETED")
        assert f"belongs to user {BOB}" in stoker.job(job_id)["message"]
        os.chown(theirs, 0, 0)
        stoker.wait_for(job_id, "COMPLETED")
        assert (theirs.stat().st_uid, stat.S_IMODE(theirs.stat().st_mode)) == (ALICE, 0o755)
