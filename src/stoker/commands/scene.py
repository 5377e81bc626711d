"""What all records of one answer have in common.

Source: squeue(1), scontrol(1) on SLURM_TIME_FORMAT, SLURM_BITSTR_LEN and TZ.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

from stoker.core.accounts import NORMAL
from stoker.core.models import Job
from stoker.core.units import format_time, zone_of
from stoker.worker.call import Call
from stoker.worker.controller import Controller

_TASKS_SIZE = 64
"""Bytes for an array's waiting tasks and a zero, unless SLURM_BITSTR_LEN says otherwise."""


class Scene:
    """What all records of one answer have in common: the time, and how times are written."""

    def __init__(self, call: Call, controller: Controller) -> None:
        """Take it from the caller's environment."""
        self.now = controller.now()
        self.cluster = controller.cluster_name
        self.zone: tzinfo = zone_of(call.environment.get("TZ", ""))
        self.style = call.environment.get("SLURM_TIME_FORMAT", "")
        self.tasks_width_max = _tasks_width_max(call.environment)
        statuses = controller.nodes()
        nodes = [status.node for status in statuses]
        self.node_names = tuple(node.name for node in nodes)
        self.node_memory_mib = max((node.memory_mib for node in nodes), default=0)
        self.node_cpus_max = max((node.cpus for node in nodes), default=1)
        self.unavailable = tuple(
            status.node.name
            for status in statuses
            if "DRAIN" in status.state or status.state.startswith("DOWN")
        )
        self.shape_of = controller.shape
        self._qualities = controller.book().qos
        self._times: dict[int, str] = {}

    def qos_of(self, job: Job) -> str:
        """Return the quality of service that a job has, if it is one that there is."""
        name = job.spec.qos or NORMAL
        return name if name in self._qualities else ""

    def time(self, at: float) -> str:
        """Return a point in time as SLURM_TIME_FORMAT wants it; ``Unknown`` if there is none."""
        second = int(at)
        text = self._times.get(second)
        if text is None:
            text = self._times[second] = format_time(at, self.zone, self.style, self.now)
        return text


def _tasks_width_max(environment: Mapping[str, str]) -> int | None:
    text = environment.get("SLURM_BITSTR_LEN", "")
    size = int(text) if text.isdecimal() else _TASKS_SIZE
    return max(4, size) - 1 if size else None
