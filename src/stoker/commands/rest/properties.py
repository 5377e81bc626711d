"""Properties of a job in JSON: each stands for an option of sbatch and is read as that one is.

Types are loose, as with slurmrestd: a number may be a string and the other way round; true switches
on, null and false say nothing unless the property has an opposite.

Source: openapi v0.0.38, "job_properties"; wording and codes as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoker.commands.documents import Value
from stoker.commands.readers import take_all
from stoker.commands.rest.replies import PARSING_FAILED, found_by
from stoker.commands.wishes import OptionError, Wishes

OPTIONS: Final[Mapping[str, str]] = {
    "account": "account",
    "account_gather_frequency": "acctg-freq",
    "array": "array",
    "batch_features": "batch",
    "begin_time": "begin",
    "burst_buffer": "bb",
    "cluster_constraint": "cluster-constraint",
    "comment": "comment",
    "constraints": "constraint",
    "container": "container",
    "core_specification": "core-spec",
    "cores_per_socket": "cores-per-socket",
    "cpu_binding": "cpu-bind",
    "cpu_binding_hint": "hint",
    "cpu_frequency": "cpu-freq",
    "cpus_per_gpu": "cpus-per-gpu",
    "cpus_per_task": "cpus-per-task",
    "current_working_directory": "chdir",
    "deadline": "deadline",
    "delay_boot": "delay-boot",
    "dependency": "dependency",
    "distribution": "distribution",
    "exclusive": "exclusive",
    "get_user_environment": "get-user-env",
    "gpu_binding": "gpu-bind",
    "gpu_frequency": "gpu-freq",
    "gpus": "gpus",
    "gpus_per_node": "gpus-per-node",
    "gpus_per_socket": "gpus-per-socket",
    "gpus_per_task": "gpus-per-task",
    "gres": "gres",
    "gres_flags": "gres-flags",
    "hold": "hold",
    "kill_on_invalid_dependency": "kill-on-invalid-dep",
    "licenses": "licenses",
    "mail_type": "mail-type",
    "mail_user": "mail-user",
    "mcs_label": "mcs-label",
    "memory_binding": "mem-bind",
    "memory_per_cpu": "mem-per-cpu",
    "memory_per_gpu": "mem-per-gpu",
    "memory_per_node": "mem",
    "minimum_cpus_per_node": "mincpus",
    "minimum_nodes": "use-min-nodes",
    "name": "job-name",
    "nice": "nice",
    "no_kill": "no-kill",
    "nodes": "nodes",
    "open_mode": "open-mode",
    "oversubscribe": "oversubscribe",
    "partition": "partition",
    "prefer": "prefer",
    "priority": "priority",
    "qos": "qos",
    "requeue": "requeue",
    "reservation": "reservation",
    "signal": "signal",
    "sockets_per_node": "sockets-per-node",
    "spread_job": "spread-job",
    "standard_error": "error",
    "standard_input": "input",
    "standard_output": "output",
    "tasks": "ntasks",
    "tasks_per_core": "ntasks-per-core",
    "tasks_per_node": "ntasks-per-node",
    "tasks_per_socket": "ntasks-per-socket",
    "thread_specification": "thread-spec",
    "threads_per_core": "threads-per-core",
    "time_limit": "time",
    "time_minimum": "time-min",
    "wait_all_nodes": "wait-all-nodes",
    "wckey": "wckey",
}
"""Options of sbatch by the properties that stand for them."""

ELSEWHERE: Final = ("environment", "argv")
"""Properties that are no options."""

_DISABLED: Final = ("required_nodes", "excluded_nodes")
_OPPOSITES: Final[Mapping[str, tuple[str, str]]] = {
    "requeue": ("no-requeue", ""),
    "kill_on_invalid_dependency": ("kill-on-invalid-dep", "no"),
}
_YES: Final[Mapping[str, str]] = {"kill_on_invalid_dependency": "yes"}
_COMPLAINTS: Final[Mapping[str, tuple[str, int]]] = {
    "begin_time": ("Unable to parse time", 2054),
    "tasks": ("ntasks too small", -1),
    "time_limit": ("Invalid time specification", -1),
    "time_minimum": ("Invalid time specification", -1),
}
"""What is wrong with a value, where slurmrestd has words of its own for it, and their number."""


class WrongProperty(Exception):
    """Properties cannot be read; ``errors`` say which and why, without the closing one."""

    def __init__(self, *errors: Value) -> None:
        super().__init__(errors)
        self.errors = errors


FAILURE: Final[Mapping[str, Value]] = {
    "error_code": PARSING_FAILED,
    "error": "Failure during parsing",
}
"""What stands last when properties could not be read."""


def take_properties(wishes: Wishes, properties: Mapping[str, Any]) -> None:
    """Take the options in that the properties stand for.

    Raises:
        WrongProperty: One is unknown, or its value says nothing sensible.
    """
    for name, value in properties.items():
        if name in ELSEWHERE:
            continue
        if name in _DISABLED:
            raise WrongProperty(
                found_by(
                    "openapi specification",
                    f'Disabled key: "{name}"',
                    1,
                    "Operation not permitted",
                )
            )
        if name not in OPTIONS:
            raise WrongProperty({"description": f'Unknown key "{name}"', "source": "hsearch_r"})
        _take(wishes, name, value)


def _take(wishes: Wishes, name: str, value: object) -> None:
    try:
        take_all(wishes, _words(name, value))
    except OptionError as error:
        text, number = _COMPLAINTS.get(name, (_sentence(error.text), -1))
        raise unreadable(name, text, number) from None


def unreadable(name: str, text: str, number: int = -1) -> WrongProperty:
    """Return the complaint about the value of a property."""
    return WrongProperty(
        {"error": text, "error_code": number},
        found_by("slurm_process_option_data", f'Unable to process key "{name}"', -1),
    )


def _words(name: str, value: object) -> Iterator[tuple[str, str | None]]:
    """Yield the option, and its value as a command line would have it."""
    match value:
        case None:
            return
        case False:
            if name in _OPPOSITES:
                yield _OPPOSITES[name]
        case True:
            yield OPTIONS[name], _YES.get(name)
        case str() | int() | float():
            yield OPTIONS[name], str(value)
        case [*each] if name == "nodes" and all(isinstance(count, int) for count in each):
            yield OPTIONS[name], "-".join(str(count) for count in each[:2])
        case _:
            raise unreadable(name, f"{name} must be a string or a number")


def environment_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the job's whole environment.

    Raises:
        WrongProperty: There is none, or it is no object.
    """
    given = properties.get("environment")
    if given is not None and not isinstance(given, dict):
        raise unreadable("environment", "environment must be a dictionary")
    if not given:
        raise WrongProperty({"error": "environment must be set", "error_code": 2127})
    return {name: _plain(value) for name, value in given.items() if name and "=" not in name}


def arguments_of(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the script's arguments.

    Raises:
        WrongProperty: They are no list.
    """
    given = properties.get("argv") or []
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise unreadable("argv", "argv must be a list")
    return tuple(map(_plain, given))


def _plain(value: object) -> str:
    return str(value).replace("\0", "") if value is not None else ""


def _sentence(text: str) -> str:
    line = text.strip().split("\n", 1)[0]
    said = line.removeprefix("sbatch: ").removeprefix("error: ").removeprefix("fatal: ")
    return said.replace(" --", " ")
