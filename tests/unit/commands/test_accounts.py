"""sacctmgr: what there is, in Slurm's words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest

from stoker.commands.sacctmgr import sacctmgr
from stoker.core.models import Owner
from stoker.worker.call import Answer, Call, ReadFile
from support.recorded_cluster import ALICE, ROOT, RecordedCluster

COMMANDS: Mapping[str, Any] = {
    "sacctmgr": sacctmgr,
}


def ask(
    line: str, *, owner: Owner = ALICE, stdin: bytes = b"", cluster: RecordedCluster | None = None
) -> Answer:
    name, *argv = line.split()
    cluster = cluster or RecordedCluster([])
    answer = COMMANDS[name](Call(name, tuple(argv), {}, "/", owner, cluster.now()), cluster)
    if inspect.isgenerator(answer):
        assert next(answer) == ReadFile("-")
        with pytest.raises(StopIteration) as done:
            answer.send(stdin)
        answer = done.value.value
    text = answer.out if isinstance(answer.out, str) else "".join(answer.out)
    return Answer(text, answer.err, answer.code)


def test_what_there_is_can_be_asked_for_in_any_form() -> None:
    assert ask("sacctmgr -nP show user").out == "root|root|Administrator\n"
    assert ask("sacctmgr -nP show assoc format=account,user,qos").out == (
        "root||normal\nroot|root|normal\n"
    )
    assert ask("sacctmgr -nP list qos where name=normal format=name,priority").out == "normal|0\n"
    assert ask("sacctmgr -nP show user nosuch").out == ""


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("sacctmgr frobnicate", "invalid keyword: frobnicate\n"),
        ("sacctmgr show user format=nope", "Unknown field 'nope'\n"),
        (
            "sacctmgr show user colour=red",
            " Unknown condition: colour=red\n Use keyword 'set' to modify value\n",
        ),
        ("sacctmgr -i add account", " Need name of account to add.\n"),
        ("sacctmgr -r add account x", "Can't run this command in readonly mode.\n"),
    ],
)
def test_what_says_nothing_sensible_is_refused_in_slurms_words(line: str, error: str) -> None:
    answer = ask(line, owner=ROOT)
    assert (answer.err, answer.code) == (error, 1)


def test_changes_are_refused_to_users_and_impossible_for_root() -> None:
    assert "privilege" in ask("sacctmgr -i delete account root").err
    assert "not supported" in ask("sacctmgr -i add account phys", owner=ROOT).err
    answer = ask("sacctmgr -i modify user where name=x set maxjobs=1", owner=ROOT)
    assert (answer.out, answer.code) == (" Nothing modified\n", 1)


def test_lines_on_standard_input_are_answered_until_it_ends() -> None:
    answer = ask("sacctmgr -nP", stdin=b"show user\nnonsense\nquit\nshow qos\n")
    assert answer.out == (
        "sacctmgr: show user\nroot|root|Administrator\nsacctmgr: nonsense\nsacctmgr: quit\n"
    )
    assert answer.err == "invalid keyword: nonsense\n"
