"""dask-jobqueue, as released: workers are jobs, which come and go as the work does."""

from __future__ import annotations

from support.clients import ClientStoker

PROGRAM = "dask_stories.py"


def workers(stoker: ClientStoker) -> list[str]:
    """Return the state of each job that was a worker, first word only."""
    text = stoker.ok("sacct", "-X", "-n", "-P", "-o", "State", "--name", "dask-worker")
    return [line.split()[0] for line in text.splitlines()]


def test_a_cluster_is_scaled_computes_and_closes(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "scale")

    assert story["squares"] == [number**2 for number in range(20)]
    assert story["jobs"] == ["1", "2"]
    assert story["again"][0] == 49
    stoker.wait_idle()
    assert workers(stoker) == ["CANCELLED", "CANCELLED"]


def test_a_cluster_adapts_to_the_work_and_lets_its_jobs_go(stoker: ClientStoker) -> None:
    story = stoker.program(PROGRAM, "adapt")

    assert story == {"before": 0, "sum": sum(number**2 for number in range(10))}
    stoker.wait_idle()
    assert len(workers(stoker)) >= 1
    assert set(workers(stoker)) == {"CANCELLED"}
