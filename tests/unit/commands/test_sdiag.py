"""sdiag: counters in Slurm's order."""

from __future__ import annotations

from stoker.commands.sdiag import sdiag
from stoker.core.models import Owner
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Host
from support.recorded_cluster import ALICE, ROOT, RecordedCluster


class Cluster(RecordedCluster):
    """A cluster whose daemon has run for a minute."""

    def host(self) -> Host:
        return Host("vm", "x86_64", "Linux", started_at=self.now() - 60)


def ask(*argv: str, owner: Owner = ALICE) -> Answer:
    cluster = Cluster([])
    return sdiag(Call("sdiag", argv, {}, "/", owner, cluster.now()), cluster)  # type: ignore[arg-type]


def test_the_report_counts_what_was_since_the_start() -> None:
    assert "Jobs submitted: 0\n" in str(ask().out)


def test_only_operators_reset_the_counters() -> None:
    assert ask("-r").code == 255
    assert ask("-r", owner=ROOT).out == "Reset scheduling statistics\n"
