"""Who asks, by the names that the machine has for them now."""

from __future__ import annotations

import grp
import os
import pwd
import socket

from stoker.worker import peers
from stoker.worker.peers import Remembered


def test_the_kernel_says_who_is_at_the_other_end():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        owner = peers.owner_of(ours)
        assert (owner.user_id, owner.group_id) == (os.geteuid(), os.getegid())
        assert owner.user_name == peers.user_name(os.geteuid())
        assert peers.user_id_of(ours) == os.geteuid()
        assert peers.pid_of(ours) == os.getpid()


def test_a_name_is_asked_for_again_after_a_minute():
    names = {5: "old"}
    now = 100.0
    ask = Remembered(names.__getitem__, lambda: now)
    assert ask(5) == "old"
    names[5] = "new"
    now += 59
    assert ask(5) == "old"
    now += 1
    assert ask(5) == "new"


def test_no_more_answers_are_remembered_than_there_is_room_for():
    asked = []
    ask = Remembered(asked.append, lambda: 0.0)
    for key in [*range(1025), 0]:
        ask(key)
    assert asked == [*range(1025), 0]


def test_who_has_no_name_is_a_number():
    assert peers.user_name(3_999_999_999) == "3999999999"
    assert peers.group_name(3_999_999_999) == "3999999999"
    assert peers.user_id("no such user") is None
    assert peers.owner_named("no\0such") is None
    assert peers.home_of("no such user") == ""


def test_a_user_is_found_by_name_in_their_own_group():
    entry = pwd.getpwuid(0)
    root = peers.owner_named(entry.pw_name)
    assert root is not None
    assert (root.user_id, root.group_id) == (0, entry.pw_gid)
    assert peers.home_of(entry.pw_name) == entry.pw_dir
    assert peers.owner_named("0") == root


def test_a_group_is_found_by_name_or_by_number():
    entry = grp.getgrgid(0)
    assert peers.group_id(entry.gr_name) == peers.group_id("0") == 0
    unknown = (
        "no such group",
        "no\0such",
        "",
        "-1",
        "3999999999",
        "4294967296",
        "\N{SUPERSCRIPT TWO}",
        "9" * 5000,
    )
    assert [peers.group_id(name) for name in unknown] == [None] * len(unknown)
    assert [peers.owner_named(name) for name in unknown] == [None] * len(unknown)


def test_ids_have_as_many_digits_as_the_kernel_lets_them(monkeypatch):
    """Directories give numbers from the thousands of millions."""
    user = pwd.struct_passwd(("ada", "x", 1_893_456_789, 4_294_967_294, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", {user.pw_uid: user}.__getitem__)
    group = grp.struct_group(("far", "x", user.pw_gid, []))
    monkeypatch.setattr(grp, "getgrgid", {group.gr_gid: group}.__getitem__)
    owner = peers.owner_named("1893456789")
    assert owner is not None
    assert owner.user_name == "ada"
    assert peers.group_id("4294967294") == user.pw_gid
