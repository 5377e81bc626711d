"""The account book enforced: who is refused, who waits for what, and who starts when it frees."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stoker.core.accounts import Account, Association, BookChange, Entry, Limits, Qos, User
from stoker.core.errors import InvalidSpec
from stoker.core.models import Job
from support.recording_engine import ALICE, Rooms, abandoned_turn

PHYS = Association(id=3, account="phys", parent="root", batch=3)
MEMBER = Association(id=4, account="phys", user=ALICE.user_name, batch=4, is_default=True)
HIGH = Qos(id=2, name="high", priority=100)


def change(rooms: Rooms, *puts: Entry, drops: tuple[Entry, ...] = ()) -> None:
    with rooms.queue.turn():
        rooms.control.change_book(BookChange(puts=puts, drops=drops))


def limited(entry: Any, **limits: Any) -> Any:
    return msgspec.structs.replace(entry, limits=Limits(**limits))


@pytest.fixture
def strict(make_rooms: Any) -> Rooms:
    """A queue that enforces everything, with alice in physics, who may ask for high."""
    rooms: Rooms = make_rooms(follow_depth_max=0, accounting_storage_enforce="limits,qos")
    member = msgspec.structs.replace(MEMBER, delta_qos=("+high",))
    change(rooms, Account("phys"), User(ALICE.user_name), PHYS, member, HIGH)
    return rooms


def reason(rooms: Rooms, job: Job) -> str:
    with rooms.queue.turn():
        return rooms.control.reason(rooms.active(job))


def refusal(rooms: Rooms, **said: Any) -> tuple[str, str]:
    with pytest.raises(InvalidSpec) as refused:
        rooms.submit(**said)
    return str(refused.value), refused.value.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"account": "chem"}, "ESLURM_INVALID_ACCOUNT"), ({"qos": "low"}, "ESLURM_INVALID_QOS")],
)
def test_a_job_that_runs_moves_nowhere_where_it_could_not_have_begun(
    strict: Rooms, changes: dict[str, str], code: str
):
    """What it uses counts where it says it belongs, and coordinators there have power over it."""
    chem = Association(id=5, account="chem", parent="root", batch=5)
    change(strict, Account("chem"), chem, Qos(id=3, name="low"))
    job = strict.running(account="phys")
    with pytest.raises(InvalidSpec) as refused:
        strict.ask("update", job.job_id, ALICE, changes)
    assert refused.value.code == code
    strict.ask("update", job.job_id, ALICE, {"qos": "high"})
    assert strict.recorded(job).spec.qos == "high"


def test_nothing_is_enforced_by_default(rooms: Rooms):
    assert rooms.submit(account="nosuch").spec.account == "nosuch"
    change(rooms, Account("phys"), User(ALICE.user_name), PHYS, limited(MEMBER, max_jobs=0))
    job = rooms.submit()
    rooms.schedule()
    assert rooms.active(job).allocation is not None


def test_a_job_gets_the_account_and_the_quality_that_the_book_has_for_it(rooms: Rooms):
    assert rooms.submit().spec.account == ""
    member = msgspec.structs.replace(MEMBER, default_qos="high", delta_qos=("+high",))
    change(rooms, Account("phys"), User(ALICE.user_name), PHYS, member, HIGH)
    assert (rooms.submit().spec.account, rooms.submit().spec.qos) == ("phys", "high")
    assert rooms.submit(account="bio", qos="normal").spec.qos == "normal"


def test_who_is_in_no_account_is_refused(strict: Rooms):
    assert refusal(strict, account="zzz") == (
        "Invalid account or account/partition combination specified",
        "ESLURM_INVALID_ACCOUNT",
    )
    assert strict.submit().spec.account == "phys"


def test_a_quality_that_one_may_not_ask_for_is_refused(strict: Rooms):
    assert refusal(strict, qos="nosuch")[1] == "ESLURM_INVALID_QOS"
    assert strict.submit(qos="high").spec.qos == "high"


def test_one_job_runs_at_a_time_and_the_next_starts_in_the_turn_in_which_it_ends(strict: Rooms):
    change(strict, limited(MEMBER, max_jobs=1))
    first, second = strict.submit(), strict.submit()
    strict.schedule()
    assert reason(strict, second) == "AssocMaxJobsLimit"
    strict.start(first)
    strict.engine.calls.clear()
    strict.finish(first)
    assert len(strict.engine.launched()) == 1
    assert strict.active(second).allocation is not None


def test_a_limit_that_is_raised_lets_jobs_start(strict: Rooms):
    change(strict, limited(MEMBER, max_jobs=0))
    job = strict.submit()
    strict.schedule()
    assert strict.active(job).allocation is None
    change(strict, MEMBER)
    strict.schedule()
    assert strict.active(job).allocation is not None


def test_an_accounts_limit_holds_for_all_below_it_together(strict: Rooms):
    change(strict, limited(PHYS, grp_tres={"cpu": 3}))
    one, two, three = strict.submit(ntasks=2), strict.submit(ntasks=2), strict.submit()
    strict.schedule()
    assert strict.active(one).allocation is not None
    assert reason(strict, two) == "AssocGrpCpuLimit"
    assert strict.active(three).allocation is not None, "a smaller one fits into what is left"


def test_a_job_over_its_qualitys_time_waits_or_is_refused_at_once(strict: Rooms):
    change(strict, limited(HIGH, max_wall=60))
    job = strict.submit(qos="high", time_limit_s=7200.0)
    strict.schedule()
    assert reason(strict, job) == "QOSMaxWallDurationPerJobLimit"
    denying = msgspec.structs.replace(limited(HIGH, max_wall=60), flags=("DenyOnLimit",))
    change(strict, denying)
    assert refusal(strict, qos="high", time_limit_s=7200.0) == (
        "QOSMaxWallDurationPerJobLimit",
        "ESLURM_ACCOUNTING_POLICY",
    )


def test_a_job_that_asks_for_no_time_gets_the_longest_that_it_may_run(strict: Rooms):
    change(strict, limited(HIGH, max_wall=60), limited(PHYS, max_wall=90))
    assert strict.submit(qos="high").time_limit_s == 3600.0
    assert strict.submit().time_limit_s == 5400.0
    assert strict.submit(qos="high", time_limit_s=60.0).time_limit_s == 60.0


def test_jobs_are_counted_from_submission_to_end(strict: Rooms):
    change(strict, limited(MEMBER, max_submit_jobs=2))
    first = strict.submit()
    strict.submit()
    assert refusal(strict) == ("AssocMaxSubmitJobLimit", "ESLURM_ACCOUNTING_POLICY")
    strict.schedule()
    strict.start(first)
    strict.finish(first)
    strict.submit()
    strict.restart()
    assert refusal(strict)[0] == "AssocMaxSubmitJobLimit"


def test_every_task_of_an_array_counts(strict: Rooms):
    change(strict, limited(HIGH, max_submit_jobs_pu=4))
    array = strict.submit(qos="high", array="1-3")
    assert refusal(strict, qos="high", array="1-2")[0] == "QOSMaxSubmitJobPerUserLimit"
    strict.schedule()
    assert refusal(strict, qos="high", array="1-2")[0] == "QOSMaxSubmitJobPerUserLimit"
    strict.submit(qos="high")
    strict.ask("cancel", array.job_id)


def test_an_update_of_the_account_is_judged_as_a_submission(strict: Rooms):
    job = strict.submit(hold=True)
    with pytest.raises(InvalidSpec):
        strict.ask("update", job.job_id, ALICE, {"account": "zzz"})
    assert strict.active(job).spec.account == "phys"


def test_a_job_whose_account_is_gone_waits_and_says_so(strict: Rooms):
    job = strict.submit(hold=False, account="phys")
    change(strict, drops=(strict.worker.accounts.book.associations[4],))
    strict.schedule()
    assert reason(strict, job) == "InvalidAccount"
    change(strict, MEMBER)
    strict.schedule()
    assert strict.active(job).allocation is not None


def test_a_change_that_is_not_recorded_has_not_happened(strict: Rooms):
    before = strict.worker.accounts.book
    with abandoned_turn(strict):
        strict.control.change_book(BookChange(puts=(limited(MEMBER, max_jobs=0),)))
    job = strict.submit()
    strict.schedule()
    assert strict.active(job).allocation is not None
    assert set(map(repr, strict.worker.accounts.book)) == set(map(repr, before))


def test_used_up_minutes_keep_jobs_waiting(strict: Rooms):
    change(strict, limited(PHYS, grp_tres_mins={"cpu": 10}))
    strict.worker.admission.rules.spent_mins = lambda association_id: 10.0
    job = strict.submit()
    strict.schedule()
    assert reason(strict, job) == "AssocGrpCPUMinutesLimit"


def test_many_jobs_at_a_limit_cost_one_look(strict: Rooms):
    change(strict, limited(MEMBER, max_jobs=1))
    for _ in range(30):
        strict.submit()
    strict.schedule()
    assert len(strict.queue.table.queues) == 1
    assert len(strict.engine.launched()) == 1
