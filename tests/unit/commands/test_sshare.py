"""sshare: the tree of shares, what was used, what running jobs may still use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.sshare import sshare
from stoker.core.accounts import (
    PARENT_SHARES,
    Account,
    Association,
    Book,
    Entry,
    Limits,
    User,
    first_book,
)
from stoker.core.enums import JobState
from stoker.core.models import Allocation, Job, JobSpec, NodeShare, Owner
from stoker.scheduling.fairshare import Standing, fair_tree
from stoker.worker.call import Answer, Call
from support.recorded_cluster import ALICE, BOB, RecordedCluster


def _book() -> Book:
    entries: list[Entry] = [*first_book(), Account("phys"), Account("quantum")]
    entries += [User("alice"), User("bob")]
    entries += [
        Association(id=3, account="phys", parent="root", shares=7, batch=3),
        Association(id=4, account="quantum", parent="phys", shares=2, batch=4),
        Association(id=5, account="phys", user="alice", batch=5, is_default=True),
        Association(
            id=6,
            account="quantum",
            user="bob",
            shares=PARENT_SHARES,
            batch=6,
            is_default=True,
            limits=Limits(grp_tres_mins={"cpu": 60}),
        ),
    ]
    return Book.of(entries, 7, 2)


BOOK = _book()


class Cluster(RecordedCluster):
    """A cluster with accounts; ``used`` is by association, None where nobody was ranked yet."""

    def __init__(self, used: Mapping[int, float] | None = None, *jobs: Job) -> None:
        super().__init__([])
        self.jobs = jobs
        self.ranked = {} if used is None else fair_tree(BOOK, used)

    def active_jobs(self) -> tuple[Job, ...]:
        return self.jobs

    def book(self) -> Book:
        return BOOK

    def standings(self) -> Mapping[int, Standing]:
        return self.ranked

    def priorities_at(self) -> float:
        return self.now() - 60


def running(owner: Owner, **fields: Any) -> Job:
    moment = Cluster().now() - 30
    job = Job(1, JobSpec(name="j"), owner, moment, "debug", JobState.RUNNING, start_at=moment)
    job.time_limit_s = fields.get("limit_s")
    job.allocation = Allocation(1, 0, (NodeShare("node1", (0, 1, 2, 3), 4000),), "t", moment)
    return job


def ask(line: str, cluster: Cluster | None = None, owner: Owner = ALICE) -> Answer:
    cluster = cluster or Cluster()
    call = Call("sshare", tuple(line.split()), {}, "/", owner, cluster.now())
    answer = sshare(call, cluster)  # type: ignore[arg-type]
    text = answer.out if isinstance(answer.out, str) else "".join(answer.out)
    return Answer(text, answer.err, answer.code)


def test_who_asks_sees_all_accounts_and_the_own_shares() -> None:
    assert ask("-nP").out == (
        "root|||0.000000|0|1.000000|\n"
        " phys||7|0.875000|0|0.000000|\n"
        "  phys|alice|1|0.333333|0|0.000000|0.000000\n"
        "  quantum||2|0.666667|0|0.000000|\n"
    )


def test_accounts_and_users_may_be_named() -> None:
    assert ask("-nP -o account,user -a -A quantum").out == "quantum|\n quantum|bob\n"
    assert ask("-nP -o account,user -u bob").out.splitlines()[-1] == "   quantum|bob"
    assert ask("-nP -o account,user -U -a").out == "root|root\nphys|alice\nquantum|bob\n"
    assert ask("-nP -A nosuch").out == ""


def test_shares_of_the_parent_are_called_so_and_limits_are_shown() -> None:
    line = ask("-nP -u bob -o user,rawshares,levelfs,grptresmins").out.splitlines()[-1]
    assert line == "bob|parent||cpu=60"


def test_use_is_shown_with_what_follows_from_it() -> None:
    cluster = Cluster({5: 300.0, 6: 100.0})
    lines = ask("-nP -a -o user,rawusage,normusage,eff,fairshare,levelfs", cluster).out.splitlines()
    assert lines[0] == "|400||1.000000||"
    assert lines[1] == "root|0|0.000000|0.000000|1.000000|inf"
    assert lines[3] == "alice|300|0.750000|0.750000|0.333333|0.444444"


def test_what_running_jobs_may_still_use_counts_for_all_above_them() -> None:
    cluster = Cluster(None, running(ALICE, limit_s=3600.0), running(BOB))
    lines = ask("-nP -a -o user,tresrunmins", cluster).out.splitlines()
    assert lines[3].startswith("alice|cpu=240,mem=240000,energy=0,node=60,billing=240,")
    assert lines[5].startswith("bob|cpu=17179869180,mem=17179869180000,energy=0,node=4294967295,")
    assert lines[0].startswith("|cpu=17179869420,mem=17179869420000,")


@pytest.mark.parametrize("line", ["-o nope", "-o account,nope%5"])
def test_a_field_that_does_not_exist_is_refused(line: str) -> None:
    assert ask(line) == Answer("", 'sshare: error: Invalid field requested: "nope"\n', 1)


@given(st.lists(st.sampled_from(["-a", "-A", "-u", "-o", "-U", "-m", "-l"]) | st.text(max_size=6)))
def test_no_words_make_it_fail(words: list[str]) -> None:
    call = Call("sshare", tuple(words), {}, "/", ALICE, 0.0)
    answer = sshare(call, Cluster())  # type: ignore[arg-type]
    assert isinstance("".join(answer.out), str)
