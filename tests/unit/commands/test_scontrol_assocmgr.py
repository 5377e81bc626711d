"""scontrol show assoc_mgr: limits, and what jobs take of them."""

from __future__ import annotations

import pytest

from stoker.commands.scontrol import scontrol
from stoker.core.accounts import Account, Association, BookChange, Limits, Qos, User
from support.controller import FakeController, Heard, call_of, converse


@pytest.fixture
def controller() -> FakeController:
    """Alice in physics, with a running job of 2 CPUs and a waiting one."""
    found = FakeController()
    found.change_book(
        BookChange(
            puts=(
                Account("phys"),
                User("alice"),
                Association(
                    id=3,
                    account="phys",
                    parent="root",
                    batch=3,
                    limits=Limits(grp_tres={"cpu": 8}, max_wall=60),
                ),
                Association(
                    id=4,
                    account="phys",
                    user="alice",
                    batch=4,
                    is_default=True,
                    limits=Limits(max_jobs=3),
                ),
                Qos(id=2, name="high", priority=9, limits=Limits(max_tres_pu={"cpu": 4})),
            )
        )
    )
    found.start(found.add(1, spec={"account": "phys", "qos": "high", "ntasks": 2}))
    found.add(2, spec={"account": "phys"})
    return found


def show(controller: FakeController, words: str = "") -> Heard:
    call = call_of("scontrol", "show", "assoc_mgr", *words.split())
    return converse(scontrol(call, controller))


def test_all_sections_are_shown_unless_flags_name_some(controller: FakeController) -> None:
    titles = ("User Records", "Association Records", "QOS Records")
    assert all(title in show(controller).out for title in titles)
    only = show(controller, "flags=qos").out
    assert [title for title in titles if title in only] == ["QOS Records"]


def test_limits_stand_beside_what_is_taken_of_them(controller: FakeController) -> None:
    text = show(controller, "flags=assoc users=alice").out
    assert "Account=phys UserName= " in text
    assert "    GrpTRES=cpu=8(2)," in text
    assert "    MaxJobs=3(1) MaxJobsAccrue= MaxSubmitJobs= MaxWallPJ=60\n" in text
    assert "    GrpSubmitJobs=N(2) " in text


def test_a_quality_says_who_uses_it(controller: FakeController) -> None:
    text = show(controller, "flags=qos qos=high").out
    assert "QOS=high(2)\n" in text
    assert "      alice(2001)\n" in text
    assert "        MaxTRESPU=cpu=4(2)," in text
    assert "normal" not in text


def test_a_word_that_means_nothing_is_refused(controller: FakeController) -> None:
    assert show(controller, "colour=red").code == 1
    assert show(controller, "flags=users now").code == 1
