"""sprio: the factors of waiting jobs, as numbers between 0 and 1 and as points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.sprio import sprio
from stoker.core.models import Job, JobSpec
from stoker.scheduling.priority import Asked, Factors, Weights, job_size_factor
from stoker.worker.call import Answer, Call
from support.recorded_cluster import ALICE, RecordedCluster

WEIGHTS = Weights(age=1000, fairshare=1000, job_size=1000, partition=1000, qos=1000)


class Cluster(RecordedCluster):
    """A cluster that works out priorities, with these waiting jobs."""

    kind = "priority/multifactor"
    weights = WEIGHTS

    def __init__(self, *jobs: Job) -> None:
        super().__init__([])
        self.jobs = jobs

    def configuration(self) -> Mapping[str, str]:
        return {"PriorityType": self.kind}

    def active_jobs(self) -> tuple[Job, ...]:
        return self.jobs

    def priority_weights(self) -> Weights:
        return self.weights

    def priority_factors(self, job: Job, partition: str) -> Factors:
        asked = Asked(job.spec.cpus, job.spec.min_nodes or 1)
        size = job_size_factor(asked, Asked(16, 2))
        part = 1.0 if partition == "debug" else 0.5
        tres = dict.fromkeys(self.weights.tres, 0.125)
        return Factors(job_size=size, partition=part, nice=job.nice, tres=tres)


def waiting(job_id: int, **spec: Any) -> Job:
    moment = Cluster().now() - 5
    nice, stated = spec.get("nice", 0), spec.get("priority", 0)
    job = Job(job_id, JobSpec(name="j", **spec), ALICE, moment, "debug", priority=stated, nice=nice)
    job.eligible_at = moment
    return job


def ask(*argv: str, cluster: Cluster | None = None) -> Answer:
    cluster = cluster or Cluster(
        waiting(60),
        waiting(61, min_nodes=2, ntasks=16, nice=100),
        waiting(62, priority=77),
    )
    answer = sprio(Call("sprio", argv, {}, "/", ALICE, cluster.now()), cluster)  # type: ignore[arg-type]
    text = answer.out if isinstance(answer.out, str) else "".join(answer.out)
    return Answer(text, answer.err, answer.code)


def test_a_priority_is_the_sum_of_its_factors_or_what_was_said() -> None:
    assert ask("-h", "-o", "%i|%Y|%J|%P|%N").out == (
        "60|1281|281|1000|0\n61|1900|1000|1000|100\n62|77|0|0|0\n"
    )
    assert ask("-h", "-o", "%j|%p|%y", "-j", "60").out == "0.2812500|1.0000000|0.00000029831426\n"


def test_a_job_has_a_line_for_each_of_its_partitions() -> None:
    cluster = Cluster(waiting(66, partition="debug,long"))
    assert ask("-h", "-o", "%i|%r|%Y", cluster=cluster).out == "66|debug|1281\n66|long|781\n"
    assert ask("-h", "-p", "long", "-o", "%r", cluster=cluster).out == "long\n"


def test_columns_are_those_of_factors_that_count() -> None:
    cluster = Cluster()
    cluster.weights = Weights(age=5, assoc=7, tres={"cpu": 1000})
    assert ask(cluster=cluster).out.split() == [
        *("JOBID", "PARTITION", "PRIORITY", "SITE", "AGE", "ASSOC", "TRES")
    ]
    assert ask("-n", "-u", "alice", cluster=cluster).out.startswith("Unable")
    assert "FAIRSHARE" in ask("-l", cluster=cluster).out
    assert "FAIRSHARE" in ask("-ln", cluster=cluster).out
    assert ask("-wh", "-o", "%i|%A|%a|%B|%S|%Y|%T|%t", cluster=cluster).out == (
        "Weights|5|5|7|1||cpu=1000|\n"
    )


def test_resources_are_shown_by_name() -> None:
    cluster = Cluster(waiting(1))
    cluster.weights = Weights(tres={"cpu": 1000, "mem": 80})
    assert ask("-h", "-o", "%t|%T|%Y", cluster=cluster).out == (
        "cpu=0.12,mem=0.12|cpu=125,mem=10|135\n"
    )


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        ("Y", "62 60 61"),
        ("-Y", "61 60 62"),
        ("-i", "62 61 60"),
        ("-P,-J", "61 60 62"),
        ("N", "60 62 61"),
    ],
)
def test_lines_are_sorted_by_letters(order: str, ids: str) -> None:
    assert ask("-h", "-S", order, "-o", "%i").out.split() == ids.split()


def test_what_cannot_be_meant_is_said() -> None:
    assert ask("-S", "z") == Answer("", "sprio: error: Invalid sort specification: z\n", 1)
    assert ask("-j", "abc") == Answer("", "sprio: error: Invalid job id: abc\n", 1)
    assert ask("-j", "999").out.startswith("Unable to find jobs")
    assert "Invalid job format specification: x" in ask("-o", "%x").err


def test_without_factors_sprio_says_that_there_are_none() -> None:
    cluster = Cluster()
    cluster.kind = "priority/basic"
    assert ask(cluster=cluster).code == 1


@given(st.lists(st.sampled_from(["-S", "-o", "-j", "-u", "-p", "-w", "-n"]) | st.text(max_size=8)))
def test_no_words_make_it_fail(words: list[str]) -> None:
    assert isinstance(ask(*words).out, str)


@pytest.mark.parametrize(
    "argv",
    [[], ["-h", "-l"], ["-S", "-Y,u"], ["-S", "N,-i"], ["-S", "r"], ["-u", "alice"], ["-u", "bob"]],
    ids=" ".join,
)
def test_many_jobs_are_read_a_few_at_a_time_and_shown_as_a_few_would_be(argv, monkeypatch):
    partitions = ("debug", "debug,short")
    jobs = [
        waiting(each, nice=each % 5, ntasks=each % 3 + 1, partition=partitions[each % 2])
        for each in range(40, 80)
    ]
    at_once = ask(*argv, cluster=Cluster(*jobs))
    monkeypatch.setattr("stoker.commands.sprio.LONG", 0)
    cluster = Cluster(*jobs)
    gradual = ask(*argv, cluster=cluster)
    assert gradual == at_once
    assert 0 < cluster.lookout.seen_at_once <= 3
