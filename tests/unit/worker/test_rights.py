"""Who may do what: every changing method of the controller, for everybody who could ask.

The table is complete: a method that is not in it fails a test, whatever it does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest

from stoker.core.accounts import Account, Association, BookChange, User
from stoker.core.errors import NotAllowed
from stoker.core.models import Job, Owner
from stoker.core.notices import Trigger
from stoker.core.settings import Settings
from stoker.worker.control import Control
from stoker.worker.rights import Rights
from stoker.worker.stepcounter import StepCounter
from support.controller import first_book
from support.recording_engine import ALICE, BOB, ROOT, Rooms, ref, step_request, submission

HOST: Final = Owner(4711, "host", 4711, "host")
ADMIN: Final = Owner(3001, "ada", 3001, "ada")
OPERATOR: Final = Owner(3002, "otto", 3002, "otto")
COORDINATOR: Final = Owner(3003, "cora", 3003, "cora")
EVERYBODY: Final = {
    "owner": ALICE,
    "other": BOB,
    "root": ROOT,
    "host": HOST,
    "administrator": ADMIN,
    "operator": OPERATOR,
    "coordinator": COORDINATOR,
}

ABOVE: Final = {"root", "host", "administrator", "operator"}
OVER_JOBS: Final = {"owner", "coordinator", *ABOVE}
RULING: Final = {"root", "host", "administrator"}


def _trigger(job_id: int, by: Owner) -> Trigger:
    return Trigger(trigger_id=0, owner=by, program="/bin/true", events=("fini",), job_id=job_id)


def _node_trigger(by: Owner) -> Trigger:
    return Trigger(trigger_id=0, owner=by, program="/bin/true", events=("down",))


def _clear(rooms: Rooms, job: Job, by: Owner) -> None:
    rooms.control.set_trigger(_trigger(job.job_id, ALICE))
    rooms.control.clear_triggers(rooms.control.triggers(), by)


Ask = Callable[[Rooms, Job, Owner], object]
_JOB: Final[dict[str, Ask]] = {
    "cancel": lambda rooms, job, by: rooms.control.cancel(ref(job.job_id), by),
    "signal": lambda rooms, job, by: rooms.control.signal(ref(job.job_id), by, 10, "all"),
    "hold": lambda rooms, job, by: rooms.control.hold(ref(job.job_id), by),
    "release": lambda rooms, job, by: rooms.control.release(ref(job.job_id), by),
    "requeue": lambda rooms, job, by: rooms.control.requeue(ref(job.job_id), by),
    "suspend": lambda rooms, job, by: rooms.control.suspend(ref(job.job_id), by),
    "resume": lambda rooms, job, by: (
        rooms.control.suspend(ref(job.job_id), ROOT),
        rooms.control.resume(ref(job.job_id), by),
    ),
    "update": lambda rooms, job, by: rooms.control.update(ref(job.job_id), by, {"comment": "x"}),
    "signal_step": lambda rooms, job, by: rooms.control.steps.signal(job, "0", by, 10),
    "cancel_step": lambda rooms, job, by: rooms.control.steps.cancel(job, "0", by),
    "limit_step": lambda rooms, job, by: rooms.control.steps.limit(job, "0", by, 60.0),
    "create_step": lambda rooms, job, by: rooms.control.steps.create(
        job, by, step_request(overlap=True)
    ),
    "set_trigger": lambda rooms, job, by: rooms.control.set_trigger(_trigger(job.job_id, by)),
    "clear_triggers": _clear,
    "update_node": lambda rooms, _, by: rooms.control.update_node("node1", by, "DRAIN", "x"),
    "update_partition": lambda rooms, _, by: rooms.control.update_partition("debug", by, {}),
    "node trigger": lambda rooms, _, by: rooms.control.set_trigger(_node_trigger(by)),
    "check_keeper": lambda rooms, _, by: rooms.control.rights.check_keeper(by),
    "check_host": lambda rooms, _, by: rooms.control.rights.check_host(by, "write that"),
}
"""What is asked, for a running job of alice's under the account phys."""

