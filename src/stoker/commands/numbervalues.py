"""Values of options that are numbers: counts, memory, times, priorities.

Where C's strtol(3) takes a word for a number, so does this.

Source: sbatch(1), srun(1), salloc(1); the wording of errors is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from stoker.commands.wishes import Wishes
from stoker.core.models import FOREVER
from stoker.core.units import NotationError, parse_begin, parse_memory, parse_time_limit

_NUMBER: Final = re.compile(r"\s*\+?(\d{1,10})", re.ASCII)
_NUMBER_MAX: Final = (1 << 31) - 1
_NODE_COUNT: Final = re.compile(r"(\d{0,9})([kKmM]?)(?:(-)(?:(\d{1,9})([kKmM]?))?)?", re.ASCII)
NICE_MAX: Final = (1 << 31) - 3
_NICE_DEFAULT: Final = 100
_NO_PRIORITY: Final = (1 << 32) - 1


def _number(wishes: Wishes, name: str, value: str) -> int:
    match = _NUMBER.fullmatch(value)
    number = int(match[1]) if match else 0
    if not 0 < number <= _NUMBER_MAX:
        wishes.fail(f'error: Invalid numeric value "{value}" for --{name}.')
    return number


def _count(name: str, field: str, wishes: Wishes, value: str) -> None:
    wishes.spec[field] = _number(wishes, name, value)


def _told_count(name: str, variable: str, wishes: Wishes, value: str) -> None:
    """Check a count that has no meaning here; the job is told of it all the same."""
    number = wishes.layout[name] = _number(wishes, name, value)
    if variable:
        wishes.variables[variable] = str(number)


def _memory(name: str, wishes: Wishes, value: str) -> int:
    try:
        return parse_memory(value)
    except NotationError:
        wishes.refuse(name)


def _memory_field(name: str, field: str, wishes: Wishes, value: str) -> None:
    wishes.spec[field] = _memory(name, wishes, value)


def _mem_per_gpu(wishes: Wishes, value: str) -> None:
    wishes.mem_per_gpu_mib = _memory("mem-per-gpu", wishes, value)


def _duration(name: str, field: str, wishes: Wishes, value: str) -> None:
    try:
        wishes.spec[field] = parse_time_limit(value)
    except NotationError:
        # As strtol(3) in Slurm: a negative number of minutes is taken, as no limit at all.
        if re.fullmatch(r"-\d{1,9}", value, re.ASCII) is None:
            wishes.refuse(name)
        wishes.spec[field] = FOREVER


def _time(name: str, wishes: Wishes, value: str) -> float:
    if not value:
        wishes.refuse(name)
    try:
        return parse_begin(value, wishes.now, wishes.zone)
    except NotationError as error:
        wishes.refuse(name, f"Invalid time specification (pos={error.position}): {value}\n")


def _begin(wishes: Wishes, value: str) -> None:
    wishes.begin_at = _time("begin", wishes, value)


def _deadline(wishes: Wishes, value: str) -> None:
    wishes.spec["deadline_at"] = _time("deadline", wishes, value)


def _nodes(wishes: Wishes, value: str) -> None:
    match = _NODE_COUNT.fullmatch(value)
    if match is None or not value:
        wishes.fail(f'error: "{value}" is not a valid node count', 255)
    low, high = _scaled(match[1] or "0", match[2]), _scaled(match[4] or "-1", match[5] or "")
    if match[3] and high < low:
        wishes.fail(f"error: Maximum node count {high} is less than minimum node count {low}", 255)
    wishes.spec["min_nodes"] = low or None
    wishes.spec["max_nodes"] = (high if match[3] else low) or None


def _scaled(digits: str, suffix: str) -> int:
    return int(digits) * {"": 1, "k": 1024, "m": 1024 * 1024}[suffix.lower()]


def _nice(wishes: Wishes, value: str) -> None:
    match = re.match(r"\s*([+-]?\d+)", value, re.ASCII)
    # As strtoll(3): a word that is no number counts as 0, and nothing at all as the default.
    nice = int(match[1][:20]) if match else (0 if value else _NICE_DEFAULT)
    if abs(nice) > NICE_MAX:
        wishes.fail(f"error: Invalid --nice value, out of range (+/- {NICE_MAX})", 255)
    wishes.spec["nice"] = nice


def _priority(wishes: Wishes, value: str) -> None:
    if value.upper() == "TOP":
        wishes.priority = (1 << 32) - 2
        return
    # As strtoll(3): a word that is no number counts as 0.
    number = re.match(r"[+-]?\d{1,11}", value, re.ASCII)
    priority = int(number[0]) if number else 0
    if not 0 <= priority < _NO_PRIORITY:
        wishes.refuse("priority")
    wishes.priority = priority


def _gpu_count(field: str, name: str, wishes: Wishes, value: str) -> None:
    if re.fullmatch(r"(?:[A-Za-z_][\w.-]*:)?\d{1,6}", value, re.ASCII) is None:
        wishes.refuse(name)
    setattr(wishes, field, value)
    wishes.variables[f"SLURM_{name.upper().replace('-', '_')}"] = value


def _cpus_per_gpu(wishes: Wishes, value: str) -> None:
    wishes.cpus_per_gpu = _number(wishes, "cpus-per-gpu", value)


def _core_spec(wishes: Wishes, value: str) -> None:
    _number(wishes, "core-spec", value)
    wishes.notes.append(
        "error: Ignoring -S since it's not allowed by configuration (AllowSpecResourcesUsage = No)"
    )


NUMBER_READERS: Final[Mapping[str, Callable[[Wishes, str], None]]] = {
    "begin": _begin,
    "cores-per-socket": partial(_told_count, "cores-per-socket", ""),
    "core-spec": _core_spec,
    "cpus-per-gpu": _cpus_per_gpu,
    "cpus-per-task": partial(_count, "cpus-per-task", "cpus_per_task"),
    "deadline": _deadline,
    "gpus": partial(_gpu_count, "gpus", "gpus"),
    "gpus-per-node": partial(_gpu_count, "gpus_per_node", "gpus-per-node"),
    "gpus-per-socket": partial(_gpu_count, "gpus_per_node", "gpus-per-socket"),
    "gpus-per-task": partial(_gpu_count, "gpus_per_task", "gpus-per-task"),
    "mem": partial(_memory_field, "mem", "mem_per_node_mib"),
    "mem-per-cpu": partial(_memory_field, "mem-per-cpu", "mem_per_cpu_mib"),
    "mem-per-gpu": _mem_per_gpu,
    "mincpus": partial(_count, "mincpus", "min_cpus_per_node"),
    "nice": _nice,
    "nodes": _nodes,
    "ntasks": partial(_count, "ntasks", "ntasks"),
    "ntasks-per-core": partial(_told_count, "ntasks-per-core", "SLURM_NTASKS_PER_CORE"),
    "ntasks-per-gpu": partial(_told_count, "ntasks-per-gpu", "SLURM_NTASKS_PER_GPU"),
    "ntasks-per-node": partial(_count, "ntasks-per-node", "ntasks_per_node"),
    "ntasks-per-socket": partial(_told_count, "ntasks-per-socket", "SLURM_NTASKS_PER_SOCKET"),
    "priority": _priority,
    "sockets-per-node": partial(_told_count, "sockets-per-node", ""),
    "threads-per-core": partial(_told_count, "threads-per-core", "SLURM_THREADS_PER_CORE"),
    "time": partial(_duration, "time", "time_limit_s"),
    "time-min": partial(_duration, "time-min", "time_min_s"),
    "tmp": partial(_memory_field, "tmp", "tmp_disk_mib"),
}
