"""What running processes use, read off processes that do so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stoker.worker.samples import cpu_frequency_khz, samples_of

USES_MEMORY = "x = bytearray(40 << 20); print(len(x), flush=True); input()"


@contextmanager
def running(script: str, environment: Mapping[str, str]) -> Iterator[int]:
    """Run a script that says something once it is where it is to be; until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process.pid


def test_processes_are_added_up_by_step_and_task() -> None:
    token = f"samples-{os.getpid()}"
    batch = {"STOKER_TOKEN": token}
    task = {**batch, "SLURM_STEP_ID": "0", "SLURM_PROCID": "3"}
    with (
        running("print(1, flush=True); input()", batch) as script,
        running(USES_MEMORY, task) as first,
        running(USES_MEMORY, task) as second,
        running("print(1, flush=True); input()", {"STOKER_TOKEN": f"{token}0"}),
    ):
        found = samples_of(token)
    assert {step: [each.task for each in tasks] for step, tasks in found.items()} == {
        "batch": [0],
        "0": [3],
    }
    (sample,) = found["0"]
    assert found["batch"][0].pids == (script,)
    assert sample.pids == tuple(sorted((first, second)))
    assert sample.rss_kib > 80 << 10
    assert sample.size_kib >= sample.rss_kib
    assert sample.cpu_s > 0
    assert sample.read_bytes > 0
    assert samples_of(token) == {}


def test_a_step_id_that_is_no_number_is_the_script() -> None:
    token = f"odd-samples-{os.getpid()}"
    odd = {"STOKER_TOKEN": token, "SLURM_STEP_ID": "nonsense", "SLURM_PROCID": "-"}
    with running("print(1, flush=True); input()", odd):
        assert list(samples_of(token)) == ["batch"]


def test_a_tasks_own_process_comes_first_whatever_its_number() -> None:
    token = f"own-samples-{os.getpid()}"
    task = {"STOKER_TOKEN": token, "SLURM_STEP_ID": "0", "SLURM_PROCID": "0"}
    waits = "print(1, flush=True); input()"
    with running(waits, task) as child, running(waits, task) as own:
        told = {**task, "SLURM_TASK_PID": str(own)}
        with running(waits, told) as other:
            (sample,) = samples_of(token)["0"]
    assert sample.pids == (own, *sorted((child, other)))


def test_cores_have_a_speed_or_none_is_told() -> None:
    assert cpu_frequency_khz() >= 0


def test_of_a_user_no_processes_but_theirs_are_looked_at() -> None:
    token = f"whose-samples-{os.getpid()}"
    with running("print(1, flush=True); input()", {"STOKER_TOKEN": token}):
        assert list(samples_of(token, os.geteuid())) == ["batch"]
        assert samples_of(token, os.geteuid() + 1) == {}
