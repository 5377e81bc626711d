"""What the options that count GPUs ask for: by job, node or task, and tasks and CPUs by GPU.

They become generic resources of each node, and a number of tasks where none is said; what was said
is kept beside them in Slurm's words, for scontrol and squeue.

Source: sbatch(1), "--gpus" and its like; numbers and messages as of Slurm 22.05.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from stoker.commands.wishes import OptionError, Wishes
from stoker.core.models import JobSpec
from stoker.core.units import parse_gres

_WRONG: Final = "Invalid generic resource (gres) specification"
_JOB_SPEC: Final = "Failed to validate job spec."
_COUNTS: Final = (
    ("gpus", "TresPerJob"),
    ("gpus-per-node", "TresPerNode"),
    ("gpus-per-socket", "TresPerSocket"),
    ("gpus-per-task", "TresPerTask"),
)
_ORDER: Final = (
    "CpusPerTres", "MemPerTres", "TresPerJob", "TresPerNode", "TresPerSocket", "TresPerTask",
    "NtasksPerTRES",
)  # fmt: skip
"""As scontrol prints them."""


def settle_tasks(wishes: Wishes) -> None:
    """Work out the tasks, or the nodes, or the GPUs, that follow from the others.

    Raises:
        OptionError: They contradict one another, or one lacks what it counts.
    """
    _settle_nodes(wishes)
    if "gpus-per-socket" in wishes.shown and "sockets-per-node" not in wishes.layout:
        _refuse(wishes, "--gpus-per-socket option requires --sockets-per-node specification")
    if wishes.gpus_per_task:
        _settle_by_task(wishes, _count(wishes.gpus_per_task))
    if per_gpu := wishes.layout.get("ntasks-per-gpu"):
        _settle_by_gpu(wishes, per_gpu)


def gpu_fields(wishes: Wishes, spec: JobSpec) -> dict[str, object]:
    """Return the fields of a specification that follow from the options which count GPUs."""
    kind, count = _on_each_node(wishes, spec)
    changes: dict[str, object] = {}
    if asked := _asked(wishes, spec):
        changes["tres_asked"] = asked
    if count:
        name = f"gpu:{kind}" if kind else "gpu"
        changes["gres"] = ",".join([*_without_gpus(spec.gres), f"{name}:{count}"])
    else:
        count = _gres_count(spec.gres)
    if wishes.cpus_per_gpu and count and spec.cpus_per_task is None:
        changes["min_cpus_per_node"] = wishes.cpus_per_gpu * count
    if wishes.mem_per_gpu_mib and count:
        changes["mem_per_node_mib"] = wishes.mem_per_gpu_mib * count
    return changes


def _settle_nodes(wishes: Wishes) -> None:
    """So many GPUs, so many on each node: that makes a number of nodes."""
    by_job, by_node = _count(wishes.gpus), _by_node(wishes)
    if not by_job or not by_node or by_job % by_node:
        return
    nodes = by_job // by_node
    low, high = wishes.spec.get("min_nodes"), wishes.spec.get("max_nodes")
    if (isinstance(low, int) and nodes < low) or (isinstance(high, int) and nodes > high):
        _refuse(
            wishes,
            f"{_JOB_SPEC} Based on --gpu and --gres=gpu/--gpus-per-node required nodes ({nodes}) "
            f"doesn't fall between min_nodes ({low}) and max_nodes ({high}) boundaries.",
        )
    wishes.spec["min_nodes"] = wishes.spec["max_nodes"] = nodes


def _settle_by_task(wishes: Wishes, by_task: int) -> None:
    by_job = _count(wishes.gpus)
    if by_job and by_task:
        tasks = by_job // by_task
        if wishes.spec.get("ntasks", tasks) != tasks:
            _refuse(
                wishes,
                f"{_JOB_SPEC} Based on --gpus and --gpus-per-task number of requested tasks "
                "differ from -n/--ntasks.",
            )
        wishes.spec["ntasks"] = tasks
    elif not _says_tasks(wishes) and not _by_node(wishes):
        _refuse(
            wishes,
            f"{_JOB_SPEC} --gpus-per-task used without either --gpus or -n/--ntasks is not "
            "allowed.",
        )


def _settle_by_gpu(wishes: Wishes, per_gpu: int) -> None:
    """So many tasks for each GPU: that makes tasks of GPUs, or GPUs of tasks."""
    nodes = wishes.spec.get("min_nodes") or 1
    assert isinstance(nodes, int)
    gpus = _count(wishes.gpus) or nodes * _by_node(wishes)
    if gpus:
        wishes.spec.setdefault("ntasks", gpus * per_gpu)
    elif not _says_tasks(wishes):
        _refuse(
            wishes,
            "gres_job_state_validate: --ntasks-per-tres needs either a GRES GPU specification or "
            "a node/ntask specification",
        )
    else:
        tasks = wishes.spec.setdefault("ntasks", nodes * per_gpu)
        assert isinstance(tasks, int)
        wishes.gpus = str(-(-tasks // per_gpu))


def _says_tasks(wishes: Wishes) -> bool:
    return bool({"ntasks", "ntasks_per_node", "min_nodes"} & wishes.spec.keys())


def _on_each_node(wishes: Wishes, spec: JobSpec) -> tuple[str, int]:
    """Return type and number of the GPUs that are asked for on each node."""
    nodes = spec.min_nodes or 1
    if wishes.gpus_per_node:
        return _typed(wishes.gpus_per_node)
    if wishes.gpus_per_task:
        kind, count = _typed(wishes.gpus_per_task)
        tasks = spec.ntasks_per_node or -(-spec.tasks // nodes)
        return kind, count * tasks
    kind, count = _typed(wishes.gpus)
    return kind, -(-count // nodes)


def _asked(wishes: Wishes, spec: JobSpec) -> Mapping[str, str]:
    """Return Slurm's names for what was asked for, if it was more than generic resources."""
    found = {
        "CpusPerTres": f"gres:gpu:{wishes.cpus_per_gpu}" if wishes.cpus_per_gpu else "",
        "MemPerTres": f"gres:gpu:{wishes.mem_per_gpu_mib}" if wishes.mem_per_gpu_mib else "",
        **{name: f"gres:gpu:{wishes.shown[option]}" for option, name in _COUNTS
           if option in wishes.shown},
        "NtasksPerTRES": str(wishes.layout.get("ntasks-per-gpu") or ""),
    }  # fmt: skip
    if spec.gres and any(found.values()):
        found.setdefault("TresPerNode", told_gres(spec.gres))
    return {name: found[name] for name in _ORDER if found.get(name)}


def told_gres(text: str) -> str:
    """Return generic resources as Slurm shows them: ``gres:gpu:2``."""
    return ",".join(word if word.startswith("gres") else f"gres:{word}" for word in text.split(","))


def _without_gpus(gres: str) -> list[str]:
    """Return the words of generic resources that are no GPUs: those are counted otherwise."""
    words = (word for word in gres.split(",") if word)
    return [word for word in words if not word.removeprefix("gres:").startswith("gpu")]


def _by_node(wishes: Wishes) -> int:
    """Return the GPUs that each node is to have, in either way of saying it."""
    return _count(wishes.gpus_per_node) or _gres_count(str(wishes.spec.get("gres", "")))


def _gres_count(gres: str) -> int:
    return sum(number for name, number in parse_gres(gres) if name.split(":")[0] == "gpu")


def _count(value: str) -> int:
    return _typed(value)[1]


def _typed(value: str) -> tuple[str, int]:
    kind, _, count = value.rpartition(":")
    return kind, int(count or 0)


def _refuse(wishes: Wishes, why: str) -> NoReturn:
    lines = (f"{wishes.program}: error: {text}\n" for text in (why, _WRONG))
    raise OptionError("".join(lines), 1)
