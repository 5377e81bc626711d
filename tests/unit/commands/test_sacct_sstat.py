"""sstat: running steps, and what a real one said where figures play no part."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from stoker.commands.sstat import sstat
from stoker.core.errors import UnknownJob
from stoker.core.models import Job, Step
from stoker.core.units import JobRef
from stoker.worker.call import Answer, Call
from support.recorded_cluster import ALICE, BOB, RecordedCluster

ROOM = Path(__file__).resolve().parents[3]
REFERENCE = Path(os.environ.get("STOKER_REFERENCE", ROOM.parent / "shared" / "reference"))


class RunningCluster(RecordedCluster):
    """Knows jobs by name, and their steps."""

    def find(self, ref: JobRef) -> Sequence[Job]:
        found = [record.job for record in self.records if record.job.job_id == ref.job_id]
        if not found:
            raise UnknownJob(ref.job_id)
        for job in found:
            job.allocation = next(iter(self._record(job).attempts), None)
        return found

    def steps(self, job: Job) -> Sequence[Step]:
        return self._record(job).steps

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


WITHOUT_FIGURES = (
    "sacct-sstat-unknown",
    "sacct-sstat-bad",
    "sacct-sstat-field",
    "sacct-sstat-helpformat",
    "sacct-sstat-e",
    "sacct-sstat-version",
)


@pytest.mark.skipif(not recorded(), reason="the recordings are not here (STOKER_REFERENCE)")
@pytest.mark.parametrize("name", WITHOUT_FIGURES)
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
