"""sdiag: counters in Slurm's order."""

from __future__ import annotations

from stoker.commands.sdiag import sdiag
from stoker.core.enums import JobState
from stoker.core.models import Job, Owner
from stoker.worker.call import Answer, Call
from stoker.worker.statistics import Cycles, Statistics
from support.recorded_cluster import ALICE, NOW, ROOT, RecordedCluster


class Cluster(RecordedCluster):
    """A cluster whose daemon has run for two minutes."""

    def __init__(self) -> None:
        super().__init__([])
        self.counted = Statistics(since=NOW - 120, submitted=5, started=4, latency_us=21)

    def is_administrator(self, by: Owner) -> bool:
        return by.user_id == 0

    def active_jobs(self) -> list[Job]:
        return []

    def statistics(self) -> Statistics:
        return self.counted

    def reset_statistics(self) -> None:
        self.counted.reset(self.now())


def ask(*argv: str, owner: Owner = ALICE, cluster: Cluster | None = None) -> Answer:
    cluster = cluster or Cluster()
    return sdiag(Call("sdiag", argv, {}, "/", owner, cluster.now()), cluster)  # type: ignore[arg-type]


def test_the_report_says_what_was_counted_since_a_time() -> None:
    cluster = Cluster()
    for state in (JobState.COMPLETED, JobState.COMPLETED, JobState.CANCELLED, JobState.TIMEOUT):
        cluster.counted.note_end(state)
    out = str(ask(cluster=cluster).out)
    assert "Data since      Tue Nov 24 04:50:40 2026" in out
    for line in ("submitted: 5", "started:   4", "completed: 2", "canceled:  1", "failed:    1"):
        assert f"Jobs {line}\n" in out
    assert "1000 calls to gettimeofday(): 21 microseconds\n" in out


def test_means_are_shown_once_there_was_a_pass() -> None:
    cluster = Cluster()
    assert "Mean cycle" not in str(ask(cluster=cluster).out)
    assert "Last cycle when: N/A" in str(ask(cluster=cluster).out)
    cluster.counted.cycles.note(0.000_002, 1, NOW)
    cluster.counted.cycles.note(0.000_006, 3, NOW)
    cluster.counted.backfill.note(0.000_006, 3, NOW)
    lines = str(ask(cluster=cluster).out).splitlines()
    assert {"\tMean cycle:   4", "\tMean depth cycle:  2", "\tCycles per minute: 1"} <= set(lines)
    assert "\tLast cycle when: Tue Nov 24 04:52:40 2026 (1795495960)" in lines


def test_calls_are_listed_by_message_and_user_in_several_orders() -> None:
    cluster = Cluster()
    for program, owner, seconds in (
        ("squeue", ALICE, 0.000_1),
        ("squeue", ALICE, 0.000_3),
        ("sbatch", ROOT, 0.001),
        ("sacct", ROOT, 0.000_5),
    ):
        cluster.counted.note_call(program, owner, seconds)
    lines = str(ask(cluster=cluster).out).splitlines()
    at = lines.index("Remote Procedure Call statistics by message type")
    assert lines[at + 1] == (
        "\tREQUEST_JOB_INFO                        ( 2003) "
        "count:2      ave_time:200    total_time:400"
    )
    assert lines[at + 2].startswith("\tCOMMAND_SACCT ")
    at = lines.index("Remote Procedure Call statistics by user")
    assert lines[at + 1] == (
        "\troot            (       0) count:2      ave_time:750    total_time:1500"
    )
    assert _first_call(cluster, "-t") == _first_call(cluster, "-T") == "REQUEST_SUBMIT_BATCH_JOB"
    assert _first_call(cluster, "-i") == "COMMAND_SACCT"


def _first_call(cluster: Cluster, option: str) -> str:
    lines = str(ask(option, cluster=cluster).out).splitlines()
    return lines[lines.index("Remote Procedure Call statistics by message type") + 1].split()[0]


def test_only_operators_reset_the_counters() -> None:
    cluster = Cluster()
    cluster.counted.backfilled = cluster.counted.backfilled_ever = 7
    assert ask("-r", cluster=cluster).code == 255
    assert ask("-r", owner=ROOT, cluster=cluster).out == "Reset scheduling statistics\n"
    counted = cluster.counted
    assert (counted.since, counted.submitted, counted.cycles) == (NOW, 0, Cycles())
    assert (counted.backfilled, counted.backfilled_ever) == (0, 7)
