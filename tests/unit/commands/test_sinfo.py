"""sinfo against the recorded answers of a real Slurm, and what no recording shows."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.commands.sinfo import sinfo
from stoker.worker.controller import NodeStatus
from support.controller import call_of, converse
from support.recorded_queue import three_nodes
from support.recordings import cases, parameters

DIFFERENT = {
    "scontrol-sinfo-help": "the help text is our own",
    "scontrol-sinfo-usage": "the usage text is our own",
    "scontrol-sinfo-O-port": "nodes have no port",
}


def is_sinfo(case: dict[str, Any]) -> bool:
    return case["cmd"][0] == "sinfo" and case["id"] not in DIFFERENT


@pytest.mark.parametrize("case", parameters(filter(is_sinfo, cases("scontrol"))))
def test_answers_as_recorded(case: dict[str, Any]) -> None:
    cluster = three_nodes(is_idle=not case["setup"])
    call = call_of("sinfo", *case["cmd"][1:], environment=case.get("env"))
    heard = converse(sinfo(call, cluster))
    # The partitions of one node, and rows without a valid order, stand in an order of Slurm's own.
    is_ordered = "-N" not in call.argv and "?" not in call.argv
    arranged = list if is_ordered else sorted
    assert arranged(_lines(heard.out)) == arranged(_lines(case["stdout"]))
    assert (heard.err, heard.code) == (case["stderr"], case["rc"])


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if '"port"' not in line]


@pytest.mark.parametrize(
    ("state", "cpus", "shown"),
    [
        ("IDLE", 0, "idle idle idle"),
        ("MIXED+DRAIN", 3, "drng draining mixed+drain"),
        ("DOWN", 0, "down down down"),
        ("DOWN+DRAIN", 0, "drain drained down+drain"),
    ],
)
def test_states_in_three_spellings(state: str, cpus: int, shown: str) -> None:
    cluster = three_nodes(is_idle=True)
    node = cluster.statuses[0].node
    cluster.statuses = [NodeStatus(node, state, cpus, 0)]
    words = "statecompact:0 ,statelong:0 ,statecomplete:0"
    call = call_of("sinfo", "-h", "-N", "-p", "long", "-O", words)
    assert converse(sinfo(call, cluster)).out == f"{shown}\n"


def test_a_client_finds_six_words_in_each_line() -> None:
    heard = converse(
        sinfo(call_of("sinfo", "-a", "-o", "%P %G %l %p %c %m"), three_nodes(is_idle=True))
    )
    assert {len(line.split(" ")) for line in heard.out.splitlines()} == {6}


def test_clustered_options_read_as_getopt_does() -> None:
    heard = converse(sinfo(call_of("sinfo", "-aho", "%F/%C"), three_nodes(is_idle=False)))
    assert heard.out == "2/0/1/3/11/5/8/24\n"


def test_no_node_is_ever_dead() -> None:
    heard = converse(sinfo(call_of("sinfo", "-h", "-d", "-o", "%P %D"), three_nodes(is_idle=True)))
    assert heard.out == "debug* 0\nshort 0\nlong 0\n"


def verbose(*argv: str, **environment: str) -> list[str]:
    """Return what ``sinfo -v`` prints."""
    call = call_of("sinfo", "-v", *argv, environment=environment)
    return converse(sinfo(call, three_nodes(is_idle=True))).out.split("\n")


@pytest.mark.parametrize(
    ("argv", "environment", "lines"),
    [
        ("", {}, ["format      = %9P %.5a %.10l %.6D %.6t %N", "filtering   = false"]),
        ("-p short", {}, ["partition   = short", "filtering   = true"]),
        ("", {"SINFO_PARTITION": "long"}, ["partition   = long", "filtering   = true"]),
        ("-N", {}, ["node_field  = true", "node_format = true", "part_field  = true"]),
        ("-R", {}, ["states      = down,drain", "reason_flag     = true"]),
        ("-O port,prioritytier", {}, ["format      = (null)", "port_flag       = true"]),
        ("-O port,prioritytier", {}, ["priority_tier_flag   = true", "state_flag      = false"]),
        ("-a -e -vv", {}, ["all_flag        = true", "exact       = 1", "verbose     = 3"]),
    ],
)
def test_parameters_and_what_is_looked_at_are_told(
    argv: str, environment: dict[str, str], lines: list[str]
) -> None:
    told = verbose(*argv.split(), **environment)
    assert [line for line in lines if line not in told] == []


def test_when_it_was_is_told_above_a_heading_only() -> None:
    with_heading, without = verbose(), verbose("-h")
    assert len([line for line in with_heading if " 2026" in line]) == 1
    assert [line for line in without if " 2026" in line] == []
    end = without.index("weight_flag     = false")
    assert without[end + 1 : end + 3] == ["-" * 29, ""]


def test_a_period_that_is_too_long_for_a_number_is_refused() -> None:
    call = call_of("sinfo", "-v", f"--iterate={'1' * 5000}")
    assert converse(sinfo(call, three_nodes(is_idle=True))).code == 1
