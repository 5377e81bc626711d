"""scontrol on reservations: what is read, what is shown, and Slurm's words for what is wrong."""

from __future__ import annotations

import pytest

from stoker.commands.scontrol.command import scontrol
from stoker.commands.sinfo.command import sinfo
from stoker.core.errors import InvalidSpec
from stoker.core.reservations import Part, Reservation, ReservationWish
from stoker.worker.call import Answer, Call
from support.controller import ROOT, FakeController

COURSE = Reservation(
    name="course",
    start_at=1_795_495_000.0,
    end_at=1_795_498_600.0,
    parts=(Part("node1", 4, {"gpu": 1}, is_whole=False), Part("node2", 4, is_whole=False)),
    accounts=("teaching",),
    users=("-bob",),
    flags=("WEEKLY", "SPEC_NODES"),
    comment="for the course",
)
_CREATE = ("create", "reservation", "start=now")


@pytest.fixture
def controller() -> FakeController:
    return FakeController()


def ask(controller: FakeController, *words: str, command=scontrol) -> Answer:
    call = Call(
        now=controller.moment,
        program=command.__name__,
        argv=words,
        environment={"TZ": "UTC"},
        work_dir="/",
        owner=ROOT,
    )
    answer = command(call, controller)
    assert isinstance(answer, Answer)
    return answer


def wished(controller: FakeController, *words: str) -> ReservationWish:
    answer = ask(controller, *words)
    assert (answer.err, answer.code) == ("", 0)
    ((_, wish),) = controller.reservations.calls
    return wish


def test_all_that_is_said_is_read(controller: FakeController) -> None:
    words = "nodecnt=1 tres=gres/gpu=2,cpu=4 acc=a,b grou=lab flags=daily,maint,first_cores com=x"
    wish = wished(controller, *_CREATE, "reser=r", "dur=1-0", "user=alice", *words.split())
    assert wish == ReservationWish(
        name="r",
        start_at=controller.moment,
        duration_s=86400.0,
        node_count=1,
        cores=4,
        gres=(("gpu", 2),),
        users=("alice",),
        accounts=("a", "b"),
        groups=("lab",),
        flags=("DAILY", "MAINT"),
        comment="x",
    )


def test_endless_is_a_year(controller: FakeController) -> None:
    wish = wished(controller, *_CREATE, "duration=infinite", "users=alice", "nodes=ALL")
    assert wish.duration_s == 365 * 86400.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "An end time or duration must be given.  No reservation created."),
        (
            ("dur=5", "end=now+1hour"),
            "StartTime + Duration does not equal EndTime.  No reservation created.",
        ),
        (
            ("dur=5",),
            "CoreCnt, Nodes, NodeCnt or Licenses must be specified. No reservation created.",
        ),
        (
            ("dur=5", "nodes=ALL"),
            "Either Users/Groups and/or Accounts must be specified.  No reservation created.",
        ),
        (("dur=odd",), "Invalid duration odd.  No reservation created."),
        (("end=odd",), "Invalid end time odd.  No reservation created."),
        (("nodecnt=-1",), "Invalid node count -1.  No reservation created."),
        (("flags=odd",), "Error parsing flags odd.  No reservation created."),
        (("tres=gres/",), "Error parsing TRES gres/.  No reservation created."),
        (("tres=mem=4",), "Error parsing TRES mem=4.  No reservation created."),
        (("tres=gres/x=0",), "Error parsing TRES gres/x=0.  No reservation created."),
        (("tres=cpu=-1",), "Error parsing TRES cpu=-1.  No reservation created."),
        (("watts=5",), "Unknown parameter watts=5.  No reservation created."),
    ],
)
def test_what_says_too_little_or_nothing_is_refused(controller, words, told) -> None:
    answer = ask(controller, *_CREATE, *words)
    assert (answer.out, answer.err, answer.code) == ("", f"scontrol: error: {told}\n", 1)
    assert controller.reservations.calls == []