_MAY: Final = {
    "cancel": OVER_JOBS,
    "signal": OVER_JOBS,
    "hold": OVER_JOBS,
    "release": OVER_JOBS,
    "requeue": OVER_JOBS,
    "suspend": ABOVE,
    "resume": ABOVE,
    "update": OVER_JOBS,
    "signal_step": OVER_JOBS,
    "cancel_step": OVER_JOBS,
    "limit_step": OVER_JOBS,
    "create_step": {"owner"},
    "set_trigger": OVER_JOBS,
    "clear_triggers": {"owner", "root"},
    "update_node": RULING,
    "update_partition": RULING,
    "node trigger": RULING,
    "check_keeper": RULING,
    "check_host": {"root", "host"},
}

_JUDGED_ELSEWHERE: Final = {
    "abandon": "a caller's own key",
    "change_book": "sacctmgr",
    "detach_step": "a caller's own descriptors",
    "finish_allocation": "a caller's own allocation",
    "forget_usage": "sacctmgr",
    "issue_token": "scontrol token",
    "reset_statistics": "sdiag",
    "set_crontab": "scrontab",
    "submit": "in one's own name",
    "try_submit": "in one's own name",
}
"""What changes something and is asked for after somebody else has judged who asks."""

_LOOKING: Final = {
    "active_jobs", "book", "cluster_name", "configuration", "cpu_frequency_khz", "crontab",
    "environment", "expected_starts", "find", "full_name", "group_id", "history", "home_of", "host",
    "last_allocations", "licenses", "names_directory",
    "nodes", "now", "owner_named", "partitions", "priorities_at", "priority_factors",
    "priority_weights", "reason", "recent_jobs", "recorded_jobs",
    "script", "shape", "standings", "statistics", "token_user", "transactions",
    "triggers", "user_id", "is_terminal_step", "of_step", "samples_step",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _somebody_else_runs_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: HOST.user_id)


def _with_people(rooms: Rooms) -> None:
    """Let the book know an operator, and a coordinator of the account above that of the job."""
    users = (User("otto", admin_level="Operator"), User("ada", admin_level="Administrator"))
    accounts = (Account("science", coordinators=("cora",)), Account("phys"))
    associations = (
        Association(id=50, account="science", parent="root"),
        Association(id=51, account="phys", parent="science"),
    )
    with rooms.queue.turn():
        rooms.control.change_book(BookChange(puts=(*users, *accounts, *associations)))


def test_every_method_of_the_controller_is_in_the_table():
    methods = {name for name, _ in inspect.getmembers(Control) if not name.startswith("_")}
    steps = {name for name, _ in inspect.getmembers(StepCounter) if not name.startswith("_")}
    methods |= {f"{name}_step" for name in steps}
    asked = _JOB.keys() - {"node trigger", "check_keeper", "check_host"}
    assert methods == _LOOKING | _JUDGED_ELSEWHERE.keys() | asked


@pytest.mark.parametrize("what", _JOB)
@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may(make_rooms: Any, what: str, who: str) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0, administrators="")
    _with_people(rooms)
    job = rooms.running(account="phys", ntasks=2)
    rooms.step(job)
    if what in ("hold", "release"):
        job = rooms.submit(account="phys", hold=True)
    with rooms.queue.turn():
        if who in _MAY[what]:
            _JOB[what](rooms, job, EVERYBODY[who])
        else:
            with pytest.raises(NotAllowed):
                _JOB[what](rooms, job, EVERYBODY[who])


@pytest.mark.parametrize("who", EVERYBODY)
def test_scripts_and_environments_are_for_owner_host_and_operators(
    make_rooms: Any, who: str
) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0)
    _with_people(rooms)
    job = rooms.submit(account="phys", hold=True)
    assert rooms.control.rights.may_read(job, EVERYBODY[who]) is (who in {"owner", *ABOVE})


@pytest.mark.parametrize("who", EVERYBODY)
def test_what_runs_in_a_job_is_for_owner_and_host(make_rooms: Any, who: str) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0)
    _with_people(rooms)
    may = rooms.control.rights.may_attend(rooms.running(), EVERYBODY[who])
    assert may is (who in {"owner", "root", "host"})


def test_a_coordinator_is_one_of_the_account_and_of_what_is_below_it_only():
    book = first_book().after(
        BookChange(
            puts=(
                Account("above", coordinators=("cora",)),
                Account("below"),
                Account("beside"),
                Association(id=50, account="above", parent="root"),
                Association(id=51, account="below", parent="above"),
                Association(id=52, account="beside", parent="root"),
            )
        )
    )
    assert book.is_coordinator("cora", "above")
    assert book.is_coordinator("cora", "below")
    assert not book.is_coordinator("cora", "beside")
    assert not book.is_coordinator("cora", "nosuch")
    assert not book.is_coordinator("cora", "")


