"""The notation of set-up steps, and how cases are grouped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.cases import Step, grouped, load, parse_step, steps_of


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("scancel 18", Step("scancel 18")),
        (
            "sbatch --wrap 'exit 0' -o /dev/null  # job 3",
            Step("sbatch --wrap 'exit 0' -o /dev/null", job_id=3),
        ),
        ("[root] scancel 21", Step("scancel 21", "root")),
        (
            "[bob] sbatch -J bobjob --wrap 'true'  # job 29",
            Step("sbatch -J bobjob --wrap 'true'", "bob", 29),
        ),
        (
            "sbatch -N2 --wrap 'sleep 9'  # job 1  # all nodes busy: what follows waits",
            Step("sbatch -N2 --wrap 'sleep 9'", job_id=1),
        ),
        ("scancel 41  # if still there", Step("scancel 41")),
        (
            "file job.sh: '#!/bin/bash\\nsrun true\\n'",
            Step("#!/bin/bash\nsrun true\n", file="job.sh"),
        ),
    ],
)
def test_a_step_says_who_does_what_and_which_job_it_makes(text: str, step: Step) -> None:
    assert parse_step(text) == step


def test_remarks_of_a_setup_are_no_steps() -> None:
    assert steps_of(["# exit 1: srun: error: it failed", "srun true"]) == [Step("srun true")]


def test_cases_of_one_file_with_one_setup_form_a_group(tmp_path: Path) -> None:
    def line(case_id: str, setup: list[str]) -> str:
        return json.dumps({"id": case_id, "topic": "t", "setup": setup, "cmd": ["sinfo"]}) + "\n"

    (tmp_path / "one.jsonl").write_text(line("a", []) + line("b", ["sbatch x"]) + line("c", []))
    (tmp_path / "two.jsonl").write_text(line("d", []))
    groups = grouped(load(tmp_path))
    assert [[case.id for case in group.cases] for group in groups] == [["a", "c"], ["b"], ["d"]]


def test_a_case_that_names_a_job_of_a_setup_shares_it(tmp_path: Path) -> None:
    def line(case_id: str, setup: list[str], *words: str) -> str:
        return json.dumps({"id": case_id, "topic": "t", "setup": setup, "cmd": words}) + "\n"

    setup = ["sbatch x  # job 37"]
    (tmp_path / "one.jsonl").write_text(
        line("a", setup, "sacct", "-j", "37")
        + line("b", [], "sstat", "-a", "-j", "37")
        + line("c", [], "sstat", "-j", "99")
        + line("d", [], "sinfo")
    )
    groups = grouped(load(tmp_path))
    assert [[case.id for case in group.cases] for group in groups] == [["a", "b"], ["c", "d"]]