def test_without_a_start_there_is_none(controller: FakeController) -> None:
    answer = ask(controller, "create", "res", "dur=5")
    assert answer.err == ("scontrol: error: A start time must be given.  No reservation created.\n")


def test_what_the_controller_refuses_is_told(controller, monkeypatch) -> None:
    def refuse(*_: object) -> str:
        raise InvalidSpec("taken", "ESLURM_RESERVATION_OVERLAP")

    monkeypatch.setattr(controller.reservations, "create", refuse)
    answer = ask(controller, *_CREATE, "dur=5", "nodes=ALL", "users=alice")
    assert answer.err == (
        "Error creating the reservation: Requested reservation overlaps with another reservation\n"
    )


def test_users_must_be_there(controller: FakeController) -> None:
    answer = ask(controller, *_CREATE, "dur=5", "nodes=ALL", "users=-alice,nobody_of_that_name")
    assert answer.err == "Error creating the reservation: Invalid user id\n"


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ("dur+=30", {"duration_s": 5400.0}),
        ("dur-=30", {"duration_s": 1800.0}),
        ("nodes+=node3", {"nodes": "node[1-3]"}),
        ("nodes-=node1", {"nodes": "node2"}),
    ],
)
def test_time_and_nodes_grow_and_shrink(controller, words, wish) -> None:
    controller.reservations.there = [COURSE]
    found = wished(controller, "update", "res=course", words)
    assert found == ReservationWish(name="course", **wish)


@pytest.mark.parametrize("word", ["nodec+=1", "start-=now", "nodes+=node[3-1]", "com+=x"])
def test_nothing_else_grows_or_shrinks(controller, word) -> None:
    controller.reservations.there = [COURSE]
    answer = ask(controller, "update", "res=course", word)
    assert (answer.code, controller.reservations.calls) == (1, [])


def test_lists_grow_and_shrink(controller: FakeController) -> None:
    controller.reservations.there = [COURSE]
    wish = wished(controller, "update", "res=course", "users+=bob", "flags-=weekly", "acc=a")
    assert wish == ReservationWish(
        name="course", users=("-bob", "bob"), flags=("SPEC_NODES",), accounts=("a",)
    )


def test_one_is_deleted(controller: FakeController) -> None:
    controller.reservations.there = [COURSE]
    assert ask(controller, "delete", "reservationname=course") == Answer()
    assert controller.reservations.calls == [("delete", "course")]


def test_it_is_shown_as_slurm_shows_it(controller: FakeController) -> None:
    assert ask(controller, "show", "res").out == "No reservations in the system\n"
    controller.reservations.there = [COURSE]
    assert ask(controller, "show", "res", "course").out == (
        "ReservationName=course StartTime=2026-11-24T04:36:40 EndTime=2026-11-24T05:36:40 "
        "Duration=01:00:00\n"
        "   Nodes=node[1-2] NodeCnt=2 CoreCnt=8 Features=(null) PartitionName=(null) "
        "Flags=WEEKLY,SPEC_NODES\n"
        "   TRES=cpu=8,gres/gpu=1\n"
        "   Users=-bob Groups=(null) Accounts=teaching Licenses=(null) State=ACTIVE "
        "BurstBuffer=(null) Watts=n/a\n"
        "   MaxStartDelay=(null)\n"
        "   Comment=for the course\n\n"
    )
    answer = ask(controller, "show", "res", "none")
    assert (answer.out, answer.code) == ("Reservation none not found\n", 1)


def test_sinfo_lists_them(controller: FakeController) -> None:
    controller.reservations.there = [COURSE]
    row = "course       ACTIVE  2026-11-24T04:36:40  2026-11-24T05:36:40     01:00:00  node[1-2]\n"
    assert ask(controller, "-hT", command=sinfo).out == row
    assert ask(controller, "-T", command=sinfo).out == (
        "RESV_NAME     STATE           START_TIME             END_TIME     DURATION  NODELIST\n"
        + row
    )
