"""Programs that deliver notices: how they are called, tried again, and given up."""

from __future__ import annotations

import os
import pwd
import tempfile
import time
from pathlib import Path
from threading import Event

import pytest

from stoker.core.database import Database
from stoker.core.errors import StoreFull
from stoker.core.models import Owner
from stoker.core.notices import Notice
from stoker.core.noticestore import NoticeStore
from stoker.worker import courier
from stoker.worker.courier import Courier
from support.engine import until

ME = Owner(os.geteuid(), "me", os.getegid(), "")


@pytest.fixture
def store(tmp_path: Path):
    with Database.at(tmp_path / "stoker.db") as database:
        yield NoticeStore(database)


@pytest.fixture
def add(store):
    def adding(*argv: str, event_id="e.1", **fields):
        with store._database.transaction() as connection:
            notice = Notice(event_id=event_id, argv=argv, **{"owner": ME, **fields})
            store.add(connection, notice, time.time())

    return adding


@pytest.fixture
def script(tmp_path: Path):
    def making(text: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return making


def settled(store):
    until(lambda: store.next_due_at() is None, "the end of all notices")


def test_a_program_gets_words_as_they_are_its_input_and_a_fixed_environment(
    store, add, script, tmp_path, monkeypatch
):
    monkeypatch.setenv("LD_PRELOAD", "/nowhere")
    monkeypatch.setenv("BASH_ENV", "/nowhere")
    out = tmp_path / "out"
    program = script(f'printf "%s\\n" "$@" >{out}; cat >>{out}; env >>{out}; pwd >>{out}')
    hostile = "$(touch /tmp/x) `id`; 'a' \"b\"\nsecond"
    add(program, "-s", hostile, stdin="input\n", variables={"SLURM_JOB_NAME": hostile})
    with Courier(store):
        settled(store)
    text = out.read_text()
    assert text.startswith(f"-s\n{hostile}\ninput\n")
    assert "STOKER_EVENT_ID=e.1\n" in text
    assert text.endswith("\n/\n")
    assert "nowhere" not in text


def test_a_failure_is_tried_again_under_the_same_id_and_then_given_up(store, add, script, tmp_path):
    out = tmp_path / "out"
    add(script(f'echo "$STOKER_EVENT_ID" >>{out}; exit 1'))
    with Courier(store, pauses_s=(0.01, 0.01)):
        settled(store)
    assert out.read_text() == "e.1\n" * 3


def test_what_is_to_be_tried_again_outlives_the_courier(store, add, script, tmp_path):
    out = tmp_path / "out"
    add(script(f"echo once >>{out}; exit 1"))
    with Courier(store, pauses_s=(0.2, 0.01)):
        until(out.exists, "the first try")
    with Courier(store, pauses_s=(0.01, 0.01)):
        settled(store)
    assert len(out.read_text().splitlines()) >= 2


def test_a_program_that_hangs_is_ended_and_delays_nobody_for_long(store, add, script):
    add(script("sleep 60"))
    with Courier(store, pauses_s=(), limit_s=0.1):
        settled(store)


@pytest.mark.parametrize("argv", [("/no/such/program",), ("/",), ("nul\0byte",)])
def test_a_program_that_cannot_be_run_harms_nobody(store, add, argv):
    add(*argv)
    add("/bin/true", event_id="e.2")
    with Courier(store, pauses_s=()):
        settled(store)


def test_an_event_is_told_once(store, add, script, tmp_path):
    out = tmp_path / "out"
    program = script(f"echo once >>{out}")
    with Courier(store) as courier:
        for _ in range(2):
            add(program)
            courier.wake()
            settled(store)
    assert out.read_text() == "once\n"


def test_what_is_not_due_waits(store, add):
    add("/bin/true", due_at=time.time() + 3600)
    assert store.due(time.time(), 10) == {}
    assert store.next_due_at() is not None


def test_what_was_delivered_is_not_delivered_again_while_that_cannot_be_recorded(
    store, add, script, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    add(script(f"echo once >>{out}"))
    failures = [StoreFull("no room")] * 3
    put_off = store.put_off

    def failing(notice):
        if failures:
            raise failures.pop()
        put_off(notice)

    monkeypatch.setattr(store, "put_off", failing)
    with Courier(store, pauses_s=(0.02,)):
        settled(store)
    assert (out.read_text(), failures) == ("once\n", [])


# As whom.


@pytest.fixture
def open_file():
    """Make a file that everybody may write; programs run as others cannot reach pytest's."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "out"
        path.touch()
        path.chmod(0o666)
        yield path


def owner_of(name: str) -> Owner:
    entry = pwd.getpwnam(name)
    return Owner(entry.pw_uid, name, entry.pw_gid, "")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@as_root
def test_a_users_program_never_runs_as_root(store, add, open_file):
    asks = "id -u; id -ru; id -g; id -G; echo $HOME $USER; grep CapEff /proc/self/status"
    nobody = owner_of("nobody")
    add("/bin/sh", "-c", f"({asks}) >{open_file}", owner=nobody)
    with Courier(store):
        settled(store)
    user_id, real_id, group_id, groups, names, capabilities = open_file.read_text().splitlines()
    assert (int(user_id), int(real_id), int(group_id)) == (65534, 65534, nobody.group_id)
    assert set(map(int, groups.split())) == set(os.getgrouplist("nobody", nobody.group_id))
    assert names.split()[-1] == "nobody"
    assert int(capabilities.split()[-1], 16) == 0


@as_root
def test_a_user_that_is_gone_and_one_that_is_not_known_run_nothing(store, add, open_file):
    words = ("/bin/sh", "-c", f"id >>{open_file}")
    add(*words, owner=Owner(3_999_999_999, "gone", 1, ""))
    add(*words, event_id="trigger.1.7.1", owner=None)
    add(*words, event_id="mail.7.0.END", owner=None)
    with Courier(store, pauses_s=()):
        settled(store)
    assert open_file.read_text() == ""


def test_the_administrators_hook_runs_as_the_daemon(store, add, open_file):
    add("/bin/sh", "-c", f"id -u >{open_file}", event_id="notify.7.0.END", owner=None)
    with Courier(store):
        settled(store)
    assert open_file.read_text() == f"{os.geteuid()}\n"


@as_root
def test_slow_programs_of_one_user_do_not_keep_anothers_waiting(store, add, open_file):
    for number in range(20):
        add("/bin/sh", "-c", "sleep 30", event_id=f"slow.{number}", owner=owner_of("nobody"))
    add("/bin/sh", "-c", f"echo quick >{open_file}", event_id="quick", owner=owner_of("daemon"))
    with Courier(store, pauses_s=(), limit_s=1.0):
        until(lambda: open_file.read_text() == "quick\n", "the quick one", 5.0)


@pytest.mark.parametrize("others", [0, 1])
def test_a_program_that_does_not_even_begin_keeps_only_its_user_waiting(
    store, add, monkeypatch, others
):
    """Its file may stand on a file system that its user serves: then exec(2) does not return."""
    bob, alice, never = Owner(2002, "bob", 2002, ""), Owner(2001, "alice", 2001, ""), Event()
    told: list[str] = []

    def deliver(_: Courier, notice: Notice) -> str:
        if notice.owner == bob:
            assert never.wait(30)
        told.append(notice.event_id)
        return ""

    monkeypatch.setattr(Courier, "_deliver", deliver)
    monkeypatch.setattr(courier, "_ROUND_S", 0.05)
    add("/home/bob/fuse/program", event_id="bobs", owner=bob)
    for number in range(others):
        add("/bin/true", event_id=f"beside.{number}", owner=alice)
    with Courier(store) as going:
        until(lambda: len(told) == others, "those beside")
        add("/bin/true", event_id="later", owner=alice)
        going.wake()
        until(lambda: "later" in told, "one that comes later", 5.0)
        never.set()
        settled(store)
    assert sorted(told) == sorted(["bobs", "later", *(f"beside.{n}" for n in range(others))])