def test_by_default_root_and_who_runs_the_daemon_are_administrators():
    rights = Rights(Settings(), first_book)
    assert rights.is_administrator(ROOT)
    assert rights.is_administrator(HOST)
    assert not rights.is_administrator(ALICE)


def test_where_some_are_named_only_they_and_root_are():
    rights = Rights(Settings(administrators="bob, carol"), first_book)
    assert rights.is_administrator(ROOT)
    assert rights.is_administrator(BOB)
    assert not rights.is_administrator(HOST)
    assert rights.is_host(HOST)
    with pytest.raises(NotAllowed, match="only root and bob, carol may"):
        rights.check_administrator(ALICE)


def test_an_administrators_name_is_no_key_to_the_daemons_own_files():
    rights = Rights(Settings(administrators="bob"), first_book)
    rights.check_keeper(BOB)
    with pytest.raises(NotAllowed, match="cannot back up to /etc/passwd for bob"):
        rights.check_host(BOB, "back up to /etc/passwd")


@pytest.mark.parametrize(
    "changes", [{"nice": -100}, {"admin_comment": "hey"}, {"oversubscribe": True}]
)
def test_a_user_may_not_give_a_job_what_only_operators_give(
    make_rooms: Any, changes: dict[str, object]
) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0, administrators="bob")
    job = rooms.submit(hold=True)
    with pytest.raises(NotAllowed):
        rooms.ask("update", job.job_id, ALICE, changes)
    rooms.ask("update", job.job_id, ROOT, changes)


def test_what_an_operator_holds_its_owner_cannot_release(make_rooms: Any) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0)
    _with_people(rooms)
    job = rooms.submit(account="phys")
    rooms.ask("hold", job.job_id, OPERATOR)
    with pytest.raises(NotAllowed) as refusal:
        rooms.ask("release", job.job_id, ALICE)
    assert refusal.value.code == "ESLURM_ACCESS_DENIED"
    with pytest.raises(NotAllowed) as refusal:
        rooms.ask("release", job.job_id, BOB)
    assert refusal.value.code == "ESLURM_USER_ID_MISSING"
    rooms.ask("release", job.job_id, COORDINATOR)
    assert rooms.active(job).hold.name == "NONE"


def test_a_submission_key_is_its_users_alone(make_rooms: Any) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0)
    mine = rooms.submit("mine", key="k")
    again = rooms.submit("mine", key="k")
    with rooms.queue.turn():
        theirs = rooms.control.submit(submission("theirs", key="k", owner=BOB))
    assert (again.job_id, theirs.job_id) == (mine.job_id, mine.job_id + 1)
    rooms.restart()
    with rooms.queue.turn():
        assert rooms.control.submit(submission("x", key="k", owner=BOB)).job_id == theirs.job_id
    assert rooms.submit("mine", key="k").job_id == mine.job_id


def test_nobody_ends_anothers_allocation_by_its_key(make_rooms: Any) -> None:
    rooms: Rooms = make_rooms(follow_depth_max=0)
    job = rooms.running(interactive=True, key="k")
    with rooms.queue.turn():
        rooms.control.abandon("k", BOB)
    assert rooms.active(job).ending is None
    with rooms.queue.turn():
        rooms.control.abandon("k", ALICE)
    assert rooms.state(job) == "CANCELLED"


def test_a_users_daemon_serves_its_user_and_root_and_a_shared_one_everybody():
    own, shared = Rights(Settings(), first_book), Rights(Settings(shared=True), first_book)
    asking = (HOST, ROOT, ALICE)
    assert [own.serves(each.user_id) for each in asking] == [True, True, False]
    assert [shared.serves(each.user_id) for each in asking] == [True, True, True]


@pytest.mark.parametrize(
    ("by", "is_shared", "may"),
    [(ROOT, True, True), (ROOT, False, False), (HOST, True, False), (ADMIN, True, False)],
)
def test_only_root_submits_for_others_and_only_where_all_are_served(
    by: Owner, is_shared: bool, may: bool
) -> None:
    rights = Rights(Settings(shared=is_shared, administrators="ada"), first_book)
    assert rights.may_submit_for(BOB, by) is may
    assert rights.may_submit_for(by, by)
