"""simple-slurm, as released: padded directives, here-documents, its table of the queue."""

from __future__ import annotations

from support.clients import ClientStoker

PROGRAM = "simple_slurm_stories.py"


def test_an_array_is_gathered_by_a_dependent_job_and_waited_for(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "pipeline")

    parts, gathered, ended = story["ids"]
    assert story["texts"] == [
        ["task 3 of 3", "task 7 of 3", "task 11 of 3"],
        [f"{ended} after {gathered}"],
    ]
    assert stoker.job(parts)["TimeLimit"] == "00:04:00"
    stoker.wait_idle()


def test_srun_from_a_shell_runs_here_and_now(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "here_and_now")

    assert story == {"status": 0, "files": ["srun_0.txt", "srun_1.txt"]}


def test_the_queue_is_read_as_a_table_and_jobs_are_cancelled(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "look_and_cancel")

    row = story["row"]
    assert row.pop("TIME").startswith("0:")
    assert row.pop("TIME_LEFT").startswith(("10:00", "9:"))
    assert row.pop("NODELIST(REASON)") == stoker.ok("sinfo", "-h", "-o", "%N").strip()
    assert row == {
        "JOBID": str(story["ids"][0]),
        "NAME": "sleeper",
        "ST": "R",
        "NODES": "1",
        "CPUS": "1",
        "MIN_MEMORY": "100M",
        "TRES_PER_NODE": "N/A",
    }
    ends = [stoker.accounting(job_id, "State", "ExitCode") for job_id in story["ids"]]
    assert [state.split()[0] for state, _ in ends] == ["CANCELLED", "FAILED", "CANCELLED"], ends
