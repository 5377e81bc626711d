"""seff: how well a job used what it held."""

from __future__ import annotations

from stoker.commands.seff import seff
from stoker.core.enums import JobState
from stoker.core.models import Usage
from stoker.worker.call import Answer, Call
from support.recorded_cluster import ALICE, RecordedCluster, ended


def ask(*argv: str, cluster: RecordedCluster | None = None) -> Answer:
    cluster = cluster or RecordedCluster()
    return seff(Call("seff", argv, {}, "/", ALICE, cluster.now()), cluster)


def test_a_job_that_used_half_of_its_cores_says_so() -> None:
    record = ended(5, "half", JobState.COMPLETED, cpus=2, span=("51:00", "51:00", "51:10"))
    record.attempts[0].usage = Usage(user_s=8.0, system_s=2.0, max_rss_kib=500 * 1024)
    answer = ask("5", cluster=RecordedCluster([record]))
    assert answer.out == (
        "Job ID: 5\nCluster: test\nUser/Group: alice/alice\nState: COMPLETED (exit code 0)\n"
        "Nodes: 1\nCores per node: 2\nCPU Utilized: 00:00:10\n"
        "CPU Efficiency: 50.00% of 00:00:20 core-walltime\nJob Wall-clock time: 00:00:10\n"
        "Memory Utilized: 500.00 MB\nMemory Efficiency: 25.00% of 1.95 GB\n"
    )


def test_a_job_that_never_ran_has_no_efficiency() -> None:
    assert ask("38").out.endswith("Efficiency not available for jobs in the PENDING state.\n")


def test_a_running_job_is_warned_about() -> None:
    assert "may be misleading for RUNNING jobs" in ask("37").out


def test_what_is_no_job_is_not_found() -> None:
    for word in ("99999", "abc"):
        answer = ask(word)
        assert (answer.err, answer.code) == ("Job not found.\n", 2)
    assert ask().code == 1
