"""By what squeue can sort, by letter.

Source: squeue(1) "--sort"; the order as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from stoker.commands.jobview import JobView
from stoker.commands.squeue.fields import scheduled_nodes
from stoker.core.enums import JobState

SORT_KEYS: Mapping[str, Callable[[JobView], Any]] = MappingProxyType(
    {
        "a": lambda view: view.job.spec.account,
        "A": lambda view: view.job.job_id,
        "b": lambda view: view.tres_per_node or "",
        "B": lambda view: view.batch_host or "",
        "c": lambda view: view.min_cpus,
        "C": lambda view: view.cpus,
        "d": lambda view: view.job.spec.tmp_disk_mib,
        "D": lambda view: view.node_count,
        "e": lambda view: _endless(view.end_at),
        "E": lambda view: view.dependency or "",
        "f": lambda view: view.job.spec.features,
        "F": lambda view: view.array_id,
        "g": lambda view: view.job.owner.group_name,
        "G": lambda view: view.job.owner.group_id,
        "h": lambda view: view.oversubscribe,
        "i": lambda view: (view.array_id, view.job.array is not None, view.job.array_task_id),
        "j": lambda view: view.job.name,
        "J": lambda view: view.job.name,
        "k": lambda view: view.job.spec.comment,
        "K": lambda view: view.job.array_task_id,
        "l": lambda view: _endless(view.limit_s),
        "L": lambda view: (_endless(view.left_s), -_youth(view)),
        "m": lambda view: view.min_memory_mib,
        "M": lambda view: (view.elapsed_s, _youth(view)),
        "n": lambda view: view.job.spec.node_list,
        "N": lambda view: _natural(view.batch_host or ""),
        "O": lambda view: view.job.spec.contiguous,
        "p": lambda view: view.priority,
        "P": lambda view: view.job.shown_partition,
        "q": lambda view: view.qos,
        "Q": lambda view: view.priority,
        "r": lambda view: view.reason,
        "R": lambda view: view.nodes_or_reason,
        "s": lambda _: 0,
        "S": lambda view: (view.start_at, 0) if view.start_at else (float("inf"), view.job.job_id),
        "t": lambda view: view.state.compact,
        "T": lambda view: view.state.value,
        "u": lambda view: view.job.owner.user_name,
        "U": lambda view: view.job.owner.user_id,
        "v": lambda view: view.job.spec.reservation,
        "V": lambda view: view.job.submit_at,
        "w": lambda view: view.job.spec.wckey,
        "x": lambda view: view.job.spec.exclude,
        "X": lambda _: 0,
        "Y": lambda view: scheduled_nodes(view) or "",
        "z": lambda _: 0,
        "Z": lambda view: view.job.spec.work_dir,
    }
)


def _youth(view: JobView) -> float:
    """Return what tells jobs apart that have run for as many seconds: later ones are less."""
    return float("-inf") if view.job.state is JobState.PENDING else -view.job.start_at


def _endless(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def _natural(name: str) -> tuple[str, int]:
    """Return what a host sorts by: ``n2`` comes before ``n10``."""
    letters = name.rstrip("0123456789")
    return letters, int(name[len(letters) :] or 0)
