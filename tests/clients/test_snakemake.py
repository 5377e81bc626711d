"""snakemake with its executor plugin for Slurm, as released: a workflow whose rules are jobs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from support.clients import ClientStoker

WORKFLOW = Path(__file__).parent / "workflow" / "Snakefile"


@pytest.mark.timeout(200)  # some 40 seconds; on a busy machine a look comes too soon, the next late
def test_a_workflow_branches_retries_what_failed_and_runs_job_steps(stoker: ClientStoker) -> None:
    work = stoker.directory
    (work / "one.txt").write_text("a b c\n")
    (work / "two.txt").write_text("d e\n")
    arguments = (
        *("--snakefile", str(WORKFLOW), "--directory", str(work)),
        *("--executor", "slurm", "--jobs", "4", "--retries", "1"),
        *("--default-resources", "mem_mb=100", "runtime=5"),
        # Looks after 1, 12 and 33 seconds, from each end that it sees.
        *("--slurm-init-seconds-before-status-checks", "1"),
        "--slurm-efficiency-report",
    )
    done = stoker.run("snakemake", *arguments, limit_s=180)

    assert done.returncode == 0, done.stderr
    assert (work / "report.txt").read_text() == "3\n2\n200 MB\n"
    first, second = (work / "flaky.ran").read_text().split()
    fields = ("State", "ExitCode", "ReqMem", "Timelimit", "Comment")
    assert stoker.accounting(first, *fields) == ["FAILED", "1:0", "100M", "00:05:00", "rule_flaky"]
    assert stoker.accounting(second, *fields) == [
        *("COMPLETED", "0:0", "200M", "00:05:00", "rule_flaky")
    ]
    assert "Trying to restart job" in done.stderr
    steps = sorted((work / "steps.txt").read_text().splitlines())
    assert steps in (["1 0", "1 1"], ["2 0", "2 1"])
    stoker.wait_idle()

    [report] = work.glob("efficiency_report_*.csv")
    with report.open() as file:
        rules = [row["RuleName"] for row in csv.DictReader(file)]
    assert sorted(rules) == [
        "rule_count_wildcards_one",
        "rule_count_wildcards_two",
        "rule_flaky",
        "rule_flaky",
        *["rule_gather"] * 3,
    ]
