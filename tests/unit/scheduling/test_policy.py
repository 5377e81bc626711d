"""Priorities that come from a job's size."""

from __future__ import annotations

import pytest

from stoker.core.models import JobSpec
from stoker.scheduling.policy import multifactor_priority


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        (JobSpec(name="small"), 1281),
        (JobSpec(name="half", min_nodes=2), 1562),
        (JobSpec(name="whole", min_nodes=2, ntasks=16), 2000),
        (JobSpec(name="nice", min_nodes=2, ntasks=16, nice=100), 1900),
        (JobSpec(name="nicest", nice=5000), 1),
    ],
)
def test_a_larger_job_has_a_higher_priority(spec: JobSpec, priority: int) -> None:
    assert multifactor_priority(spec, cpus=16, nodes=2) == priority
