"""sacctmgr, sprio, sshare and sdiag: what one machine has to say, in Slurm's words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest

from stoker.commands.sacctmgr import sacctmgr
from stoker.commands.sdiag import sdiag
from stoker.commands.sprio import sprio
from stoker.commands.sshare import sshare
from stoker.core.models import Job, JobSpec, Owner
from stoker.worker.call import Answer, Call, ReadFile
from stoker.worker.controller import Host
from support.recorded_cluster import ALICE, ROOT, RecordedCluster


class Cluster(RecordedCluster):
    """A cluster that works out priorities, with these waiting jobs."""

    kind = "priority/multifactor"
    jobs: tuple[Job, ...] = ()

    def configuration(self) -> Mapping[str, str]:
        return {"PriorityType": self.kind}

    def host(self) -> Host:
        return Host("vm", "x86_64", "Linux", started_at=self.now() - 60)

    def active_jobs(self) -> tuple[Job, ...]:
        return self.jobs


COMMANDS: Mapping[str, Any] = {
    "sacctmgr": sacctmgr,
    "sdiag": sdiag,
    "sprio": sprio,
    "sshare": sshare,
}


def ask(
    line: str, *, owner: Owner = ALICE, stdin: bytes = b"", cluster: Cluster | None = None
) -> Answer:
    name, *argv = line.split()
    cluster = cluster or Cluster([])
    answer = COMMANDS[name](Call(name, tuple(argv), {}, "/", owner, cluster.now()), cluster)
    if inspect.isgenerator(answer):
        assert next(answer) == ReadFile("-")
        with pytest.raises(StopIteration) as done:
            answer.send(stdin)
        answer = done.value.value
    text = answer.out if isinstance(answer.out, str) else "".join(answer.out)
    return Answer(text, answer.err, answer.code)


def waiting(job_id: int, priority: int, **spec: Any) -> Job:
    moment = Cluster([]).now()
    return Job(
        job_id,
        JobSpec(name="j", **spec),
        ALICE,
        moment - 5,
        "debug",
        priority=priority,
        nice=spec.get("nice", 0),
        eligible_at=moment - 5,
    )


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


def test_a_priority_is_the_sum_of_its_factors() -> None:
    cluster = Cluster([])
    cluster.jobs = (
        waiting(60, 1281),
        waiting(61, 1900, min_nodes=2, ntasks=16, nice=100),
        waiting(62, 77),
    )
    assert ask("sprio -h -o %i|%Y|%J|%P|%N", cluster=cluster).out == (
        "60|1281|281|1000|0\n61|1900|1000|1000|100\n62|77|281|1000|0\n"
    )
    assert ask("sprio -h -S -Y -o %i", cluster=cluster).out == "61\n60\n62\n"
    assert ask("sprio -j 999", cluster=cluster).out.startswith("Unable to find jobs")


def test_without_factors_sprio_says_that_there_are_none() -> None:
    cluster = Cluster([])
    cluster.kind = "priority/basic"
    assert ask("sprio", cluster=cluster).code == 1


def test_shares_are_those_of_root() -> None:
    assert ask("sshare -nP").out == "root|||0.000000|0|1.000000|\n"
    assert len(ask("sshare -anP").out.splitlines()) == 2
    assert ask("sshare -o nope").err == 'sshare: error: Invalid field requested: "nope"\n'


def test_the_report_counts_what_was_since_the_start() -> None:
    assert "Jobs submitted: 0\n" in ask("sdiag").out
    assert ask("sdiag -r").code == 255
    assert ask("sdiag -r", owner=ROOT).out == "Reset scheduling statistics\n"
