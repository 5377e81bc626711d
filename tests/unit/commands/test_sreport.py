"""sreport: sums over the records, in the units, columns and words of Slurm's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.sreport import printing, sreport
from stoker.commands.sreport.accounts import AccountTree
from stoker.commands.sreport.jobs import groups_of
from stoker.commands.sreport.style import MINUTES, Style, unit_of
from stoker.commands.sreport.usage import Piece
from stoker.core.accounts import Book, first_book
from stoker.core.models import Node, Owner
from stoker.worker.call import Answer, Call, ReadFile, Say, next_input
from stoker.worker.controller import NodeStatus
from support.controller import Heard, converse
from support.recorded_cluster import ALICE, ROOT, RecordedCluster

SPAN = "start=2026-11-24T00:00:00 end=2026-11-24T05:00:00"


class Cluster(RecordedCluster):
    """The recorded jobs, and an account book that knows only root."""

    def book(self) -> Book:
        return first_book()

    def full_name(self, user_name: str) -> str:
        return {"alice": "Alice Liddell"}.get(user_name, "")

    def nodes(self) -> Sequence[NodeStatus]:
        nodes = [Node(f"node{number + 1}", number, 8, 16000, {"gpu": 2}) for number in range(2)]
        return [NodeStatus(node, "IDLE", 0, 0) for node in nodes]

    def is_administrator(self, by: Owner) -> bool:
        return by.user_id == 0


def ask(line: str, *, owner: Owner = ALICE) -> Answer:
    cluster = Cluster()
    argv = tuple(line.split())
    answer = sreport(Call("sreport", argv, {}, "/", owner, cluster.now()), cluster)  # type: ignore[arg-type]
    assert isinstance(answer, Answer)
    return answer


def dialogue(line: str, *, files: Mapping[str, bytes]) -> Heard:
    """Return what a caller hears whose standard input is what *files* say."""
    cluster = Cluster()
    call = Call("sreport", tuple(line.split()), {}, "/", ALICE, cluster.now())
    return converse(sreport(call, cluster), files=files)  # type: ignore[arg-type]


def rows(line: str) -> list[list[str]]:
    answer = ask(f"-nP {line} {SPAN}")
    assert isinstance(answer.out, str)
    return [each.split("|") for each in answer.out.splitlines()]


def piece(account: str, owner: str, cpus: int, seconds: int) -> Piece:
    held = {"cpu": cpus, "mem": 1000, "node": 1, "billing": cpus}
    return Piece(owner, account, "", held, seconds)


def test_who_used_most_comes_first_and_all_of_it_was_given_out() -> None:
    used = [int(row[4]) for row in rows("-t seconds user top")]
    assert used == sorted(used, reverse=True)
    [[_, allocated, down, planned_down, idle, planned, reported]] = rows(
        "-t seconds cluster utilization"
    )
    assert int(allocated) == sum(used)
    assert down == planned_down == "0"
    assert int(allocated) + int(idle) + int(planned) == int(reported)


def test_an_account_counts_what_is_below_it_and_its_users_stand_under_it() -> None:
    tree = AccountTree({"phys": "root", "quantum": "phys", "chem": "root"})
    found = tree.places(
        [piece("quantum", "bob", 2, 3), piece("phys", "alice", 4, 4), piece("chem", "alice", 1, 8)]
    )
    assert [(each.account, each.login, each.depth, each.tally["cpu"]) for each in found] == [
        ("root", "", 0, 30),
        ("chem", "", 1, 8),
        ("chem", "alice", 2, 8),
        ("phys", "", 1, 22),
        ("phys", "alice", 2, 16),
        ("quantum", "", 2, 6),
        ("quantum", "bob", 3, 6),
    ]


def test_a_tree_that_bites_its_tail_still_ends_at_the_root() -> None:
    tree = AccountTree({"a": "b", "b": "a"})
    assert list(tree.lineage("a")) == ["a", "b", "root"]


def test_a_tree_is_indented_and_named_users_stand_alone() -> None:
    out = ask(f"cluster AccountUtilizationByUser tree -t sec {SPAN}").out
    assert "     test   phys                   alice   " in out
    assert [row[1:3] for row in rows("cluster acc users=alice accounts=phys")] == [
        ["phys", "alice"]
    ]


@pytest.mark.parametrize(
    ("unit", "amount"),
    [
        ("seconds", "7200"),
        ("Min", "120"),
        ("hours", "2"),
        ("percent", "50.00%"),
        ("secper", "7200(50.00%)"),
        ("minper", "120(50.00%)"),
        ("hourper", "2(50.00%)"),
    ],
)
def test_amounts_are_written_in_each_unit(unit: str, amount: str) -> None:
    found = unit_of(unit)
    assert found is not None
    assert Style(unit=found).amount(7200, 14400) == amount


def test_a_column_grows_with_what_it_holds_and_with_percentages() -> None:
    assert Style().width(99_999_999) == 8
    assert Style().width(100_000_000) == 9
    secper = unit_of("secper")
    assert secper is not None
    assert Style(unit=secper).width(0) == 17


def test_sizes_fall_into_the_ranges_that_were_asked_for() -> None:
    assert [group.heading for group in groups_of([], [], "CPUs")] == [
        *("0-49 CPUs", "50-249 CPUs", "250-499 CPUs", "500-999 CPUs", ">= 1000 CPUs"),
    ]
    assert [group.heading for group in groups_of(["individual"], [4, 1, 4], "CPUs")] == [
        "1 CPUs",
        "4 CPUs",
    ]
    [[_, account, small, large, share]] = rows("-t seconds job sizesbyaccount grouping=2")
    assert (account, share) == ("root", "100.00%")
    used = sum(int(row[4]) for row in rows("-t seconds user top"))
    assert int(small) + int(large) == used


def test_flat_sizes_show_each_account_and_count_jobs() -> None:
    found = rows("job sizesbyaccount FlatView PrintJobCount")
    assert [row[1] for row in found] == ["phys", "root"]
    assert sum(float(row[-1].rstrip("%")) for row in found) == pytest.approx(100, abs=0.02)


def test_everything_counted_has_a_line_of_its_own() -> None:
    assert {row[1] for row in rows("-T all cluster utilization")} == {
        *("cpu", "mem", "node", "billing", "gres/gpu")
    }
    assert len(rows("-T all user top topcount=1")) == 9
    assert [row[4] for row in rows("-T gres/gpu,node user top topcount=1")] == ["node", "gres/gpu"]
    answer = ask(f"-T cpu,mem job sizesbyaccount {SPAN}")
    assert (answer.out, answer.code) == ("", 1)


def test_many_jobs_are_read_a_few_at_a_time_and_add_up_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for line in ("user top", "job sizesbyaccount PrintJobCount", "-T all cluster utilization"):
        before = ask(f"-t seconds {line} {SPAN}")
        monkeypatch.setattr(printing, "_LONG", 3)
        after = ask(f"-t seconds {line} {SPAN}")
        monkeypatch.undo()
        assert isinstance(before.out, str)
        assert not isinstance(after.out, str)
        assert "".join(after.out) == before.out


def test_conditions_choose_among_jobs() -> None:
    whole = rows("-t seconds job sizesbyaccount")
    for condition in ("users=alice", "gid=2001", "partitions=debug"):
        assert rows(f"-t seconds job sizesbyaccount {condition}") == whole
    for condition in ("users=bob", "gid=9", "partitions=x", "nodes=node9", "jobs=999"):
        assert rows(f"-t seconds job sizesbyaccount {condition}") == []


def test_users_are_shown_with_their_names() -> None:
    assert {tuple(row[1:3]) for row in rows("user top")} == {("alice", "Alice Liddell")}


def test_what_was_used_by_wckey_is_for_operators() -> None:
    privilege = "sreport: error: Your user doesn't have privilege to perform this action\n"
    refused = ask("cluster WCKeyUtilizationByUser")
    assert (refused.out, refused.code) == ("", 1)
    assert refused.err.startswith(privilege)
    assert ask("-n job sizesbywckey") == Answer("", privilege, 0)
    assert ask("-n cluster uw", owner=ROOT).err == ""


def test_an_end_to_come_is_now_and_spans_are_whole_hours() -> None:
    out = ask("cluster utilization start=now-1day end=now+1day").out
    assert "2026-11-23T05:00:00 - 2026-11-24T04:59:59" in out
    out = ask("-t fortnights cluster utilization").out
    assert "2026-11-23T00:00:00 - 2026-11-23T23:59:59" in out


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("planets", "invalid keyword: planets\n"),
        ("cluster", "too few arguments for keyword:cluster\n"),
        ("-T foo cluster utilization", "sreport: fatal: No valid TRES given\n"),
        ("user top topcount=x", "sreport: error: Invalid value for TopCount (x)\n"),
        ("cluster ut format=nope", " Unknown field 'nope'\n"),
        (
            "cluster ut start=soon",
            "sreport: error: Invalid time specification (pos=0): soon\n",
        ),
        (
            "user top colour=red",
            " Unknown condition: colour=red\nUse keyword set to modify value\n",
        ),
        (
            "job planets",
            (
                "Not valid report planets\n"
                'Valid job reports are, "SizesByAccount, SizesByAccountAndWcKey, and  '
                'SizesByWckey"\n'
            ),
        ),
    ],
)
def test_what_says_nothing_sensible_is_complained_of(line: str, error: str) -> None:
    assert ask(line).err == error


def test_a_width_is_a_number_of_any_length_and_no_column_of_a_gigabyte() -> None:
    for words in ("user top format=login%{}", "job sizesbyaccount grouping=1%{}"):
        for width in ("999999999", "9" * 5000):
            out = ask(f"{words.format(width)} {SPAN}").out
            assert len("".join(out)) < 1_000_000


def test_what_was_set_holds_for_the_lines_after_it() -> None:
    typed = f"parsable2\ntime seconds\nuser top {SPAN}\n!!\n# no\nquit\n"
    lines = dialogue("-n", files={"-": typed.encode()}).out.splitlines()
    assert lines[-1] == "sreport: quit"
    shown = [each for each in lines if each.startswith("test|alice|")]
    assert shown
    assert len(set(shown)) * 2 == len(shown)


def test_a_terminal_is_answered_line_by_line() -> None:
    heard = dialogue("", files={"-\n1": b"version\n", "-\n2": b"nonsense\n", "-\n3": b"quit\n"})
    told = [each for each in heard.requests if isinstance(each, Say | ReadFile)]
    assert told == [
        Say("sreport: "),
        next_input(1),
        Say("slurm-wlm 22.05.8\n"),
        Say("sreport: "),
        next_input(2),
        Say(err="invalid keyword: nonsense\n"),
        Say("sreport: "),
        next_input(3),
    ]
    assert heard.code == 1


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_words_break_a_report(words: list[str]) -> None:
    cluster = Cluster([])
    for start in (("cluster", "u"), ("user", "t"), ("job", "s"), ("cluster", "a"), ()):
        argv = ("--", *start, *words)
        answer = sreport(Call("sreport", argv, {}, "/", ALICE, cluster.now()), cluster)  # type: ignore[arg-type]
        assert isinstance(answer, Answer) or not (start or words)


@given(st.integers(0, 10**14), st.integers(0, 10**14))
def test_amounts_in_minutes_are_near_what_they_say(seconds: int, whole: int) -> None:
    assert abs(int(Style(unit=MINUTES).amount(seconds, whole)) * 60 - seconds) <= 31
