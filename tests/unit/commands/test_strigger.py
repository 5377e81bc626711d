"""strigger against what a real one said, and what it asks of the controller."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.strigger import OPTIONS, strigger
from stoker.core.errors import NotAllowed
from stoker.worker.call import Answer
from support.controller import ROOT, FakeController, call_of
from support.recordings import cases, parameters

PROGRAM = "--program=/bin/true"


def asked(controller: FakeController, *argv: str, **surroundings: Any) -> Answer:
    return strigger(call_of("strigger", *argv, **surroundings), controller)


@pytest.mark.parametrize(
    "case",
    parameters(each for each in (*cases("misc2"), *cases("limits")) if "-strigger" in each["id"]),
)
def test_says_what_slurm_said(case: dict[str, Any]) -> None:
    controller = FakeController()
    owner = ROOT if case.get("user") == "root" else call_of("strigger").owner
    if "denied" in case["stderr"]:
        controller.refusals["set_trigger"] = NotAllowed("no", "ESLURM_ACCESS_DENIED")
    words = case["cmd"] if isinstance(case["cmd"], list) else case["cmd"].split()
    answer = asked(controller, *words[1:], owner=owner)
    assert (answer.out, answer.err, answer.code) == (case["stdout"], case["stderr"], case["rc"])
    for then in case.get("then") or ():
        for line in then["cmd"].split("; "):
            answer = asked(controller, *line.split()[1:], owner=owner)
        assert answer.out == then["stdout"]


def test_what_is_set_is_shown_and_can_be_cleared() -> None:
    controller = FakeController()
    controller.add(7)
    assert not asked(controller, "--set", "-t", "-j7", "-o", "-60", PROGRAM, "--flags=PERM").code
    assert not asked(controller, "--set", "--node=node1", "-d", "-u", PROGRAM).code
    assert asked(controller, "--get", "-N").out == (
        "      1 job             7 time                                   -60 alice    PERM  "
        "/bin/true\n"
        "      2 node        node1 down,up                                  0 alice          "
        "/bin/true\n"
    )
    assert asked(controller, "--get", "-N", "--up").out.startswith("      2 ")
    assert asked(controller, "--clear", "-j7").code == 0
    assert [each.trigger_id for each in controller.kept_triggers] == [2]
    assert asked(controller, "--clear", "--id=1").err == "slurm_clear_trigger: No such process\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--set", "--get"], "exactly one of"),
        (["--set"], "You must specify a trigger"),
        (["--set", "--down"], "--program"),
        (["--set", "--down", "-p", "true"], 'must start with "/"'),
        (["--set", "--down", "-p", "/bin/sh '"], "cannot be read"),
        (["--set", "--fini", PROGRAM], "--jobid"),
        (["--set", "--down", "--jobid=7", PROGRAM], "not supported"),
        (["--set", "--reconfig", PROGRAM], "not supported"),
        (["--set", "-a", PROGRAM], "not supported"),
        (["--set", "--down", "--front_end", PROGRAM], "not supported"),
        (["--set", "--down", "-o", "32001", PROGRAM], "between +/-32000"),
        (["--set", "--down", "-o", "-99999", PROGRAM], "between +/-32000"),
        (["--set", "--down", "--flags=odd", PROGRAM], "Invalid flags odd"),
        (["--set", "--down", "--flags=", PROGRAM], "Invalid flags "),
        (["--set", "--down", "--node=node9", PROGRAM], "Invalid node name specified"),
        (["--set", "--down", "--node=node[", PROGRAM], "Invalid node name specified"),
        (["--set", "--fini", "--jobid=x", PROGRAM], "Invalid jobid x"),
        (["--get", "--fini"], "You must specify a --jobid value"),
        (["--get", "--user=nobody-at-all"], "Invalid user nobody-at-all"),
        (["--get", "-M", "elsewhere"], "No cluster 'elsewhere' known by database"),
        (["--clear"], "to clear"),
        (["--clear", "--id=x"], "to clear"),
        (["--clear", "--node"], "to clear"),
    ],
)
def test_what_says_nothing_sensible_is_refused(argv: list[str], said: str) -> None:
    controller = FakeController()
    controller.add(7)
    answer = asked(controller, *argv)
    assert said in answer.err
    assert (answer.out, answer.code) == ("", 1)
    assert not controller.kept_triggers


def test_numbers_are_read_as_far_as_they_are_numbers() -> None:
    controller = FakeController()
    controller.add(7)
    assert not asked(controller, "--set", "-j7_1", "-t", "-o", "-5s", PROGRAM).code
    assert not asked(controller, "--set", "-d", "-o", "soon", PROGRAM).code
    assert [(each.job_id, each.offset_s) for each in controller.kept_triggers] == [(7, -5), (0, 0)]


def test_triggers_for_nodes_are_asked_for_by_node_and_by_all_their_events() -> None:
    controller = FakeController()
    controller.add(7)
    asked(controller, "--set", "-j7", "-f", PROGRAM)
    asked(controller, "--set", "--node=node1", "-d", "-u", PROGRAM)

    def ids(*argv: str) -> list[str]:
        return [
            line.split()[0] for line in asked(controller, "--get", "-N", *argv).out.split("\n")[:-1]
        ]

    assert ids("--node") == ids("-d") == ids("-d", "-u") == ["2"]
    assert ids("-d", "-F") == []
    assert ids("--id=1") == ids("-j7") == ids("-j7", "-f") == ["1"]
    assert ids("--user=alice") == ids("--id=x") == ["1", "2"]


words = st.one_of(
    st.text(max_size=8),
    st.builds("--{}={}".format, st.sampled_from([o.long for o in OPTIONS]), st.text(max_size=8)),
    st.sampled_from(["--set", "--get", "--clear", PROGRAM, "--down", "--jobid=7", "--fini"]),
)


@given(st.lists(words, max_size=6))
def test_no_words_of_the_user_break_it(argv: list[str]) -> None:
    controller = FakeController()
    controller.add(7)
    assert asked(controller, *argv).code in (0, 1)
