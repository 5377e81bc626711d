"""sstat: running steps, and what a real one said where figures play no part."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from stoker.commands.sstat import sstat
from stoker.core.errors import UnknownJob
from stoker.core.models import Job, Step
from stoker.core.units import JobRef
from stoker.worker.call import Answer, Call
from stoker.worker.stepdesk import TaskSample
from support.recorded_cluster import ALICE, BOB, RecordedCluster

ROOM = Path(__file__).resolve().parents[3]
REFERENCE = Path(os.environ.get("STOKER_REFERENCE", ROOM.parent / "shared" / "reference"))


SAMPLES = {
    "batch": [TaskSample(0, (31_600, 31_601), 0.4, 10_828, 219_792, 1, 30_042, 1_079)],
    "0": [TaskSample(0, (31_649,), 0.0, 1_780, 2_920, 0, 6_977, 1 << 20)],
}
"""What the recorded steps of job 37 used."""


class RunningCluster(RecordedCluster):
    """Knows jobs by name, and their steps."""

    @property
    def steps(self) -> RunningCluster:
        """Return itself: it is its own desk for steps."""
        return self

    def find(self, ref: JobRef) -> Sequence[Job]:
        found = [record.job for record in self.records if record.job.job_id == ref.job_id]
        if not found:
            raise UnknownJob(ref.job_id)
        for job in found:
            job.allocation = next(iter(self._record(job).attempts), None)
        return found

    def of(self, job: Job) -> Sequence[Step]:
        return [
            msgspec.structs.replace(step, tasks_per_node=(step.ntasks,))
            for step in self._record(job).steps
        ]

    def samples(self, job: Job) -> Mapping[str, Sequence[TaskSample]]:
        return SAMPLES

    def cpu_frequency_khz(self) -> int:
        return 2_600_000

    def _record(self, job: Job):
        return next(record for record in self.records if record.job is job)


def ask(*argv: str, owner=ALICE) -> Answer:
    cluster = RunningCluster()
    answer = sstat(Call("sstat", argv, {}, "/", owner, cluster.now()), cluster)
    text = answer.out if isinstance(answer.out, str) else "".join(answer.out)
    return Answer(text, answer.err, answer.code)


def recorded() -> dict[str, dict]:
    path = REFERENCE / "slurm" / "sacct.jsonl"
    cases = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return {case["id"]: case for case in cases if case["topic"] == "sstat"}


AS_RECORDED = (
    "sacct-sstat-unknown",
    "sacct-sstat-bad",
    "sacct-sstat-field",
    "sacct-sstat-helpformat",
    "sacct-sstat-e",
    "sacct-sstat-version",
    "sacct-sstat-P",
    "sacct-sstat-i",
)


@pytest.mark.skipif(not recorded(), reason="the recordings are not here (STOKER_REFERENCE)")
@pytest.mark.parametrize("name", AS_RECORDED)
def test_answers_as_a_real_sstat_did(name: str) -> None:
    case = recorded()[name]
    answer = ask(*case["cmd"][1:])
    assert (answer.out, answer.err, answer.code) == (case["stdout"], case["stderr"], case["rc"])


def test_of_a_job_the_first_numbered_step_is_shown_and_with_a_all_of_them() -> None:
    assert ask("-n", "-P", "-j", "37", "-o", "jobid,ntasks").out == "37.0|1\n"
    assert ask("-n", "-P", "-a", "-j", "37", "-o", "jobid,ntasks").out == "37.batch|1\n37.0|1\n"
    assert ask("-n", "-P", "-j", "37.batch", "-o", "jobid").out == "37.batch\n"


def test_a_step_that_does_not_run_is_named_on_standard_error() -> None:
    assert ask("-n", "-j", "37.88").err == "sstat: error: StepId=37.88 not found running.\n"
    assert ask("-n", "-j", "37", owner=BOB).err == "sstat: error: couldn't get steps for job 37\n"


def test_without_jobs_there_is_nothing_to_show() -> None:
    answer = ask()
    assert (answer.err, answer.code) == ("sstat: error: You didn't give me any jobs to stat.\n", 1)


def test_figures_of_several_tasks_are_compared_and_averaged(monkeypatch) -> None:
    tasks = [
        TaskSample(0, (7,), 3.0, 1024, 4096, 0, 10, 1),
        TaskSample(1, (8, 9), 1.0, 3072, 1024, 5, 30, 1),
    ]
    monkeypatch.setattr(RunningCluster, "samples", lambda *_: {"0": tasks})
    fields = "maxrss,maxrsstask,averss,mincpu,mincputask,avecpu,avepages,pids,maxvmsizetask"
    assert ask("-n", "-P", "-j", "37.0", "-o", fields).out == (
        "3M|1|2M|00:00:01|1|00:00:02|2|7,8,9|0\n"
    )
    totals = ask("-n", "-P", "-j", "37.0", "-o", "tresusageintot,tresusageoutmax").out
    assert totals == "cpu=00:00:04,energy=0,fs/disk=40,mem=4M,pages=5,vmem=5M|energy=0,fs/disk=1\n"
    assert ask("-n", "-P", "-j", "37.0", "--noconvert", "-o", "maxrss").out == "3072K\n"


def test_whose_figures_they_are_is_told_and_of_cpu_as_a_time() -> None:
    told = ask("-n", "-P", "-j", "37", "-o", "TRESUsageInMaxTask,TRESUsageOutMinTask").out
    assert told == "cpu=00:00:00,fs/disk=0,mem=0,pages=0,vmem=0|fs/disk=0\n"


def test_a_step_whose_processes_nobody_sees_has_no_figures(monkeypatch) -> None:
    monkeypatch.setattr(RunningCluster, "samples", lambda *_: {})
    fields = "jobid,maxrss,avecpu,tresusageintot,pids,avecpufreq,ntasks"
    assert ask("-n", "-P", "-j", "37.0", "-o", fields).out == "37.0||||||1\n"
