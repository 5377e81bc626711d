"""What the processes of a running job use now, step by step and task by task.

Nothing is sampled while nobody asks: a look costs a walk through /proc. A process belongs to the
step and the task that its environment names; what the script itself started belongs to the script.

Source: proc(5); the figures are those that Slurm's jobacct_gather/linux adds up.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stoker.core.models import BATCH
from stoker.core.processes import TOKEN_VARIABLE
from stoker.worker.stepdesk import TaskSample

_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_DIGITS_MAX: Final = 10
_CPU_INFO: Final = Path("/proc/cpuinfo")

# Places behind the name in /proc/PID/stat, where field 3 of proc(5) is the first.
_FAULTS, _TIMES, _SIZE, _PAGES = 9, slice(11, 15), 20, 21


def samples_of(token: str, user_id: int | None = None) -> Mapping[str, Sequence[TaskSample]]:
    """Return by step, in the order of the tasks, what an attempt's processes use.

    A task's own process comes before those that it has started. With a user's id no processes but
    theirs are looked at.
    """
    entry = f"{TOKEN_VARIABLE}={token}".encode()
    found: dict[tuple[str, int], list[_Figures]] = defaultdict(list)
    tasks: set[int] = set()
    for pid in _pids(user_id):
        environment = _read(pid, "environ").split(b"\0")
        if entry in environment and (figures := _figures_of(pid)) is not None:
            step_id, task, own = _task_of(environment)
            found[step_id, task].append(figures)
            tasks.add(own)
    steps: dict[str, list[TaskSample]] = defaultdict(list)
    for (step_id, task), processes in sorted(found.items()):
        processes.sort(key=lambda each: (each.pids[0] not in tasks, each.pids))
        steps[step_id].append(_together(task, processes))
    return steps


def cpu_frequency_khz() -> int:
    """Return how fast the cores are on average at this moment; 0 if the kernel does not say."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
        speeds = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return 0
    return round(1000 * sum(speeds) / len(speeds)) if speeds else 0


_Figures = TaskSample
"""What one process uses, as the sample of a task that has no other."""


def _pids(user_id: int | None) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (user_id is None or _owner_of(entry) == user_id):
            yield int(entry.name)


def _owner_of(entry: Path) -> int:
    """Return whose process it is; -1 of one that has gone."""
    try:
        return entry.stat().st_uid
    except OSError:
        return -1


def _read(pid: int, what: str) -> bytes:
    """Return a file of a process; nothing where it is gone, or not ours to look at."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def _task_of(environment: Sequence[bytes]) -> tuple[str, int, int]:
    """Return step and task of a process, and the id of the task's own process."""
    values = dict(entry.partition(b"=")[::2] for entry in environment)
    step, task, own = (
        _number(values.get(name, b""))
        for name in (b"SLURM_STEP_ID", b"SLURM_PROCID", b"SLURM_TASK_PID")
    )
    if step is None:
        return BATCH, 0, own or 0
    return str(step), task or 0, own or 0


def _number(text: bytes) -> int | None:
    """Return a number that a process says, which may have changed what it was told."""
    return int(text) if text.isdigit() and len(text) <= _DIGITS_MAX else None


def _figures_of(pid: int) -> _Figures | None:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    if len(fields) <= _PAGES:
        return None
    amounts = dict(line.split(b": ") for line in _read(pid, "io").splitlines())
    return TaskSample(
        task=0,
        pids=(pid,),
        cpu_s=sum(map(int, fields[_TIMES])) / _TICKS_PER_S,
        rss_kib=int(fields[_PAGES]) * _PAGE_KIB,
        size_kib=int(fields[_SIZE]) // 1024,
        pages=int(fields[_FAULTS]),
        read_bytes=int(amounts.get(b"rchar", 0)),
        written_bytes=int(amounts.get(b"wchar", 0)),
    )


def _together(task: int, processes: Sequence[_Figures]) -> TaskSample:
    return TaskSample(
        task=task,
        pids=tuple(pid for each in processes for pid in each.pids),
        cpu_s=sum(each.cpu_s for each in processes),
        rss_kib=sum(each.rss_kib for each in processes),
        size_kib=sum(each.size_kib for each in processes),
        pages=sum(each.pages for each in processes),
        read_bytes=sum(each.read_bytes for each in processes),
        written_bytes=sum(each.written_bytes for each in processes),
    )
