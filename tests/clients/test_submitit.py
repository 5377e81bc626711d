"""submitit, as released: arrays, tasks, failures, cancellation, checkpoints."""

from __future__ import annotations

from support.clients import ClientStoker

PROGRAM = "submitit_stories.py"


def test_an_array_of_functions_returns_its_results_and_keeps_its_limit(
    stoker: ClientStoker,
) -> None:
    story = stoker.program(PROGRAM, "map_array")

    assert story["ids"] == [f"1_{index}" for index in range(6)]
    assert [index for index, _, _ in story["naps"]] == list(range(6))
    begins = [began for _, began, _ in story["naps"]]
    at_once = [sum(b <= time < e for _, b, e in story["naps"]) for time in begins]
    assert max(at_once) == 2, story["naps"]
    stoker.wait_idle()


def test_a_batch_becomes_an_array_and_a_job_may_depend_on_another(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "batch")

    assert story["sums"] == [0, 2, 4, 3, 7]
    stoker.wait_idle()
    assert [stoker.state(job_id) for job_id in ("1_0", "1_1", "1_2", 4, 5)] == ["COMPLETED"] * 5


def test_each_task_of_a_job_knows_its_rank(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "tasks")

    assert story["ranks"] == [{"rank": n, "local": n, "tasks": 3} for n in range(3)]


def test_a_failing_function_brings_its_traceback_home(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "failure")

    kind, text = story["error"]
    assert kind == "FailedJobError"
    assert "ZeroDivisionError: division by zero" in text
    assert "ZeroDivisionError: division by zero" in story["stderr"]
    assert story["state"] == "FAILED"
    assert stoker.accounting(story["id"]) == ["FAILED", "1:0"]
    assert story["good"] == 0.5


def test_running_and_waiting_jobs_and_tasks_can_be_cancelled(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "cancel")

    assert [state.split()[0] for state in story["states"]] == ["CANCELLED"] * 4
    stoker.wait_idle()


def test_a_job_that_reaches_its_limit_checkpoints_and_goes_on(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "time_limit")

    assert story["result"] == {"went_on": True, "runs": 2, "restarts": 1}
    assert stoker.job(story["id"])["Restarts"] == "1"
    assert stoker.accounting(story["id"]) == ["COMPLETED", "0:0"]
    # The log of the first run is still there: --open-mode=append.
    assert story["stderr"].count("Caught signal SIGUSR2") == 1
    assert "not requeued because: timed-out and not checkpointable" in story["error"]


def test_a_preempted_job_goes_on_from_its_checkpoint(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "preemption")

    assert story["result"] == {"went_on": True, "runs": 3, "restarts": 2}
    assert "Bypassing signal SIGTERM" in story["stderr"]
    assert story["stderr"].count("this job is preempted") == 2
    assert stoker.accounting(story["id"]) == ["COMPLETED", "0:0"]
